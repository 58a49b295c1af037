//! What a component keeps of each of its sources: of so many at most, in a bucket.
//!
//! ```
//! # use edgewit_sdk::{Failure, log, sources::Sources};
//! fn count(counts: &mut Sources<u64>, topic: &str) -> Result<u64, Failure> {
//!     let count = counts.get(topic)?.copied().unwrap_or(0) + 1;
//!     if let Some(forgotten) = counts.keep(topic, count, 1000)? {
//!         log::warn(format!("more than 1000 sources speak: `{forgotten}` is forgotten"));
//!     }
//!     Ok(count)
//! }
//! ```
//!
//! Anybody who may publish can be a source, so there is a most: the one that has been silent longest makes room. The bucket is
//! what counts, and memory only saves reading it again: it follows when the bucket has been changed. So keep last. What a
//! handler keeps before it rejects its message is undone in the bucket, and not in the memory of an instance that goes on.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kv;
use crate::message::Failure;

/// What is kept of each source, by its name.
#[derive(Debug)]
pub struct Sources<T> {
    bucket: &'static str,
    prefix: &'static str,
    /// None until it is first needed.
    known: Option<Known<T>>,
}

#[derive(Debug)]
struct Known<T> {
    bucket: kv::Bucket,
    sources: BTreeMap<String, Heard<T>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Heard<T> {
    /// Greater than that of every source that has been silent for longer.
    heard: u64,
    kept: T,
}

impl<T: Serialize + DeserializeOwned> Sources<T> {
    /// Kept in this bucket, under keys that begin so. Nothing is read yet.
    pub const fn new(bucket: &'static str, prefix: &'static str) -> Self {
        Sources { bucket, prefix, known: None }
    }

    /// Reads what is kept. The first need of it does so, too; in `init`, what is wrong with it is no message's fault.
    pub fn read(&mut self) -> Result<(), Failure> {
        self.known().map(drop)
    }

    /// What is kept of a source; nothing of one that is new or forgotten.
    pub fn get(&mut self, source: &str) -> Result<Option<&T>, Failure> {
        Ok(self.known()?.sources.get(source).map(|heard| &heard.kept))
    }

    /// Keeps this of a source, which has just been heard. Returns the one that had to be forgotten for it, if they would
    /// have become more than `most`.
    pub fn keep(&mut self, source: &str, kept: T, most: usize) -> Result<Option<String>, Failure> {
        let key = self.key(source);
        let prefix = self.prefix;
        let known = self.known()?;
        let is_new = !known.sources.contains_key(source);
        let forgotten = if is_new && known.sources.len() >= most { known.longest_silent() } else { None };
        if let Some(forgotten) = &forgotten {
            known.bucket.delete(&format!("{prefix}{forgotten}"))?;
        }
        let heard = Heard { heard: known.last_heard() + 1, kept };
        known.bucket.set_json(&key, &heard)?;
        if let Some(forgotten) = &forgotten {
            known.sources.remove(forgotten);
        }
        known.sources.insert(source.into(), heard);
        Ok(forgotten)
    }

    /// Notes that a source was heard of which nothing else is to be kept than before. One of which nothing is kept stays
    /// unknown, and one that was heard last anyway costs no change of the bucket.
    pub fn hear(&mut self, source: &str) -> Result<(), Failure> {
        let key = self.key(source);
        let known = self.known()?;
        let last = known.last_heard();
        let Some(heard) = known.sources.get_mut(source).filter(|heard| heard.heard < last) else { return Ok(()) };
        known.bucket.set_json(&key, &Heard { heard: last + 1, kept: &heard.kept })?;
        heard.heard = last + 1;
        Ok(())
    }

    /// Keeps nothing of a source any more.
    pub fn forget(&mut self, source: &str) -> Result<(), Failure> {
        let key = self.key(source);
        let known = self.known()?;
        known.bucket.delete(&key)?;
        known.sources.remove(source);
        Ok(())
    }

    fn key(&self, source: &str) -> String {
        format!("{}{source}", self.prefix)
    }

    fn known(&mut self) -> Result<&mut Known<T>, Failure> {
        match &mut self.known {
            Some(known) => Ok(known),
            unknown => Ok(unknown.insert(Known::read(self.bucket, self.prefix)?)),
        }
    }
}

impl<T: DeserializeOwned> Known<T> {
    fn read(bucket: &str, prefix: &str) -> Result<Self, Failure> {
        let bucket = kv::open(bucket)?;
        let mut sources = BTreeMap::new();
        for key in bucket.keys()? {
            let Some(source) = key.strip_prefix(prefix) else { continue };
            if let Some(heard) = bucket.get_json(&key)? {
                sources.insert(source.into(), heard);
            }
        }
        Ok(Known { bucket, sources })
    }
}

impl<T> Known<T> {
    fn last_heard(&self) -> u64 {
        self.sources.values().map(|heard| heard.heard).max().unwrap_or(0)
    }

    fn longest_silent(&self) -> Option<String> {
        self.sources.iter().min_by_key(|(_, heard)| heard.heard).map(|(source, _)| source.clone())
    }
}
