//! What the ledger reads and writes: the rows of a store, by what they mean.
//!
//! How a row looks on disk, and where, is not known here. What a batch has written so far is seen by its later
//! reads; whoever implements this sees to that, and to all of the batch becoming durable or nothing.

use std::ops::ControlFlow;
use std::time::Duration;

use super::unit::{BucketId, DeathNote, SavedTimer, SyncRow};
use crate::message::Envelope;
use crate::queue::{QueueId, QueueNumber};
use crate::shadow::ShadowId;

/// A row that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read: {reason}")]
pub struct Broken {
    /// The queue whose row it is, if it is one's.
    pub queue: Option<QueueNumber>,
    pub reason: String,
}

/// What is kept about a queue beside its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRecord {
    pub id: QueueId,
    /// No row has a lower sequence number.
    pub head: u64,
    /// The sequence number of the next row.
    pub next: u64,
    pub messages: u64,
    pub bytes: u64,
    /// Rows dropped because the queue was full, and because of their age.
    pub dropped: u64,
    pub expired: u64,
    /// Since when nobody reads it, by running time.
    pub left: Option<Duration>,
    /// Some of its rows may have something beside them that goes with them: a topic that names them, attempts.
    pub beside: bool,
}

/// What the ledger has to know of a row that it drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowHead {
    pub sequence: u64,
    pub bytes: u64,
    /// When the hub took the message, by running time.
    pub since: Duration,
    pub topic: Box<str>,
}

pub trait Records {
    /// The rows of a queue from a sequence number on, in order, until `visit` breaks.
    fn rows(
        &self,
        queue: QueueNumber,
        from: u64,
        visit: &mut dyn FnMut(RowHead) -> ControlFlow<()>,
    ) -> Result<(), Broken>;
    /// The row that waits with this topic, in a queue that keeps one for each.
    fn row_of_topic(&self, queue: QueueNumber, topic: &str) -> Result<Option<u64>, Broken>;
    fn value(&self, bucket: &BucketId, key: &str) -> Result<Option<Vec<u8>>, Broken>;
    /// Bytes of the retained message of a topic.
    fn retained(&self, topic: &str) -> Result<Option<u64>, Broken>;
    fn shadow(&self, id: &ShadowId) -> Result<Option<Vec<u8>>, Broken>;
    fn sync_row(&self, cloud: &str, id: &ShadowId) -> Result<Option<Vec<u8>>, Broken>;

    /// Removes whatever is kept of a queue but its record, readable or not: at most `count` rows, behind `after`.
    /// Returns where it ended, if there may be more. What cannot even be found is left lying; with a `count` of nothing
    /// everything is.
    fn clear(&mut self, queue: QueueNumber, after: Option<Vec<u8>>, count: usize) -> Result<Option<Vec<u8>>, Broken>;
    fn put_queue(&mut self, queue: QueueNumber, record: &QueueRecord);
    fn put_row(&mut self, queue: QueueNumber, sequence: u64, envelope: &Envelope, note: Option<&DeathNote>);
    fn delete_row(&mut self, queue: QueueNumber, sequence: u64);
    fn put_attempts(&mut self, queue: QueueNumber, sequence: u64, failed: u32);
    fn delete_attempts(&mut self, queue: QueueNumber, sequence: u64);
    fn put_row_of_topic(&mut self, queue: QueueNumber, topic: &str, sequence: u64);
    fn delete_row_of_topic(&mut self, queue: QueueNumber, topic: &str);
    fn put_value(&mut self, bucket: &BucketId, key: &str, value: &[u8]);
    fn delete_value(&mut self, bucket: &BucketId, key: &str);
    fn put_bucket(&mut self, bucket: &BucketId, bytes: u64);
    fn put_retained(&mut self, envelope: &Envelope);
    fn delete_retained(&mut self, topic: &str);
    fn put_shadow(&mut self, id: &ShadowId, document: &[u8]);
    fn delete_shadow(&mut self, id: &ShadowId);
    fn put_sync_row(&mut self, sync: &SyncRow);
    fn put_timer(&mut self, component: &str, name: &str, timer: &SavedTimer);
    fn delete_timer(&mut self, component: &str, name: &str);
}

/// Who holds rows of durable queues in memory.
pub trait Windows {
    /// Takes a row out of its reader's window, unless the reader has it in hand. Only then may it be dropped.
    ///
    /// Until the batch is over the reader gets nothing more out of that queue: were the batch undone, the row would be
    /// there again, behind those that stood behind it.
    fn retract(&mut self, queue: QueueNumber, sequence: u64) -> bool;
}
