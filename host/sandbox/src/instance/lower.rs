//! From the hub's types to the guest's, without copying: what a handler is called with borrows from the delivery.

use edgewit_domain::handling::{Delivery, StartReason};
use edgewit_domain::message::{Message, MessageId, Origin, PayloadFormat, Qos};
use smallvec::SmallVec;

use crate::bindings::edgewit::pubsub::types;
use crate::bindings::exports::edgewit::lifecycle::start::Reason;

/// A message's id as text, without a heap: it is made for every delivery.
pub(super) struct IdText([u8; 32]);

impl IdText {
    pub fn new(id: MessageId) -> Self {
        let mut text = [0; 32];
        let value = (u128::from(id.epoch) << 64) | u128::from(id.number);
        for (index, digit) in text.iter_mut().rev().enumerate() {
            let nibble = (value >> (index * 4)) as u8 & 0xf;
            *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        }
        IdText(text)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

pub(super) fn properties(message: &Message) -> SmallVec<[(&str, &str); 4]> {
    message.user_properties.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

pub(super) fn delivery_param<'a>(
    delivery: &'a Delivery,
    id: &'a IdText,
    properties: &'a [(&'a str, &'a str)],
) -> types::Delivery<'a> {
    let envelope = &*delivery.envelope;
    types::Delivery {
        message: message_param(&envelope.message, properties),
        id: id.as_str(),
        attempt: delivery.attempt,
        sequence: delivery.sequence,
        received_at: envelope.received.unix_ms,
        clock_trusted: envelope.received.trusted,
        origin: match &envelope.origin {
            Origin::Component(name) => types::Origin::Component(name),
            Origin::Device(id) => types::Origin::Device(id),
            Origin::Cloud(name) => types::Origin::Cloud(name),
            Origin::Service(name) => types::Origin::Service(name),
            Origin::Operator => types::Origin::Operator,
        },
        hops: envelope.hops,
    }
}

fn message_param<'a>(message: &'a Message, user_properties: &'a [(&'a str, &'a str)]) -> types::MessageParam<'a> {
    types::MessageParam {
        topic: message.topic.as_str(),
        payload: &message.payload,
        qos: match message.qos {
            Qos::AtMostOnce => types::Qos::AtMostOnce,
            Qos::AtLeastOnce => types::Qos::AtLeastOnce,
        },
        retain: message.retain,
        expiry: message.expiry,
        payload_format: match message.payload_format {
            PayloadFormat::Bytes => types::PayloadFormat::Bytes,
            PayloadFormat::Text => types::PayloadFormat::Text,
        },
        content_type: message.content_type.as_deref(),
        response_topic: message.response_topic.as_deref(),
        correlation_data: message.correlation_data.as_deref(),
        user_properties,
    }
}

pub(super) fn reason_param(reason: StartReason) -> Reason {
    match reason {
        StartReason::First => Reason::First,
        StartReason::Restart => Reason::Restart,
        StartReason::Recycle => Reason::Recycle,
        StartReason::AfterFault => Reason::AfterFault,
        StartReason::Swap => Reason::Swap,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_the_same_for_guests_and_operators() {
        for (epoch, number) in [(0, 0), (1, 0x0123_4567_89ab_cdef), (u64::MAX, 10), (0xfedc_ba98_0000_0001, u64::MAX)] {
            let id = MessageId { epoch, number };
            assert_eq!(IdText::new(id).as_str(), id.to_string());
        }
    }
}
