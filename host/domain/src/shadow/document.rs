//! What is kept of a shadow: its state with the time of every leaf, its version, or that it was deleted.
//!
//! State and metadata are one tree, so that they cannot differ; what is published as metadata is written from it. No
//! `null` is in it, and a section without members is no section: both are facts of how a tree comes to be
//! ([`merge`](super::merge), [`encoding`](super::encoding)), which nothing else may make.

use std::sync::{Arc, OnceLock};

use super::delta::delta;
use super::json::{Fields, Members, Times, Value, write_list, write_members};
use crate::limits::SHADOW_TOMBSTONE;

/// What the store has of a shadow. A shadow that was never there has nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    Live(Document),
    Deleted(Tombstone),
}

/// A shadow's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub(super) desired: Members<Node>,
    pub(super) reported: Members<Node>,
    pub(super) version: u64,
    /// The second of its last update.
    pub(super) updated: u64,
    pub(super) told: Told,
}

/// A document as it was told to whoever hears of changes. What is the one after a change now is the one before the next,
/// and is not written again for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Told(OnceLock<Arc<[u8]>>);

impl Told {
    pub fn write(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(text) = self.0.get() {
            return out.extend_from_slice(text);
        }
        let start = out.len();
        write(out);
        self.0.get_or_init(|| out.get(start..).unwrap_or_default().into());
    }

    pub fn len(&self) -> usize {
        self.0.get().map_or(0, |text| text.len())
    }
}

/// It follows from what it lies beside.
impl PartialEq for Told {
    fn eq(&self, _: &Told) -> bool {
        true
    }
}

impl Eq for Told {}

/// A shadow that was deleted: its numbers go on where it ended, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub(super) version: u64,
    pub(super) deleted: u64,
}

/// A member of a section, at any depth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A scalar or an array, and the second in which it was last said.
    Leaf {
        value: Value,
        at: u64,
    },
    Branch(Members<Node>),
}

impl Stored {
    pub fn live(&self) -> Option<&Document> {
        match self {
            Stored::Live(document) => Some(document),
            Stored::Deleted(_) => None,
        }
    }

    /// Bytes that are kept beside it while it is in memory.
    pub fn told_bytes(&self) -> u64 {
        self.live().map_or(0, |document| document.told.len() as u64)
    }

    /// Nothing follows from it any more, and the store may forget it.
    pub fn is_over(&self, now: u64) -> bool {
        matches!(self, Stored::Deleted(tombstone) if tombstone.is_over(now))
    }
}

impl Document {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn updated(&self) -> u64 {
        self.updated
    }

    /// Whether something is desired that is not reported.
    pub fn differs(&self) -> bool {
        delta(&self.desired, &self.reported).is_some()
    }

    /// What counts towards the limit of a document: both sections, as they are written.
    pub fn size(&self) -> usize {
        [&self.desired, &self.reported].into_iter().filter(|section| !section.is_empty()).map(section_len).sum()
    }

    pub(super) fn delete(&self, now: u64) -> Tombstone {
        Tombstone { version: self.version, deleted: now }
    }
}

impl Tombstone {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn is_over(self, now: u64) -> bool {
        now.saturating_sub(self.deleted) > SHADOW_TOMBSTONE.as_secs()
    }
}

/// The version that a first or next document gets.
pub(super) fn next_version(stored: Option<&Stored>, now: u64) -> u64 {
    match stored {
        Some(Stored::Live(document)) => document.version.saturating_add(1),
        Some(Stored::Deleted(tombstone)) if !tombstone.is_over(now) => tombstone.version.saturating_add(1),
        Some(Stored::Deleted(_)) | None => 1,
    }
}

impl Node {
    fn len(&self) -> usize {
        match self {
            Node::Leaf { value, .. } => value.len(),
            Node::Branch(members) => section_len(members),
        }
    }

    pub fn write_state(&self, out: &mut Vec<u8>) {
        match self {
            Node::Leaf { value, .. } => value.write(out),
            Node::Branch(members) => write_members(out, members.iter(), Node::write_state),
        }
    }

    pub fn write_metadata(&self, times: &mut Times, out: &mut Vec<u8>) {
        match self {
            Node::Leaf { value, at } => write_times(value, *at, times, out),
            Node::Branch(members) => write_members(out, members.iter(), |node, out| node.write_metadata(times, out)),
        }
    }
}

fn section_len(section: &Members<Node>) -> usize {
    section.len_with(Node::len)
}

/// The metadata of a value that was said as a whole: one time at every leaf, `null` being one.
pub(super) fn write_times(value: &Value, at: u64, times: &mut Times, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::Scalar(_) => times.write(at, out),
        Value::Array(items) => write_list(out, items.iter(), |item, out| write_times(item, at, times, out)),
        Value::Object(members) => {
            write_members(out, members.iter(), |value, out| write_times(value, at, times, out));
        }
    }
}

impl Document {
    /// Both sections that have members, below their names.
    pub(super) fn write_sections(&self, fields: &mut Fields<'_>, mut write: impl FnMut(&Node, &mut Vec<u8>)) {
        for (name, section) in [("desired", &self.desired), ("reported", &self.reported)] {
            if !section.is_empty() {
                write_members(fields.next(name), section.iter(), &mut write);
            }
        }
    }
}
