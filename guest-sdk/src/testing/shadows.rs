//! The shadows of a bench: what is kept, and what the handling under way would make of it.
//!
//! Merging, versions, deltas and refusals are the gateway's for whatever a component is likely to say; its limits are the
//! gateway's defaults.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::shadow::{Document, Rejection, ShadowError, ShadowId};

/// The thing that is the gateway's own on a bench.
pub const THING: &str = "bench";

const BYTES: usize = 8 * 1024;
const LEVELS: usize = 8;

/// What may be done with a shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// To get its document, and with a name `+` to list names.
    Read,
    /// To change what is reported.
    Report,
    /// To change what is desired.
    Desire,
}

/// What a handling asked of a shadow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShadowRequest {
    /// Its thing is always named; the gateway's own is `bench`.
    pub shadow: ShadowId,
    /// What is to be merged; none where it is to be deleted.
    pub state: Option<Value>,
}

/// A document, or that there was one.
#[derive(Debug, Clone, Default)]
struct Kept {
    live: bool,
    version: u64,
    sections: BTreeMap<&'static str, Object>,
    times: BTreeMap<&'static str, Object>,
}

type Object = Map<String, Value>;
/// Thing and name, as they are sorted.
type Key = (String, Option<String>);

const SECTIONS: [&str; 2] = ["desired", "reported"];

/// All that can be reached.
#[derive(Debug, Default)]
pub struct Shadows {
    /// What may be done with which; none given permits everything. `+` is every thing, and every named shadow.
    pub granted: Option<Vec<(ShadowId, Vec<Allow>)>>,
    kept: BTreeMap<Key, Kept>,
    asked: BTreeMap<Key, Kept>,
    requests: Vec<ShadowRequest>,
}

impl Shadows {
    pub fn begin(&mut self) {
        self.asked = self.kept.clone();
        self.requests.clear();
    }

    pub fn commit(&mut self) -> Vec<ShadowRequest> {
        self.kept = std::mem::take(&mut self.asked);
        std::mem::take(&mut self.requests)
    }

    pub fn kept(&self, shadow: &ShadowId) -> Option<Document> {
        self.kept.get(&key(shadow)).and_then(Kept::document)
    }

    /// What is desired and not reported of a shadow that is kept, and since when.
    pub fn delta(&self, shadow: &ShadowId) -> Option<(String, String)> {
        let kept = self.kept.get(&key(shadow))?;
        let state = differs(kept.sections.get("desired")?, kept.sections.get("reported"))?;
        let metadata = times_of(&state, kept.times.get("desired")?);
        Some((Value::Object(state).to_string(), Value::Object(metadata).to_string()))
    }

    /// What somebody else asks for, and is done at once.
    pub fn keep(&mut self, shadow: &ShadowId, state: &str, now: u64) -> Result<(), ShadowError> {
        let state = parse(state)?;
        merge_into(self.kept.entry(key(shadow)).or_default(), &state, now)
    }

    pub fn get(&self, shadow: &ShadowId) -> Result<Option<Document>, ShadowError> {
        self.check(shadow, &[Allow::Read])?;
        Ok(self.asked.get(&key(shadow)).and_then(Kept::document))
    }

    /// `expected`, where given, is the version that has to be there, or that there may be none.
    pub fn update(
        &mut self,
        shadow: &ShadowId,
        state: &str,
        expected: Option<Option<u64>>,
        now: u64,
    ) -> Result<(), ShadowError> {
        let state = parse(state)?;
        let touches = |section: &str| state.as_object().is_none_or(|it| it.is_empty() || it.contains_key(section));
        let wanted = [("reported", Allow::Report), ("desired", Allow::Desire)].into_iter();
        let wanted: Vec<Allow> = wanted.filter(|(section, _)| touches(section)).map(|(_, allow)| allow).collect();
        self.check(shadow, &wanted)?;
        let mut after = self.asked.get(&key(shadow)).cloned().unwrap_or_default();
        let found = after.live.then_some(after.version);
        if expected.is_some_and(|expected| expected != found) {
            return Err(ShadowError::Conflict(found));
        }
        merge_into(&mut after, &state, now)?;
        self.asked.insert(key(shadow), after);
        self.requests.push(ShadowRequest { shadow: named(shadow), state: Some(state) });
        Ok(())
    }

