//! The open window where it lasts: each key by itself in the bucket `state`, and what belongs to all of them beside it.
//!
//! The bucket is what counts, and memory only saves reading it again. So the bucket is changed first, and memory follows
//! when nothing can fail any more: a rejected handling leaves the two alike.

use std::collections::BTreeSet;

use edgewit_sdk::{Failure, kv};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Missing, Window};

const BUCKET: &str = "state";
const WINDOW: &str = "window";
const PREFIX: &str = "key/";
/// Keys that are read in one call.
const PAGE: usize = 256;

pub struct State {
    bucket: kv::Bucket,
    window: Window,
}

/// What is kept of the window beside its keys.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    from: Option<u64>,
    missing: Missing,
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
        let Kept { from, missing } = bucket.get_json(WINDOW)?.unwrap_or_default();
        let mut window = Window { from, missing, ..Window::default() };
        let stored: Vec<String> = bucket.keys()?.into_iter().filter(|key| key.starts_with(PREFIX)).collect();
        for page in stored.chunks(PAGE) {
            for (stored, value) in page.iter().zip(bucket.get_many(page)?) {
                let Some((key, value)) = stored.strip_prefix(PREFIX).zip(value) else { continue };
                let aggregate = serde_json::from_slice(&value)
                    .map_err(|error| Failure::Reject(format!("`{stored}` in the bucket `{BUCKET}`: {error}")))?;
                window.keys.insert(key.into(), aggregate);
            }
        }
        Ok(State { bucket, window })
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Takes a reading in.
    pub fn add(&mut self, key: String, topic: &str, value: f64) -> Result<(), Failure> {
        let known = self.window.keys.get(&key);
        let aggregate = known.map_or_else(|| Aggregate::of(value, topic), |known| known.with(value, topic));
        self.bucket.set_json(&stored(&key), &aggregate)?;
        self.window.keys.insert(key, aggregate);
        Ok(())
    }

    /// Counts a reading that is in no aggregate.
    pub fn miss(&mut self, count: impl FnOnce(&mut Missing)) -> Result<(), Failure> {
        let mut missing = self.window.missing.clone();
        count(&mut missing);
        self.keep(self.window.from, &missing)?;
        self.window.missing = missing;
        Ok(())
    }

    /// Ends the window. What is `open` goes on in the next one, which then begins where this one began.
    pub fn end(&mut self, open: &BTreeSet<String>, to: Option<u64>) -> Result<(), Failure> {
        let from = if open.is_empty() { to } else { self.window.from };
        let gone = self.window.keys.keys().filter(|key| !open.contains(*key));
        self.bucket.delete_many(&gone.map(|key| stored(key)).collect::<Vec<_>>())?;
        self.keep(from, &Missing::default())?;
        self.window.keys.retain(|key, _| open.contains(key));
        (self.window.from, self.window.missing) = (from, Missing::default());
        Ok(())
    }

    fn keep(&self, from: Option<u64>, missing: &Missing) -> Result<(), Failure> {
        self.bucket.set_json(WINDOW, &Kept { from, missing: missing.clone() })
    }
}

fn stored(key: &str) -> String {
    format!("{PREFIX}{key}")
}
