//! The rows of one batch: what the ledger has written so far, over what the engine holds.
//!
//! The ledger has to see its own writes before they are anywhere but in the batch. Rows of queues are looked for in the
//! batch itself, which happens seldom; what is read by its key is remembered beside it.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use edgewit_domain::ledger::{Broken, BucketId, DeathNote, QueueRecord, Records, RowHead, SavedTimer, SyncRow};
use edgewit_domain::message::Envelope;
use edgewit_domain::queue::QueueNumber;
use edgewit_domain::shadow::ShadowId;

use crate::batch::{Batch, Change};
use crate::engine::{Engine, EngineError};
use crate::format::{envelope, key, record};

/// What a row's own bytes do not add up to.
pub(crate) const MALFORMED: &str = "its bytes make no sense";

pub(crate) struct Rows<'a> {
    engine: &'a dyn Engine,
    batch: &'a mut Batch,
    /// What this batch did to rows that are read by their key; `None` where it deleted them.
    seen: HashMap<Vec<u8>, Option<Vec<u8>>>,
    row: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub fn new(engine: &'a dyn Engine, batch: &'a mut Batch) -> Self {
        Rows { engine, batch, seen: HashMap::new(), row: Vec::new() }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Broken> {
        match self.seen.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.engine.get(key).map_err(|error| broken(&error)),
        }
    }

    fn put_seen(&mut self, key: Vec<u8>, value: &[u8]) {
        self.batch.put(&key, value);
        self.seen.insert(key, Some(value.to_vec()));
    }

    fn delete_seen(&mut self, key: Vec<u8>) {
        self.batch.delete(&key);
        self.seen.insert(key, None);
    }

    /// What this batch did to the rows of a queue.
    fn changed(&self, queue: QueueNumber, from: u64) -> BTreeMap<u64, Option<RowHead>> {
        let mut changed = BTreeMap::new();
        for change in self.batch.iter() {
            let (key, head) = match change {
                Change::Put { key, value } => (key, Some(value)),
                Change::Delete { key } => (key, None),
            };
            if let Some(sequence) = key::sequence(key::ROWS, queue, key).filter(|sequence| *sequence >= from) {
                changed.insert(sequence, head.and_then(|row| envelope::read_head(sequence, row)));
            }
        }
        changed
    }
}

/// In terms of the ledger.
pub(crate) fn broken(error: &EngineError) -> Broken {
    let queue = match error {
        EngineError::Damaged { key } | EngineError::Torn { near: key } => key::queue_of(key),
        _ => None,
    };
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    Broken { queue, reason }
}

/// The first key that comes after this one.
fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

fn malformed(queue: Option<QueueNumber>, key: &[u8]) -> Broken {
    Broken { queue, reason: format!("the row with the key {}: {MALFORMED}", key.escape_ascii()) }
}

