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
    #[error(
        "queue {queue} is full ({} messages, {} bytes); publish again when its reader has caught up",
        used.messages,
        used.bytes
    )]
    Full {
        queue: QueueId,
        used: Usage,
        /// All that was asked for together.
        wanted: Usage,
    },
    #[error(
        "queue {queue} never holds {} messages with {} bytes, which are published together; raise its `messages` and \
         `bytes`, or publish less at once",
        wanted.messages,
        wanted.bytes
    )]
    Never { queue: QueueId, wanted: Usage },
}

#[derive(Clone, Debug)]
pub struct Room {
    queue: QueueId,
    most: Usage,
    used: Usage,
}

impl Room {
    pub fn new(queue: QueueId, limits: QueueLimits, used: Usage) -> Room {
        Room { queue, most: most(limits), used }
    }

    pub fn queue(&self) -> &QueueId {
        &self.queue
    }

    /// What is there already stays, though it be more.
    pub fn resize(&mut self, limits: QueueLimits) {
        self.most = most(limits);
    }

    /// Room for one message of this size more; `promised` is what the same handling has got already.
    pub fn reserve(&mut self, bytes: u64, promised: Usage) -> Result<(), NoRoom> {
        let one = Usage { messages: 1, bytes };
        let (queue, wanted) = (|| self.queue.clone(), promised.and(one));
        if !wanted.fits(self.most) {
            return Err(NoRoom::Never { queue: queue(), wanted });
        }
        if !self.has(one) {
            return Err(NoRoom::Full { queue: queue(), used: self.used, wanted });
        }
        self.add(bytes);
        Ok(())
    }

    /// A row that is there, whether there was room for it or not.
    pub fn add(&mut self, bytes: u64) {
        self.used = self.used.and(Usage { messages: 1, bytes });
    }

    pub fn release(&mut self, bytes: u64) {
        self.used.messages = self.used.messages.saturating_sub(1);
        self.used.bytes = self.used.bytes.saturating_sub(bytes);
    }

    /// All of these rows have gone.
    pub fn forget(&mut self, gone: Usage) {
        self.used.messages = self.used.messages.saturating_sub(gone.messages);
        self.used.bytes = self.used.bytes.saturating_sub(gone.bytes);
    }

    /// Whether so much more would be let in.
    pub fn has(&self, wanted: Usage) -> bool {
        let left = |most: u64, used: u64, wanted: u64| most.checked_sub(used).is_some_and(|left| wanted <= left);
        left(self.most.messages, self.used.messages, wanted.messages)
            && left(self.most.bytes, self.used.bytes, wanted.bytes)
    }

    pub fn used(&self) -> Usage {
        self.used
    }
}

impl Usage {
    pub fn and(self, more: Usage) -> Usage {
        Usage { messages: self.messages.saturating_add(more.messages), bytes: self.bytes.saturating_add(more.bytes) }
    }

    fn fits(self, most: Usage) -> bool {
        self.messages <= most.messages && self.bytes <= most.bytes
    }
}

fn most(limits: QueueLimits) -> Usage {
    Usage { messages: limits.messages, bytes: limits.bytes }
}
