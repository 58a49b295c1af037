//! Values in memory, for components that run without a gateway: in a trial, in a test.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edgewit_domain::ledger::BucketId;
use edgewit_domain::ledger::{ValueChange, value_bytes};
use edgewit_domain::message::Message;

use super::{NotTaken, Rooms, Values, ValuesError};

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

/// Room without end, where there are no queues.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndlessRoom;

impl Rooms for EndlessRoom {
    fn reserve(&self, _: &Message) -> Result<(), NotTaken> {
        Ok(())
    }
}
