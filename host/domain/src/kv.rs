//! What a bucket of key-value pairs is called.
//!
//! A bucket's name is its identity over every restart, on disk as at the command line: as with queues, its text
//! never changes and reads back to the same bucket.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::config::is_name;

/// Which bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketId {
    /// Of one component alone: `component/average/state`.
    Own { component: Arc<str>, bucket: Arc<str> },
    /// One for all that are granted it: `shared/plant`.
    Shared(Arc<str>),
}

impl fmt::Display for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BucketId::Own { component, bucket } => write!(f, "component/{component}/{bucket}"),
            BucketId::Shared(bucket) => write!(f, "shared/{bucket}"),
        }
    }
}

/// A text that names no bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("no bucket has such a name; write component/NAME/BUCKET or shared/BUCKET")]
pub struct NoSuchBucket;

impl FromStr for BucketId {
    type Err = NoSuchBucket;

    fn from_str(text: &str) -> Result<Self, NoSuchBucket> {
        let name = |text: &str| if is_name(text) { Ok(Arc::from(text)) } else { Err(NoSuchBucket) };
        match text.split('/').collect::<Vec<_>>().as_slice() {
            ["component", component, bucket] => {
                Ok(BucketId::Own { component: name(component)?, bucket: name(bucket)? })
            }
            ["shared", bucket] => Ok(BucketId::Shared(name(bucket)?)),
            _ => Err(NoSuchBucket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These texts are on disk: none of them may ever change.
    #[test]
    fn both_kinds_of_bucket_have_their_text_and_read_back() {
        let cases = [
            (BucketId::Own { component: "average".into(), bucket: "state".into() }, "component/average/state"),
            (BucketId::Shared("plant".into()), "shared/plant"),
        ];
        for (id, text) in cases {
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_no_name_of_a_bucket_is_refused() {
        for text in ["", "/", "shared", "shared/", "shared/A", "shared/a/b", "component/a", "component//a", "own/a/b"] {
            assert_eq!(text.parse::<BucketId>(), Err(NoSuchBucket), "{text:?}");
        }
    }
}
