//! The values of a component as its next handling sees them: what is committed, under what is about to be.
//!
//! What a shift has handled and not yet committed lies over the store until it is; if it is undone, so is this.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use edgewit_domain::ledger::{BucketId, ValueChange, value_bytes};
use edgewit_sandbox::{Values, ValuesError};
use edgewit_store::Store;

use crate::hub::Hub;
use crate::sync::lock;

type Changed = BTreeMap<(BucketId, String), Option<Arc<[u8]>>>;

pub(crate) struct StoredValues {
    hub: Arc<Hub>,
    changed: Mutex<Changed>,
}

impl StoredValues {
    pub fn new(hub: Arc<Hub>) -> Self {
        StoredValues { hub, changed: Mutex::default() }
    }

    pub fn lay_over(&self, changes: &[ValueChange]) {
        if changes.is_empty() {
            return;
        }
        let mut changed = lock(&self.changed);
        for ValueChange { bucket, key, value } in changes {
            changed.insert((bucket.id.clone(), key.clone()), value.clone());
        }
    }

    /// All of it was committed or undone.
    pub fn clear(&self) {
        lock(&self.changed).clear();
    }

    fn store(&self) -> Result<&Store, ValuesError> {
        self.hub.store().map_err(|error| ValuesError(error.to_string()))
    }
}

impl Values for StoredValues {
    fn get(&self, bucket: &BucketId, key: &str) -> Result<Option<Arc<[u8]>>, ValuesError> {
        let changed = lock(&self.changed);
        if !changed.is_empty()
            && let Some(value) = changed.get(&(bucket.clone(), key.to_owned()))
        {
            return Ok(value.clone());
        }
        drop(changed);
        let value = self.store()?.value(bucket, key).map_err(|broken| ValuesError(broken.to_string()))?;
        Ok(value.map(Arc::from))
    }

    fn keys(&self, bucket: &BucketId, after: Option<&str>, count: usize) -> Result<Vec<String>, ValuesError> {
        let from = (bucket.clone(), after.unwrap_or_default().to_owned());
        let changed = lock(&self.changed);
        let over: BTreeMap<&str, bool> = changed
            .range(from..)
            .take_while(|((id, _), _)| id == bucket)
            .filter(|((_, key), _)| Some(key.as_str()) != after)
            .map(|((_, key), value)| (key.as_str(), value.is_some()))
            .collect();
        // Each of the changes may delete one of those that are found.
        let found = self.store()?.keys(bucket, after, count.saturating_add(over.len()));
        let found = found.map_err(|broken| ValuesError(broken.to_string()))?;
        let kept = found.iter().map(String::as_str).filter(|key| over.get(key).copied().unwrap_or(true));
        let added = over.iter().filter(|(_, there)| **there).map(|(key, _)| *key);
        let all: std::collections::BTreeSet<&str> = kept.chain(added).collect();
        Ok(all.into_iter().take(count).map(str::to_owned).collect())
    }

    fn bytes(&self, bucket: &BucketId) -> Result<u64, ValuesError> {
        let broken = |broken: edgewit_domain::ledger::Broken| ValuesError(broken.to_string());
        let store = self.store()?;
        let mut bytes = store.bytes(bucket).map_err(broken)?;
        for ((_, key), value) in lock(&self.changed).iter().filter(|((id, _), _)| id == bucket) {
            let old = store.value(bucket, key).map_err(broken)?.map_or(0, |old| value_bytes(key, &old));
            bytes = bytes.saturating_sub(old) + value.as_ref().map_or(0, |value| value_bytes(key, value));
        }
        Ok(bytes)
    }
}
