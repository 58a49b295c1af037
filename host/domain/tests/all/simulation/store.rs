//! The writer and the windows of its readers: groups of units become batches, which are kept, refused or cut off.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::ledger::{Consumed, Ledger, NoRoom, Refusal, Room, Sequences, Unit, Usage, Windows, row_bytes};
use edgewit_domain::message::Envelope;
use edgewit_domain::queue::{FullRule, QueueId, QueueLimits, QueueNumber};
use edgewit_domain::shadow::Limits;

use super::{Text, said};
use crate::memory::{Key, Memory, Value};

/// Who submitted something, and to whom the answer goes.
#[derive(Clone, Copy, Debug)]
pub enum From {
    Publisher(usize),
    Component(usize),
    Removal,
    Grave,
}

pub struct Submission {
    pub from: From,
    pub units: Vec<Unit>,
}

/// What became of a submission.
pub struct Done {
    pub from: From,
    pub units: Vec<Unit>,
    pub committed: usize,
    pub refusal: Option<Refusal>,
}

/// What readers have read, and what of it is in hand.
#[derive(Default)]
pub struct Readers {
    windows: BTreeMap<QueueNumber, BTreeSet<u64>>,
    hands: BTreeSet<(QueueNumber, u64)>,
    gone: BTreeSet<(QueueNumber, u64)>,
}

impl Windows for Readers {
    fn retract(&mut self, queue: QueueNumber, sequence: u64) -> bool {
        if self.hands.contains(&(queue, sequence)) {
            return false;
        }
        self.windows.entry(queue).or_default().remove(&sequence);
        self.gone.insert((queue, sequence));
        true
    }
}

pub struct Store {
    pub memory: Memory,
    pub ledger: Ledger,
    pub readers: Readers,
    pub rooms: BTreeMap<QueueNumber, Room>,
    pub limits: Vec<(QueueId, QueueLimits)>,
    pending: VecDeque<Submission>,
    under_way: Vec<(Done, Vec<Sequences>)>,
    pub quota: u64,
    /// What was dropped by any rule, and from which queue.
    pub dropped: Vec<(QueueNumber, Text)>,
}

pub fn number(queue: usize) -> QueueNumber {
    QueueNumber(u32::try_from(queue).unwrap() + 1)
}

impl Store {
    pub fn new(limits: Vec<(QueueId, QueueLimits)>, quota: u64) -> Store {
        let memory = Memory::default();
        let ledger = Ledger::new(memory.opening(), quota, Limits::default());
        let (readers, rooms, pending) = Default::default();
        let (under_way, dropped) = Default::default();
        let mut store = Store { memory, ledger, readers, rooms, limits, pending, under_way, quota, dropped };
        store.open();
        store
    }

    fn open(&mut self) {
        self.ledger = Ledger::new(self.memory.opening(), self.quota, Limits::default());
        (self.readers, self.rooms) = Default::default();
        self.ledger.begin();
        for (place, (id, limits)) in self.limits.iter().enumerate() {
            let queue = self.ledger.open(id, *limits).unwrap();
            assert_eq!(queue, number(place));
            if limits.full == FullRule::Refuse {
                self.rooms.insert(queue, Room::new(id.clone(), *limits, self.ledger.usage_of(queue)));
            }
            let rows = self.memory.queue(queue).map(|(sequence, _)| sequence).collect();
            self.readers.windows.insert(queue, rows);
        }
        self.ledger.finish(&mut self.memory);
        self.memory.keep();
        self.ledger.keep();
    }