    pub fn delete(&mut self, shadow: &ShadowId) -> Result<(), ShadowError> {
        self.check(shadow, &[Allow::Report, Allow::Desire])?;
        if let Some(kept) = self.asked.get_mut(&key(shadow)) {
            *kept = Kept { version: kept.version, ..Kept::default() };
        }
        self.requests.push(ShadowRequest { shadow: named(shadow), state: None });
        Ok(())
    }

    pub fn list(&self, thing: Option<&str>, after: Option<&str>) -> Result<Vec<String>, ShadowError> {
        let thing = thing.unwrap_or(THING);
        self.check(&ShadowId { thing: Some(thing.into()), name: Some("+".into()) }, &[Allow::Read])?;
        let of_it = self.asked.iter().filter(|((other, _), kept)| other == thing && kept.live);
        let names = of_it.filter_map(|((_, name), _)| name.clone());
        Ok(names.filter(|name| after.is_none_or(|after| name.as_str() > after)).collect())
    }

    fn check(&self, shadow: &ShadowId, wanted: &[Allow]) -> Result<(), ShadowError> {
        let (thing, name) = key(shadow);
        let Some(granted) = &self.granted else { return Ok(()) };
        let covers = |grant: &ShadowId| {
            let (of, which) = key(grant);
            (of == "+" || of == thing) && (which == name || which.as_deref() == Some("+") && name.is_some())
        };
        let of_it: Vec<Allow> = granted.iter().filter(|(grant, _)| covers(grant)).flat_map(|it| it.1.clone()).collect();
        if wanted.iter().all(|allow| of_it.contains(allow)) {
            return Ok(());
        }
        let words = wanted.iter().map(|allow| format!("\"{allow:?}\"").to_lowercase()).collect::<Vec<_>>().join(", ");
        Err(ShadowError::Denied(format!("[component.NAME.grant.shadow]\n{thing} = {{ allow = [{words}] }}")))
    }
}

/// The same, with its thing.
pub fn named(shadow: &ShadowId) -> ShadowId {
    let (thing, name) = key(shadow);
    ShadowId { thing: Some(thing), name }
}

fn key(shadow: &ShadowId) -> Key {
    (shadow.thing.clone().unwrap_or_else(|| THING.into()), shadow.name.clone())
}

impl Kept {
    fn document(&self) -> Option<Document> {
        let delta = self.sections.get("desired").and_then(|it| differs(it, self.sections.get("reported")));
        self.live.then(|| Document {
            version: self.version,
            desired: self.section("desired"),
            reported: self.section("reported"),
            delta: delta.map(|delta| Value::Object(delta).to_string()),
            metadata: json!(self.times).to_string(),
        })
    }

    fn section(&self, name: &str) -> Option<String> {
        self.sections.get(name).map(|members| Value::Object(members.clone()).to_string())
    }
}

fn rejected(code: u16, message: impl Into<String>) -> ShadowError {
    ShadowError::Rejected(Rejection { code, message: message.into() })
}

fn parse(state: &str) -> Result<Value, ShadowError> {
    let state: Value = serde_json::from_str(state).map_err(|_| rejected(400, "Invalid JSON"))?;
    let sections = match &state {
        Value::Null => return Ok(state),
        Value::Object(sections) => sections,
        _ => return Err(rejected(400, "State node must be an object")),
    };
    for (name, section) in sections {
        match (name.as_str(), section) {
            ("desired" | "reported", Value::Null | Value::Object(_)) => {}
            ("desired", _) => return Err(rejected(400, "Desired node must be an object")),
            ("reported", _) => return Err(rejected(400, "Reported node must be an object")),
            _ => return Err(rejected(400, format!("State contains an invalid node: '{name}'"))),
        }
        if let Some(name) = null_in_array(section) {
            return Err(rejected(400, format!("State contains an invalid node: '{name}'")));
        }
        if levels(section) > LEVELS {
            let message = format!("JSON contains too many levels of nesting; maximum is {LEVELS}");
            return Err(rejected(400, message));
        }
    }
    Ok(state)
}

