//! Whether an uplink rule's cloud takes a message, asked before it is published.
//!
//! A broker closes the connection on what it forbids, and the link would have to give the message up, when its publisher
//! is long gone. So whoever publishes is told. What is asked here is never kinder than what the link asks when it
//! sends; what was queued under other rules is left to the link.

use std::sync::Arc;

use super::{Format, Profile, Rewrite, Source, Unfit};
use crate::message::{Envelope, Message, MessageId, Origin, WallTime};

/// What one uplink rule can send.
#[derive(Clone, Debug)]
pub struct Fit {
    pub rule: Arc<str>,
    pub thing: Arc<str>,
    pub format: Format,
    pub rewrite: Rewrite,
    pub profile: &'static Profile,
}

/// An uplink rule hears a message that its cloud would not take. Nobody gets it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("uplink.{rule} cannot send this: {unfit}")]
pub struct NotForCloud {
    pub rule: Arc<str>,
    pub unfit: Unfit,
}

impl Fit {
    /// False where every message fits, and nobody need ask.
    pub fn may_refuse(&self) -> bool {
        let [generic, ..] = Profile::ALL;
        self.profile != generic || self.rewrite.changes_names()
    }

    pub fn check(&self, message: &Message, origin: &Origin) -> Result<(), NotForCloud> {
        self.fits(message, origin).map_err(|unfit| NotForCloud { rule: self.rule.clone(), unfit })
    }

    fn fits(&self, message: &Message, origin: &Origin) -> Result<(), Unfit> {
        let topic = self.rewrite.apply(&message.topic).map_err(|error| Unfit::Topic(error.to_string()))?;
        self.profile.permits_topic(topic.as_str())?;
        if self.format.bytes_at_most(self.source(), message, origin) <= self.profile.payload_bytes {
            return Ok(());
        }
        // Numbers as long as they get, whichever the message will have.
        let id = MessageId { epoch: 0, number: 0 };
        let received = WallTime { unix_ms: u64::MAX, trusted: false };
        let envelope = Envelope::new(message.clone(), id, origin.clone(), received);
        let bytes = self.format.encode(self.source(), u64::MAX, &envelope).len();
        self.profile.permits(topic.as_str(), bytes)
    }

    fn source(&self) -> Source<'_> {
        Source { thing: &self.thing, epoch: 0, rule: &self.rule }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::topic::{Filter, Topic};

    fn fit(profile: &str, format: Format, with: Option<&str>) -> Fit {
        let filter = Filter::parse("a/#").unwrap();
        let with = with.map(|text| Topic::parse(text).unwrap());
        Fit {
            rule: "up".into(),
            thing: "gw".into(),
            format,
            rewrite: Rewrite::new(&filter, with.as_ref()),
            profile: Profile::named(profile).unwrap(),
        }
    }

    fn message(topic: &str, bytes: usize) -> Message {
        Message::new(Topic::parse(topic).unwrap(), vec![b'x'; bytes])
    }

