//! The ledger and its model side by side: every step is done to both.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::ledger::{
    Attempt, Bucket, BucketId, Burial, Consumed, DeathNote, Ledger, Planned, Planner, Unit, ValueChange, ValueRead,
    Windows, row_bytes,
};
use edgewit_domain::message::{Envelope, Message, WallTime};
use edgewit_domain::queue::{DeadOf, FullRule, QueueId, QueueLimits, QueueNumber};
use edgewit_domain::routing::ReaderId;
use edgewit_domain::shadow::Limits;

use super::model::Model;
use super::{End, KEEP, Publish, QUEUES, Step, TOPICS};
use crate::memory::{Key, Memory, Value, envelope};

/// What readers hold.
#[derive(Clone, Debug, Default)]
pub struct Hands(BTreeSet<(QueueNumber, u64)>);

impl Windows for Hands {
    fn retract(&mut self, queue: QueueNumber, sequence: u64) -> bool {
        !self.0.contains(&(queue, sequence))
    }
}

/// Nobody hears what is answered.
impl Planner for Hands {
    fn plan(&mut self, _: Message, _: &Envelope) -> Option<Planned> {
        None
    }
}

/// The ledger, and what it is compared with.
pub struct Bench {
    pub ledger: Ledger,
    pub memory: Memory,
    model: Model,
    pub hands: Hands,
    now: Duration,
    count: u64,
    quota: u64,
}

impl Bench {
    pub fn new(quota: u64) -> Bench {
        let memory = Memory::default();
        let mut bench = Bench {
            ledger: Ledger::new(memory.opening(), quota, Limits::default()),
            memory,
            model: Model::new(quota),
            hands: Hands::default(),
            now: Duration::ZERO,
            count: 0,
            quota,
        };
        bench.batch(End::Kept, |bench| (0..QUEUES).for_each(|queue| bench.open(queue, bench.model.limits_at_first())));
        bench
    }

    pub fn batch(&mut self, end: End, work: impl FnOnce(&mut Bench)) {
        let before = self.model.clone();
        self.ledger.begin();
        work(self);
        self.ledger.finish(&mut self.memory);
        let kept = matches!(end, End::Kept | End::Cut(true));
        if kept {
            self.memory.keep();
        } else {
            self.memory.undo();
            self.model = before;
            self.model.queues.iter_mut().for_each(|queue| queue.loose = true);
        }
        match end {
            End::Kept => self.ledger.keep(),
            End::Undone => drop(self.ledger.undo()),
            End::Cut(_) => self.restart(),
        }
        // A reader that took what was then undone has it still.
        let rows = &self.model.queues;
        self.hands.0.retain(|(queue, sequence)| rows[index(*queue)].row(*sequence).is_some());
        self.compare();
    }

    /// Memory is lost; readers come back as they were.
    fn restart(&mut self) {
        self.hands.0.clear();
        self.model.queues.iter_mut().for_each(|queue| queue.loose = true);
        self.ledger = Ledger::new(self.memory.opening(), self.quota, Limits::default());
        self.ledger.begin();
        for queue in 0..QUEUES {
            if let Some(limits) = self.model.queues[queue].limits {
                self.ledger.open(&id(queue), limits).unwrap();
            }
        }
        self.ledger.finish(&mut self.memory);
        self.memory.keep();
        self.ledger.keep();
    }

