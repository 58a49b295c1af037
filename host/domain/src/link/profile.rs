//! What a kind of broker permits, by its own word: a table, and the one question asked of it.
//!
//! A broker that gets what it forbids does not answer: it closes the connection. So what is forbidden is refused when
//! it is published, and by `check` where the configuration alone shows it.

use std::time::Duration;

use thiserror::Error;

use super::Rate;
use crate::limits::{
    AWS_BYTES_PER_SECOND, AWS_CLIENT_ID_BYTES, AWS_CONNECT_EVERY, AWS_FILTERS_PER_SUBSCRIBE, AWS_KEEP_ALIVE,
    AWS_MESSAGES_PER_SECOND, AWS_PAYLOAD_BYTES, AWS_SUBSCRIPTIONS, AWS_TOPIC_BYTES, AWS_TOPIC_SLASHES,
    AWS_UNACKNOWLEDGED, KEEP_ALIVE, LINK_WINDOW, MQTT_CLIENT_ID_BYTES, MQTT_FILTERS_PER_SUBSCRIBE, MQTT_PAYLOAD_BYTES,
    MQTT_SUBSCRIPTIONS, Range, TOPIC_BYTES, TOPIC_LEVELS,
};

/// The limits of a kind of broker.
#[derive(Debug, PartialEq)]
pub struct Profile {
    pub name: &'static str,
    pub payload_bytes: usize,
    pub topic_slashes: usize,
    pub topic_bytes: usize,
    pub client_id_bytes: usize,
    pub unacknowledged: usize,
    pub rate: Rate,
    pub subscriptions: usize,
    pub filters_per_subscribe: usize,
    pub keep_alive: Range<Duration>,
    pub connect_every: Duration,
    /// What a TLS connection to port 443 has to announce.
    pub alpn_443: Option<&'static str>,
}

/// Why a broker of this profile would not take a message, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    #[error(
        "the payload has {bytes} bytes in the uplink's format and the profile `{profile}` permits {most}; publish less at once"
    )]
    Payload { profile: &'static str, bytes: usize, most: usize },
    #[error(
        "the topic `{topic}` has {slashes} slashes and the profile `{profile}` permits {most}; set a shorter `topic` in the uplink rule"
    )]
    Slashes { profile: &'static str, topic: String, slashes: usize, most: usize },
    #[error(
        "the topic `{topic}` has {bytes} bytes and the profile `{profile}` permits {most}; set a shorter `topic` in the uplink rule"
    )]
    TopicBytes { profile: &'static str, topic: String, bytes: usize, most: usize },
    #[error("the topic is none once the uplink rule has rewritten it: {0}")]
    Topic(String),
}

impl Profile {
    /// Every profile; the first is the default.
    pub const ALL: [&'static Profile; 2] = [&GENERIC, &AWS_IOT_CORE];

    pub fn named(name: &str) -> Option<&'static Profile> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// Whether the broker takes a message with this topic and so many bytes of payload, both as they go out.
    pub fn permits(&self, topic: &str, payload_bytes: usize) -> Result<(), Unfit> {
        let profile = self.name;
        if payload_bytes > self.payload_bytes {
            return Err(Unfit::Payload { profile, bytes: payload_bytes, most: self.payload_bytes });
        }
        self.permits_topic(topic)
    }

    /// The same of a topic alone, or of a filter, whose limits are the same.
    pub fn permits_topic(&self, topic: &str) -> Result<(), Unfit> {
        let profile = self.name;
        let slashes = topic.bytes().filter(|byte| *byte == b'/').count();
        if slashes > self.topic_slashes {
            return Err(Unfit::Slashes { profile, topic: topic.into(), slashes, most: self.topic_slashes });
        }
        if topic.len() > self.topic_bytes {
            return Err(Unfit::TopicBytes { profile, topic: topic.into(), bytes: topic.len(), most: self.topic_bytes });
        }
        Ok(())
    }
}

static GENERIC: Profile = Profile {
    name: "generic",
    payload_bytes: MQTT_PAYLOAD_BYTES,
    topic_slashes: TOPIC_LEVELS - 1,
    topic_bytes: TOPIC_BYTES,
    client_id_bytes: MQTT_CLIENT_ID_BYTES,
    unacknowledged: LINK_WINDOW,
    rate: Rate { messages: None, bytes: None },
    subscriptions: MQTT_SUBSCRIPTIONS,
    filters_per_subscribe: MQTT_FILTERS_PER_SUBSCRIBE,
    keep_alive: KEEP_ALIVE,
    connect_every: Duration::ZERO,
    alpn_443: None,
};

static AWS_IOT_CORE: Profile = Profile {
    name: "aws-iot-core",
    payload_bytes: AWS_PAYLOAD_BYTES,
    topic_slashes: AWS_TOPIC_SLASHES,
    topic_bytes: AWS_TOPIC_BYTES,
    client_id_bytes: AWS_CLIENT_ID_BYTES,
    unacknowledged: AWS_UNACKNOWLEDGED,
    rate: Rate { messages: Some(AWS_MESSAGES_PER_SECOND), bytes: Some(AWS_BYTES_PER_SECOND) },
    subscriptions: AWS_SUBSCRIPTIONS,
    filters_per_subscribe: AWS_FILTERS_PER_SUBSCRIBE,
    keep_alive: AWS_KEEP_ALIVE,
    connect_every: AWS_CONNECT_EVERY,
    alpn_443: Some("x-amzn-mqtt-ca"),
};

#[cfg(test)]
mod tests {
    use super::*;

    fn check(profile: &str, topic: &str, bytes: usize, expected: Result<(), &str>) {
        let found = Profile::named(profile).unwrap().permits(topic, bytes).map_err(|unfit| unfit.to_string());
        assert_eq!(found, expected.map_err(String::from));
    }

    /// The limits themselves are permitted, one more is not, and the text says what to do.
    #[test]
    fn c2_what_a_profile_forbids_is_refused_with_the_cure() {
        check("aws-iot-core", "1/2/3/4/5/6/7/8", 128 * 1024, Ok(()));
        check("aws-iot-core", &"x".repeat(256), 0, Ok(()));
        let cure = "publish less at once";
        let text = format!(
            "the payload has 131073 bytes in the uplink's format and the profile `aws-iot-core` permits 131072; {cure}"
        );
        check("aws-iot-core", "a", 128 * 1024 + 1, Err(&text));
        let cure = "set a shorter `topic` in the uplink rule";
        let text =
            format!("the topic `1/2/3/4/5/6/7/8/9` has 8 slashes and the profile `aws-iot-core` permits 7; {cure}");
        check("aws-iot-core", "1/2/3/4/5/6/7/8/9", 0, Err(&text));
        let topic = "x".repeat(257);
        let text = format!("the topic `{topic}` has 257 bytes and the profile `aws-iot-core` permits 256; {cure}");
        check("aws-iot-core", &topic, 0, Err(&text));
        check("generic", "1/2/3/4/5/6/7/8/9", 128 * 1024 + 1, Ok(()));
        assert_eq!(Profile::named("other"), None);
    }
}
