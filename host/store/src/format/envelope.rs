//! A message as a row: of a queue, of a dead-letter queue, or retained.
//!
//! The size, the time and the topic come first: they are all that is read of a row that is to be dropped.

use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::ledger::{DeathNote, RowHead, row_bytes};
use edgewit_domain::message::{Envelope, Message, MessageId, Origin, PayloadFormat, Qos, Trail, WallTime};
use edgewit_domain::queue::QueueId;
use edgewit_domain::topic::Topic;

use super::bytes::{Reader, Writer};

const AT_LEAST_ONCE: u8 = 1;
const RETAIN: u8 = 1 << 1;
const TEXT: u8 = 1 << 2;
const TRUSTED: u8 = 1 << 3;
const CONTENT_TYPE: u8 = 1 << 4;
const RESPONSE_TOPIC: u8 = 1 << 5;
const CORRELATION_DATA: u8 = 1 << 6;
const EXPIRES: u8 = 1 << 7;

pub fn write(row: &mut Vec<u8>, envelope: &Envelope) {
    let Envelope { message, id, origin, hops, trail, received, since, expires } = envelope;
    let mut to = Writer(row);
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    to.byte(
        flag(message.qos == Qos::AtLeastOnce, AT_LEAST_ONCE)
            | flag(message.retain, RETAIN)
            | flag(message.payload_format == PayloadFormat::Text, TEXT)
            | flag(received.trusted, TRUSTED)
            | flag(message.content_type.is_some(), CONTENT_TYPE)
            | flag(message.response_topic.is_some(), RESPONSE_TOPIC)
            | flag(message.correlation_data.is_some(), CORRELATION_DATA)
            | flag(expires.is_some(), EXPIRES),
    );
    to.number(row_bytes(&envelope.message));
    to.number(micros(*since));
    to.text(message.topic.as_str());
    to.word(id.epoch);
    to.number(id.number);
    to.number(received.unix_ms);
    to.number((*hops).into());
    write_origin(&mut to, origin);
    write_trail(&mut to, trail.as_ref());
    if let Some(expires) = expires {
        to.number(micros(*expires));
        to.number(message.expiry.unwrap_or(0).into());
    }
    message.content_type.iter().for_each(|text| to.text(text));
    message.response_topic.iter().for_each(|text| to.text(text));
    message.correlation_data.iter().for_each(|bytes| to.bytes(bytes));
    to.number(message.user_properties.len() as u64);
    for (name, value) in &message.user_properties {
        to.text(name);
        to.text(value);
    }
    to.bytes(&message.payload);
}

pub fn read(from: &mut Reader<'_>) -> Option<Envelope> {
    let flags = from.byte()?;
    let has = |flag: u8| flags & flag != 0;
    from.number()?;
    let since = Duration::from_micros(from.number()?);
    let topic = Topic::parse(from.text()?).ok()?;
    let id = MessageId { epoch: from.word()?, number: from.number()? };
    let received = WallTime { unix_ms: from.number()?, trusted: has(TRUSTED) };
    let hops = u32::try_from(from.number()?).ok()?;
    let origin = read_origin(from)?;
    let trail = read_trail(from)?;
    let (mut expires, mut expiry) = (None, None);
    if has(EXPIRES) {
        expires = Some(Duration::from_micros(from.number()?));
        expiry = Some(u32::try_from(from.number()?).ok()?);
    }
    let mut optional = |flag: u8| if has(flag) { from.bytes().map(Some) } else { Some(None) };
    let (content_type, response_topic) = (optional(CONTENT_TYPE)?, optional(RESPONSE_TOPIC)?);
    let correlation_data = optional(CORRELATION_DATA)?.map(<[u8]>::to_vec);
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec())).transpose().ok();
    let count = from.number()?;
    let user_properties: Option<Vec<_>> =
        (0..count).map(|_| Some((from.text()?.to_owned(), from.text()?.to_owned()))).collect();
    let message = Message {
        topic,
        qos: if has(AT_LEAST_ONCE) { Qos::AtLeastOnce } else { Qos::AtMostOnce },
        retain: has(RETAIN),
        expiry,
        payload_format: if has(TEXT) { PayloadFormat::Text } else { PayloadFormat::Bytes },
        content_type: text(content_type)?,
        response_topic: text(response_topic)?,
        correlation_data,
        user_properties: user_properties?,
        payload: from.bytes()?.to_vec(),
    };
    Some(Envelope { message, id, origin, hops, trail, received, since, expires })
}

/// What has to be known of a row to drop it.
pub fn read_head(sequence: u64, row: &[u8]) -> Option<RowHead> {
    let mut from = Reader(row);
    from.byte()?;
    let bytes = from.number()?;
    let since = Duration::from_micros(from.number()?);
    Some(RowHead { sequence, bytes, since, topic: from.text()?.into() })
}

/// Behind the message in the row of a dead letter.
pub fn write_note(row: &mut Vec<u8>, note: &DeathNote) {
    let mut to = Writer(row);
    to.text(&note.queue.as_ref().map(QueueId::to_string).unwrap_or_default());
    to.text(&note.reason);
    to.number(note.attempts.into());
    to.text(&note.backtrace);
    to.number(note.at.unix_ms);
    to.byte(note.at.trusted.into());
}

pub fn read_note(from: &mut Reader<'_>) -> Option<DeathNote> {
    let queue = from.text()?;
    Some(DeathNote {
        queue: if queue.is_empty() { None } else { Some(queue.parse().ok()?) },
        reason: from.text()?.to_owned(),
        attempts: u32::try_from(from.number()?).ok()?,
        backtrace: from.text()?.to_owned(),
        at: WallTime { unix_ms: from.number()?, trusted: from.byte()? == 1 },
    })
}

fn write_origin(to: &mut Writer<'_>, origin: &Origin) {
    let (kind, name) = match origin {
        Origin::Component(name) => (b'c', &**name),
        Origin::Device(name) => (b'd', &**name),
        Origin::Cloud(name) => (b'u', &**name),
        Origin::Service(name) => (b's', &**name),
        Origin::Operator => (b'o', ""),
    };
    to.byte(kind);
    to.text(name);
}

fn read_origin(from: &mut Reader<'_>) -> Option<Origin> {
    let (kind, name) = (from.byte()?, from.text()?);
    Some(match kind {
        b'c' => Origin::Component(name.into()),
        b'd' => Origin::Device(name.into()),
        b'u' => Origin::Cloud(name.into()),
        b's' => Origin::Service(name.to_owned().into()),
        b'o' => Origin::Operator,
        _ => return None,
    })
}

/// The newest first.
fn write_trail(to: &mut Writer<'_>, trail: Option<&Arc<Trail>>) {
    let hops: Vec<&Arc<Trail>> = std::iter::successors(trail, |hop| hop.before.as_ref()).collect();
    to.number(hops.len() as u64);
    hops.iter().for_each(|hop| to.text(&hop.component));
}

fn read_trail(from: &mut Reader<'_>) -> Option<Option<Arc<Trail>>> {
    let count = from.number()?;
    let components: Option<Vec<&str>> = (0..count).map(|_| from.text()).collect();
    let older = |before, component: &&str| Some(Arc::new(Trail { component: (*component).into(), before }));
    Some(components?.iter().rev().fold(None, older))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
