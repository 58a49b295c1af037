//! What travels through the hub: the message a publisher made, and what the gateway knows about it.
//!
//! A [`Message`] is immutable once the hub has it and is shared by every reader, so that a thousand
//! subscribers cost a thousand pointers. What differs from reader to reader (attempt, sequence) is not
//! here but in the delivery that the sandbox hands to a guest.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::topic::Topic;

/// MQTT's quality of service, as far as the gateway distinguishes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Qos {
    /// May be dropped where a queue is full or the power goes.
    #[default]
    AtMostOnce,
    /// Arrives wherever a durable queue waits for it.
    AtLeastOnce,
}

/// What the publisher says about the bytes of a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadFormat {
    #[default]
    Bytes,
    Text,
}

/// Who published a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Component(Arc<str>),
    Device(Arc<str>),
    Cloud(Arc<str>),
    Service(Cow<'static, str>),
    Operator,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Component(name) => write!(f, "component {name}"),
            Origin::Device(id) => write!(f, "device {id}"),
            Origin::Cloud(name) => write!(f, "cloud {name}"),
            Origin::Service(name) => write!(f, "service {name}"),
            Origin::Operator => f.write_str("operator"),
        }
    }
}

/// What a publisher says: the fields that no reader may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: Topic,
    pub payload: Vec<u8>,
    pub qos: Qos,
    pub retain: bool,
    /// Seconds of running time.
    pub expiry: Option<u32>,
    pub payload_format: PayloadFormat,
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Vec<u8>>,
    pub user_properties: Vec<(String, String)>,
}

impl Message {
    /// A message with nothing but a topic and a payload: quality 0, not retained.
    pub fn new(topic: Topic, payload: impl Into<Vec<u8>>) -> Self {
        Message {
            topic,
            payload: payload.into(),
            qos: Qos::default(),
            retain: false,
            expiry: None,
            payload_format: PayloadFormat::default(),
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        }
    }

    /// What the message counts against a limit in bytes: everything its publisher chose the length of.
    pub fn size(&self) -> usize {
        let properties: usize = self.user_properties.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.topic.as_str().len()
            + self.payload.len()
            + self.content_type.as_ref().map_or(0, String::len)
            + self.response_topic.as_ref().map_or(0, String::len)
            + self.correlation_data.as_ref().map_or(0, Vec::len)
            + properties
    }
}

/// Names a message for as long as anyone may ask about it: the same over every attempt, different from
/// every other message of every start of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// Random, once for each start of the gateway.
    pub epoch: u64,
    pub number: u64,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.epoch, self.number)
    }
}

/// The wall clock as the gateway saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallTime {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// Whether the clock had been set by then.
    pub trusted: bool,
}

/// The handlings that led to a message, newest first. Kept only for the last few hops before the limit
/// ([`crate::limits::TRAIL_HOPS`]), where it serves to name the circle; earlier messages pay nothing for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Trail {
    pub component: Arc<str>,
    pub before: Option<Arc<Trail>>,
}

/// A message in the hub: what the publisher said and what the gateway adds when it takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub message: Message,
    pub id: MessageId,
    pub origin: Origin,
    /// How many handlings led to it.
    pub hops: u32,
    pub trail: Option<Arc<Trail>>,
    pub received: WallTime,
    /// Running time when the hub took it.
    pub since: Duration,
    /// Running time after which nobody wants it any more.
    pub expires: Option<Duration>,
}

impl Envelope {
    /// A message that no handling led to and that nobody stops wanting, taken when running time began.
    pub fn new(message: Message, id: MessageId, origin: Origin, received: WallTime) -> Self {
        Envelope { message, id, origin, hops: 0, trail: None, received, since: Duration::ZERO, expires: None }
    }

    /// `now` is running time, by the clock of the hub that took the message.
    pub fn is_expired(&self, now: Duration) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}
