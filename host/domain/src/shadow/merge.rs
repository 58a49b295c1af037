//! A patch onto what is there: objects are merged, `null` removes, everything else replaces.
//!
//! One walk over both sides, sorted alike; what a patch does not name is taken over with its time. An object that comes
//! to stand where none was loses its nulls, and with them the objects that hold nothing else; one that was there and
//! lost its last member stays, empty. Recursion is as deep as the patch, which the parser has bounded.

use super::document::Node;
use super::json::{Members, Value};

pub(super) fn merge(old: &Members<Node>, patch: &Members<Value>, now: u64) -> Members<Node> {
    let mut merged = Vec::with_capacity(old.len() + patch.len());
    let mut old = old.iter().peekable();
    for (name, value) in patch.iter() {
        while let Some((name, node)) = old.next_if(|(other, _)| *other < name) {
            merged.push((name.clone(), node.clone()));
        }
        let before = old.next_if(|(other, _)| *other == name).map(|(_, node)| node);
        merged.extend(changed(before, value, now).map(|node| (name.clone(), node)));
    }
    merged.extend(old.map(|(name, node)| (name.clone(), node.clone())));
    Members::new(merged)
}

fn changed(before: Option<&Node>, value: &Value, now: u64) -> Option<Node> {
    match (before, value) {
        (_, Value::Null) => None,
        (Some(Node::Branch(old)), Value::Object(patch)) => Some(Node::Branch(merge(old, patch, now))),
        (_, Value::Object(new)) => {
            let members = merge(&Members::default(), new, now);
            (new.is_empty() || !members.is_empty()).then_some(Node::Branch(members))
        }
        (_, value) => Some(Node::Leaf { value: value.clone(), at: now }),
    }
}
