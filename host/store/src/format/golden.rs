//! Every kind of row, byte for byte, as `docs/store-format.md` describes it.

use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::ledger::{BucketId, DeathNote, QueueRecord, SavedTimer};
use edgewit_domain::message::{Envelope, Message, MessageId, Origin, PayloadFormat, Qos, Trail, WallTime};
use edgewit_domain::queue::{DeadOf, QueueId, QueueNumber};
use edgewit_domain::shadow::{ShadowId, ShadowName, ThingName};
use edgewit_domain::topic::Topic;

use super::bytes::Reader;
use super::{envelope, key, record};

const QUEUE: QueueNumber = QueueNumber(0x0102_0304);

#[track_caller]
fn check(bytes: &[u8], golden: &[u8]) {
    assert_eq!(bytes.escape_ascii().to_string(), golden.escape_ascii().to_string());
}

fn bare() -> Envelope {
    Envelope {
        message: Message::new(Topic::parse("a/b").unwrap(), "xyz"),
        id: MessageId { epoch: 0x1122_3344_5566_7788, number: 300 },
        origin: Origin::Operator,
        hops: 0,
        trail: None,
        received: WallTime { unix_ms: 5, trusted: false },
        since: Duration::from_micros(6),
        expires: None,
    }
}

fn full() -> Envelope {
    let bare = bare();
    let trail = Trail { component: "old".into(), before: None };
    let trail = Trail { component: "new".into(), before: Some(Arc::new(trail)) };
    Envelope {
        message: Message {
            qos: Qos::AtLeastOnce,
            retain: true,
            expiry: Some(60),
            payload_format: PayloadFormat::Text,
            content_type: Some("t/p".into()),
            response_topic: Some("r/t".into()),
            correlation_data: Some(b"\xff".to_vec()),
            user_properties: vec![("n".into(), "v".into()), ("n".into(), "w".into())],
            ..bare.message
        },
        origin: Origin::Component("new".into()),
        hops: 2,
        trail: Some(Arc::new(trail)),
        received: WallTime { unix_ms: 5, trusted: true },
        expires: Some(Duration::from_micros(7)),
        ..bare
    }
}

#[test]
fn the_keys_of_every_kind_of_row_stay_what_they_are() {
    let own = BucketId::Own { component: "c".into(), name: "n".into() };
    check(key::UPTIME, b"u");
    check(&key::queue(QUEUE), b"q\x01\x02\x03\x04");
    check(&key::row(QUEUE, 5), b"r\x01\x02\x03\x04\0\0\0\0\0\0\0\x05");
    check(&key::attempts(QUEUE, 5), b"a\x01\x02\x03\x04\0\0\0\0\0\0\0\x05");
    check(&key::topic(QUEUE, "a/b"), b"t\x01\x02\x03\x04a/b");
    check(&key::retained("a/b"), b"ma/b");
    check(&key::bucket(&own), b"bown/c/n");
    check(&key::bucket(&BucketId::Shared("s".into())), b"bshared/s");
    check(&key::value(&own, "k"), b"vown/c/n\0k");
    check(&key::timer("c", "n"), b"sc\0n");
    check(&key::digest("n"), b"dn");
    let classic = ShadowId::classic(ThingName::parse("t").unwrap());
    let named = ShadowId::named(classic.thing.clone(), ShadowName::parse("n").unwrap());
    for (id, golden) in [(classic, &b"wt\0"[..]), (named, b"wt\0n")] {
        check(&key::shadow(&id), golden);
        assert_eq!(key::shadow_of(golden), Some(id));
    }
}

