//! The topics by which shadows are asked and answer, as the cloud has them.
//!
//! `$aws/things/THING/shadow[/name/SHADOW]/{get,update,delete}`, and below each what came of it. Who may publish where
//! is not decided here: answers are reserved ([`RESERVED`](crate::topic::RESERVED)), requests take a grant.

use serde::{Deserialize, Serialize};

use super::name::{NameError, ShadowId, ShadowName, ThingName};
use crate::topic::{Topic, TopicError};

/// What may be asked of a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    Get,
    Update,
    Delete,
}

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    Accepted,
    Rejected,
    Delta,
    Documents,
}

/// A request's topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTopic {
    pub id: ShadowId,
    pub verb: Verb,
}

impl RequestTopic {
    /// None if the topic is no request to a shadow; an error if it is one to a shadow that there cannot be.
    pub fn parse(topic: &Topic) -> Option<Result<RequestTopic, NameError>> {
        let (thing, rest) = topic.as_str().strip_prefix("$aws/things/")?.split_once("/shadow/")?;
        let (name, verb) = match rest.strip_prefix("name/") {
            Some(named) => named.rsplit_once('/').map(|(name, verb)| (Some(name), verb))?,
            None => (None, rest),
        };
        let verb = Verb::ALL.into_iter().find(|known| known.word() == verb)?;
        // A level too many makes it another topic, and no wrong name.
        if thing.contains('/') || name.is_some_and(|name| name.contains('/')) {
            return None;
        }
        Some(Self::named(thing, name, verb))
    }

    fn named(thing: &str, name: Option<&str>, verb: Verb) -> Result<RequestTopic, NameError> {
        let thing = ThingName::parse(thing)?;
        let name = name.map(ShadowName::parse).transpose()?;
        Ok(RequestTopic { id: ShadowId { thing, name }, verb })
    }

    /// Where the cloud would publish that answer.
    pub fn reply(&self, reply: Reply) -> Result<Topic, TopicError> {
        Topic::parse(format!("{}/{}", self.text(), reply.word()))
    }

    pub fn topic(&self) -> Result<Topic, TopicError> {
        Topic::parse(self.text())
    }

    fn text(&self) -> String {
        let (thing, verb) = (&self.id.thing, self.verb.word());
        match &self.id.name {
            Some(name) => format!("$aws/things/{thing}/shadow/name/{name}/{verb}"),
            None => format!("$aws/things/{thing}/shadow/{verb}"),
        }
    }
}

impl Verb {
    pub const ALL: [Verb; 3] = [Verb::Get, Verb::Update, Verb::Delete];

    pub fn word(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::Update => "update",
            Verb::Delete => "delete",
        }
    }
}

impl Reply {
    pub fn word(self) -> &'static str {
        match self {
            Reply::Accepted => "accepted",
            Reply::Rejected => "rejected",
            Reply::Delta => "delta",
            Reply::Documents => "documents",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Result<RequestTopic, NameError>> {
        RequestTopic::parse(&Topic::parse(text).unwrap())
    }

    /// Every request reads back to its topic, and its answers stand below it and are reserved.
    #[test]
    fn requests_have_their_topics_and_answers() {
        for shadow in ["", "name/lamp/", "name/get/", "name/name/", "name/$x:1/"] {
            for verb in Verb::ALL {
                let text = format!("$aws/things/gw-7/shadow/{shadow}{}", verb.word());
                let request = parse(&text).unwrap().unwrap();
                assert_eq!((request.verb, request.id.thing.as_str()), (verb, "gw-7"));
                assert_eq!(request.topic().unwrap().as_str(), text);
                for reply in [Reply::Accepted, Reply::Rejected] {
                    let answer = request.reply(reply).unwrap();
                    assert_eq!(answer.as_str(), format!("{text}/{}", reply.word()));
                    assert!(answer.is_reserved());
                    assert_eq!(RequestTopic::parse(&answer), None, "an answer is no request");
                }
            }
            let update = parse(&format!("$aws/things/gw-7/shadow/{shadow}update")).unwrap().unwrap();
            assert!([Reply::Delta, Reply::Documents].iter().all(|it| update.reply(*it).unwrap().is_reserved()));
        }
        assert_eq!(parse("$aws/things/gw/shadow/name/lamp/get").unwrap().unwrap().id.to_string(), "gw~lamp");
        assert_eq!(parse("$aws/things/gw/shadow/get").unwrap().unwrap().id.to_string(), "gw");
        let longest = format!("$aws/things/{}/shadow/name/{}/update", "t".repeat(128), "s".repeat(64));
        assert!(parse(&longest).unwrap().unwrap().reply(Reply::Documents).is_ok());
    }

    /// What looks like a request and is none belongs to nobody; a request with a wrong name is named.
    #[test]
    fn other_topics_are_no_requests() {
        for text in [
            "$aws/things/gw/shadow",
            "$aws/things/gw/shadow/",
            "$aws/things/gw/shadow/list",
            "$aws/things/gw/shadow/Get",
            "$aws/things/gw/shadow/get/",
            "$aws/things/gw/shadow/get/x",
            "$aws/things/gw/shadow/name/get",
            "$aws/things/gw/shadow/name/a/b/get",
            "$aws/things/a/b/shadow/get",
            "aws/things/gw/shadow/get",
            "$aws/things/gw/jobs/get",
            "x/$aws/things/gw/shadow/get",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("$aws/things//shadow/get"), Some(Err(NameError::ThingEmpty)));
        assert_eq!(parse("$aws/things/a b/shadow/get"), Some(Err(NameError::ThingCharacter { character: ' ' })));
        assert_eq!(parse("$aws/things/gw/shadow/name//get"), Some(Err(NameError::ShadowEmpty)));
        let long = format!("$aws/things/gw/shadow/name/{}/get", "s".repeat(65));
        assert_eq!(parse(&long), Some(Err(NameError::ShadowTooLong { bytes: 65 })));
    }
}
