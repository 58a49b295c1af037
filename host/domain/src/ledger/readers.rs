//! Queues come and go with their readers; their rows and numbers stay.
//!
//! A queue that lost its reader takes nothing more and is kept for a while, in case the reader comes back. Its record
//! is kept for good: whoever gets its name again goes on counting where it ended, since a sequence number that
//! means two messages would make the far side drop one of them.

use std::time::Duration;

use super::queue::Queue;
use super::{Broken, Ledger, Level, QueueRecord, Records, Refusal, Usage, Windows};
use crate::limits::QUEUES;
use crate::message::Envelope;
use crate::queue::{QueueId, QueueLimits, QueueNumber};

/// A queue as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueView {
    pub number: QueueNumber,
    pub record: QueueRecord,
    /// Nothing where nobody reads it.
    pub limits: Option<QueueLimits>,
    pub damaged: bool,
}

/// Rows that went without being handled, and the room that they left: bytes of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub freed: Vec<(QueueNumber, u64)>,
    /// There is more to do than was asked for at once.
    pub more: bool,
}

/// What was dropped of a damaged queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anew {
    /// What was counted in it.
    pub gone: Usage,
    /// Where to go on, if there may be more.
    pub next: Option<Vec<u8>>,
}

impl Ledger {
    /// Gives a queue its reader, and makes it where there is none. Part of a batch.
    pub fn open(&mut self, id: &QueueId, limits: QueueLimits) -> Result<QueueNumber, Refusal> {
        let number = match self.numbers.get(id) {
            Some(number) => *number,
            None => self.create(id)?,
        };
        let queue = self.touch(number)?;
        queue.read_by(limits);
        Ok(number)
    }

    fn create(&mut self, id: &QueueId) -> Result<QueueNumber, Refusal> {
        if self.queues.len() >= QUEUES {
            return Err(Refusal::Full);
        }
        let number = QueueNumber(self.queues.keys().next_back().map_or(1, |last| last.0 + 1));
        let record = QueueRecord {
            id: id.clone(),
            head: 1,
            next: 1,
            messages: 0,
            bytes: 0,
            dropped: 0,
            expired: 0,
            left: None,
            beside: false,
        };
        self.queues.insert(number, Queue::new(number, record, None));
        self.numbers.insert(id.clone(), number);
        self.undo.created.push(number);
        Ok(number)
    }

    /// Nobody reads this queue any more. Part of a batch.
    pub fn leave(&mut self, number: QueueNumber, now: Duration) -> Result<(), Refusal> {
        let queue = self.touch(number)?;
        queue.limits = None;
        queue.record.left.get_or_insert(now);
        Ok(())
    }

    /// Queues without a reader that nobody has left yet: those of a configuration that was changed while the
    /// gateway was down.
    pub fn unread(&self) -> Vec<QueueNumber> {
        let unread = |queue: &&Queue| queue.limits.is_none() && queue.record.left.is_none();
        self.queues.values().filter(unread).map(|queue| queue.number).collect()
    }

    pub fn queues(&self) -> impl Iterator<Item = QueueView> + '_ {
        self.queues.values().map(|queue| QueueView {
            number: queue.number,
            record: queue.record.clone(),
            limits: queue.limits,
            damaged: queue.damaged,
        })
    }

    pub fn number_of(&self, id: &QueueId) -> Option<QueueNumber> {
        self.numbers.get(id).copied()
    }

    pub fn usage_of(&self, number: QueueNumber) -> Usage {
        self.level_of(number).waiting
    }

    pub fn level_of(&self, number: QueueNumber) -> Level {
        self.queues.get(&number).map_or(Level::default(), |queue| Level {
            waiting: Usage { messages: queue.record.messages, bytes: queue.record.bytes },
            dropped: queue.record.dropped,
            expired: queue.record.expired,
        })
    }

    /// No row of a queue has a lower sequence number.
    pub fn head_of(&self, number: QueueNumber) -> u64 {
        self.queues.get(&number).map_or(1, |queue| queue.record.head)
    }

    /// The sequence number of its next row.
    pub fn next_of(&self, number: QueueNumber) -> u64 {
        self.queues.get(&number).map_or(1, |queue| queue.record.next)
    }

    /// A queue by its name, if somebody reads it.
    pub fn reader_of(&self, id: &QueueId) -> Option<QueueNumber> {
        let number = self.number_of(id)?;
        self.queues.get(&number).filter(|queue| queue.limits.is_some()).map(|queue| queue.number)
    }

    /// Puts a message into a queue that others have already. Part of a batch.
    pub fn copy(
        &mut self,
        number: QueueNumber,
        envelope: &Envelope,
        records: &mut dyn Records,
        windows: &mut dyn Windows,
    ) -> Result<(), Refusal> {
        self.append(number, envelope, None, records, windows).map(drop)
    }

    /// A row of it cannot be read: it takes and gives nothing more, until an operator drops it. Names it, if there is
    /// such a queue.
    pub fn damage(&mut self, number: QueueNumber) -> Option<&QueueId> {
        let queue = self.queues.get_mut(&number)?;
        queue.damaged = true;
        Some(&queue.record.id)
    }

    pub fn is_damaged(&self, number: QueueNumber) -> bool {
        self.queues.get(&number).is_some_and(|queue| queue.damaged)
    }

    /// Drops all that is in a damaged queue, without reading it: at most `count` rows behind `after`, and again from
    /// where that ended. It is of use again after the last. With a `count` of nothing its rows are left lying, of no
    /// account: none is read below the head. Part of a batch.
    pub fn begin_anew(
        &mut self,
        number: QueueNumber,
        after: Option<Vec<u8>>,
        count: usize,
        records: &mut dyn Records,
    ) -> Result<Anew, Refusal> {
        let gone = self.touch(number)?.empty();
        let next = records.clear(number, after, count)?;
        if let Some(queue) = self.queues.get_mut(&number).filter(|_| next.is_none()) {
            queue.damaged = false;
        }
        Ok(Anew { gone, next })
    }

    /// Drops what is too old, what is more than a changed limit allows, and what nobody came back for within
    /// `keep`: at most `count` rows. Part of a batch.
    pub fn sweep(
        &mut self,
        now: Duration,
        keep: Duration,
        count: usize,
        records: &mut dyn Records,
        windows: &mut dyn Windows,
    ) -> Result<Swept, Broken> {
        let mut swept = Swept::default();
        let due: Vec<QueueNumber> =
            self.queues.values().filter(|queue| queue.is_due(now, keep)).map(|q| q.number).collect();
        for number in due {
            let Some(queue) = self.queues.get_mut(&number) else { continue };
            if queue.touch() {
                self.undo.queues.push(number);
            }
            while swept.freed.len() < count {
                let Some(bytes) = queue.sweep_one(now, keep, records, windows)? else { break };
                swept.freed.push((number, bytes));
            }
        }
        swept.more = swept.freed.len() >= count;
        Ok(swept)
    }

    /// Drops at most `count` rows of a queue that nobody has in hand. Part of a batch.
    pub fn drop_rows(
        &mut self,
        number: QueueNumber,
        count: usize,
        records: &mut dyn Records,
        windows: &mut dyn Windows,
    ) -> Result<Swept, Refusal> {
        let queue = self.touch(number)?;
        let mut swept = Swept::default();
        while swept.freed.len() < count {
            let Some(bytes) = queue.drop_oldest(records, windows, |_| true)? else { break };
            queue.record.dropped += 1;
            swept.freed.push((number, bytes));
        }
        swept.more = swept.freed.len() >= count;
        Ok(swept)
    }
}
