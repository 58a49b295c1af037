//! Values as the handling under way sees them: what is kept, and over it what the handling itself has changed.
//!
//! Of each key only the last change leaves. What the guest saw of a bucket that others write as well is noted once and
//! answered from the note afterwards, so that a handling never sees two states of one key; what it changed without
//! looking is not noted, since nothing of it depends on what was there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use edgewit_domain::ledger::{Bucket, BucketId, ValueChange, ValueRead, value_bytes};
use edgewit_domain::limits::{KEY_BYTES, VALUE_BYTES, VALUE_BYTES_PER_HANDLING, VALUES_PER_HANDLING};

use crate::services::{Values, ValuesError};

type Value = Option<Arc<[u8]>>;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The guest asked for more than it may, and is told so.
    #[error("{0}")]
    Limit(String),
    /// No fault of the guest's.
    #[error(transparent)]
    Store(#[from] ValuesError),
}

#[derive(Default)]
pub(crate) struct ValueEffects {
    buckets: BTreeMap<BucketId, Touched>,
    changed: Tally,
    seen: Tally,
}

/// What the handling did with one bucket.
struct Touched {
    bucket: Arc<Bucket>,
    changed: BTreeMap<String, Changed>,
    seen: BTreeMap<String, Value>,
    /// What all the changed keys count without the changes, and with them.
    before: u64,
    after: u64,
}

struct Changed {
    value: Value,
    /// What the key counts without the change.
    before: u64,
}

impl ValueEffects {
    pub fn clear(&mut self) {
        if !self.buckets.is_empty() {
            *self = ValueEffects::default();
        }
    }

    pub fn take(&mut self) -> (Vec<ValueChange>, Vec<ValueRead>) {
        let (mut changes, mut reads) = (Vec::new(), Vec::new());
        if self.buckets.is_empty() {
            return (changes, reads);
        }
        for Touched { bucket, changed, seen, .. } in std::mem::take(self).buckets.into_values() {
            let change =
                |(key, change): (String, Changed)| ValueChange { bucket: bucket.clone(), key, value: change.value };
            changes.extend(changed.into_iter().map(change));
            reads.extend(seen.into_iter().map(|(key, value)| ValueRead { bucket: bucket.clone(), key, value }));
        }
        (changes, reads)
    }

    pub fn get(&mut self, values: &dyn Values, bucket: &Arc<Bucket>, key: &str) -> Result<Value, Refused> {
        check_key(key)?;
        if let Some(known) = self.known(bucket, key) {
            return Ok(known);
        }
        let value = values.get(&bucket.id, key)?;
        if matches!(bucket.id, BucketId::Shared(_)) {
            self.seen = self
                .seen
                .with(None, size(key, &value))
                .map_err(|most| Refused::Limit(format!("one handling may look at {most} of shared buckets")))?;
            self.touch(bucket).seen.insert(key.to_owned(), value.clone());
        }
        Ok(value)
    }

