//! Rows that are no messages: what is counted of a queue, timers, the gateway's uptime.

use std::time::Duration;

use edgewit_domain::ledger::{QueueRecord, SavedTimer};
use edgewit_domain::message::WallTime;

use super::bytes::{Reader, Writer};

pub fn write_queue(row: &mut Vec<u8>, record: &QueueRecord) {
    let QueueRecord { id, head, next, messages, bytes, dropped, expired, left, beside } = record;
    let mut to = Writer(row);
    to.text(&id.to_string());
    for number in [*head, *next, *messages, *bytes, *dropped, *expired] {
        to.number(number);
    }
    // Zero where it has a reader.
    to.number(left.map_or(0, |left| micros(left).saturating_add(1)));
    to.byte((*beside).into());
}

pub fn read_queue(row: &[u8]) -> Option<QueueRecord> {
    let mut from = Reader(row);
    Some(QueueRecord {
        id: from.text()?.parse().ok()?,
        head: from.number()?,
        next: from.number()?,
        messages: from.number()?,
        bytes: from.number()?,
        dropped: from.number()?,
        expired: from.number()?,
        left: from.number()?.checked_sub(1).map(Duration::from_micros),
        beside: from.byte()? != 0,
    })
}

pub fn write_timer(row: &mut Vec<u8>, timer: &SavedTimer) {
    let SavedTimer { due, payload, attempt } = timer;
    let mut to = Writer(row);
    to.number(micros(*due));
    to.number((*attempt).into());
    to.bytes(payload);
}

pub fn read_timer(row: &[u8]) -> Option<SavedTimer> {
    let mut from = Reader(row);
    Some(SavedTimer {
        due: Duration::from_micros(from.number()?),
        attempt: u32::try_from(from.number()?).ok()?,
        payload: from.bytes()?.to_vec(),
    })
}

pub fn write_uptime(row: &mut Vec<u8>, uptime: Duration, wall: WallTime) {
    let mut to = Writer(row);
    to.number(micros(uptime));
    to.number(wall.unix_ms);
    to.byte(wall.trusted.into());
}

pub fn read_uptime(row: &[u8]) -> Option<(Duration, WallTime)> {
    let mut from = Reader(row);
    let uptime = Duration::from_micros(from.number()?);
    Some((uptime, WallTime { unix_ms: from.number()?, trusted: from.byte()? == 1 }))
}

pub fn write_number(number: u64) -> Vec<u8> {
    let mut row = Vec::new();
    Writer(&mut row).number(number);
    row
}

pub fn read_number(row: &[u8]) -> Option<u64> {
    Reader(row).number()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
