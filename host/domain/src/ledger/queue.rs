//! One durable queue: what is counted of it, and which of its rows goes first when one has to.
//!
//! Its rows are on disk and not here; a queue of a million messages is as small as one of ten. What is here of
//! them are the few oldest, read when they are needed to make room, and forgotten when in doubt.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

use super::Usage;
use super::records::{Broken, QueueRecord, Records, RowHead, Windows};
use crate::message::{Envelope, Message};
use crate::queue::{FullRule, QueueLimits, QueueNumber};

/// Rows that are remembered to be dropped next.
const OLDEST: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub number: QueueNumber,
    pub record: QueueRecord,
    /// Nothing where nobody reads it: it takes nothing more, and drops nothing.
    pub limits: Option<QueueLimits>,
    /// A row of it could not be read.
    pub damaged: bool,
    oldest: VecDeque<RowHead>,
    /// `oldest` has every row below this.
    known_to: u64,
    /// As it was when the batch began, if it was touched since.
    before: Option<Box<QueueRecord>>,
    limits_before: Option<QueueLimits>,
}

impl Queue {
    pub fn new(number: QueueNumber, record: QueueRecord, limits: Option<QueueLimits>) -> Queue {
        let known_to = record.head;
        let (oldest, limits_before) = (VecDeque::new(), None);
        Queue { number, record, limits, damaged: false, oldest, known_to, before: None, limits_before }
    }

    /// To be called before every change. True the first time in a batch.
    pub fn touch(&mut self) -> bool {
        let first = self.before.is_none();
        if first {
            self.before = Some(Box::new(self.record.clone()));
            self.limits_before = self.limits;
        }
        first
    }

    pub fn is_changed(&self) -> bool {
        self.before.as_deref().is_some_and(|before| *before != self.record)
    }

    pub fn keep(&mut self) {
        self.before = None;
    }

    pub fn undo(&mut self) {
        if let Some(before) = self.before.take() {
            self.record = *before;
            self.limits = self.limits_before;
            self.forget();
        }
    }

    /// Counts a row that came; where the queue keeps one for each topic, it takes the place of another. Returns its
    /// sequence number.
    pub fn append(
        &mut self,
        envelope: &Envelope,
        records: &mut dyn Records,
        windows: &mut dyn Windows,
    ) -> Result<u64, Broken> {
        let topic = envelope.message.topic.as_str();
        if self.keeps_topics() {
            // Below the head lies at most what could not be removed of a damaged queue.
            if let Some(sequence) = records.row_of_topic(self.number, topic)?.filter(|row| *row >= self.record.head)
                && windows.retract(self.number, sequence)
            {
                let bytes = self.bytes_of(sequence, records)?;
                self.take_off(sequence, bytes, topic, records)?;
                self.record.dropped += 1;
            }
            records.put_row_of_topic(self.number, topic, self.record.next);
            self.record.beside = true;
        }
        let sequence = self.record.next;
        let bytes = row_bytes(&envelope.message);
        self.record.next += 1;
        self.record.messages += 1;
        self.record.bytes += bytes;
        if self.has_to_know() && self.known_to == sequence && self.oldest.len() < OLDEST {
            self.oldest.push_back(RowHead { sequence, bytes, since: envelope.since, topic: topic.into() });
            self.known_to = sequence + 1;
        }
        Ok(sequence)
    }

    /// Drops the oldest rows below `before` that nobody has in hand, until the queue is within its limits.
    pub fn make_room(
        &mut self,
        before: u64,
        records: &mut dyn Records,
        windows: &mut dyn Windows,
    ) -> Result<(), Broken> {
        while self.is_over() {
            if self.drop_oldest(records, windows, |row| row.sequence < before)?.is_none() {
                break;
            }
            self.record.dropped += 1;
        }
        Ok(())
    }

    /// Nothing counts any more of what was in it. Its numbers go on.
    pub fn empty(&mut self) -> Usage {
        let gone = Usage { messages: self.record.messages, bytes: self.record.bytes };
        self.record.dropped += gone.messages;
        let record = &mut self.record;
        (record.head, record.messages, record.bytes, record.beside) = (record.next, 0, 0, false);
        self.forget();
        gone
    }

    pub fn read_by(&mut self, limits: QueueLimits) {
        self.limits = Some(limits);
        self.record.left = None;
        self.forget();
    }

    /// Whether there may be rows to sweep, without looking.
    pub fn is_due(&self, now: Duration, keep: Duration) -> bool {
        if self.record.messages == 0 || self.damaged {
            return false;
        }
        let age = self.limits.and_then(|limits| limits.age);
        let old = |age: Duration| self.oldest.front().is_none_or(|row| row.since.saturating_add(age) <= now);
        self.is_given_up(now, keep) || self.is_over() || age.is_some_and(old)
    }

