//! A store in memory: batches that are kept or undone, and a copy for a power cut.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::ledger::{
    Broken, BucketId, DeathNote, Opening, QueueRecord, Records, RowHead, SavedTimer, SyncRow, Usage, row_bytes,
    shadow_bytes,
};
use edgewit_domain::message::{Envelope, Message, MessageId, Origin, WallTime};
use edgewit_domain::queue::QueueNumber;
use edgewit_domain::shadow::ShadowId;
use edgewit_domain::topic::Topic;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Queue(QueueNumber),
    Row(QueueNumber, u64),
    Attempts(QueueNumber, u64),
    Topic(QueueNumber, String),
    Value(BucketId, String),
    Bucket(BucketId),
    Retained(String),
    Shadow(ShadowId),
    Sync(String, ShadowId),
    Timer(String, String),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Queue(QueueRecord),
    Row(Arc<Envelope>, Option<DeathNote>),
    Number(u64),
    Bytes(Vec<u8>),
    Timer(SavedTimer),
}

#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub rows: BTreeMap<Key, Value>,
    undo: Vec<(Key, Option<Value>)>,
    /// How many rows were looked at.
    pub looks: std::cell::Cell<u64>,
}

impl Memory {
    pub fn keep(&mut self) {
        self.undo.clear();
    }

