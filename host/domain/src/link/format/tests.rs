//! The envelope is for ever: these are its bytes.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::message::{Message, MessageId, WallTime};
use crate::topic::Topic;

fn message(payload: &[u8]) -> Envelope {
    Envelope {
        message: Message::new(Topic::parse("alerts/cellar").unwrap(), payload),
        id: MessageId { epoch: 0xe0c, number: 7 },
        origin: Origin::Component("threshold".into()),
        hops: 1,
        trail: None,
        received: WallTime { unix_ms: 1_795_252_800_123, trusted: true },
        since: std::time::Duration::ZERO,
        expires: None,
    }
}

fn encode(format: Format, envelope: &Envelope) -> Vec<u8> {
    let source = Source { thing: "gw-cellar-7", epoch: 0x9f86_d081_884c_7d65, rule: "alerts" };
    format.encode(source, 42, envelope)
}

fn check(envelope: &Envelope, expected: Expect) {
    expected.assert_eq(&String::from_utf8(encode(Format::Envelope, envelope)).unwrap());
}

#[test]
fn c1_the_envelope_says_who_when_and_which_and_leaves_the_payload_readable() {
    check(
        &message(br#"{"level": "high",  "value": 8.50}"#),
        expect![[
            r#"{"edgewit":1,"gateway":"gw-cellar-7","rule":"alerts","epoch":"9f86d081884c7d65","sequence":42,"id":"0000000000000e0c0000000000000007","topic":"alerts/cellar","time_ms":1795252800123,"clock_trusted":true,"origin":"component","origin_name":"threshold","encoding":"json","payload":{"level": "high",  "value": 8.50}}"#
        ]],
    );
    check(
        &message("zu \"warm\"".as_bytes()),
        expect![[
            r#"{"edgewit":1,"gateway":"gw-cellar-7","rule":"alerts","epoch":"9f86d081884c7d65","sequence":42,"id":"0000000000000e0c0000000000000007","topic":"alerts/cellar","time_ms":1795252800123,"clock_trusted":true,"origin":"component","origin_name":"threshold","encoding":"text","payload":"zu \"warm\""}"#
        ]],
    );

    let mut full = message(&[0xff, 0, 1]);
    full.origin = Origin::Operator;
    full.received.trusted = false;
    full.message.content_type = Some("application/octet-stream".into());
    full.message.response_topic = Some("answers/1".into());
    full.message.correlation_data = Some(vec![1, 2]);
    full.message.user_properties = vec![("b".into(), "1".into()), ("a".into(), "2".into()), ("b".into(), "3".into())];
    check(
        &full,
        expect![[
            r#"{"edgewit":1,"gateway":"gw-cellar-7","rule":"alerts","epoch":"9f86d081884c7d65","sequence":42,"id":"0000000000000e0c0000000000000007","topic":"alerts/cellar","time_ms":1795252800123,"clock_trusted":false,"origin":"operator","content_type":"application/octet-stream","response_topic":"answers/1","correlation_base64":"AQI=","properties":[["b","1"],["a","2"],["b","3"]],"encoding":"base64","payload":"/wAB"}"#
        ]],
    );
}

#[test]
fn raw_is_the_payload_and_nothing_else() {
    assert_eq!(encode(Format::Raw, &message(&[0xff, 0, 1])), [0xff, 0, 1]);
}

#[test]
fn base64_is_that_of_the_standard() {
    let cases = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];
    for (text, expected) in cases {
        assert_eq!(base64(text.as_bytes()), expected);
    }
}

proptest! {
    /// Whatever was published, the far side can parse it and has the text of it.
    #[test]
    fn every_envelope_is_json(payload in prop_oneof![any::<Vec<u8>>(), ".*".prop_map(String::into_bytes)]) {
        let value: serde_json::Value = serde_json::from_slice(&encode(Format::Envelope, &message(&payload))).unwrap();
        if value["encoding"] == "text" {
            prop_assert_eq!(value["payload"].as_str().unwrap().as_bytes(), payload);
        }
    }
}
