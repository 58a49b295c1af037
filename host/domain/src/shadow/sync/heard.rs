//! What the cloud says, read: whose shadow it is about, what came of what, and whose request it was.
//!
//! Anything may arrive on these topics. What is no answer is nothing; an answer that cannot be read is one all the same,
//! so that whoever waits for it learns.

use super::state::State;
use crate::limits::{AWS_PAYLOAD_BYTES, SHADOW_DEPTH, SHADOW_SYNC_TEXT_BYTES, SHADOW_TOKEN_BYTES};
use crate::shadow::json::{Members, Scalar, Value, parse};
use crate::shadow::{Reply, RequestTopic, ShadowId, Verb};
use crate::topic::Topic;

/// The answer, its sections, metadata below them, and a time below that.
const LEVELS_AROUND: usize = 4;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heard {
    pub id: ShadowId,
    pub verb: Verb,
    pub token: Option<String>,
    pub said: Said,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    /// The state is that of an accepted `get` only.
    Accepted {
        version: u64,
        state: State,
    },
    Rejected {
        code: u16,
        text: String,
    },
    Unreadable,
}

/// The shadow of which the cloud says on this topic that there is one, or was.
pub fn accepted_on(topic: &Topic) -> Option<ShadowId> {
    let (request, reply) = topic.as_str().rsplit_once('/')?;
    let request = RequestTopic::parse(&Topic::parse(request).ok()?)?.ok()?;
    (reply == Reply::Accepted.word()).then_some(request.id)
}

impl Heard {
    /// None if that is no answer to a request.
    pub fn read(topic: &Topic, payload: &[u8]) -> Option<Heard> {
        let (request, reply) = topic.as_str().rsplit_once('/')?;
        let is_accepted = match reply {
            _ if reply == Reply::Accepted.word() => true,
            _ if reply == Reply::Rejected.word() => false,
            _ => return None,
        };
        let RequestTopic { id, verb } = RequestTopic::parse(&Topic::parse(request).ok()?)?.ok()?;
        let members = object(payload);
        let token = members.as_ref().and_then(token);
        let said = members.and_then(|members| if is_accepted { accepted(verb, &members) } else { rejected(&members) });
        Some(Heard { id, verb, token, said: said.unwrap_or(Said::Unreadable) })
    }
}

fn object(payload: &[u8]) -> Option<Members<Value>> {
    if payload.len() > AWS_PAYLOAD_BYTES {
        return None;
    }
    match parse(payload, SHADOW_DEPTH.max as usize + LEVELS_AROUND).ok()? {
        parsed if parsed.too_deep => None,
        parsed => match parsed.value {
            Value::Object(members) => Some(members),
            _ => None,
        },
    }
}

fn token(members: &Members<Value>) -> Option<String> {
    match members.named("clientToken")? {
        Value::Scalar(text) if text.is_string() && text.string_len() <= SHADOW_TOKEN_BYTES => {
            Some(text.plain().to_owned())
        }
        _ => None,
    }
}

fn accepted(verb: Verb, members: &Members<Value>) -> Option<Said> {
    let version = number(members, "version")?;
    let state = match (verb, members.named("state")) {
        (Verb::Get, Some(Value::Object(state))) => State::read(state)?,
        (Verb::Get, _) => return None,
        _ => State::default(),
    };
    Some(Said::Accepted { version, state })
}

fn rejected(members: &Members<Value>) -> Option<Said> {
    let code = u16::try_from(number(members, "code")?).ok()?;
    let text = match members.named("message") {
        Some(Value::Scalar(text)) => text.plain(),
        _ => "",
    };
    let kept = text.get(..text.floor_char_boundary(SHADOW_SYNC_TEXT_BYTES)).unwrap_or_default();
    Some(Said::Rejected { code, text: kept.to_owned() })
}

fn number(members: &Members<Value>, name: &str) -> Option<u64> {
    members.named(name).and_then(|value| match value {
        Value::Scalar(number) => Scalar::text(number).parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(topic: &str, payload: &str) -> Option<Heard> {
        Heard::read(&Topic::parse(topic).unwrap(), payload.as_bytes())
    }

    #[test]
    fn an_answer_is_read_with_its_token_and_nothing_else_is_an_answer() {
        let got = read(
            "$aws/things/gw/shadow/name/lamp/get/accepted",
            r#"{"state":{"desired":{"a":1},"delta":{"a":1}},"metadata":{},"version":7,"timestamp":1,"clientToken":"t"}"#,
        )
        .unwrap();
        assert_eq!((got.id.to_string().as_str(), got.verb, got.token.as_deref()), ("gw~lamp", Verb::Get, Some("t")));
        let Said::Accepted { version: 7, state } = got.said else { panic!("{:?}", got.said) };
        assert_eq!((state.desired.len(), state.reported.len()), (1, 0));
        let refused = read("$aws/things/gw/shadow/update/rejected", r#"{"code":409,"message":"Version conflict"}"#);
        assert_eq!(refused.unwrap().said, Said::Rejected { code: 409, text: "Version conflict".into() });
        for topic in ["$aws/things/gw/shadow/update/delta", "$aws/things/gw/shadow/update", "a/accepted", "x"] {
            assert_eq!(read(topic, "{}"), None, "{topic}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_is_one_all_the_same() {
        let deep = format!(r#"{{"version":1,"state":{{"desired":{{"a":{}{}}}}}}}"#, "[".repeat(60), "]".repeat(60));
        let null = r#"{"version":1,"state":{"desired":{"a":null}},"clientToken":"t"}"#;
        for payload in ["", "[]", "{}", r#"{"version":"x","state":{}}"#, r#"{"version":1}"#, null, &deep] {
            assert_eq!(
                read("$aws/things/gw/shadow/get/accepted", payload).unwrap().said,
                Said::Unreadable,
                "{payload}"
            );
        }
        assert_eq!(read("$aws/things/gw/shadow/get/accepted", null).unwrap().token.as_deref(), Some("t"));
        for payload in ["", r#"{"code":"x"}"#, r#"{"code":70000}"#] {
            assert_eq!(read("$aws/things/gw/shadow/get/rejected", payload).unwrap().said, Said::Unreadable);
        }
    }
}
