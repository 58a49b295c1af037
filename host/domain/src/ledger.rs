//! The ledger: what a unit means for the store, decided where it is known, one unit after another.
//!
//! Sequence numbers, what a full queue drops, whether a value is still what a handling read of it: all of it depends on
//! what was committed before, and so one writer decides it in commit order, with this. Nothing here touches a disk:
//! rows are read and written through [`Records`], and a batch of units is either kept or undone as a whole, as the
//! disk says. A unit that is refused leaves no trace.
//!
//! A queue with the rule `refuse` never overflows here, because whoever appends holds room in it already
//! ([`Room`]); every other rule makes room by dropping, and a row that a reader has in hand is never dropped.

mod queue;
mod readers;
mod records;
mod room;
mod shadows;
mod unit;

use std::collections::BTreeMap;

use crate::limits::{RETAINED, RETAINED_BYTES};
use crate::message::Envelope;
use crate::queue::{QueueId, QueueNumber};
use crate::shadow;
use queue::Queue;

pub use queue::row_bytes;
pub use readers::{Anew, QueueView, Swept};
pub use records::{Broken, QueueRecord, Records, RowHead, Windows};
pub use room::{NoRoom, Room};
pub use shadows::{Planner, Said, ShadowRead, shadow_bytes};
pub use unit::{
    Attempt, Bucket, BucketId, Burial, Consumed, DeathNote, Planned, Refusal, SavedTimer, Sequences, SyncRow, TimerRow,
    Unit, ValueChange, ValueRead,
};

/// Messages and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub messages: u64,
    pub bytes: u64,
}

/// What is in a queue, and what it has lost since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    pub waiting: Usage,
    /// Rows that made room for others, or were dropped by an operator.
    pub dropped: u64,
    /// Rows that waited longer than they may.
    pub expired: u64,
}

/// Everything that is known of a store without reading it.
#[derive(Debug)]
pub struct Ledger {
    queues: BTreeMap<QueueNumber, Queue>,
    numbers: BTreeMap<QueueId, QueueNumber>,
    buckets: BTreeMap<BucketId, u64>,
    retained: Usage,
    /// Documents, those of deleted shadows among them, and the bytes of what is kept of their synchronisation.
    shadows: Usage,
    shadow_limits: shadow::Limits,
    recent: shadows::Recent,
    /// Messages that were delivered and not kept as retained, because there were too many.
    not_retained: u64,
    quota: u64,
    /// At most so much is kept by now: what there was when the batch began, and what its units add.
    batch_bytes: u64,
    undo: Undo,
}

/// What the batch under way has changed.
#[derive(Debug, Default)]
struct Undo {
    queues: Vec<QueueNumber>,
    created: Vec<QueueNumber>,
    buckets: Vec<(BucketId, Option<u64>)>,
    retained: Usage,
    shadows: Usage,
    not_retained: u64,
}

/// What is read from a store before it is used.
#[derive(Debug, Default)]
pub struct Opening {
    pub queues: Vec<(QueueNumber, QueueRecord)>,
    pub buckets: Vec<(BucketId, u64)>,
    pub retained: Usage,
    pub shadows: Usage,
}

impl Ledger {
    /// No queue has a reader yet.
    pub fn new(opening: Opening, quota: u64, shadow_limits: shadow::Limits) -> Ledger {
        let numbers = opening.queues.iter().map(|(number, record)| (record.id.clone(), *number)).collect();
        let queues = opening.queues.into_iter().map(|(number, record)| (number, Queue::new(number, record, None)));
        Ledger {
            queues: queues.collect(),
            numbers,
            buckets: opening.buckets.into_iter().collect(),
            retained: opening.retained,
            shadows: opening.shadows,
            shadow_limits,
            recent: shadows::Recent::default(),
            not_retained: 0,
            quota,
            batch_bytes: 0,
            undo: Undo::default(),
        }
    }

    /// Begins a batch. It ends with [`Ledger::keep`] or [`Ledger::undo`].
    pub fn begin(&mut self) {
        self.undo.retained = self.retained;
        self.undo.shadows = self.shadows;
        self.undo.not_retained = self.not_retained;
        self.batch_bytes = self.bytes();
    }

    /// Writes what is counted of the queues that the batch has touched.
    pub fn finish(&mut self, records: &mut dyn Records) {
        for number in &self.undo.queues {
            let written = |queue: &&Queue| queue.is_changed() || self.undo.created.contains(number);
            if let Some(queue) = self.queues.get(number).filter(written) {
                records.put_queue(*number, &queue.record);
            }
        }
    }

