//! The sources, each by itself in the bucket `state`.
//!
//! The bucket is what counts, and memory only saves reading it again. So the bucket is changed first, and memory follows
//! when nothing can fail any more: a rejected handling leaves the two alike.

use std::collections::BTreeMap;

use edgewit_sdk::{Failure, kv};

use crate::source::Source;

const BUCKET: &str = "state";
const PREFIX: &str = "source/";

pub struct State {
    bucket: kv::Bucket,
    sources: BTreeMap<String, Source>,
}

impl State {
    /// The state, read where it has not been yet.
    pub fn of(place: &mut Option<State>) -> Result<&mut State, Failure> {
        match place {
            Some(state) => Ok(state),
            empty => Ok(empty.insert(State::read()?)),
        }
    }

    fn read() -> Result<State, Failure> {
        let bucket = kv::open(BUCKET)?;
        let mut sources = BTreeMap::new();
        for key in bucket.keys()? {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            if let Some(source) = bucket.get_json(&key)? {
                sources.insert(name.into(), source);
            }
        }
        Ok(State { bucket, sources })
    }

    /// What is known of a source; nothing where it is new.
    pub fn source(&self, name: &str) -> Source {
        self.sources.get(name).cloned().unwrap_or_default()
    }

    /// Keeps what is known of a source now. Returns the one that had to be forgotten for it.
    pub fn keep(&mut self, name: &str, source: Source, most: usize) -> Result<Option<String>, Failure> {
        let is_new = !self.sources.contains_key(name);
        let forgotten = if is_new && self.sources.len() >= most { self.longest_silent() } else { None };
        if let Some(forgotten) = &forgotten {
            self.bucket.delete(&key(forgotten))?;
        }
        let source = Source { heard: self.last_heard() + 1, ..source };
        self.bucket.set_json(&key(name), &source)?;
        if let Some(forgotten) = &forgotten {
            self.sources.remove(forgotten);
        }
        self.sources.insert(name.into(), source);
        Ok(forgotten)
    }

    fn last_heard(&self) -> u64 {
        self.sources.values().map(|source| source.heard).max().unwrap_or(0)
    }

    fn longest_silent(&self) -> Option<String> {
        self.sources.iter().min_by_key(|(_, source)| source.heard).map(|(name, _)| name.clone())
    }
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}
