//! The sources that are out of bounds, each by itself in the bucket `state`.
//!
//! The bucket is what counts, and memory only saves reading it again. So the bucket is changed first, and memory follows
//! when nothing can fail any more: a rejected handling leaves the two alike.

use std::collections::BTreeMap;

use edgewit_sdk::{Failure, kv};

use crate::alert::{Raised, Side};

const BUCKET: &str = "state";
const PREFIX: &str = "raised/";

pub struct State {
    bucket: kv::Bucket,
    sources: BTreeMap<String, Raised>,
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
            let Some(source) = key.strip_prefix(PREFIX) else { continue };
            if let Some(raised) = bucket.get_json(&key)? {
                sources.insert(source.into(), raised);
            }
        }
        Ok(State { bucket, sources })
    }

    pub fn side(&self, source: &str) -> Option<Side> {
        self.sources.get(source).map(|raised| raised.side)
    }

    /// Notes that a source spoke without changing sides. Who spoke last anyway is not noted again.
    pub fn heard(&mut self, source: &str) -> Result<(), Failure> {
        match self.sources.get(source).copied() {
            Some(raised) if raised.heard < self.last_heard() => self.keep(source, raised.side),
            _ => Ok(()),
        }
    }

    /// Notes where a source is now. Returns the source that had to be forgotten for it.
    pub fn set(&mut self, source: &str, side: Option<Side>, most: usize) -> Result<Option<String>, Failure> {
        let Some(side) = side else {
            self.bucket.delete(&key(source))?;
            self.sources.remove(source);
            return Ok(None);
        };
        let is_new = !self.sources.contains_key(source);
        let forgotten = if is_new && self.sources.len() >= most { self.longest_silent() } else { None };
        if let Some(forgotten) = &forgotten {
            self.bucket.delete(&key(forgotten))?;
        }
        self.keep(source, side)?;
        if let Some(forgotten) = &forgotten {
            self.sources.remove(forgotten);
        }
        Ok(forgotten)
    }

    fn keep(&mut self, source: &str, side: Side) -> Result<(), Failure> {
        let raised = Raised { side, heard: self.last_heard() + 1 };
        self.bucket.set_json(&key(source), &raised)?;
        self.sources.insert(source.into(), raised);
        Ok(())
    }

    fn last_heard(&self) -> u64 {
        self.sources.values().map(|raised| raised.heard).max().unwrap_or(0)
    }

    fn longest_silent(&self) -> Option<String> {
        self.sources.iter().min_by_key(|(_, raised)| raised.heard).map(|(source, _)| source.clone())
    }
}

fn key(source: &str) -> String {
    format!("{PREFIX}{source}")
}