    /// `None` deletes.
    pub fn set(&mut self, values: &dyn Values, bucket: &Arc<Bucket>, key: &str, value: Value) -> Result<(), Refused> {
        check_key(key)?;
        if value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES) {
            return Err(Refused::Limit(format!("a value has at most {VALUE_BYTES} bytes")));
        }
        let earlier = self.buckets.get(&bucket.id).and_then(|touched| touched.changed.get(key));
        let (before, replaced) = match earlier {
            Some(earlier) => (earlier.before, Some((size(key, &earlier.value), counted(key, &earlier.value)))),
            None => (counted(key, &values.get(&bucket.id, key)?), None),
        };
        let changed = self
            .changed
            .with(replaced.map(|(size, _)| size), size(key, &value))
            .map_err(|most| Refused::Limit(format!("one handling may change {most}")))?;
        let (held, touched) = (values.bytes(&bucket.id)?, self.touch(bucket));
        let (all_before, all_after) = match replaced {
            Some((_, counts)) => (touched.before, touched.after.saturating_sub(counts)),
            None => (touched.before.saturating_add(before), touched.after),
        };
        let all_after = all_after.saturating_add(counted(key, &value));
        if value.is_some() {
            check_quota(bucket, held, held.saturating_sub(all_before).saturating_add(all_after))?;
        }
        (touched.before, touched.after) = (all_before, all_after);
        touched.changed.insert(key.to_owned(), Changed { value, before });
        self.changed = changed;
        Ok(())
    }

    /// A page of keys in their order, behind `after`, and whether there may be more. Empty only at the end.
    pub fn keys(
        &self,
        values: &dyn Values,
        bucket: &Bucket,
        after: Option<&str>,
        count: usize,
    ) -> Result<(Vec<String>, bool), ValuesError> {
        let none = BTreeMap::new();
        let changed = self.buckets.get(&bucket.id).map_or(&none, |touched| &touched.changed);
        let mut from = after.map(str::to_owned);
        loop {
            let kept = values.keys(&bucket.id, from.as_deref(), count)?;
            let end = if kept.len() < count { None } else { kept.last().cloned() };
            let mut page: BTreeSet<String> = kept.into_iter().filter(|key| !changed.contains_key(key)).collect();
            let first = from.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let last = end.as_deref().map_or(Bound::Unbounded, Bound::Included);
            let set = changed.range::<str, _>((first, last)).filter(|(_, change)| change.value.is_some());
            page.extend(set.map(|(key, _)| key.clone()));
            if !page.is_empty() || end.is_none() {
                let more = end.is_some() || page.len() > count;
                return Ok((page.into_iter().take(count).collect(), more));
            }
            from = end;
        }
    }

    /// What the handling has changed or seen already.
    fn known(&self, bucket: &Bucket, key: &str) -> Option<Value> {
        let touched = self.buckets.get(&bucket.id)?;
        let changed = touched.changed.get(key).map(|change| &change.value);
        changed.or_else(|| touched.seen.get(key)).cloned()
    }

    fn touch(&mut self, bucket: &Arc<Bucket>) -> &mut Touched {
        self.buckets.entry(bucket.id.clone()).or_insert_with(|| Touched {
            bucket: bucket.clone(),
            changed: BTreeMap::new(),
            seen: BTreeMap::new(),
            before: 0,
            after: 0,
        })
    }
}

/// Keys and bytes of one handling, within its limits.
#[derive(Clone, Copy, Default)]
struct Tally {
    keys: usize,
    bytes: u64,
}

impl Tally {
    /// With one more, in the place of a known one or not; the error says how much there may be.
    fn with(self, replaced: Option<u64>, bytes: u64) -> Result<Tally, String> {
        let keys = if replaced.is_some() { self.keys } else { self.keys + 1 };
        let bytes = self.bytes.saturating_sub(replaced.unwrap_or(0)).saturating_add(bytes);
        if keys > VALUES_PER_HANDLING {
            return Err(format!("{VALUES_PER_HANDLING} keys"));
        }
        if bytes > VALUE_BYTES_PER_HANDLING {
            return Err(format!("{VALUE_BYTES_PER_HANDLING} bytes of keys and values"));
        }
        Ok(Tally { keys, bytes })
    }
}

fn check_key(key: &str) -> Result<(), Refused> {
    let problem = match key {
        "" => "a key has at least one character".to_owned(),
        _ if key.len() > KEY_BYTES => format!("a key has at most {KEY_BYTES} bytes"),
        _ if key.contains('\0') => "a key has no null character".to_owned(),
        _ => return Ok(()),
    };
    Err(Refused::Limit(problem))
}

/// As the store judges in the end: a bucket that holds too much already may only become smaller.
fn check_quota(bucket: &Bucket, held: u64, bytes: u64) -> Result<(), Refused> {
    if bytes <= bucket.quota || bytes <= held {
        return Ok(());
    }
    let problem = format!(
        "bucket {} would hold {bytes} bytes and may hold {}; delete values, or raise its grant's `bytes`",
        bucket.id, bucket.quota
    );
    Err(Refused::Limit(problem))
}

/// What it takes of the handling's memory.
fn size(key: &str, value: &Value) -> u64 {
    value_bytes(key, value.as_deref().unwrap_or_default())
}

/// What it counts in its bucket.
fn counted(key: &str, value: &Value) -> u64 {
    value.as_deref().map_or(0, |value| value_bytes(key, value))
}

#[cfg(test)]
mod tests;