impl Records for Rows<'_> {
    fn rows(
        &self,
        queue: QueueNumber,
        from: u64,
        visit: &mut dyn FnMut(RowHead) -> ControlFlow<()>,
    ) -> Result<(), Broken> {
        let mut changed = self.changed(queue, from);
        let mut ended = false;
        let mut wrong = None;
        let (first, end) = (key::row(queue, from), key::end(&key::queue_rows(queue)));
        let scanned = self.engine.scan(&first, &end, &mut |key, value| {
            let sequence = key::sequence(key::ROWS, queue, key);
            let Some(head) = sequence.and_then(|sequence| envelope::read_head(sequence, value)) else {
                wrong = Some(malformed(Some(queue), key));
                return ControlFlow::Break(());
            };
            match changed.remove(&head.sequence) {
                Some(None) => ControlFlow::Continue(()),
                Some(Some(_)) | None => {
                    let answer = visit(head);
                    ended = answer.is_break();
                    answer
                }
            }
        });
        scanned.map_err(|error| broken(&error))?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        // What is left was appended by this batch.
        for head in changed.into_values().flatten() {
            if ended || visit(head).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn row_of_topic(&self, queue: QueueNumber, topic: &str) -> Result<Option<u64>, Broken> {
        let key = key::topic(queue, topic);
        let Some(row) = self.get(&key)? else { return Ok(None) };
        record::read_number(&row).map(Some).ok_or_else(|| malformed(Some(queue), &key))
    }

    fn value(&self, bucket: &BucketId, key: &str) -> Result<Option<Vec<u8>>, Broken> {
        self.get(&key::value(bucket, key))
    }

    fn retained(&self, topic: &str) -> Result<Option<u64>, Broken> {
        let key = key::retained(topic);
        let Some(row) = self.get(&key)? else { return Ok(None) };
        let head = envelope::read_head(0, &row).ok_or_else(|| malformed(None, &key))?;
        Ok(Some(head.bytes))
    }

    fn shadow(&self, id: &ShadowId) -> Result<Option<Vec<u8>>, Broken> {
        self.get(&key::shadow(id))
    }

    fn sync_row(&self, cloud: &str, id: &ShadowId) -> Result<Option<Vec<u8>>, Broken> {
        self.get(&key::sync_row(cloud, id))
    }

    fn clear(&mut self, queue: QueueNumber, after: Option<Vec<u8>>, count: usize) -> Result<Option<Vec<u8>>, Broken> {
        let mut from = after.unwrap_or_default();
        let mut left = count;
        for prefix in key::beside(queue) {
            let end = key::end(&prefix);
            from = from.max(prefix);
            while left > 0 && from < end {
                let first = from.clone();
                let found = self.engine.scan(&first, &end, &mut |key, _| {
                    self.batch.delete(key);
                    from = behind(key);
                    left -= 1;
                    if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                });
                match found {
                    Ok(()) if left > 0 => from.clone_from(&end),
                    Ok(()) => {}
                    // Its key is known, and that is enough to remove it.
                    Err(EngineError::Damaged { key }) if key >= from => {
                        self.batch.delete(&key);
                        from = behind(&key);
                        left -= 1;
                    }
                    // Rows behind this cannot be found.
                    Err(EngineError::Damaged { .. } | EngineError::Torn { .. }) => from.clone_from(&end),
                    Err(error) => return Err(broken(&error)),
                }
            }
        }
        Ok((count > 0 && left == 0).then_some(from))
    }

    fn put_queue(&mut self, queue: QueueNumber, record: &QueueRecord) {
        self.row.clear();
        record::write_queue(&mut self.row, record);
        self.batch.put(&key::queue(queue), &self.row);
    }

    fn put_row(&mut self, queue: QueueNumber, sequence: u64, envelope: &Envelope, note: Option<&DeathNote>) {
        self.row.clear();
        envelope::write(&mut self.row, envelope);
        note.iter().for_each(|note| envelope::write_note(&mut self.row, note));
        self.batch.put(&key::row(queue, sequence), &self.row);
    }

    fn delete_row(&mut self, queue: QueueNumber, sequence: u64) {
        self.batch.delete(&key::row(queue, sequence));
    }

    fn put_attempts(&mut self, queue: QueueNumber, sequence: u64, failed: u32) {
        self.batch.put(&key::attempts(queue, sequence), &record::write_number(failed.into()));
    }

    fn delete_attempts(&mut self, queue: QueueNumber, sequence: u64) {
        self.batch.delete(&key::attempts(queue, sequence));
    }

    fn put_row_of_topic(&mut self, queue: QueueNumber, topic: &str, sequence: u64) {
        self.put_seen(key::topic(queue, topic), &record::write_number(sequence));
    }

    fn delete_row_of_topic(&mut self, queue: QueueNumber, topic: &str) {
        self.delete_seen(key::topic(queue, topic));
    }

    fn put_value(&mut self, bucket: &BucketId, key: &str, value: &[u8]) {
        self.put_seen(key::value(bucket, key), value);
    }

    fn delete_value(&mut self, bucket: &BucketId, key: &str) {
        self.delete_seen(key::value(bucket, key));
    }

    fn put_bucket(&mut self, bucket: &BucketId, bytes: u64) {
        self.batch.put(&key::bucket(bucket), &record::write_number(bytes));
    }

    fn put_retained(&mut self, envelope: &Envelope) {
        let mut row = Vec::new();
        envelope::write(&mut row, envelope);
        self.put_seen(key::retained(envelope.message.topic.as_str()), &row);
    }

    fn delete_retained(&mut self, topic: &str) {
        self.delete_seen(key::retained(topic));
    }

    fn put_shadow(&mut self, id: &ShadowId, document: &[u8]) {
        self.put_seen(key::shadow(id), document);
    }

    fn delete_shadow(&mut self, id: &ShadowId) {
        self.delete_seen(key::shadow(id));
    }

    fn put_sync_row(&mut self, sync: &SyncRow) {
        let key = key::sync_row(&sync.cloud, &sync.id);
        match &sync.row {
            Some(row) => self.put_seen(key, row),
            None => self.delete_seen(key),
        }
    }

    fn put_timer(&mut self, component: &str, name: &str, timer: &SavedTimer) {
        self.row.clear();
        record::write_timer(&mut self.row, timer);
        self.batch.put(&key::timer(component, name), &self.row);
    }

    fn delete_timer(&mut self, component: &str, name: &str) {
        self.batch.delete(&key::timer(component, name));
    }
}
