//! `wasi:keyvalue`: values in buckets, changed as effects of the handling that asks for it.
//!
//! A bucket is opened under the instance's own grant, and changing it is checked again each time. A handling sees its
//! own changes; nothing is kept before it returns well. A guest that asks for too much gets `other` with the limit or the
//! missing lines; where the store cannot be read the guest is ended, since no answer would be true.

use std::sync::Arc;

use edgewit_domain::ledger::Bucket;
use edgewit_domain::limits::{KEYS_PER_PAGE, VALUE_BYTES_PER_HANDLING, VALUES_PER_HANDLING};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::wasi::keyvalue::store::{Error, KeyResponse};
use crate::bindings::wasi::keyvalue::{atomics, batch, store};
use crate::guest::Guest;
use crate::instance::collector::values::Refused;

type Answer<T> = Result<Result<T, Error>>;
type Handle = Resource<OpenBucket>;

/// A bucket that the guest has opened.
pub struct OpenBucket {
    /// What the guest calls it.
    name: String,
    bucket: Arc<Bucket>,
    /// The cursor of the page that was listed last, and the key where it ended.
    page: Option<(u64, String)>,
}

impl store::Host for Guest {
    fn open(&mut self, name: String) -> Answer<Handle> {
        match self.profile.grants.kv(&name) {
            Err(denied) => self.refuse(denied.to_string()),
            Ok(grant) => {
                let bucket = Arc::new(grant.bucket.clone());
                Ok(Ok(self.table.push(OpenBucket { name, bucket, page: None })?))
            }
        }
    }
}

impl store::HostBucket for Guest {
    fn get(&mut self, bucket: Handle, key: String) -> Answer<Option<Vec<u8>>> {
        let value = self.value(&bucket, &key)?;
        Ok(value.map(|value| value.map(|value| value.to_vec())))
    }

    fn set(&mut self, bucket: Handle, key: String, value: Vec<u8>) -> Answer<()> {
        self.change(&bucket, &key, Some(value.into()))
    }

    fn delete(&mut self, bucket: Handle, key: String) -> Answer<()> {
        self.change(&bucket, &key, None)
    }

    fn exists(&mut self, bucket: Handle, key: String) -> Answer<bool> {
        Ok(self.value(&bucket, &key)?.map(|value| value.is_some()))
    }

    fn list_keys(&mut self, bucket: Handle, cursor: Option<u64>) -> Answer<KeyResponse> {
        let open = self.table.get_mut(&bucket)?;
        let (number, after) = match (cursor, &open.page) {
            (None, page) => (page.as_ref().map_or(0, |(number, _)| *number), None),
            (Some(cursor), Some((number, last))) if cursor == *number => (cursor, Some(last.as_str())),
            (Some(_), _) => {
                let problem = "this is not the cursor of the page that was listed last; begin without one";
                return self.refuse(problem);
            }
        };
        let page = self.effects.values.keys(&*self.services.values, &open.bucket, after, KEYS_PER_PAGE);
        let (keys, more) = page?;
        let cursor = more.then_some(number.wrapping_add(1));
        if let Some((cursor, last)) = cursor.zip(keys.last()) {
            open.page = Some((cursor, last.clone()));
        }
        Ok(Ok(KeyResponse { keys, cursor }))
    }

    fn drop(&mut self, bucket: Handle) -> Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for Guest {
    /// A number is its decimal digits, so that `get` and `set` can read and write it as well.
    fn increment(&mut self, bucket: Handle, key: String, delta: u64) -> Answer<u64> {
        let value = match self.value(&bucket, &key)? {
            Ok(value) => value,
            Err(error) => return Ok(Err(error)),
        };
        let Some(number) = value.as_deref().map_or(Some(0), number) else {
            return self.refuse(format!("the value of `{}` is not a number", key.escape_debug()));
        };
        let Some(sum) = number.checked_add(delta) else {
            return self.refuse(format!("{number} and {delta} are more than a number can be"));
        };
        let changed = self.change(&bucket, &key, Some(sum.to_string().into_bytes().into()))?;
        Ok(changed.map(|()| sum))
    }
}

impl batch::Host for Guest {
    fn get_many(&mut self, bucket: Handle, keys: Vec<String>) -> Answer<Vec<Option<(String, Vec<u8>)>>> {
        if keys.len() > VALUES_PER_HANDLING {
            return self.refuse(format!("one call may read {VALUES_PER_HANDLING} keys"));
        }
        let (mut found, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in keys {
            match self.value(&bucket, &key)? {
                Err(error) => return Ok(Err(error)),
                Ok(value) => {
                    bytes += value.as_ref().map_or(0, |value| value.len() as u64);
                    if bytes > VALUE_BYTES_PER_HANDLING {
                        return self.refuse(format!("one call may read {VALUE_BYTES_PER_HANDLING} bytes"));
                    }
                    found.push(value.map(|value| (key, value.to_vec())));
                }
            }
        }
        Ok(Ok(found))
    }

    fn set_many(&mut self, bucket: Handle, pairs: Vec<(String, Vec<u8>)>) -> Answer<()> {
        for (key, value) in pairs {
            if let Err(error) = self.change(&bucket, &key, Some(value.into()))? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn delete_many(&mut self, bucket: Handle, keys: Vec<String>) -> Answer<()> {
        for key in keys {
            if let Err(error) = self.change(&bucket, &key, None)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

impl Guest {
    fn value(&mut self, bucket: &Handle, key: &str) -> Answer<Option<Arc<[u8]>>> {
        let open = self.table.get(bucket)?;
        let value = self.effects.values.get(&*self.services.values, &open.bucket, key);
        self.answer(value)
    }

    fn change(&mut self, bucket: &Handle, key: &str, value: Option<Arc<[u8]>>) -> Answer<()> {
        let open = self.table.get(bucket)?;
        if let Err(denied) = self.profile.grants.kv_write(&open.name) {
            return self.refuse(denied.to_string());
        }
        let changed = self.effects.values.set(&*self.services.values, &open.bucket, key, value);
        self.answer(changed)
    }

    fn answer<T>(&self, answer: Result<T, Refused>) -> Answer<T> {
        match answer {
            Ok(value) => Ok(Ok(value)),
            Err(Refused::Limit(reason)) => self.refuse(reason),
            Err(Refused::Store(error)) => Err(error.into()),
        }
    }

    fn refuse<T>(&self, reason: impl Into<String>) -> Answer<T> {
        let reason = reason.into();
        self.notes.refused(&reason);
        Ok(Err(Error::Other(reason)))
    }
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