    pub fn submit(&mut self, from: From, units: Vec<Unit>) {
        self.pending.push_back(Submission { from, units });
    }

    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.under_way.is_empty()
    }

    /// Makes a batch of what waits, if none is under way.
    pub fn build(&mut self) {
        if !self.under_way.is_empty() {
            return;
        }
        self.ledger.begin();
        for Submission { from, units } in self.pending.drain(..) {
            let (mut sequences, mut refusal) = (Vec::new(), None);
            for unit in &units {
                match self.ledger.apply(unit, &mut self.memory, &mut self.readers) {
                    Ok(numbers) => sequences.push(numbers),
                    Err(why) => {
                        refusal = Some(why);
                        break;
                    }
                }
            }
            self.under_way.push((Done { from, units, committed: sequences.len(), refusal }, sequences));
        }
        self.ledger.finish(&mut self.memory);
    }

    /// The batch under way is on disk.
    pub fn keep(&mut self) -> Vec<Done> {
        let gone = self.keep_batch();
        let mut all = Vec::new();
        for (done, sequences) in self.under_way.drain(..) {
            for (unit, numbers) in done.units.iter().zip(sequences) {
                if let Some(consumed) = &unit.consumed {
                    self.readers.hands.remove(&(consumed.queue, consumed.sequence));
                    release(&mut self.rooms, consumed.queue, row_bytes(&consumed.envelope.message));
                }
                let queues = unit.publishes.iter().flat_map(|planned| planned.queues());
                for place in queues.zip(numbers).filter(|place| !gone.contains(place)) {
                    self.readers.windows.entry(place.0).or_default().insert(place.1);
                }
            }
            all.push(done);
        }
        all
    }

    fn keep_batch(&mut self) -> BTreeSet<(QueueNumber, u64)> {
        let gone = std::mem::take(&mut self.readers.gone);
        for (queue, sequence) in &gone {
            let Some(Value::Row(envelope, _)) = self.memory.deleted(&Key::Row(*queue, *sequence)) else {
                panic!("{queue:?} {sequence} was retracted and not dropped");
            };
            self.dropped.push((*queue, said(envelope)));
        }
        self.memory.keep();
        self.ledger.keep();
        gone
    }

    /// The disk refused the batch under way.
    pub fn refuse(&mut self) -> Vec<Done> {
        self.memory.undo();
        self.ledger.undo();
        for (queue, sequence) in std::mem::take(&mut self.readers.gone) {
            if self.memory.rows.contains_key(&Key::Row(queue, sequence)) {
                self.readers.windows.entry(queue).or_default().insert(sequence);
            }
        }
        let refused = |(done, _)| Done { committed: 0, refusal: Some(Refusal::NoSpace), ..done };
        self.under_way.drain(..).map(refused).collect()
    }

    /// The process ends, and with it all memory. Returns what of the batch under way is on disk all the same.
    pub fn cut(&mut self, kept: bool) -> Vec<Done> {
        let done = if kept {
            self.keep()
        } else {
            self.refuse();
            Vec::new()
        };
        self.pending.clear();
        self.open();
        done
    }

    /// Between two batches.
    pub fn sweep(&mut self, now: Duration) {
        if !self.under_way.is_empty() {
            return;
        }
        self.ledger.begin();
        let swept = self.ledger.sweep(now, Duration::MAX, 4, &mut self.memory, &mut self.readers).unwrap();
        self.after_turn(swept.freed);
    }

    /// An operator drops the oldest row of a queue. False when there is none.
    pub fn drop_one(&mut self, queue: QueueNumber) -> bool {
        assert!(self.under_way.is_empty());
        self.ledger.begin();
        let swept = self.ledger.drop_rows(queue, 1, &mut self.memory, &mut self.readers).unwrap();
        let found = !swept.freed.is_empty();
        self.after_turn(swept.freed);
        found
    }

    fn after_turn(&mut self, freed: Vec<(QueueNumber, u64)>) {
        self.ledger.finish(&mut self.memory);
        self.keep_batch();
        freed.into_iter().for_each(|(queue, bytes)| release(&mut self.rooms, queue, bytes));
    }

    pub fn is_building(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// Takes the next row of a queue in hand.
    pub fn take(&mut self, queue: QueueNumber) -> Option<Consumed> {
        if self.readers.gone.iter().any(|(retracted, _)| *retracted == queue) {
            return None;
        }
        let sequence = self.readers.windows.get_mut(&queue)?.pop_first()?;
        self.readers.hands.insert((queue, sequence));
        let envelope = self.envelope(queue, sequence);
        Some(Consumed { queue, sequence, envelope, failed: self.memory.attempts(queue, sequence) })
    }

    pub fn put_back(&mut self, queue: QueueNumber, sequence: u64) {
        assert!(self.readers.hands.remove(&(queue, sequence)), "{queue:?} {sequence} is in nobody's hand");
        self.readers.windows.entry(queue).or_default().insert(sequence);
    }

    pub fn waits(&self, queue: QueueNumber) -> bool {
        self.readers.windows.get(&queue).is_some_and(|rows| !rows.is_empty())
    }

    pub fn envelope(&self, queue: QueueNumber, sequence: u64) -> Arc<Envelope> {
        match self.memory.rows.get(&Key::Row(queue, sequence)) {
            Some(Value::Row(envelope, _)) => envelope.clone(),
            _ => panic!("{queue:?} {sequence} was dropped while in a window or in hand"),
        }
    }

    pub fn reserve(&mut self, queue: QueueNumber, bytes: u64) -> Result<(), NoRoom> {
        self.rooms.get_mut(&queue).map_or(Ok(()), |room| room.reserve(bytes, Usage::default()))
    }

    pub fn release(&mut self, queue: QueueNumber, bytes: u64) {
        release(&mut self.rooms, queue, bytes);
    }

    /// What is counted is what is there, and nothing is promised twice.
    pub fn check(&self) {
        for view in self.ledger.queues() {
            let rows = self.memory.queue(view.number);
            let (messages, bytes) =
                rows.fold((0, 0), |(m, b), (_, envelope)| (m + 1, b + row_bytes(&envelope.message)));
            assert_eq!((view.record.messages, view.record.bytes), (messages, bytes), "{}", view.record.id);
            if let (Some(room), Some(limits)) = (self.rooms.get(&view.number), view.limits) {
                let used = room.used();
                assert!(used.messages <= limits.messages && used.bytes <= limits.bytes, "too much promised");
                assert!(used.messages >= messages && used.bytes >= bytes, "room for what is there was given away");
            }
        }
    }
}

fn release(rooms: &mut BTreeMap<QueueNumber, Room>, queue: QueueNumber, bytes: u64) {
    if let Some(room) = rooms.get_mut(&queue) {
        room.release(bytes);
    }
}
