//! The keys of rows: a letter for the kind, then what names the row, so that rows that are read together lie together.

use edgewit_domain::ledger::BucketId;
use edgewit_domain::queue::QueueNumber;
use edgewit_domain::shadow::{ShadowId, ShadowName, ThingName};

/// The gateway's uptime.
pub const UPTIME: &[u8] = b"u";
pub const QUEUES: u8 = b'q';
pub const ROWS: u8 = b'r';
pub const ATTEMPTS: u8 = b'a';
pub const TOPICS: u8 = b't';
pub const RETAINED: u8 = b'm';
pub const BUCKETS: u8 = b'b';
pub const VALUES: u8 = b'v';
pub const TIMERS: u8 = b's';
pub const DIGESTS: u8 = b'd';
pub const SHADOWS: u8 = b'w';
pub const SYNC_ROWS: u8 = b'y';

/// Room for every key that has no text in it.
pub type Short = [u8; 13];

pub fn queue(queue: QueueNumber) -> [u8; 5] {
    let mut key = [QUEUES; 5];
    key[1..].copy_from_slice(&queue.0.to_be_bytes());
    key
}

/// What the keys of all rows of a queue begin with.
pub fn queue_rows(queue: QueueNumber) -> [u8; 5] {
    let mut key = self::queue(queue);
    key[0] = ROWS;
    key
}

/// What the keys begin with of everything that is kept of a queue beside its record, in the order of the keys.
pub fn beside(queue: QueueNumber) -> [Vec<u8>; 3] {
    [ATTEMPTS, ROWS, TOPICS].map(|kind| [&[kind], queue.0.to_be_bytes().as_slice()].concat())
}

pub fn row(queue: QueueNumber, sequence: u64) -> Short {
    of_row(ROWS, queue, sequence)
}

pub fn attempts(queue: QueueNumber, sequence: u64) -> Short {
    of_row(ATTEMPTS, queue, sequence)
}

fn of_row(kind: u8, queue: QueueNumber, sequence: u64) -> Short {
    let mut key = [kind; 13];
    key[1..5].copy_from_slice(&queue.0.to_be_bytes());
    key[5..].copy_from_slice(&sequence.to_be_bytes());
    key
}

/// The sequence number in the key of a row, or of its attempts, of this queue.
pub fn sequence(kind: u8, queue: QueueNumber, key: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(&[kind])?.strip_prefix(&queue.0.to_be_bytes())?;
    Some(u64::from_be_bytes(rest.try_into().ok()?))
}

/// The queue in the key of anything that belongs to one.
pub fn queue_of(key: &[u8]) -> Option<QueueNumber> {
    let (kind, rest) = key.split_first()?;
    let known = [QUEUES, ROWS, ATTEMPTS, TOPICS].contains(kind);
    let number = rest.first_chunk().filter(|_| known)?;
    Some(QueueNumber(u32::from_be_bytes(*number)))
}

pub fn topic(queue: QueueNumber, topic: &str) -> Vec<u8> {
    [&[TOPICS], queue.0.to_be_bytes().as_slice(), topic.as_bytes()].concat()
}

pub fn retained(topic: &str) -> Vec<u8> {
    text(RETAINED, topic)
}

pub fn bucket(bucket: &BucketId) -> Vec<u8> {
    text(BUCKETS, &bucket.to_string())
}

/// What the keys of all values of a bucket begin with.
pub fn values(bucket: &BucketId) -> Vec<u8> {
    let mut key = text(VALUES, &bucket.to_string());
    key.push(0);
    key
}

pub fn value(bucket: &BucketId, key: &str) -> Vec<u8> {
    let mut whole = values(bucket);
    whole.extend_from_slice(key.as_bytes());
    whole
}

/// What the keys of all timers of a component begin with.
pub fn timers(component: &str) -> Vec<u8> {
    let mut key = text(TIMERS, component);
    key.push(0);
    key
}

pub fn timer(component: &str, name: &str) -> Vec<u8> {
    let mut key = timers(component);
    key.extend_from_slice(name.as_bytes());
    key
}

/// What the keys of all shadows of a thing begin with.
pub fn shadows(thing: &ThingName) -> Vec<u8> {
    let mut key = text(SHADOWS, thing.as_str());
    key.push(0);
    key
}

/// The classic one has an empty name.
pub fn shadow(id: &ShadowId) -> Vec<u8> {
    let mut key = shadows(&id.thing);
    key.extend_from_slice(id.name.as_ref().map_or("", ShadowName::as_str).as_bytes());
    key
}

/// The shadow in a key.
pub fn shadow_of(key: &[u8]) -> Option<ShadowId> {
    named(std::str::from_utf8(key.strip_prefix(&[SHADOWS])?).ok()?)
}

fn named(text: &str) -> Option<ShadowId> {
    let (thing, name) = text.split_once('\0')?;
    let thing = ThingName::parse(thing).ok()?;
    let name = if name.is_empty() { None } else { Some(ShadowName::parse(name).ok()?) };
    Some(ShadowId { thing, name })
}

/// What the keys begin with of all that is kept of synchronisation with a cloud.
pub fn sync_rows(cloud: &str) -> Vec<u8> {
    let mut key = text(SYNC_ROWS, cloud);
    key.push(0);
    key
}

pub fn sync_row(cloud: &str, id: &ShadowId) -> Vec<u8> {
    let shadow = shadow(id);
    [sync_rows(cloud).as_slice(), shadow.get(1..).unwrap_or_default()].concat()
}

/// The cloud and the shadow in such a key.
pub fn synced(key: &[u8]) -> Option<(&str, ShadowId)> {
    let (cloud, shadow) = std::str::from_utf8(key.strip_prefix(&[SYNC_ROWS])?).ok()?.split_once('\0')?;
    Some((cloud, named(shadow)?))
}

/// Of compiled code.
pub fn digest(name: &str) -> Vec<u8> {
    text(DIGESTS, name)
}

fn text(kind: u8, text: &str) -> Vec<u8> {
    [&[kind], text.as_bytes()].concat()
}

/// The key behind every key with this prefix.
pub fn end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}
