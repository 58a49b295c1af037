//! Device shadows: what is desired of a device, what it reports, and what differs, as AWS IoT has them.
//!
//! A request and what is stored go in; what is to be stored, and every answer as the bytes to be published, come out.
//! Nothing here knows topics' subscribers, a store or a clock: whoever calls keeps the document and publishes the
//! answers in one transaction. Documents, versions, answers and the texts of errors are the cloud's, so that a device
//! cannot tell the difference; where its documentation and its behaviour differ, its behaviour counts
//! (`docs/adr/0015-shadow-documents.md`).

mod answer;
mod delta;
mod document;
mod encoding;
mod json;
mod merge;
mod name;
mod rejection;
mod request;
pub mod sync;
mod told;
mod topic;

pub use answer::{Outcome, answer};
pub use document::{Document, Stored, Tombstone};
pub use encoding::Unknown;
pub use name::{NameError, ShadowId, ShadowName, ThingName};
pub use rejection::Rejection;
pub use request::{Expected, Refused, Request, Section, Token, Update};
pub use told::{Telling, ToldChange, ToldDelta, View};
pub use topic::{Reply, RequestTopic, Verb};

use crate::limits::{SHADOW_BYTES, SHADOW_DEPTH};

/// How large a document may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of both sections together, without their metadata.
    pub bytes: usize,
    /// Levels of nesting, a section being the first.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: SHADOW_BYTES.default as usize, depth: SHADOW_DEPTH.default as usize }
    }
}
