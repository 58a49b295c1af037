//! What a shadow says, without the times of it: what two sides can agree on.
//!
//! The local document, the cloud's and the one both last agreed on are made into this before they are compared. There is
//! no `null` in it. Two states are the same if they are by value (`1` is `1.0`), and a change from one to another is a
//! patch as the cloud has them, which [`merge`](crate::shadow::merge) would carry out.

use crate::shadow::document::{Document, Node};
use crate::shadow::json::{Fields, Members, Scalar, Value};
use crate::shadow::request::Section;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::shadow) struct State {
    pub desired: Members<Value>,
    pub reported: Members<Value>,
}

impl State {
    pub fn of(document: &Document) -> State {
        State { desired: values(&document.desired), reported: values(&document.reported) }
    }

    /// From the `state` of an answer of the cloud, or from a record: what else is in there (`delta`) is no part of it.
    /// None if a section is no object, or holds a `null`.
    pub fn read(state: &Members<Value>) -> Option<State> {
        let section = |section: Section| match state.named(section.word()) {
            None => Some(Members::default()),
            Some(value @ Value::Object(members)) if !value.holds_null() => Some(members.clone()),
            Some(_) => None,
        };
        Some(State { desired: section(Section::Desired)?, reported: section(Section::Reported)? })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let mut fields = Fields::open(out);
        for section in [Section::Desired, Section::Reported] {
            let members = self.section(section);
            if !members.is_empty() {
                crate::shadow::json::write_members(fields.next(section.word()), members.iter(), Value::write);
            }
        }
        fields.close();
    }

    pub fn section(&self, section: Section) -> &Members<Value> {
        match section {
            Section::Desired => &self.desired,
            Section::Reported => &self.reported,
        }
    }

    pub fn same(&self, other: &State) -> bool {
        same_members(&self.desired, &other.desired) && same_members(&self.reported, &other.reported)
    }

    /// Levels of nesting, a section being the first.
    pub fn depth(&self) -> usize {
        1 + usize::max(depth(&self.desired), depth(&self.reported))
    }

    /// The patch that makes this one out of `from`: sections, each an object. It has no members if nothing differs.
    pub fn patch_from(&self, from: &State) -> Members<Value> {
        let sections = [Section::Desired, Section::Reported].into_iter().filter_map(|section| {
            let patch = difference(from.section(section), self.section(section));
            (!patch.is_empty()).then(|| (Scalar::string(section.word()), Value::Object(patch)))
        });
        Members::new(sections.collect())
    }

    /// What a patch makes of this one.
    pub fn patched(&self, patch: &Members<Value>) -> State {
        let section = |section: Section| match patch.named(section.word()) {
            Some(Value::Object(patch)) => patched(self.section(section), patch),
            Some(_) => Members::default(),
            None => self.section(section).clone(),
        };
        State { desired: section(Section::Desired), reported: section(Section::Reported) }
    }
}

fn depth(members: &Members<Value>) -> usize {
    members.iter().map(|(_, value)| levels(value)).max().unwrap_or(0)
}

fn levels(value: &Value) -> usize {
    match value {
        Value::Null | Value::Scalar(_) => 0,
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + depth(members),
    }
}

fn values(members: &Members<Node>) -> Members<Value> {
    Members::new(members.iter().map(|(name, node)| (name.clone(), value(node))).collect())
}

fn value(node: &Node) -> Value {
    match node {
        Node::Leaf { value, .. } => value.clone(),
        Node::Branch(members) => Value::Object(values(members)),
    }
}

fn same_members(one: &Members<Value>, two: &Members<Value>) -> bool {
    one.len() == two.len() && one.iter().zip(two.iter()).all(|((a, one), (b, two))| a == b && one.equals(two))
}

fn difference(from: &Members<Value>, to: &Members<Value>) -> Members<Value> {
    let removed = from.iter().filter(|(name, _)| to.get(name).is_none()).map(|(name, _)| (name.clone(), Value::Null));
    let changed = to.iter().filter_map(|(name, to)| {
        let change = match (from.get(name), to) {
            (Some(Value::Object(from)), Value::Object(to)) => {
                let change = difference(from, to);
                (!change.is_empty()).then_some(Value::Object(change))
            }
            (Some(from), to) => (!from.equals(to)).then(|| to.clone()),
            (None, to) => Some(to.clone()),
        };
        Some((name.clone(), change?))
    });
    Members::new(removed.chain(changed).collect())
}

fn patched(old: &Members<Value>, patch: &Members<Value>) -> Members<Value> {
    let kept = old.iter().filter(|(name, _)| patch.get(name).is_none());
    let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
    let said = patch.iter().filter_map(|(name, value)| Some((name.clone(), said(old.get(name), value)?)));
    Members::new(kept.chain(said).collect())
}

/// As [`merge`](crate::shadow::merge) has it, without the times.
fn said(old: Option<&Value>, value: &Value) -> Option<Value> {
    match (old, value) {
        (_, Value::Null) => None,
        (Some(Value::Object(old)), Value::Object(patch)) => Some(Value::Object(patched(old, patch))),
        (_, Value::Object(new)) => {
            let members = patched(&Members::default(), new);
            (new.is_empty() || !members.is_empty()).then_some(Value::Object(members))
        }
        (_, value) => Some(value.clone()),
    }
}