    pub fn open(&mut self, queue: usize, limits: QueueLimits) {
        assert_eq!(self.ledger.open(&id(queue), limits).unwrap(), number(queue));
        self.model.queues[queue].open(limits);
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Unit { .. } => {
                let unit = self.unit(&step);
                let now = self.model.clone();
                let expected = self.model.apply(&unit, &self.hands.0);
                let is = self.ledger.apply(&unit, &mut self.memory, &mut self.hands);
                assert_eq!(is.map(|sequences| sequences.to_vec()), expected);
                match expected {
                    Ok(_) => self.hands.0.retain(|place| !consumes(&unit, *place)),
                    Err(_) => assert_eq!(self.model, now, "a refused unit leaves no trace in the model either"),
                }
            }
            Step::Take(queue, count) => {
                let rows = self.model.queues[queue].rows.iter().map(|row| (number(queue), row.sequence));
                let free: Vec<_> = rows.filter(|place| !self.hands.0.contains(place)).take(count).collect();
                self.hands.0.extend(free);
            }
            Step::GiveBack(queue) => {
                self.hands.0.retain(|(held, _)| *held != number(queue));
                self.model.queues[queue].loose = true;
            }
            Step::Open(queue, limits) => self.open(queue, limits),
            Step::Leave(queue) => {
                self.ledger.leave(number(queue), self.now).unwrap();
                self.model.queues[queue].leave(self.now);
            }
            Step::Sweep(count) => {
                let (records, windows) = (&mut self.memory, &mut self.hands);
                let swept = self.ledger.sweep(self.now, KEEP, count, records, windows).unwrap();
                assert_eq!(swept.freed, self.model.sweep(self.now, KEEP, count, &self.hands.0));
                assert_eq!(swept.more, swept.freed.len() == count);
            }
            Step::Drop(queue, count) => {
                let (records, windows) = (&mut self.memory, &mut self.hands);
                let swept = self.ledger.drop_rows(number(queue), count, records, windows).unwrap();
                assert_eq!(swept.freed, self.model.drop_rows(number(queue), count, &self.hands.0));
            }
            Step::Damage(queue, count) => self.begin_anew(queue, count),
            Step::Wait(seconds) => self.now += Duration::from_secs(seconds),
        }
    }

    fn begin_anew(&mut self, queue: usize, count: usize) {
        self.ledger.damage(number(queue));
        let (mut after, mut gone) = (None, 0);
        loop {
            let anew = self.ledger.begin_anew(number(queue), after, count, &mut self.memory).unwrap();
            gone += anew.gone.messages;
            if anew.next.is_none() {
                break;
            }
            assert!(self.ledger.is_damaged(number(queue)), "of no use before all of it is gone");
            after = anew.next;
        }
        assert!(!self.ledger.is_damaged(number(queue)));
        assert_eq!(gone, self.model.queues[queue].begin_anew());
        // Whoever has a row of it in hand is told that it is gone.
        self.hands.0.retain(|(held, _)| *held != number(queue));
    }

    fn unit(&mut self, step: &Step) -> Unit {
        let Step::Unit { row, consumes, buries, publishes, values, reads } = step else { panic!("no unit") };
        let mut unit = Unit::default();
        if let Some((queue, nth)) = *row {
            let mut held = self.hands.0.iter().filter(|(held, _)| *held == number(queue));
            if let Some((queue, sequence)) = held.nth(nth).copied() {
                let row = self.model.queues[index(queue)].row(sequence).unwrap();
                let (envelope, failed) = (row.envelope.clone(), row.failed);
                if *consumes {
                    unit.consumed = Some(Consumed { queue, sequence, envelope: envelope.clone(), failed });
                } else {
                    unit.attempt = Some(Attempt { queue, sequence, failed: (failed + 1) % 3 });
                }
                if *buries {
                    unit.burial = Some(Burial { queue: number(QUEUES - 1), envelope, note: note() });
                }
            }
        }
        for Publish { topic, size, into, retain } in publishes {
            self.count += 1;
            let mut envelope = envelope(self.count, TOPICS[*topic], vec![0; *size], self.now);
            envelope.message.retain = *retain;
            let readers = into.iter().map(|queue| ReaderId::Durable(number(*queue)));
            unit.publishes.push(Planned { envelope: Arc::new(envelope), readers: readers.collect() });
        }
        for (shared, key, size) in values {
            self.count += 1;
            let value = size.map(|size| Arc::from(vec![self.count as u8; size]));
            unit.values.push(ValueChange { bucket: bucket(*shared), key: KEYS[*key].to_owned(), value });
        }
        for (shared, key, fresh) in reads {
            let (bucket, key) = (bucket(*shared), KEYS[*key].to_owned());
            let is = self.model.values.get(&(bucket.id.clone(), key.clone())).cloned();
            let value = if *fresh { is.map(Arc::from) } else { Some(Arc::from(*b"never there")) };
            unit.reads.push(ValueRead { bucket, key, value });
        }
        unit
    }

    fn compare(&self) {
        for (place, queue) in self.model.queues.iter().enumerate() {
            let view = self.ledger.queues().find(|view| view.number == number(place)).unwrap();
            let rows: Vec<_> = self.memory.queue(number(place)).map(|(row, envelope)| (row, envelope.id)).collect();
            let expected: Vec<_> = queue.rows.iter().map(|row| (row.sequence, row.envelope.id)).collect();
            assert_eq!(rows, expected, "the rows of queue {place}");
            let record = view.record;
            let bytes: u64 = queue.rows.iter().map(|row| row_bytes(&row.envelope.message)).sum();
            assert_eq!((record.messages, record.bytes), (rows.len() as u64, bytes), "what is counted of {place}");
            assert_eq!((record.next, record.dropped, record.expired), (queue.next, queue.dropped, queue.expired));
            assert_eq!((view.limits, record.left), (queue.limits, queue.left));
            assert!(rows.first().is_none_or(|(first, _)| record.head <= *first), "{} is no head", record.head);
            for row in &queue.rows {
                assert_eq!(self.memory.attempts(number(place), row.sequence), row.failed);
            }
            if let Some(limits) = queue.limits.filter(|limits| limits.full != FullRule::Refuse) {
                let over = record.messages > limits.messages || record.bytes > limits.bytes;
                let free = rows.iter().filter(|(row, _)| !self.hands.0.contains(&(number(place), *row))).count();
                assert!(!over || free <= 1 || queue.loose, "rows beyond the limits that nobody has in hand");
            }
        }
        let stray = |key: &&Key| match key {
            Key::Topic(queue, topic) => {
                let named = self.memory.rows.get(key).cloned();
                !self.model.queues[index(*queue)].rows.iter().any(|row| {
                    Some(Value::Number(row.sequence)) == named && row.envelope.message.topic.as_str() == topic
                })
            }
            Key::Attempts(queue, row) => self.model.queues[index(*queue)].row(*row).is_none(),
            _ => false,
        };
        assert_eq!(self.memory.rows.keys().filter(stray).collect::<Vec<_>>(), [] as [&Key; 0], "nothing is left over");
        for ((bucket, key), value) in &self.model.values {
            let is = self.memory.rows.get(&Key::Value(bucket.clone(), key.clone()));
            assert_eq!(is, Some(&Value::Bytes(value.clone())));
        }
        assert_eq!(self.ledger.bytes(), self.model.bytes(), "what everything takes");
        let values = self.memory.rows.keys().filter(|key| matches!(key, Key::Value(..))).count();
        assert_eq!(values, self.model.values.len());
    }
}

const KEYS: [&str; 3] = ["x", "y", "zz"];

fn bucket(shared: bool) -> Arc<Bucket> {
    let (id, quota) = match shared {
        true => (BucketId::Shared("s".into()), 100),
        false => (BucketId::Own { component: "c".into(), name: "s".into() }, 60),
    };
    Arc::new(Bucket { id, quota })
}

fn note() -> DeathNote {
    let at = WallTime { unix_ms: 0, trusted: false };
    DeathNote { queue: None, reason: "poison".into(), attempts: 1, backtrace: String::new(), at }
}

fn consumes(unit: &Unit, place: (QueueNumber, u64)) -> bool {
    unit.consumed.as_ref().is_some_and(|consumed| (consumed.queue, consumed.sequence) == place)
}

pub fn id(queue: usize) -> QueueId {
    match queue {
        0 => QueueId::Inbox { component: "c".into(), subscription: "s".into() },
        1 => QueueId::Uplink("u".into()),
        _ => QueueId::Dead(DeadOf::Component("c".into())),
    }
}

pub fn number(queue: usize) -> QueueNumber {
    QueueNumber(u32::try_from(queue).unwrap() + 1)
}

pub fn index(queue: QueueNumber) -> usize {
    queue.0 as usize - 1
}