    fn check(fit: &Fit, topic: &str, bytes: usize, expected: Result<(), &str>) {
        let found = fit.check(&message(topic, bytes), &Origin::Operator).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(String::from));
    }

    #[test]
    fn c2_what_the_cloud_does_not_take_is_refused_by_rule_limit_and_cure() {
        let raw = fit("aws-iot-core", Format::Raw, None);
        check(&raw, "a/b", 128 * 1024, Ok(()));
        let payload = "uplink.up cannot send this: the payload has 131073 bytes in the uplink's format and the profile \
                       `aws-iot-core` permits 131072; publish less at once";
        check(&raw, "a/b", 128 * 1024 + 1, Err(payload));
        let slashes = "uplink.up cannot send this: the topic `a/2/3/4/5/6/7/8/9` has 8 slashes and the profile \
                       `aws-iot-core` permits 7; set a shorter `topic` in the uplink rule";
        check(&raw, "a/2/3/4/5/6/7/8/9", 0, Err(slashes));
        // As it is called in the cloud, and as long as it is there.
        check(&fit("aws-iot-core", Format::Raw, Some("b")), "a/2/3/4/5/6/7/8", 0, Ok(()));
        let error =
            fit("aws-iot-core", Format::Raw, Some("b/c")).check(&message("a/2/3/4/5/6/7/8", 0), &Origin::Operator);
        assert!(matches!(error, Err(NotForCloud { unfit: Unfit::Slashes { slashes: 8, .. }, .. })), "{error:?}");
        let error =
            fit("aws-iot-core", Format::Envelope, None).check(&message("a", 128 * 1024 - 100), &Origin::Operator);
        assert!(matches!(error, Err(NotForCloud { unfit: Unfit::Payload { .. }, .. })), "{error:?}");
    }

    #[test]
    fn where_the_broker_sets_no_limits_only_a_longer_name_is_asked_for() {
        assert!(!fit("generic", Format::Envelope, None).may_refuse());
        assert!(fit("aws-iot-core", Format::Raw, None).may_refuse());
        let renamed = fit("generic", Format::Raw, Some(&"x".repeat(1000)));
        assert!(renamed.may_refuse());
        check(&renamed, "a/b", 1 << 18, Ok(()));
        let error = renamed.check(&message(&format!("a/{}", "y".repeat(100)), 0), &Origin::Operator);
        assert!(matches!(error, Err(NotForCloud { unfit: Unfit::Topic(_), .. })), "{error:?}");
    }

    #[test]
    fn c2_an_envelope_is_measured_with_the_longest_numbers_it_may_get() {
        let fit = fit("aws-iot-core", Format::Envelope, None);
        let passes = |bytes: usize| fit.check(&message("a", bytes), &Origin::Operator).is_ok();
        let (mut most, mut too_many) = (0usize, 128 * 1024);
        while most + 1 < too_many {
            let middle = most.midpoint(too_many);
            *if passes(middle) { &mut most } else { &mut too_many } = middle;
        }
        let received = WallTime { unix_ms: u64::MAX, trusted: false };
        let id = MessageId { epoch: u64::MAX, number: u64::MAX };
        let envelope = Envelope::new(message("a", most), id, Origin::Operator, received);
        let longest = fit.format.encode(Source { epoch: u64::MAX, ..fit.source() }, u64::MAX, &envelope);
        assert_eq!(longest.len(), 128 * 1024);
    }

    proptest! {
        /// Whatever passes, the link can send, by whichever sequence and whenever it was taken.
        #[test]
        fn c2_what_passes_is_never_given_up_by_the_link(
            payload in prop_oneof![
                (130_000..131_100usize).prop_map(|bytes| vec![b'x'; bytes]),
                (21_000..22_500usize).prop_map(|bytes| vec![1; bytes]),
                (97_000..98_500usize).prop_map(|bytes| vec![0xff; bytes]),
                prop::collection::vec(any::<u8>(), 0..300),
            ],
            properties in prop::collection::vec((".{0,8}", "\\PC{0,8}"), 0..4),
            is_raw in any::<bool>(),
            sequence in any::<u64>(),
            unix_ms in any::<u64>(),
            trusted in any::<bool>(),
        ) {
            let fit = fit("aws-iot-core", if is_raw { Format::Raw } else { Format::Envelope }, Some("dt/gw"));
            let message = Message { user_properties: properties, ..Message::new(Topic::parse("a/b").unwrap(), payload) };
            let origin = Origin::Component("c".into());
            let id = MessageId { epoch: 1, number: 2 };
            let envelope = Envelope::new(message.clone(), id, origin.clone(), WallTime { unix_ms, trusted });
            let source = Source { thing: "gw", epoch: 3, rule: "up" };
            let sent = fit.format.encode(source, sequence, &envelope).len();
            prop_assert!(sent <= fit.format.bytes_at_most(source, &message, &origin));
            if fit.check(&message, &origin).is_ok() {
                prop_assert!(sent <= fit.profile.payload_bytes);
            } else {
                prop_assert!(sent + 40 > fit.profile.payload_bytes, "{} bytes would have gone", sent);
            }
        }
    }
}
