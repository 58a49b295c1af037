//! The buckets of a bench: what is kept, and what the handling under way would keep.
//!
//! The limits are those of the gateway, so that what fits here fits there.

use std::collections::BTreeMap;

use crate::kv::Error;

const KEY_BYTES: usize = 2048;
const VALUE_BYTES: usize = 256 * 1024;

type Values = BTreeMap<String, Vec<u8>>;

/// A value as a handling changed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedValue {
    /// The bucket, as the component calls it.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The new value; none where it is deleted.
    pub value: Option<Vec<u8>>,
}

/// All that can be opened.
#[derive(Debug, Default)]
pub struct Buckets {
    /// What may be opened, and whether it may be changed; none given permits every name.
    pub granted: Option<BTreeMap<String, bool>>,
    /// Bytes of keys and values that each may hold.
    pub quota: Option<usize>,
    kept: BTreeMap<String, Values>,
    asked: BTreeMap<String, Values>,
}

impl Buckets {
    pub fn begin(&mut self) {
        self.asked = self.kept.clone();
    }

    /// Keeps what was asked for, and tells what is different now.
    pub fn commit(&mut self) -> Vec<ChangedValue> {
        let before = std::mem::replace(&mut self.kept, std::mem::take(&mut self.asked));
        let nothing = Values::new();
        let mut changes = Vec::new();
        for (bucket, values) in &self.kept {
            let before = before.get(bucket).unwrap_or(&nothing);
            let change = |key: &String, value: Option<&Vec<u8>>| ChangedValue {
                bucket: bucket.clone(),
                key: key.clone(),
                value: value.cloned(),
            };
            let set = values.iter().filter(|(key, value)| before.get(*key) != Some(value));
            let gone = before.keys().filter(|key| !values.contains_key(*key));
            changes.extend(set.map(|(key, value)| change(key, Some(value))));
            changes.extend(gone.map(|key| change(key, None)));
        }
        changes
    }

    pub fn kept(&self, bucket: &str) -> Values {
        self.kept.get(bucket).cloned().unwrap_or_default()
    }

    pub fn keep(&mut self, bucket: &str, key: &str, value: &[u8]) {
        self.kept.entry(bucket.into()).or_default().insert(key.into(), value.into());
    }

    pub fn open(&self, name: &str) -> Result<(), Error> {
        match &self.granted {
            Some(granted) if !granted.contains_key(name) => {
                Err(Error::Other(format!("[component.NAME.grant.kv]\n{name} = \"own\"")))
            }
            _ => Ok(()),
        }
    }

    pub fn values(&self, bucket: &str) -> Values {
        self.asked.get(bucket).cloned().unwrap_or_default()
    }

    pub fn get(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, Error> {
        check_key(key)?;
        Ok(self.asked.get(bucket).and_then(|values| values.get(key)).cloned())
    }

    pub fn set(&mut self, bucket: &str, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
        check_key(key)?;
        if self.granted.as_ref().is_some_and(|granted| granted.get(bucket) != Some(&true)) {
            return Err(Error::Other(format!("[component.NAME.grant.kv]\n{bucket} = {{ bucket = \"own\" }}")));
        }
        let values = self.asked.entry(bucket.into()).or_default();
        let Some(value) = value else {
            values.remove(key);
            return Ok(());
        };
        if value.len() > VALUE_BYTES {
            return Err(Error::Other(format!("a value has at most {VALUE_BYTES} bytes")));
        }
        let bytes = |values: &Values| values.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let (held, old) = (bytes(values), values.get(key).map_or(0, |old| key.len() + old.len()));
        let after = held - old + key.len() + value.len();
        if let Some(quota) = self.quota.filter(|quota| after > *quota && after > held) {
            return Err(Error::Other(format!("bucket {bucket} would hold {after} bytes and may hold {quota}")));
        }
        values.insert(key.into(), value.into());
        Ok(())
    }

    pub fn increment(&mut self, bucket: &str, key: &str, by: u64) -> Result<u64, Error> {
        let digits = |value: Vec<u8>| String::from_utf8(value).ok().and_then(|text| text.parse().ok());
        let number: Option<u64> = self.get(bucket, key)?.map_or(Some(0), digits);
        let number = number.ok_or_else(|| Error::Other(format!("the value of `{key}` is not a number")))?;
        let sum = number.checked_add(by);
        let sum = sum.ok_or_else(|| Error::Other(format!("{number} and {by} are more than a number can be")))?;
        self.set(bucket, key, Some(sum.to_string().as_bytes()))?;
        Ok(sum)
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    match key {
        "" => Err(Error::Other("a key has at least one character".into())),
        _ if key.len() > KEY_BYTES => Err(Error::Other(format!("a key has at most {KEY_BYTES} bytes"))),
        _ if key.contains('\0') => Err(Error::Other("a key has no null character".into())),
        _ => Ok(()),
    }
}
