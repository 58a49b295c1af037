//! `edgewit:pubsub/publisher`: publishing, as an effect of the handling that asks for it.
//!
//! A message is parsed, measured and checked against the instance's own grants here; what passes is a
//! message that the hub can take as it is. Nothing is published before the handling returns well.

use edgewit_domain::limits;
use edgewit_domain::message::{Message, PayloadFormat, Qos};
use edgewit_domain::topic::Topic;
use wasmtime::Result;

use crate::bindings::edgewit::pubsub::{publisher, types};
use crate::guest::Guest;
use crate::services::NotTaken;

impl types::Host for Guest {}

impl publisher::Host for Guest {
    fn publish(&mut self, message: types::MessageResult) -> Result<Result<(), types::PublishError>> {
        Ok(self.publish_message(message).inspect_err(|error| self.notes.refused(&words(error))))
    }
}

impl Guest {
    fn publish_message(&mut self, message: types::MessageResult) -> Result<(), types::PublishError> {
        let message = parse(message)?;
        if message.size() > limits::MESSAGE_BYTES {
            return Err(types::PublishError::TooLarge(limits::MESSAGE_BYTES as u32));
        }
        self.profile
            .grants
            .publish(&message.topic)
            .map_err(|denied| types::PublishError::Denied(denied.to_string()))?;
        self.send(message).map_err(|unsent| match unsent {
            Unsent::Quota(reason) => types::PublishError::Quota(reason),
            Unsent::NoRoom(reason) => types::PublishError::NoRoom(reason),
            Unsent::NotForCloud(reason) => types::PublishError::Denied(reason),
        })
    }

    /// Makes a message that is permitted an effect of the handling.
    pub(super) fn send(&mut self, message: Message) -> Result<(), Unsent> {
        let size = message.size();
        self.effects.check_publish(size).map_err(Unsent::Quota)?;
        self.services.rooms.reserve(&message).map_err(|not_taken| match not_taken {
            NotTaken::NoRoom(reason) => Unsent::NoRoom(reason),
            NotTaken::NotForCloud(reason) => Unsent::NotForCloud(reason),
        })?;
        self.effects.publish(message, size);
        Ok(())
    }
}

/// Why a message that is permitted is no effect of the handling; the text says of what there is not enough, or which
/// cloud does not take it.
pub(super) enum Unsent {
    Quota(String),
    NoRoom(String),
    NotForCloud(String),
}

fn words(error: &types::PublishError) -> String {
    match error {
        types::PublishError::Denied(reason)
        | types::PublishError::Quota(reason)
        | types::PublishError::NoRoom(reason) => reason.clone(),
        types::PublishError::InvalidTopic(reason) => format!("a topic to publish to is {reason}"),
        types::PublishError::TooLarge(most) => format!("a message has at most {most} bytes"),
    }
}

fn parse(message: types::MessageResult) -> Result<Message, types::PublishError> {
    if let Some(topic) = &message.response_topic {
        parse_topic(topic.as_str())?;
    }
    if message.user_properties.len() > limits::USER_PROPERTIES {
        let reason = format!("a message has at most {} user properties", limits::USER_PROPERTIES);
        return Err(types::PublishError::Quota(reason));
    }
    Ok(Message {
        topic: parse_topic(message.topic)?,
        payload: message.payload,
        qos: match message.qos {
            types::Qos::AtMostOnce => Qos::AtMostOnce,
            types::Qos::AtLeastOnce => Qos::AtLeastOnce,
        },
        retain: message.retain,
        expiry: message.expiry,
        payload_format: match message.payload_format {
            types::PayloadFormat::Bytes => PayloadFormat::Bytes,
            types::PayloadFormat::Text => PayloadFormat::Text,
        },
        content_type: message.content_type,
        response_topic: message.response_topic,
        correlation_data: message.correlation_data,
        user_properties: message.user_properties,
    })
}

fn parse_topic(topic: impl Into<String>) -> Result<Topic, types::PublishError> {
    Topic::parse(topic).map_err(|error| types::PublishError::InvalidTopic(error.to_string()))
}