/// The member with an array that holds a `null`, at any depth.
fn null_in_array(section: &Value) -> Option<&str> {
    fn holds_null(value: &Value) -> bool {
        match value {
            Value::Null => true,
            Value::Array(items) => items.iter().any(holds_null),
            Value::Object(members) => members.values().any(holds_null),
            _ => false,
        }
    }
    section.as_object()?.iter().find_map(|(name, value)| match value {
        Value::Array(_) => holds_null(value).then_some(name.as_str()),
        other => null_in_array(other),
    })
}

fn levels(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

/// Nothing where it is refused.
fn merge_into(kept: &mut Kept, state: &Value, now: u64) -> Result<(), ShadowError> {
    let mut after = kept.clone();
    for section in SECTIONS {
        let patch = match state {
            Value::Object(sections) => sections.get(section).unwrap_or(&Value::Bool(false)),
            _ => &Value::Null,
        };
        let (mut members, mut times) =
            (after.sections.remove(section).unwrap_or_default(), after.times.remove(section).unwrap_or_default());
        match patch {
            Value::Null => continue,
            Value::Object(patch) => merge(&mut members, &mut times, patch, now),
            _ => {}
        }
        if !members.is_empty() {
            after.sections.insert(section, members);
            after.times.insert(section, times);
        }
    }
    let bytes: usize = after.sections.values().map(|members| Value::Object(members.clone()).to_string().len()).sum();
    if bytes > BYTES {
        return Err(rejected(413, "The payload exceeds the maximum size allowed"));
    }
    *kept = Kept { live: true, version: after.version + 1, ..after };
    Ok(())
}

fn merge(members: &mut Object, times: &mut Object, patch: &Object, now: u64) {
    for (name, value) in patch {
        match (members.get_mut(name), value) {
            (_, Value::Null) => {
                members.remove(name);
                times.remove(name);
            }
            (Some(Value::Object(old)), Value::Object(patch)) => {
                if let Some(Value::Object(times)) = times.get_mut(name) {
                    merge(old, times, patch, now);
                }
            }
            (_, Value::Object(new)) => {
                let (mut inner, mut at) = (Object::new(), Object::new());
                merge(&mut inner, &mut at, new, now);
                members.remove(name);
                times.remove(name);
                if new.is_empty() || !inner.is_empty() {
                    members.insert(name.clone(), Value::Object(inner));
                    times.insert(name.clone(), Value::Object(at));
                }
            }
            (_, value) => {
                members.insert(name.clone(), value.clone());
                times.insert(name.clone(), said(value, now));
            }
        }
    }
}

/// The metadata of a value that was said as a whole.
fn said(value: &Value, now: u64) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| said(item, now)).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), said(value, now))).collect(),
        _ => json!({ "timestamp": now }),
    }
}

/// The metadata of a part of what is desired.
fn times_of(part: &Object, times: &Object) -> Object {
    let at = |(name, value): (&String, &Value)| match (value, times.get(name)?) {
        (Value::Object(part), Value::Object(times)) => Some((name.clone(), Value::Object(times_of(part, times)))),
        (_, at) => Some((name.clone(), at.clone())),
    };
    part.iter().filter_map(at).collect()
}

/// What is desired and not reported.
fn differs(desired: &Object, reported: Option<&Object>) -> Option<Object> {
    let difference = |(name, wish): (&String, &Value)| {
        let found = reported.and_then(|reported| reported.get(name));
        let part = match (wish, found) {
            (Value::Object(wish), Some(Value::Object(found))) => Value::Object(differs(wish, Some(found))?),
            (Value::Number(wish), Some(Value::Number(found))) if wish.as_f64() == found.as_f64() => return None,
            (wish, Some(found)) if wish == found => return None,
            _ => wish.clone(),
        };
        Some((name.clone(), part))
    };
    let delta: Object = desired.iter().filter_map(difference).collect();
    (!delta.is_empty()).then_some(delta)
}