    /// Drops one row that is too old, more than allowed, or of no use to anyone. Returns its bytes.
    pub fn sweep_one(
        &mut self,
        now: Duration,
        keep: Duration,
        records: &mut dyn Records,
        windows: &mut dyn Windows,
    ) -> Result<Option<u64>, Broken> {
        let any = self.is_given_up(now, keep) || self.is_over();
        let age = self.limits.and_then(|limits| limits.age);
        let too_old = |row: &RowHead| age.is_some_and(|age| row.since.saturating_add(age) <= now);
        let gone = self.drop_oldest(records, windows, |row| any || too_old(row))?;
        if gone.is_some() {
            *(if any { &mut self.record.dropped } else { &mut self.record.expired }) += 1;
        }
        Ok(gone)
    }

    fn is_given_up(&self, now: Duration, keep: Duration) -> bool {
        self.limits.is_none() && self.record.left.is_some_and(|left| left.saturating_add(keep) <= now)
    }

    fn is_over(&self) -> bool {
        let over = |limits: QueueLimits| self.record.messages > limits.messages || self.record.bytes > limits.bytes;
        self.limits.filter(|limits| limits.full != FullRule::Refuse).is_some_and(over)
    }

    fn keeps_topics(&self) -> bool {
        self.limits.is_some_and(|limits| limits.full == FullRule::LastPerTopic)
    }

    /// Drops the oldest row that nobody has in hand, if it is one of those. Returns its bytes.
    pub fn drop_oldest(
        &mut self,
        records: &mut dyn Records,
        windows: &mut dyn Windows,
        wanted: impl Fn(&RowHead) -> bool,
    ) -> Result<Option<u64>, Broken> {
        let mut in_hand = Vec::new();
        let found = loop {
            if self.oldest.is_empty() && !self.learn(records)? {
                break None;
            }
            let Some(row) = self.oldest.pop_front() else { break None };
            if !wanted(&row) {
                self.oldest.push_front(row);
                break None;
            }
            if windows.retract(self.number, row.sequence) {
                break Some(row);
            }
            in_hand.push(row);
        };
        let mut dropped = None;
        if let Some(row) = found {
            self.take_off(row.sequence, row.bytes, &row.topic, records)?;
            dropped = Some(row.bytes);
        }
        for row in in_hand.into_iter().rev() {
            self.oldest.push_front(row);
        }
        Ok(dropped)
    }

    /// Takes a row off that is there, and what is beside it, whatever rule it came under.
    pub fn take_off(
        &mut self,
        sequence: u64,
        bytes: u64,
        topic: &str,
        records: &mut dyn Records,
    ) -> Result<(), Broken> {
        if self.record.beside {
            if records.row_of_topic(self.number, topic)? == Some(sequence) {
                records.delete_row_of_topic(self.number, topic);
            }
            records.delete_attempts(self.number, sequence);
        }
        records.delete_row(self.number, sequence);
        self.record.messages = self.record.messages.saturating_sub(1);
        self.record.bytes = self.record.bytes.saturating_sub(bytes);
        if self.oldest.front().is_some_and(|row| row.sequence == sequence) {
            self.oldest.pop_front();
        } else if let Ok(place) = self.oldest.binary_search_by_key(&sequence, |row| row.sequence) {
            self.oldest.remove(place);
        }
        if self.record.messages == 0 {
            self.record.head = self.record.next;
            self.record.beside = false;
            self.forget();
        } else if self.record.head == sequence {
            self.record.head = sequence + 1;
        }
        self.known_to = self.known_to.max(self.record.head);
        Ok(())
    }

    /// Only some rules and limits ever ask for the oldest row.
    fn has_to_know(&self) -> bool {
        self.limits.is_some_and(|limits| limits.full != FullRule::Refuse || limits.age.is_some())
    }

    fn learn(&mut self, records: &dyn Records) -> Result<bool, Broken> {
        let oldest = &mut self.oldest;
        records.rows(self.number, self.known_to, &mut |row| {
            oldest.push_back(row);
            if oldest.len() < OLDEST { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.known_to = oldest.back().map_or(self.record.next, |row| row.sequence + 1);
        Ok(!oldest.is_empty())
    }

    fn forget(&mut self) {
        self.oldest.clear();
        self.known_to = self.record.head;
    }

    fn bytes_of(&self, sequence: u64, records: &dyn Records) -> Result<u64, Broken> {
        let mut bytes = 0;
        records.rows(self.number, sequence, &mut |row| {
            if row.sequence == sequence {
                bytes = row.bytes;
            }
            ControlFlow::Break(())
        })?;
        Ok(bytes)
    }
}

/// What a message counts in a durable queue: itself, and what its row needs beside it.
pub fn row_bytes(message: &Message) -> u64 {
    message.size() as u64 + crate::limits::ROW_BYTES
}
