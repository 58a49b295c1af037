//! What a shadow says of itself after an update, read again for a component: the delta, or the documents before and
//! after. Each part is the JSON text of an object.
//!
//! Only the shadow service publishes on these topics, so a payload that does not read is one that was kept by another
//! version: it is no telling, and whoever has it decides. Times are not believed to be anything; they are passed on.

use super::delta::delta;
use super::document::{Document, Node};
use super::json::{Members, Times, Value, parse, write_members};
use super::name::ShadowId;
use super::topic::{Reply, RequestTopic, Verb};
use crate::limits::SHADOW_DEPTH;
use crate::topic::{Filter, Topic};

/// The documents, their metadata, its sections, and a time below a leaf.
const LEVELS_AROUND: usize = 5;

/// What of an update a topic tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    Delta,
    Documents,
}

/// A document as a component sees it. A section without members is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub version: u64,
    pub desired: Option<String>,
    pub reported: Option<String>,
    /// What is desired and not reported.
    pub delta: Option<String>,
    pub metadata: String,
}

/// That something differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldDelta {
    pub version: u64,
    pub state: String,
    pub metadata: String,
    pub token: Option<String>,
}

/// A document before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldChange {
    pub previous: Option<View>,
    pub current: View,
    pub token: Option<String>,
}

impl Telling {
    /// Whose update this topic is about, and what it tells of it.
    pub fn on(topic: &Topic) -> Option<(ShadowId, Telling)> {
        let (request, reply) = topic.as_str().rsplit_once('/')?;
        let telling = match reply {
            _ if reply == Reply::Delta.word() => Telling::Delta,
            _ if reply == Reply::Documents.word() => Telling::Documents,
            _ => return None,
        };
        match RequestTopic::parse(&Topic::parse(request).ok()?)? {
            Ok(RequestTopic { id, verb: Verb::Update }) => Some((id, telling)),
            _ => None,
        }
    }

    /// The one that every topic of this filter tells.
    pub fn of_all(filter: &Filter) -> Option<Telling> {
        [(Telling::Delta, Reply::Delta), (Telling::Documents, Reply::Documents)].into_iter().find_map(
            |(telling, reply)| {
                let covered = ["", "name/+/"].into_iter().any(|name| {
                    let all = Filter::parse(format!("$aws/things/+/shadow/{name}update/{}", reply.word()));
                    all.is_ok_and(|all| all.covers(filter))
                });
                covered.then_some(telling)
            },
        )
    }
}

impl ToldDelta {
    pub fn read(payload: &[u8]) -> Option<ToldDelta> {
        let members = object(payload)?;
        let state @ Value::Object(_) = members.named("state")? else { return None };
        let metadata @ Value::Object(_) = members.named("metadata")? else { return None };
        Some(ToldDelta {
            version: number(&members, "version")?,
            state: text(|out| state.write(out)),
            metadata: text(|out| metadata.write(out)),
            token: token(&members),
        })
    }
}

impl ToldChange {
    pub fn read(payload: &[u8]) -> Option<ToldChange> {
        let mut members = object(payload)?;
        let token = token(&members);
        let current = view(members.take("current")?)?;
        let previous = match members.take("previous") {
            None | Some(Value::Null) => None,
            Some(previous) => Some(view(previous)?),
        };
        Some(ToldChange { previous, current, token })
    }
}

impl Document {
    /// As a component sees it.
    pub fn view(&self) -> View {
        View {
            version: self.version,
            desired: section(&self.desired),
            reported: section(&self.reported),
            delta: delta(&self.desired, &self.reported).map(|delta| text(|out| delta.write_state(out))),
            metadata: text(|out| {
                let mut fields = super::json::Fields::open(out);
                let mut times = Times::default();
                self.write_sections(&mut fields, |node, out| node.write_metadata(&mut times, out));
                fields.close();
            }),
        }
    }
}

/// What was published of a document: its metadata is passed on as it is.
fn view(document: Value) -> Option<View> {
    let Value::Object(mut document) = document else { return None };
    let Value::Object(mut state) = document.take("state")? else { return None };
    let metadata @ Value::Object(_) = document.take("metadata")? else { return None };
    let mut nodes = |name| match state.take(name) {
        None => Some(Members::default()),
        Some(Value::Object(members)) => members.try_map(node),
        Some(_) => None,
    };
    let (desired, reported) = (nodes("desired")?, nodes("reported")?);
    Some(View {
        version: number(&document, "version")?,
        desired: section(&desired),
        reported: section(&reported),
        delta: delta(&desired, &reported).map(|delta| text(|out| delta.write_state(out))),
        metadata: text(|out| metadata.write(out)),
    })
}

fn node(value: Value) -> Option<Node> {
    match value {
        Value::Object(members) => members.try_map(node).map(Node::Branch),
        Value::Null => None,
        leaf => Some(Node::Leaf { value: leaf, at: 0 }),
    }
}

fn object(payload: &[u8]) -> Option<Members<Value>> {
    match parse(payload, SHADOW_DEPTH.max as usize + LEVELS_AROUND).ok()? {
        parsed if parsed.too_deep => None,
        parsed => match parsed.value {
            Value::Object(members) => Some(members),
            _ => None,
        },
    }
}

fn number(members: &Members<Value>, name: &str) -> Option<u64> {
    let Value::Scalar(number) = members.named(name)? else { return None };
    number.text().parse().ok()
}

fn token(members: &Members<Value>) -> Option<String> {
    let Value::Scalar(token) = members.named("clientToken")? else { return None };
    serde_json::from_str(token.text()).ok()
}

