//! Values that last: buckets of keys, changed together with everything else that a handling asks for.
//!
//! ```
//! # use edgewit_sdk::{Failure, kv};
//! fn seen_before(id: &str) -> Result<bool, Failure> {
//!     let seen = kv::open("seen")?;
//!     Ok(!seen.swap(id, None, Some(b""))?)
//! }
//! ```
//!
//! A bucket needs its grant: `[component.NAME.grant.kv]` with `seen = "own"`. A handling sees its own changes; they are
//! kept when it returns well, and undone otherwise. What it read of a shared bucket is still so when it is committed, or it
//! is handled again; so everything here that reads and then writes is one step, nobody comes between.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why there is no answer.
pub use crate::bindings::imports::wasi::keyvalue::store::Error;
use crate::host;
use crate::message::Failure;

/// An open bucket.
#[derive(Debug)]
pub struct Bucket {
    name: String,
    handle: host::BucketHandle,
}

/// Opens a bucket by the name that it has under `[component.NAME.grant.kv]`.
pub fn open(name: &str) -> Result<Bucket, Error> {
    Ok(Bucket { name: name.into(), handle: host::bucket_open(name)? })
}

impl Bucket {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.handle.get(key)
    }

    /// Sets the value of a key.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.handle.set(key, value.as_ref())
    }

    /// Deletes a key, if it is there.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        self.handle.delete(key)
    }

    /// Whether a key is there.
    pub fn exists(&self, key: &str) -> Result<bool, Error> {
        self.handle.exists(key)
    }

    /// All keys, in their order. Of a shared bucket this is what it holds now, and may be no more when the handling ends.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        let mut page = self.handle.list_keys(None)?;
        let mut keys = std::mem::take(&mut page.keys);
        while page.cursor.is_some() {
            page = self.handle.list_keys(page.cursor)?;
            keys.append(&mut page.keys);
        }
        Ok(keys)
    }

    /// Adds to a number, which is its decimal digits, and returns the sum. What is not there counts as 0.
    pub fn increment(&self, key: &str, by: u64) -> Result<u64, Error> {
        host::bucket_increment(&self.handle, key, by)
    }

    /// Sets or deletes a key if it is as expected: there with this value, or not there. False if it was not.
    pub fn swap(&self, key: &str, expected: Option<&[u8]>, new: Option<&[u8]>) -> Result<bool, Error> {
        if self.get(key)?.as_deref() != expected {
            return Ok(false);
        }
        match new {
            Some(value) => self.set(key, value)?,
            None => self.delete(key)?,
        }
        Ok(true)
    }

    /// The value of a key read as JSON; a rejection where it is something else.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        let Some(value) = self.get(key)? else { return Ok(None) };
        let parsed = serde_json::from_slice(&value);
        parsed.map(Some).map_err(|error| {
            Failure::Reject(format!("the value of `{key}` in the bucket `{}` is not as expected: {error}", self.name))
        })
    }

    /// Sets the value of a key as JSON. Fails where the value has no JSON form. A fraction may come back with another last
    /// digit, unless the component's `serde_json` has the feature `float_roundtrip`.
    pub fn set_json(&self, key: &str, value: &impl Serialize) -> Result<(), Failure> {
        let value = serde_json::to_vec(value).map_err(|error| Failure::Reject(format!("no JSON form: {error}")))?;
        Ok(self.set(key, value)?)
    }

    /// The values of many keys, each in its place.
    pub fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let found = host::bucket_get_many(&self.handle, keys)?;
        Ok(found.into_iter().map(|pair| pair.map(|(_, value)| value)).collect())
    }

    /// Sets many values. On an error some of them are set already, so let the handling fail.
    pub fn set_many(&self, pairs: &[(String, Vec<u8>)]) -> Result<(), Error> {
        host::bucket_set_many(&self.handle, pairs)
    }

    /// Deletes many keys, those of them that are there.
    pub fn delete_many(&self, keys: &[String]) -> Result<(), Error> {
        host::bucket_delete_many(&self.handle, keys)
    }
}

impl Error {
    /// The refusal in words.
    pub fn reason(&self) -> String {
        match self {
            Self::NoSuchStore => "there is no such bucket".into(),
            Self::AccessDenied => "the bucket is not granted".into(),
            Self::Other(reason) => reason.clone(),
        }
    }
}

/// What was refused would be refused again.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Reject(format!("key-value refused: {}", error.reason()))
    }
}