    pub fn undo(&mut self) {
        for (key, before) in self.undo.drain(..).rev() {
            match before {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }

    /// What the batch under way has deleted.
    pub fn deleted(&self, key: &Key) -> Option<&Value> {
        self.undo.iter().rev().find(|(changed, _)| changed == key)?.1.as_ref()
    }

    fn put(&mut self, key: Key, value: Value) {
        let before = self.rows.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    fn delete(&mut self, key: Key) {
        let before = self.rows.remove(&key);
        self.undo.push((key, before));
    }

    pub fn opening(&self) -> Opening {
        let mut opening = Opening::default();
        for (key, value) in &self.rows {
            match (key, value) {
                (Key::Queue(number), Value::Queue(record)) => opening.queues.push((*number, record.clone())),
                (Key::Bucket(id), Value::Number(bytes)) => opening.buckets.push((id.clone(), *bytes)),
                (Key::Retained(_), Value::Row(envelope, _)) => {
                    let Usage { messages, bytes } = &mut opening.retained;
                    *messages += 1;
                    *bytes += row_bytes(&envelope.message);
                }
                (Key::Shadow(id), Value::Bytes(document)) => {
                    opening.shadows.messages += 1;
                    opening.shadows.bytes += shadow_bytes(id, document);
                }
                (Key::Sync(_, id), Value::Bytes(row)) => opening.shadows.bytes += shadow_bytes(id, row),
                _ => {}
            }
        }
        opening
    }

    pub fn queue(&self, queue: QueueNumber) -> impl Iterator<Item = (u64, &Arc<Envelope>)> {
        self.queue_from(queue, 0)
    }

    pub fn queue_from(&self, queue: QueueNumber, from: u64) -> impl Iterator<Item = (u64, &Arc<Envelope>)> {
        self.rows.range(Key::Row(queue, from)..=Key::Row(queue, u64::MAX)).filter_map(|row| match row {
            (Key::Row(_, sequence), Value::Row(envelope, _)) => Some((*sequence, envelope)),
            _ => None,
        })
    }

    pub fn attempts(&self, queue: QueueNumber, sequence: u64) -> u32 {
        match self.rows.get(&Key::Attempts(queue, sequence)) {
            Some(Value::Number(failed)) => u32::try_from(*failed).unwrap(),
            _ => 0,
        }
    }

    fn number(&self, key: &Key) -> Option<u64> {
        match self.rows.get(key) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }
}

impl Records for Memory {
    fn rows(
        &self,
        queue: QueueNumber,
        from: u64,
        visit: &mut dyn FnMut(RowHead) -> ControlFlow<()>,
    ) -> Result<(), Broken> {
        for (sequence, envelope) in self.queue_from(queue, from) {
            self.looks.set(self.looks.get() + 1);
            let topic = envelope.message.topic.as_str().into();
            if visit(RowHead { sequence, bytes: row_bytes(&envelope.message), since: envelope.since, topic }).is_break()
            {
                break;
            }
        }
        Ok(())
    }

    fn row_of_topic(&self, queue: QueueNumber, topic: &str) -> Result<Option<u64>, Broken> {
        Ok(self.number(&Key::Topic(queue, topic.to_owned())))
    }

    fn value(&self, bucket: &BucketId, key: &str) -> Result<Option<Vec<u8>>, Broken> {
        Ok(match self.rows.get(&Key::Value(bucket.clone(), key.to_owned())) {
            Some(Value::Bytes(bytes)) => Some(bytes.clone()),
            _ => None,
        })
    }

    fn retained(&self, topic: &str) -> Result<Option<u64>, Broken> {
        Ok(match self.rows.get(&Key::Retained(topic.to_owned())) {
            Some(Value::Row(envelope, _)) => Some(row_bytes(&envelope.message)),
            _ => None,
        })
    }

    fn shadow(&self, id: &ShadowId) -> Result<Option<Vec<u8>>, Broken> {
        Ok(match self.rows.get(&Key::Shadow(id.clone())) {
            Some(Value::Bytes(bytes)) => Some(bytes.clone()),
            _ => None,
        })
    }

    fn sync_row(&self, cloud: &str, id: &ShadowId) -> Result<Option<Vec<u8>>, Broken> {
        Ok(match self.rows.get(&Key::Sync(cloud.to_owned(), id.clone())) {
            Some(Value::Bytes(bytes)) => Some(bytes.clone()),
            _ => None,
        })
    }

    /// What was removed is gone, so that each piece begins at the first that is left.
    fn clear(&mut self, queue: QueueNumber, _: Option<Vec<u8>>, count: usize) -> Result<Option<Vec<u8>>, Broken> {
        let of_queue =
            |key: &&Key| matches!(key, Key::Row(of, _) | Key::Attempts(of, _) | Key::Topic(of, _) if *of == queue);
        let gone: Vec<Key> = self.rows.keys().filter(of_queue).take(count).cloned().collect();
        let more = gone.len() >= count.max(1);
        gone.into_iter().for_each(|key| self.delete(key));
        Ok(more.then(Vec::new))
    }

    fn put_queue(&mut self, queue: QueueNumber, record: &QueueRecord) {
        self.put(Key::Queue(queue), Value::Queue(record.clone()));
    }

    fn put_row(&mut self, queue: QueueNumber, sequence: u64, envelope: &Envelope, note: Option<&DeathNote>) {
        let before = self.rows.get(&Key::Row(queue, sequence));
        assert!(before.is_none(), "a sequence number is used twice: {queue:?} {sequence}");
        self.put(Key::Row(queue, sequence), Value::Row(Arc::new(envelope.clone()), note.cloned()));
    }

    fn delete_row(&mut self, queue: QueueNumber, sequence: u64) {
        assert!(self.rows.contains_key(&Key::Row(queue, sequence)), "no such row: {queue:?} {sequence}");
        self.delete(Key::Row(queue, sequence));
    }

    fn put_attempts(&mut self, queue: QueueNumber, sequence: u64, failed: u32) {
        self.put(Key::Attempts(queue, sequence), Value::Number(failed.into()));
    }

    fn delete_attempts(&mut self, queue: QueueNumber, sequence: u64) {
        self.delete(Key::Attempts(queue, sequence));
    }

    fn put_row_of_topic(&mut self, queue: QueueNumber, topic: &str, sequence: u64) {
        self.put(Key::Topic(queue, topic.to_owned()), Value::Number(sequence));
    }

    fn delete_row_of_topic(&mut self, queue: QueueNumber, topic: &str) {
        self.delete(Key::Topic(queue, topic.to_owned()));
    }

    fn put_value(&mut self, bucket: &BucketId, key: &str, value: &[u8]) {
        self.put(Key::Value(bucket.clone(), key.to_owned()), Value::Bytes(value.to_vec()));
    }

    fn delete_value(&mut self, bucket: &BucketId, key: &str) {
        self.delete(Key::Value(bucket.clone(), key.to_owned()));
    }

    fn put_bucket(&mut self, bucket: &BucketId, bytes: u64) {
        self.put(Key::Bucket(bucket.clone()), Value::Number(bytes));
    }

    fn put_retained(&mut self, envelope: &Envelope) {
        let topic = envelope.message.topic.as_str().to_owned();
        self.put(Key::Retained(topic), Value::Row(Arc::new(envelope.clone()), None));
    }

    fn delete_retained(&mut self, topic: &str) {
        self.delete(Key::Retained(topic.to_owned()));
    }

    fn put_shadow(&mut self, id: &ShadowId, document: &[u8]) {
        self.put(Key::Shadow(id.clone()), Value::Bytes(document.to_vec()));
    }

    fn delete_shadow(&mut self, id: &ShadowId) {
        self.delete(Key::Shadow(id.clone()));
    }

    fn put_sync_row(&mut self, sync: &SyncRow) {
        let key = Key::Sync(sync.cloud.to_string(), sync.id.clone());
        match &sync.row {
            Some(row) => self.put(key, Value::Bytes(row.clone())),
            None => self.delete(key),
        }
    }

    fn put_timer(&mut self, component: &str, name: &str, timer: &SavedTimer) {
        self.put(Key::Timer(component.to_owned(), name.to_owned()), Value::Timer(timer.clone()));
    }

    fn delete_timer(&mut self, component: &str, name: &str) {
        self.delete(Key::Timer(component.to_owned(), name.to_owned()));
    }
}

/// A message that was taken at some time.
pub fn envelope(number: u64, topic: &str, payload: Vec<u8>, since: Duration) -> Envelope {
    Envelope {
        message: Message::new(Topic::parse(topic).unwrap(), payload),
        id: MessageId { epoch: 1, number },
        origin: Origin::Operator,
        hops: 0,
        trail: None,
        received: WallTime { unix_ms: 0, trusted: false },
        since,
        expires: None,
    }
}
