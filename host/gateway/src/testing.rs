//! What the unit tests of this crate share: messages in one line, and waiting without sleeping blindly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgewit_domain::config::LiveFullRule;
use edgewit_domain::message::{Envelope, Message, MessageId, Origin, WallTime};
use edgewit_domain::topic::Topic;

use crate::queue::Bounds;

pub fn message(topic: &str, payload: &str) -> Message {
    Message::new(Topic::parse(topic).unwrap(), payload)
}

pub fn envelope(topic: &str, payload: &str) -> Arc<Envelope> {
    Arc::new(Envelope::new(
        message(topic, payload),
        MessageId { epoch: 0, number: 0 },
        Origin::Operator,
        WallTime { unix_ms: 0, trusted: true },
    ))
}

pub fn bounds(messages: u64) -> Bounds {
    Bounds { messages, bytes: u64::MAX / 2, full: LiveFullRule::DropOldest }
}

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}
