//! A unit: one change that happens whole or not at all, and what became of it.
//!
//! A handling that returned well is one unit, and so is a message from outside. Many units share one transaction of
//! the store, but each is judged by itself: what makes one impossible does not touch the others.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::records::Broken;
use super::shadows::{ShadowRead, request_on};
use crate::message::{Envelope, WallTime};
use crate::queue::{NoSuchName, QueueId, QueueNumber};
use crate::routing::{ReaderId, Readers};
use crate::shadow::ShadowId;

/// A message and who gets it.
#[derive(Clone, Debug)]
pub struct Planned {
    pub envelope: Arc<Envelope>,
    pub readers: Readers,
}

impl Planned {
    /// The durable queues that it goes into.
    pub fn queues(&self) -> impl Iterator<Item = QueueNumber> + '_ {
        self.readers.iter().filter_map(|reader| match reader {
            ReaderId::Durable(queue) => Some(*queue),
            ReaderId::Live { .. } => None,
        })
    }

    /// Whether any of it has to be on disk before anyone sees it.
    pub fn is_durable(&self) -> bool {
        self.envelope.message.retain || self.queues().next().is_some() || self.asks_shadow()
    }

    /// Whether it is a request to a shadow, which the writer answers.
    pub fn asks_shadow(&self) -> bool {
        request_on(&self.envelope.message.topic).is_some()
    }
}

/// A row that leaves its queue. Whoever asks holds it in hand, so that it is there, and asks once.
#[derive(Clone, Debug)]
pub struct Consumed {
    pub queue: QueueNumber,
    pub sequence: u64,
    pub envelope: Arc<Envelope>,
    /// Failed attempts that are on disk.
    pub failed: u32,
}

/// A row that stays in its queue and was not handled well so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub queue: QueueNumber,
    pub sequence: u64,
    pub failed: u32,
}

/// What a dead letter says beside the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeathNote {
    /// Where the message waited; nothing where it was live or came from the cloud.
    pub queue: Option<QueueId>,
    pub reason: String,
    pub attempts: u32,
    pub backtrace: String,
    pub at: WallTime,
}

/// A message that is given up.
#[derive(Clone, Debug)]
pub struct Burial {
    pub queue: QueueNumber,
    pub envelope: Arc<Envelope>,
    pub note: DeathNote,
}

/// A bucket of values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketId {
    Own { component: Arc<str>, name: Arc<str> },
    Shared(Arc<str>),
}

impl fmt::Display for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BucketId::Own { component, name } => write!(f, "own/{component}/{name}"),
            BucketId::Shared(name) => write!(f, "shared/{name}"),
        }
    }
}

impl FromStr for BucketId {
    type Err = NoSuchName;

    fn from_str(text: &str) -> Result<Self, NoSuchName> {
        match text.split('/').collect::<Vec<_>>().as_slice() {
            ["own", component, name] => Ok(BucketId::Own { component: (*component).into(), name: (*name).into() }),
            ["shared", name] => Ok(BucketId::Shared((*name).into())),
            _ => Err(NoSuchName),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub id: BucketId,
    /// Bytes of keys and values that it may hold.
    pub quota: u64,
}

/// What a handling saw of a bucket that others write as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueRead {
    pub bucket: Arc<Bucket>,
    pub key: String,
    pub value: Option<Arc<[u8]>>,
}

/// `None` deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueChange {
    pub bucket: Arc<Bucket>,
    pub key: String,
    pub value: Option<Arc<[u8]>>,
}

/// A one-shot timer that outlives a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedTimer {
    /// Running time.
    pub due: Duration,
    pub payload: Vec<u8>,
    pub attempt: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerRow {
    pub component: Arc<str>,
    pub name: String,
    /// `None` deletes.
    pub timer: Option<SavedTimer>,
}

/// What is kept of a shadow's synchronisation with a cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncRow {
    pub cloud: Arc<str>,
    pub id: ShadowId,
    /// `None` deletes.
    pub row: Option<Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
pub struct Unit {
    pub consumed: Option<Consumed>,
    pub attempt: Option<Attempt>,
    pub burial: Option<Burial>,
    pub publishes: Vec<Planned>,
    pub reads: Vec<ValueRead>,
    pub shadow_reads: Vec<ShadowRead>,
    /// Holds only together with the requests in `publishes`: where one of those is rejected, nothing of the unit happens.
    pub sync: Option<SyncRow>,
    pub values: Vec<ValueChange>,
    pub timers: Vec<TimerRow>,
}

impl Unit {
    /// Whether there is nothing in it that has to be on disk.
    pub fn is_volatile(&self) -> bool {
        self.consumed.is_none()
            && self.attempt.is_none()
            && self.burial.is_none()
            && self.values.is_empty()
            && self.reads.is_empty()
            && self.shadow_reads.is_empty()
            && self.sync.is_none()
            && self.timers.is_empty()
            && !self.publishes.iter().any(Planned::is_durable)
    }

    /// Whether the store is not larger after it: such a unit is committed though the store is full.
    pub fn only_frees(&self) -> bool {
        self.values.iter().all(|change| change.value.is_none())
            && self.timers.iter().all(|row| row.timer.is_none())
            && self.sync.as_ref().is_none_or(|sync| sync.row.is_none())
            && !self.publishes.iter().any(Planned::is_durable)
    }
}

/// Why nothing of a unit happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the store is full; drain or drop a queue (`edgewit queue ls`), or raise store.bytes")]
    Full,
    #[error("the disk is full; free some of it, or drain or drop a queue (`edgewit queue ls`)")]
    NoSpace,
    #[error("bucket {bucket} would hold more than its {quota} bytes; delete values, or raise its grant's `bytes`")]
    Quota { bucket: BucketId, quota: u64 },
    #[error("{what} was changed by another meanwhile")]
    Stale { what: String },
    #[error("queue {queue} is damaged on disk and takes nothing until `edgewit queue drop {queue}` begins it anew")]
    Damaged { queue: String },
    /// The row of a delivery, or its whole queue.
    #[error("what was handled is not in its queue any more: the queue is damaged, or was dropped meanwhile")]
    Gone,
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("the store is closed; the gateway is shutting down")]
    Closed,
}

/// The sequence numbers that a unit's durable rows got: for each message in turn, for each of its queues in turn.
pub type Sequences = SmallVec<[u64; 4]>;