fn section(members: &Members<Node>) -> Option<String> {
    (!members.is_empty()).then(|| text(|out| write_members(out, members.iter(), Node::write_state)))
}

/// JSON that was written here.
fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shadow::{Limits, Outcome, Stored, answer};

    /// What becomes of a shadow by these updates, one after another, and what the last of them tells.
    fn updated(requests: &[&str]) -> (Document, Vec<(Reply, Vec<u8>)>) {
        let topic = Topic::parse("$aws/things/gw/shadow/update").unwrap();
        let topic = RequestTopic::parse(&topic).unwrap().unwrap();
        let mut last = Outcome { stored: None, answers: Vec::new() };
        for (second, request) in requests.iter().enumerate() {
            let before = last.stored.take();
            last = answer(&topic, request.as_bytes(), before.as_ref(), second as u64 + 10, &Limits::default());
        }
        match last.stored {
            Some(Stored::Live(document)) => (document, last.answers),
            other => panic!("{other:?}"),
        }
    }

    fn told(answers: &[(Reply, Vec<u8>)], reply: Reply) -> &[u8] {
        &answers.iter().find(|answer| answer.0 == reply).unwrap().1
    }

    /// What was told is the document as whoever gets it sees it, numbers and tokens to the letter.
    #[test]
    fn what_was_told_is_what_is_got() {
        let (document, answers) = updated(&[
            r#"{"state":{"desired":{"a":{"b":123456789012345678901,"c":[1]}},"reported":{"d":1}}}"#,
            r#"{"state":{"reported":{"a":{"c":[1]}}},"clientToken":"mine \"§\" é"}"#,
        ]);
        let change = ToldChange::read(told(&answers, Reply::Documents)).unwrap();
        assert_eq!(change.current, document.view());
        assert_eq!(change.current.delta.as_deref(), Some(r#"{"a":{"b":123456789012345678901}}"#));
        assert_eq!(change.previous.as_ref().map(|previous| previous.version), Some(1));
        assert_eq!(change.previous.unwrap().reported.as_deref(), Some(r#"{"d":1}"#));
        assert_eq!(change.token.as_deref(), Some("mine \"§\" é"));
        let delta = ToldDelta::read(told(&answers, Reply::Delta)).unwrap();
        assert_eq!((delta.version, Some(delta.state)), (2, document.view().delta));
        assert_eq!(delta.metadata, r#"{"a":{"b":{"timestamp":10}}}"#);
        assert_eq!(delta.token, change.token);
    }

    #[test]
    fn a_section_without_members_is_none_and_so_is_a_first_documents_past() {
        let (document, answers) = updated(&[r#"{"state":{"reported":{"a":1}}}"#]);
        let View { version, desired, reported, delta, metadata } = document.view();
        assert_eq!((version, desired, reported.as_deref(), delta), (1, None, Some(r#"{"a":1}"#), None));
        assert_eq!(metadata, r#"{"reported":{"a":{"timestamp":10}}}"#);
        let change = ToldChange::read(told(&answers, Reply::Documents)).unwrap();
        assert_eq!((change.previous, change.token), (None, None));
    }

    #[test]
    fn what_nobody_could_have_told_is_no_telling() {
        for payload in [
            "",
            "[]",
            "{}",
            r#"{"state":1,"metadata":{},"version":1}"#,
            r#"{"state":{},"metadata":{},"version":-1}"#,
            r#"{"current":{"state":{"desired":[]},"metadata":{},"version":1}}"#,
            r#"{"current":{"state":{"desired":{"a":null}},"metadata":{},"version":1}}"#,
            r#"{"current":{"state":{},"metadata":{},"version":1},"previous":7}"#,
            &format!(r#"{{"state":{}{},"metadata":{{}},"version":1}}"#, r#"{"a":"#.repeat(90), "}".repeat(90)),
        ] {
            assert_eq!(ToldDelta::read(payload.as_bytes()), None, "{payload}");
            assert_eq!(ToldChange::read(payload.as_bytes()), None, "{payload}");
        }
    }

    #[test]
    fn a_topic_tells_of_one_shadow_and_a_filter_of_those_that_all_of_it_tells() {
        let on = |text: &str| Telling::on(&Topic::parse(text).unwrap()).map(|(id, telling)| (id.to_string(), telling));
        assert_eq!(on("$aws/things/gw/shadow/update/delta"), Some(("gw".into(), Telling::Delta)));
        assert_eq!(on("$aws/things/gw/shadow/name/a/update/documents"), Some(("gw~a".into(), Telling::Documents)));
        for text in ["$aws/things/gw/shadow/update/accepted", "$aws/things/gw/shadow/get/delta", "a/update/delta"] {
            assert_eq!(on(text), None, "{text}");
        }
        let of_all = |text: &str| Telling::of_all(&Filter::parse(text).unwrap());
        for (text, expected) in [
            ("$aws/things/gw/shadow/update/delta", Some(Telling::Delta)),
            ("$aws/things/+/shadow/update/delta", Some(Telling::Delta)),
            ("$aws/things/+/shadow/name/+/update/delta", Some(Telling::Delta)),
            ("$aws/things/gw/shadow/name/a/update/documents", Some(Telling::Documents)),
            ("$aws/things/gw/shadow/update/+", None),
            ("$aws/things/gw/shadow/update/accepted", None),
            ("$aws/things/+/shadow/+/+/update/delta", None),
            ("$aws/things/gw/shadow/#", None),
            ("alerts/#", None),
        ] {
            assert_eq!(of_all(text), expected, "{text}");
        }
    }
}
