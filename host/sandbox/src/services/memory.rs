//! Values and shadows in memory, for components that run without a gateway: in a trial, in a test.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edgewit_domain::ledger::BucketId;
use edgewit_domain::ledger::{ValueChange, value_bytes};
use edgewit_domain::message::Message;
use edgewit_domain::shadow::{Limits, Request, RequestTopic, ShadowId, ShadowName, Stored, ThingName};

use super::{NotTaken, Rooms, Shadows, ShadowsError, Values, ValuesError};

type Bucket = BTreeMap<String, Arc<[u8]>>;

#[derive(Debug, Default)]
pub struct MemoryValues(Mutex<BTreeMap<BucketId, Bucket>>);

impl MemoryValues {
    /// Makes what a handling asked for real.
    pub fn apply(&self, changes: &[ValueChange]) {
        let mut buckets = self.lock();
        for ValueChange { bucket, key, value } in changes {
            let bucket = buckets.entry(bucket.id.clone()).or_default();
            match value {
                Some(value) => bucket.insert(key.clone(), value.clone()),
                None => bucket.remove(key),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BucketId, Bucket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Values for MemoryValues {
    fn get(&self, bucket: &BucketId, key: &str) -> Result<Option<Arc<[u8]>>, ValuesError> {
        Ok(self.lock().get(bucket).and_then(|bucket| bucket.get(key)).cloned())
    }

    fn keys(&self, bucket: &BucketId, after: Option<&str>, count: usize) -> Result<Vec<String>, ValuesError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let buckets = self.lock();
        let keys = buckets.get(bucket).map(|bucket| bucket.range::<str, _>((from, Bound::Unbounded)));
        Ok(keys.into_iter().flatten().take(count).map(|(key, _)| key.clone()).collect())
    }

    fn bytes(&self, bucket: &BucketId) -> Result<u64, ValuesError> {
        let buckets = self.lock();
        Ok(buckets.get(bucket).into_iter().flatten().map(|(key, value)| value_bytes(key, value)).sum())
    }
}

#[derive(Debug, Default)]
pub struct MemoryShadows(Mutex<BTreeMap<ShadowId, Stored>>);

impl MemoryShadows {
    /// Does what a message asks for that is a request to a shadow; `now` is the second since 1970.
    pub fn apply(&self, message: &Message, now: u64) {
        let Some(Ok(RequestTopic { id, verb })) = RequestTopic::parse(&message.topic) else { return };
        let Ok(request) = Request::parse(verb, &message.payload, &self.limits()) else { return };
        let mut shadows = self.lock();
        if let Ok(Some(stored)) = request.stored(shadows.get(&id), now, &self.limits()) {
            shadows.insert(id, stored);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ShadowId, Stored>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shadows for MemoryShadows {
    fn get(&self, id: &ShadowId) -> Result<Option<Stored>, ShadowsError> {
        Ok(self.lock().get(id).cloned())
    }

    fn names(
        &self,
        thing: &ThingName,
        after: Option<&ShadowName>,
        count: usize,
    ) -> Result<Vec<ShadowName>, ShadowsError> {
        let shadows = self.lock();
        let of_it = shadows.iter().filter(|(id, stored)| id.thing == *thing && stored.live().is_some());
        let names = of_it.filter_map(|(id, _)| id.name.clone());
        Ok(names.filter(|name| after.is_none_or(|after| name > after)).take(count).collect())
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }
}

/// Room without end, where there are no queues.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndlessRoom;

impl Rooms for EndlessRoom {
    fn reserve(&self, _: &Message) -> Result<(), NotTaken> {
        Ok(())
    }
}