    /// The queues that the batch has touched, and what is in them now.
    pub fn touched(&self) -> impl Iterator<Item = (QueueNumber, Level)> + '_ {
        self.undo.queues.iter().map(|queue| (*queue, self.level_of(*queue)))
    }

    /// The batch is on disk.
    pub fn keep(&mut self) {
        for number in self.undo.queues.drain(..) {
            if let Some(queue) = self.queues.get_mut(&number) {
                queue.keep();
            }
        }
        self.undo.created.clear();
        self.undo.buckets.clear();
    }

    /// Nothing of the batch happened. Names the queues that it had touched: what was retracted of them waits on disk.
    pub fn undo(&mut self) -> Vec<QueueNumber> {
        let touched: Vec<QueueNumber> = self.undo.queues.drain(..).collect();
        for number in &touched {
            if let Some(queue) = self.queues.get_mut(number) {
                queue.undo();
            }
        }
        for number in self.undo.created.drain(..) {
            if let Some(queue) = self.queues.remove(&number) {
                self.numbers.remove(&queue.record.id);
            }
        }
        for (id, before) in self.undo.buckets.drain(..).rev() {
            match before {
                Some(bytes) => self.buckets.insert(id, bytes),
                None => self.buckets.remove(&id),
            };
        }
        self.retained = self.undo.retained;
        self.shadows = self.undo.shadows;
        self.recent.clear();
        self.not_retained = self.undo.not_retained;
        touched
    }

    /// Makes a unit part of the batch, or says why it cannot be, and then nothing of it is: but for
    /// [`Refusal::Broken`], which may come in the middle. Then the batch is to be undone and made without this unit.
    pub fn apply(
        &mut self,
        unit: &Unit,
        records: &mut dyn Records,
        windows: &mut dyn Windows,
    ) -> Result<Sequences, Refusal> {
        self.check(unit, records)?;
        self.batch_bytes = self.batch_bytes.saturating_add(growth(unit));
        let mut sequences = Sequences::new();
        if let Some(consumed) = &unit.consumed {
            self.consume(consumed, records)?;
        }
        if let Some(attempt) = unit.attempt {
            self.count_attempts(attempt, records)?;
        }
        if let Some(burial) = &unit.burial {
            self.append(burial.queue, &burial.envelope, Some(&burial.note), records, windows)?;
        }
        for planned in &unit.publishes {
            if planned.envelope.message.retain {
                self.retain(&planned.envelope, records)?;
            }
            for number in planned.queues() {
                sequences.push(self.append(number, &planned.envelope, None, records, windows)?);
            }
        }
        for change in &unit.values {
            self.change(change, records)?;
        }
        for row in &unit.timers {
            match &row.timer {
                Some(timer) => records.put_timer(&row.component, &row.name, timer),
                None => records.delete_timer(&row.component, &row.name),
            }
        }
        if let Some(sync) = &unit.sync {
            self.keep_sync(sync, records);
        }
        Ok(sequences)
    }

    fn check(&mut self, unit: &Unit, records: &dyn Records) -> Result<(), Refusal> {
        for read in &unit.reads {
            let now = records.value(&read.bucket.id, &read.key)?;
            if now.as_deref() != read.value.as_deref() {
                return Err(Refusal::Stale { what: format!("\"{}\" in bucket {}", read.key, read.bucket.id) });
            }
        }
        Self::check_shadows(&unit.shadow_reads, records)?;
        let consumed = unit.consumed.iter().map(|consumed| consumed.queue);
        let tried = unit.attempt.iter().map(|attempt| attempt.queue);
        for number in consumed.chain(tried) {
            self.queues.get(&number).filter(|queue| !queue.damaged).ok_or(Refusal::Gone)?;
        }
        let appended = unit.publishes.iter().flat_map(Planned::queues);
        let buried = unit.burial.iter().map(|burial| burial.queue);
        for number in appended.chain(buried) {
            let queue = self.queues.get(&number).ok_or(Refusal::Gone)?;
            if queue.damaged {
                return Err(Refusal::Damaged { queue: queue.record.id.to_string() });
            }
        }
        if !unit.only_frees() && !self.has_space(growth(unit)) {
            return Err(Refusal::Full);
        }
        self.check_quotas(unit, records)
    }

    /// What the batch has freed is looked at only where it matters.
    fn has_space(&mut self, bytes: u64) -> bool {
        let fits = |held: u64| held.saturating_add(bytes) <= self.quota;
        fits(self.batch_bytes) || {
            self.batch_bytes = self.bytes();
            fits(self.batch_bytes)
        }
    }

    fn check_quotas(&self, unit: &Unit, records: &dyn Records) -> Result<(), Refusal> {
        let mut after: BTreeMap<&BucketId, (u64, u64)> = BTreeMap::new();
        // A later change of the same key takes the place of an earlier one.
        let last: BTreeMap<(&BucketId, &str), &ValueChange> =
            unit.values.iter().map(|change| ((&change.bucket.id, change.key.as_str()), change)).collect();
        for ((id, key), change) in last {
            let held = self.buckets.get(id).copied().unwrap_or(0);
            let (bytes, _) = after.entry(id).or_insert((held, change.bucket.quota));
            let old = records.value(id, key)?.map_or(0, |value| value_bytes(key, &value));
            let new = change.value.as_ref().map_or(0, |value| value_bytes(key, value));
            *bytes = bytes.saturating_sub(old).saturating_add(new);
        }
        for (id, (bytes, quota)) in after {
            if bytes > quota && bytes > self.buckets.get(id).copied().unwrap_or(0) {
                return Err(Refusal::Quota { bucket: id.clone(), quota });
            }
        }
        Ok(())
    }

    fn touch(&mut self, number: QueueNumber) -> Result<&mut Queue, Refusal> {
        let queue = self.queues.get_mut(&number).ok_or(Refusal::Gone)?;
        if queue.touch() {
            self.undo.queues.push(number);
        }
        Ok(queue)
    }

    fn append(
        &mut self,
        number: QueueNumber,
        envelope: &Envelope,
        note: Option<&DeathNote>,
        records: &mut dyn Records,
        windows: &mut dyn Windows,
    ) -> Result<u64, Refusal> {
        let queue = self.touch(number)?;
        let sequence = queue.append(envelope, records, windows)?;
        records.put_row(number, sequence, envelope, note);
        queue.make_room(sequence, records, windows)?;
        Ok(sequence)
    }

    fn consume(&mut self, consumed: &Consumed, records: &mut dyn Records) -> Result<(), Refusal> {
        let Consumed { queue, sequence, envelope, failed: _ } = consumed;
        let topic = envelope.message.topic.as_str();
        let held = self.touch(*queue)?;
        // Where the queue was begun anew meanwhile, the row has gone already, and what came of it stands.
        if *sequence >= held.record.head {
            held.take_off(*sequence, row_bytes(&envelope.message), topic, records)?;
        }
        Ok(())
    }

    fn count_attempts(&mut self, attempt: Attempt, records: &mut dyn Records) -> Result<(), Refusal> {
        let Attempt { queue, sequence, failed } = attempt;
        if sequence < self.head_of(queue) {
            return Ok(());
        }
        if failed == 0 {
            records.delete_attempts(queue, sequence);
            return Ok(());
        }
        self.touch(queue)?.record.beside = true;
        records.put_attempts(queue, sequence, failed);
        Ok(())
    }

    /// The last one wins; one with an empty payload clears.
    fn retain(&mut self, envelope: &Envelope, records: &mut dyn Records) -> Result<(), Refusal> {
        let topic = envelope.message.topic.as_str();
        let old = records.retained(topic)?;
        if let Some(bytes) = old {
            self.retained.messages = self.retained.messages.saturating_sub(1);
            self.retained.bytes = self.retained.bytes.saturating_sub(bytes);
            records.delete_retained(topic);
        }
        if envelope.message.payload.is_empty() {
            return Ok(());
        }
        let bytes = row_bytes(&envelope.message);
        if self.retained.messages >= RETAINED || self.retained.bytes + bytes > RETAINED_BYTES {
            self.not_retained += 1;
            return Ok(());
        }
        self.retained.messages += 1;
        self.retained.bytes += bytes;
        records.put_retained(envelope);
        Ok(())
    }

    fn change(&mut self, change: &ValueChange, records: &mut dyn Records) -> Result<(), Refusal> {
        let (id, key) = (&change.bucket.id, change.key.as_str());
        let before = self.buckets.get(id).copied();
        let old = records.value(id, key)?.map_or(0, |value| value_bytes(key, &value));
        let new = change.value.as_ref().map_or(0, |value| value_bytes(key, value));
        match &change.value {
            Some(value) => records.put_value(id, key, value),
            None if old > 0 => records.delete_value(id, key),
            None => return Ok(()),
        }
        let bytes = before.unwrap_or(0).saturating_sub(old) + new;
        self.undo.buckets.push((id.clone(), before));
        self.buckets.insert(id.clone(), bytes);
        records.put_bucket(id, bytes);
        Ok(())
    }

    /// Shadows, deleted ones among them, and their bytes.
    pub fn shadows(&self) -> Usage {
        self.shadows
    }

    /// Bytes of everything that is kept.
    pub fn bytes(&self) -> u64 {
        let queues: u64 = self.queues.values().map(|queue| queue.record.bytes).sum();
        let values: u64 = self.buckets.values().sum();
        queues + values + self.retained.bytes + self.shadows.bytes
    }
}

fn growth(unit: &Unit) -> u64 {
    let rows: u64 = unit
        .publishes
        .iter()
        .map(|planned| {
            let copies = planned.queues().count() as u64
                + u64::from(planned.envelope.message.retain)
                + u64::from(planned.asks_shadow());
            copies * row_bytes(&planned.envelope.message)
        })
        .sum();
    let buried: u64 = unit.burial.iter().map(|burial| row_bytes(&burial.envelope.message)).sum();
    let values = unit.values.iter().filter_map(|change| Some(value_bytes(&change.key, change.value.as_ref()?)));
    let sync = unit.sync.as_ref().and_then(|sync| Some(shadow_bytes(&sync.id, sync.row.as_ref()?)));
    rows + buried + values.sum::<u64>() + sync.unwrap_or(0)
}

/// What a value counts in its bucket.
pub fn value_bytes(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}
