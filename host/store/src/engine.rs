//! The seam between what the gateway keeps and what keeps it: five verbs over bytes.
//!
//! An engine holds one ordered set of rows. It must never show a change before it would survive the power going that
//! very moment, show part of a batch, hand out a value that is not the one that was put, or go on after a commit
//! whose outcome it does not know. It is five verbs and no more, so that a second engine costs little and the crash
//! suite can hold both to the same promises; what a row means is not its business.

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::batch::Batch;

pub mod sled;
pub mod sqlite;

type Source = Box<dyn Error + Send + Sync>;

/// `get`, `scan`, `size` and `check` may be called from any thread and see committed rows only; `commit` is called by
/// one thread.
pub trait Engine: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Rows in the order of their keys, `from` included, `to` not, until `visit` breaks. `visit` is to be short: what
    /// is replaced meanwhile takes room until it returns, and with some engines commits wait for it.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError>;

    /// All of it, durable when this returns. An empty batch has the engine give back to the disk what it does not need.
    fn commit(&self, batch: &Batch) -> Result<(), CommitError>;

    fn size(&self) -> Result<Size, EngineError>;

    /// Reads everything. `watch` is called every few hundred rows; it may wait, so that the check takes no more of
    /// the disk than it is given, and ends the check by breaking.
    fn check(&self, watch: &Watch) -> Result<Checked, EngineError>;
}

/// Is handed a key and its value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

pub type Watch = Arc<dyn Fn(Progress) -> ControlFlow<()> + Send + Sync>;

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// What the engine's files take, the reserve not counted.
    pub bytes: u64,
    /// What of it the next rows will use before the files grow. Zero where the engine cannot tell.
    pub free: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub rows: u64,
    pub bytes: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub rows: u64,
    /// False where the check was ended before it had seen everything.
    pub complete: bool,
    /// In the order of their keys. The first [`FINDINGS`] of them.
    pub findings: Vec<Finding>,
}

/// More findings than this are not listed: the store is broken as a whole.
pub const FINDINGS: usize = 100;

/// Damage, and the keys it may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Included.
    pub from: Vec<u8>,
    /// Not included. `None`: to the end.
    pub to: Option<Vec<u8>>,
    pub what: String,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the row with the key {} is damaged: what is there is not what was written", key.escape_ascii())]
    Damaged { key: Vec<u8> },
    #[error("the store is damaged behind the key {}, and rows there cannot be found", near.escape_ascii())]
    Torn { near: Vec<u8> },
    #[error("reading the store failed")]
    Read(#[source] Source),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing of it happened, and it may be tried again when there is room.
    #[error("the disk is full or a quota is reached: nothing of the change was kept")]
    Refused(#[source] Source),
    /// Nothing of it happened, and it never will: the place where this row belongs is damaged.
    #[error("the store is damaged around the key {}: nothing of the change was kept", key.escape_ascii())]
    Damaged {
        key: Vec<u8>,
        #[source]
        source: Source,
    },
    /// It may have happened or not. Only opening the store anew can tell.
    #[error("the disk failed while a change was written: whether it was kept is not known")]
    Unknown(#[source] Source),
}

/// What an engine answers after its disk failed: the state of the disk is not known until the store is opened anew.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store stopped after {after}; open it anew to see what it holds")]
pub struct Stopped {
    pub after: Arc<str>,
}
