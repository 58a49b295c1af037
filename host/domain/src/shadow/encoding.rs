//! How a shadow lies in the store: one line of JSON, without spaces, that an operator can read as well.
//!
//! ```json
//! {"shadow":1,"version":7,"updated":1700000000,"desired":{"led":[0,"on"]},"reported":{"t":{"in":[60,21.5]}}}
//! {"shadow":1,"version":8,"deleted":1700000100}
//! ```
//!
//! `shadow` is the number of this format. A leaf is `[AGE,VALUE]`: it was last said AGE seconds before `updated` (after
//! it, if negative: the clock was set back). A section without members is left out. What is on disk for ever is this,
//! so a change is a new number. Bytes are believed no more than a device's: whatever is read is what could have been
//! written, or nothing.

use thiserror::Error;

use super::document::{Document, Node, Stored, Told, Tombstone};
use super::json::{Fields, Members, Value, parse, write_members, write_number};
use crate::limits::SHADOW_DEPTH;

const FORMAT: &str = "1";
/// The record, and what a leaf lies in.
const LEVELS_AROUND: usize = 2;

/// Bytes that are no shadow, or one of a format to come.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unknown {
    #[error("a shadow's record cannot be read; restore the store from a backup, or delete the shadow")]
    Damaged,
    #[error("a shadow's record has the format {format}, which is not known here; run the version that wrote it")]
    Format { format: String },
}

impl Stored {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut fields = Fields::open(&mut out);
        fields.next("shadow").extend_from_slice(FORMAT.as_bytes());
        match self {
            Stored::Live(document) => {
                fields.number("version", document.version);
                fields.number("updated", document.updated);
                document.write_sections(&mut fields, |node, out| write(node, document.updated, out));
            }
            Stored::Deleted(tombstone) => {
                fields.number("version", tombstone.version);
                fields.number("deleted", tombstone.deleted);
            }
        }
        fields.close();
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Stored, Unknown> {
        stored(record(bytes, "shadow", FORMAT, LEVELS_AROUND)?).ok_or(Unknown::Damaged)
    }
}

/// The members of what was kept as this kind, in this format, with so many levels around a section.
pub(super) fn record(bytes: &[u8], kind: &str, format: &str, around: usize) -> Result<Members<Value>, Unknown> {
    let parsed = parse(bytes, SHADOW_DEPTH.max as usize + around).map_err(|_| Unknown::Damaged)?;
    let Value::Object(members) = parsed.value else { return Err(Unknown::Damaged) };
    match members.named(kind) {
        Some(Value::Scalar(found)) if found.text() == format => {}
        Some(Value::Scalar(found)) => return Err(Unknown::Format { format: found.text().to_owned() }),
        _ => return Err(Unknown::Damaged),
    }
    if parsed.too_deep { Err(Unknown::Damaged) } else { Ok(members) }
}

fn write(node: &Node, updated: u64, out: &mut Vec<u8>) {
    match node {
        Node::Leaf { value, at } => {
            out.extend_from_slice(if *at > updated { b"[-" } else { b"[" });
            write_number(out, updated.abs_diff(*at));
            out.push(b',');
            value.write(out);
            out.push(b']');
        }
        Node::Branch(members) => write_members(out, members.iter(), |node, out| write(node, updated, out)),
    }
}

fn stored(mut members: Members<Value>) -> Option<Stored> {
    let version = number(&members, "version")?;
    if let Some(deleted) = number(&members, "deleted") {
        return Some(Stored::Deleted(Tombstone { version, deleted }));
    }
    let updated = number(&members, "updated")?;
    Some(Stored::Live(Document {
        desired: section(&mut members, "desired", updated)?,
        reported: section(&mut members, "reported", updated)?,
        version,
        updated,
        told: Told::default(),
    }))
}

fn number(members: &Members<Value>, name: &str) -> Option<u64> {
    let Value::Scalar(number) = members.named(name)? else { return None };
    number.text().parse().ok()
}

fn section(members: &mut Members<Value>, name: &str, updated: u64) -> Option<Members<Node>> {
    match members.take(name) {
        None => Some(Members::default()),
        Some(Value::Object(members)) => members.try_map(|value| node(value, updated)),
        Some(_) => None,
    }
}

fn node(value: Value, updated: u64) -> Option<Node> {
    match value {
        Value::Object(members) => members.try_map(|value| node(value, updated)).map(Node::Branch),
        Value::Array(pair) => {
            let [Value::Scalar(age), value] = <[Value; 2]>::try_from(pair).ok()? else { return None };
            let at = match age.text().strip_prefix('-') {
                Some(after) => updated.checked_add(after.parse().ok()?)?,
                None => updated.checked_sub(age.text().parse().ok()?)?,
            };
            let is_leaf = !matches!(value, Value::Object(_)) && !value.holds_null();
            is_leaf.then_some(Node::Leaf { value, at })
        }
        Value::Null | Value::Scalar(_) => None,
    }
}
