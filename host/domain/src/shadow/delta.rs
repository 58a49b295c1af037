//! What is desired and not reported, with the path to it, and the time of its wish.
//!
//! Values are compared by value, arrays as a whole. What is only reported is no difference. A delta borrows from the
//! document: its metadata is that of what is desired, and cannot be another's.

use std::iter::Peekable;

use super::document::Node;
use super::json::{Members, Scalar, Times, write_members};

/// A part of what is desired.
pub(super) enum Delta<'a> {
    /// As it is desired.
    Whole(&'a Node),
    /// Some of its members.
    Part(Vec<(&'a Scalar, Delta<'a>)>),
}

/// Of all that is desired; none if nothing differs.
pub(super) fn delta<'a>(desired: &'a Members<Node>, reported: &Members<Node>) -> Option<Delta<'a>> {
    let mut reported = reported.iter().peekable();
    let part: Vec<_> =
        desired.iter().filter_map(|(name, node)| Some((name, difference(node, find(&mut reported, name))?))).collect();
    (!part.is_empty()).then_some(Delta::Part(part))
}

/// Both sides are sorted: what was passed is not asked for again.
fn find<'r>(side: &mut Peekable<impl Iterator<Item = (&'r Scalar, &'r Node)>>, name: &Scalar) -> Option<&'r Node> {
    while side.next_if(|(other, _)| *other < name).is_some() {}
    side.next_if(|(other, _)| *other == name).map(|(_, node)| node)
}

fn difference<'a>(desired: &'a Node, reported: Option<&Node>) -> Option<Delta<'a>> {
    match (desired, reported) {
        (Node::Branch(desired), Some(Node::Branch(reported))) => delta(desired, reported),
        (Node::Leaf { value: one, .. }, Some(Node::Leaf { value: two, .. })) if one.equals(two) => None,
        _ => Some(Delta::Whole(desired)),
    }
}

impl Delta<'_> {
    pub fn write_state(&self, out: &mut Vec<u8>) {
        match self {
            Delta::Whole(node) => node.write_state(out),
            Delta::Part(members) => {
                write_members(out, members.iter().map(|(name, delta)| (*name, delta)), Self::write_state)
            }
        }
    }

    pub fn write_metadata(&self, times: &mut Times, out: &mut Vec<u8>) {
        match self {
            Delta::Whole(node) => node.write_metadata(times, out),
            Delta::Part(members) => {
                let members = members.iter().map(|(name, delta)| (*name, delta));
                write_members(out, members, |delta: &Delta<'_>, out| delta.write_metadata(times, out));
            }
        }
    }
}
