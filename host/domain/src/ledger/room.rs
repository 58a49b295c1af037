//! The room of a queue that refuses: taken when a message is asked to be published, given back when it is undone or
//! its row has gone.
//!
//! It counts rows that are on disk and rows that are only promised alike, so that two publishers can never be promised
//! the same place. Who else wants room waits or is refused; nothing is ever dropped for it.

use crate::queue::{QueueId, QueueLimits};

use super::Usage;

/// Why a queue takes no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    #[error("queue {queue} is full ({messages} messages, {bytes} bytes); publish again when its reader has caught up")]
    Full { queue: QueueId, messages: u64, bytes: u64 },
    #[error(
        "a message of {bytes} bytes never fits into queue {queue}, which holds {most}; send less, or raise its `bytes`"
    )]
    Never { queue: QueueId, bytes: u64, most: u64 },
}

#[derive(Clone, Debug)]
pub struct Room {
    queue: QueueId,
    messages: u64,
    bytes: u64,
    used: Usage,
}

impl Room {
    pub fn new(queue: QueueId, limits: QueueLimits, used: Usage) -> Room {
        Room { queue, messages: limits.messages, bytes: limits.bytes, used }
    }

    /// What is there already stays, though it be more.
    pub fn resize(&mut self, limits: QueueLimits) {
        self.messages = limits.messages;
        self.bytes = limits.bytes;
    }

    pub fn reserve(&mut self, bytes: u64) -> Result<(), NoRoom> {
        let queue = || self.queue.clone();
        if bytes > self.bytes {
            return Err(NoRoom::Never { queue: queue(), bytes, most: self.bytes });
        }
        if !self.has(bytes) {
            return Err(NoRoom::Full { queue: queue(), messages: self.used.messages, bytes: self.used.bytes });
        }
        self.add(bytes);
        Ok(())
    }

    /// A row that is there, whether there was room for it or not.
    pub fn add(&mut self, bytes: u64) {
        self.used.messages += 1;
        self.used.bytes = self.used.bytes.saturating_add(bytes);
    }

    pub fn release(&mut self, bytes: u64) {
        self.used.messages = self.used.messages.saturating_sub(1);
        self.used.bytes = self.used.bytes.saturating_sub(bytes);
    }

    /// Whether a message of this size would be let in.
    pub fn has(&self, bytes: u64) -> bool {
        self.used.messages < self.messages && self.used.bytes.checked_add(bytes).is_some_and(|sum| sum <= self.bytes)
    }

    pub fn used(&self) -> Usage {
        self.used
    }
}
