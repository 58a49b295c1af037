//! Messages: making, publishing and reading them.
//!
//! The records are those of the WIT; what stands here is only what makes them short to write.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::bindings::imports::edgewit::pubsub::types::{
    Delivery, Failure, Message, Origin, PayloadFormat, PublishError, Qos,
};
use crate::host;

/// Asks for a message to be published: at least once, not retained. It becomes real when the handling returns well.
pub fn publish(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Result<(), PublishError> {
    Message::new(topic, payload).publish()
}

impl Message {
    /// Bytes to a topic: at least once, not retained, never expiring.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtLeastOnce,
            retain: false,
            expiry: None,
            payload_format: PayloadFormat::Bytes,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        }
    }

    /// Text to a topic.
    pub fn text(topic: impl Into<String>, text: impl Into<String>) -> Self {
        Self { payload_format: PayloadFormat::Text, ..Self::new(topic, text.into().into_bytes()) }
    }

    /// A value as JSON to a topic. Fails where the value has no JSON form.
    pub fn json(topic: impl Into<String>, value: &impl Serialize) -> Result<Self, Failure> {
        let payload = serde_json::to_vec(value).map_err(|error| Failure::Reject(format!("no JSON form: {error}")))?;
        Ok(Self {
            payload_format: PayloadFormat::Text,
            content_type: Some("application/json".into()),
            ..Self::new(topic, payload)
        })
    }

    /// May be dropped where a queue is full or the power goes.
    pub fn at_most_once(self) -> Self {
        Self { qos: Qos::AtMostOnce, ..self }
    }

    /// Kept as the topic's last word for whoever subscribes later.
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// Wanted by nobody after so much running time, in whole seconds.
    pub fn expiring_after(self, time: Duration) -> Self {
        Self { expiry: Some(u32::try_from(time.as_secs()).unwrap_or(u32::MAX)), ..self }
    }

    /// Where an answer is expected, and what it shall repeat.
    pub fn expecting_answer(self, topic: impl Into<String>, correlation: impl Into<Vec<u8>>) -> Self {
        Self { response_topic: Some(topic.into()), correlation_data: Some(correlation.into()), ..self }
    }

    /// One more user property.
    pub fn with_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.user_properties.push((name.into(), value.into()));
        self
    }

    /// Asks for this message to be published. It becomes real when the handling returns well.
    pub fn publish(&self) -> Result<(), PublishError> {
        host::publish(self)
    }
}

impl Delivery {
    /// The topic that it was published to.
    pub fn topic(&self) -> &str {
        &self.message.topic
    }

    /// Its bytes.
    pub fn payload(&self) -> &[u8] {
        &self.message.payload
    }

    /// Its payload as text; a rejection where it is none.
    pub fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(self.payload())
            .map_err(|error| Failure::Reject(format!("the payload of `{}` is not UTF-8: {error}", self.topic())))
    }

    /// Its payload read as JSON; a rejection where it is none.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(self.payload())
            .map_err(|error| Failure::Reject(format!("the payload of `{}` is not as expected: {error}", self.topic())))
    }

    /// The answer to it, to where its publisher expects one. None where no answer is expected.
    pub fn answer(&self, payload: impl Into<Vec<u8>>) -> Option<Message> {
        let topic = self.message.response_topic.clone()?;
        Some(Message { correlation_data: self.message.correlation_data.clone(), ..Message::new(topic, payload) })
    }
}

impl PublishError {
    /// The refusal in words.
    pub fn reason(&self) -> String {
        match self {
            Self::Denied(cure) => format!("denied: {cure}"),
            Self::InvalidTopic(reason) => format!("not a topic: {reason}"),
            Self::TooLarge(limit) => format!("too large: the gateway takes {limit} bytes"),
            Self::NoRoom(queue) => format!("no room in {queue}"),
            Self::Quota(what) => format!("more than one handling may ask for: {what}"),
        }
    }
}

/// A full queue empties, so the delivery is tried again; what else was refused would be refused again.
impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        let reason = format!("publish refused: {}", error.reason());
        match error {
            PublishError::NoRoom(_) => Self::Retry(reason),
            _ => Self::Reject(reason),
        }
    }
}

/// A timer that was refused would be refused again.
impl From<crate::timer::TimerError> for Failure {
    fn from(error: crate::timer::TimerError) -> Self {
        use crate::timer::TimerError;
        Self::Reject(match error {
            TimerError::Quota(what) => format!("timer refused: {what}"),
            TimerError::InvalidName(reason) => format!("timer refused: {reason}"),
            TimerError::TooLarge(limit) => format!("timer refused: its payload may have {limit} bytes"),
        })
    }
}