#[test]
fn a_message_in_a_row_stays_what_it_is() {
    let cases: [(Envelope, &[u8]); 2] = [
        (bare(), b"\0F\x06\x03a/b\x11\x22\x33\x44\x55\x66\x77\x88\xac\x02\x05\0o\0\0\0\x03xyz"),
        (full(), b"\xffQ\x06\x03a/b\x11\x22\x33\x44\x55\x66\x77\x88\xac\x02\x05\x02c\x03new\x02\x03new\x03old\x07<\x03t/p\x03r/t\x01\xff\x02\x01n\x01v\x01n\x01w\x03xyz"),
    ];
    for (message, golden) in cases {
        let mut row = Vec::new();
        envelope::write(&mut row, &message);
        check(&row, golden);
        assert_eq!(envelope::read(&mut Reader(golden)), Some(message.clone()));
        let head = envelope::read_head(9, golden).unwrap();
        assert_eq!((head.sequence, &*head.topic, head.since), (9, "a/b", message.since));
    }
}

#[test]
fn the_origin_of_a_message_in_a_row_stays_what_it_is() {
    let origins: [(Origin, &[u8]); 5] = [
        (Origin::Component("n".into()), b"c\x01n"),
        (Origin::Device("n".into()), b"d\x01n"),
        (Origin::Cloud("n".into()), b"u\x01n"),
        (Origin::Service("n".into()), b"s\x01n"),
        (Origin::Operator, b"o\0"),
    ];
    for (origin, golden) in origins {
        let mut row = Vec::new();
        envelope::write(&mut row, &Envelope { origin, ..bare() });
        assert!(row.windows(golden.len()).any(|window| window == golden), "{}", row.escape_ascii());
    }
}

#[test]
fn what_a_dead_letter_says_stays_what_it_is() {
    let note = DeathNote {
        queue: Some(QueueId::Uplink("u".into())),
        reason: "why".into(),
        attempts: 200,
        backtrace: "at".into(),
        at: WallTime { unix_ms: 1, trusted: true },
    };
    let nowhere = DeathNote { queue: None, at: WallTime { unix_ms: 1, trusted: false }, ..note.clone() };
    for (note, golden) in
        [(note, &b"\x08uplink/u\x03why\xc8\x01\x02at\x01\x01"[..]), (nowhere, b"\0\x03why\xc8\x01\x02at\x01\0")]
    {
        let mut row = Vec::new();
        envelope::write_note(&mut row, &note);
        check(&row, golden);
        assert_eq!(envelope::read_note(&mut Reader(golden)), Some(note));
    }
}

#[test]
fn what_is_counted_of_a_queue_stays_what_it_is() {
    let queue = QueueRecord {
        id: QueueId::Inbox { component: "c".into(), subscription: "s".into() },
        head: 1,
        next: 2,
        messages: 3,
        bytes: 400,
        dropped: 5,
        expired: 6,
        left: Some(Duration::from_micros(7)),
        beside: true,
    };
    let dead = QueueId::Dead(DeadOf::Downlink("d".into()));
    let read = QueueRecord { id: dead, left: None, beside: false, ..queue.clone() };
    let cases: [(QueueRecord, &[u8]); 2] = [
        (queue, b"\x0dcomponent/c/s\x01\x02\x03\x90\x03\x05\x06\x08\x01"),
        (read, b"\x0fdead/downlink/d\x01\x02\x03\x90\x03\x05\x06\0\0"),
    ];
    for (queue, golden) in cases {
        let mut row = Vec::new();
        record::write_queue(&mut row, &queue);
        check(&row, golden);
        assert_eq!(record::read_queue(golden), Some(queue));
    }
}

#[test]
fn timers_uptime_and_numbers_stay_what_they_are() {
    let timer = SavedTimer { due: Duration::from_micros(300), payload: b"p".to_vec(), attempt: 2 };
    let mut row = Vec::new();
    record::write_timer(&mut row, &timer);
    check(&row, b"\xac\x02\x02\x01p");
    assert_eq!(record::read_timer(&row), Some(timer));
    let (uptime, wall) = (Duration::from_micros(300), WallTime { unix_ms: 1, trusted: true });
    let mut row = Vec::new();
    record::write_uptime(&mut row, uptime, wall);
    check(&row, b"\xac\x02\x01\x01");
    assert_eq!(record::read_uptime(&row), Some((uptime, wall)));
    check(&record::write_number(300), b"\xac\x02");
    assert_eq!(record::read_number(b"\xac\x02"), Some(300));
}
