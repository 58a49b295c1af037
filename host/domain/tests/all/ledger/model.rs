//! What a ledger is to do, with nothing clever about it: a list of rows for each queue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::ledger::{BucketId, Planned, Refusal, Unit, row_bytes, value_bytes};
use edgewit_domain::message::Envelope;
use edgewit_domain::queue::{FullRule, QueueLimits, QueueNumber};

use super::QUEUES;
use super::bench::{index, number};

type Held = BTreeSet<(QueueNumber, u64)>;

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub sequence: u64,
    pub envelope: Arc<Envelope>,
    pub failed: u32,
    /// The last of its topic, by a queue that kept one for each.
    named: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    number: QueueNumber,
    pub rows: Vec<Row>,
    pub next: u64,
    pub dropped: u64,
    pub expired: u64,
    pub limits: Option<QueueLimits>,
    pub left: Option<Duration>,
    /// What is beyond its limits may be of use again: they were changed, or rows were given back, since it last made
    /// room.
    pub loose: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub queues: Vec<Queue>,
    pub values: BTreeMap<(BucketId, String), Vec<u8>>,
    retained: BTreeMap<String, u64>,
    quota: u64,
}

impl Queue {
    pub fn row(&self, sequence: u64) -> Option<&Row> {
        self.rows.iter().find(|row| row.sequence == sequence)
    }

    fn full(&self) -> Option<FullRule> {
        self.limits.map(|limits| limits.full)
    }

    fn bytes(&self) -> u64 {
        self.rows.iter().map(|row| row_bytes(&row.envelope.message)).sum()
    }

    pub fn open(&mut self, limits: QueueLimits) {
        (self.limits, self.left, self.loose) = (Some(limits), None, true);
    }

    pub fn begin_anew(&mut self) -> u64 {
        let gone = self.rows.len() as u64;
        self.rows.clear();
        self.dropped += gone;
        gone
    }

    pub fn leave(&mut self, now: Duration) {
        self.limits = None;
        self.left = self.left.or(Some(now));
    }

    fn is_over(&self) -> bool {
        self.limits.is_some_and(|limits| {
            limits.full != FullRule::Refuse && (self.rows.len() as u64 > limits.messages || self.bytes() > limits.bytes)
        })
    }

    fn is_free(&self, row: &Row, held: &Held) -> bool {
        !held.contains(&(self.number, row.sequence))
    }

    fn append(&mut self, envelope: &Arc<Envelope>, held: &Held) -> u64 {
        let keeps_topics = self.full() == Some(FullRule::LastPerTopic);
        if keeps_topics {
            let same = |row: &Row| row.named && row.envelope.message.topic == envelope.message.topic;
            if let Some(place) = self.rows.iter().position(same) {
                if self.is_free(&self.rows[place], held) {
                    self.rows.remove(place);
                    self.dropped += 1;
                } else {
                    self.rows[place].named = false;
                }
            }
        }
        let sequence = self.next;
        self.next += 1;
        let mut waiting = self.rows.len();
        self.rows.push(Row { sequence, envelope: envelope.clone(), failed: 0, named: keeps_topics });
        while self.is_over() {
            let Some(place) = self.rows.iter().take(waiting).position(|row| self.is_free(row, held)) else { break };
            self.rows.remove(place);
            self.dropped += 1;
            waiting -= 1;
        }
        self.loose = false;
        sequence
    }
}

impl Model {
    pub fn new(quota: u64) -> Model {
        let queue = |place: usize| Queue {
            number: number(place),
            rows: Vec::new(),
            next: 1,
            dropped: 0,
            expired: 0,
            limits: None,
            left: None,
            loose: false,
        };
        Model { queues: (0..QUEUES).map(queue).collect(), values: BTreeMap::new(), retained: BTreeMap::new(), quota }
    }

    pub fn limits_at_first(&self) -> QueueLimits {
        QueueLimits { messages: 4, bytes: 500, age: None, full: FullRule::LastPerTopic }
    }

    pub fn bytes(&self) -> u64 {
        let values: u64 = self.values.iter().map(|((_, key), value)| value_bytes(key, value)).sum();
        self.queues.iter().map(Queue::bytes).sum::<u64>() + values + self.retained.values().sum::<u64>()
    }

    fn bucket(&self, id: &BucketId) -> u64 {
        let of = self.values.iter().filter(|((bucket, _), _)| bucket == id);
        of.map(|((_, key), value)| value_bytes(key, value)).sum()
    }

    pub fn apply(&mut self, unit: &Unit, held: &Held) -> Result<Vec<u64>, Refusal> {
        for read in &unit.reads {
            let is = self.values.get(&(read.bucket.id.clone(), read.key.clone()));
            if is.map(Vec::as_slice) != read.value.as_deref() {
                return Err(Refusal::Stale { what: format!("\"{}\" in bucket {}", read.key, read.bucket.id) });
            }
        }
        if !unit.only_frees() && self.bytes() + grown(unit) > self.quota {
            return Err(Refusal::Full);
        }
        let mut after = self.clone();
        after.change_values(unit);
        let buckets: BTreeMap<_, _> =
            unit.values.iter().map(|change| (&change.bucket.id, change.bucket.quota)).collect();
        for (id, quota) in buckets {
            if after.bucket(id) > quota && after.bucket(id) > self.bucket(id) {
                return Err(Refusal::Quota { bucket: id.clone(), quota });
            }
        }
        self.change_values(unit);
        Ok(self.change_queues(unit, held))
    }

    fn change_values(&mut self, unit: &Unit) {
        for change in &unit.values {
            let key = (change.bucket.id.clone(), change.key.clone());
            match &change.value {
                Some(value) => self.values.insert(key, value.to_vec()),
                None => self.values.remove(&key),
            };
        }
    }

    fn change_queues(&mut self, unit: &Unit, held: &Held) -> Vec<u64> {
        if let Some(consumed) = &unit.consumed {
            self.queues[index(consumed.queue)].rows.retain(|row| row.sequence != consumed.sequence);
        }
        if let Some(attempt) = unit.attempt {
            let mut rows = self.queues[index(attempt.queue)].rows.iter_mut();
            rows.find(|row| row.sequence == attempt.sequence).unwrap().failed = attempt.failed;
        }
        if let Some(burial) = &unit.burial {
            self.queues[index(burial.queue)].append(&burial.envelope, held);
        }
        let mut sequences = Vec::new();
        for planned in &unit.publishes {
            let message = &planned.envelope.message;
            if message.retain {
                self.retained.remove(message.topic.as_str());
                if !message.payload.is_empty() {
                    self.retained.insert(message.topic.to_string(), row_bytes(&planned.envelope.message));
                }
            }
            for queue in planned.queues() {
                sequences.push(self.queues[index(queue)].append(&planned.envelope, held));
            }
        }
        sequences
    }

    pub fn sweep(&mut self, now: Duration, keep: Duration, count: usize, held: &Held) -> Vec<(QueueNumber, u64)> {
        let mut freed = Vec::new();
        for queue in &mut self.queues {
            while freed.len() < count {
                let given_up = queue.limits.is_none() && queue.left.is_some_and(|left| left + keep <= now);
                let any = given_up || queue.is_over();
                let age = queue.limits.and_then(|limits| limits.age);
                let goes = |row: &Row| any || age.is_some_and(|age| row.envelope.since + age <= now);
                let stays = queue.rows.iter().position(|row| !goes(row)).unwrap_or(queue.rows.len());
                let Some(place) = queue.rows.iter().take(stays).position(|row| queue.is_free(row, held)) else { break };
                let row = queue.rows.remove(place);
                *(if any { &mut queue.dropped } else { &mut queue.expired }) += 1;
                freed.push((queue.number, row_bytes(&row.envelope.message)));
            }
        }
        freed
    }

    pub fn drop_rows(&mut self, number: QueueNumber, count: usize, held: &Held) -> Vec<(QueueNumber, u64)> {
        let queue = &mut self.queues[index(number)];
        let mut freed = Vec::new();
        while freed.len() < count {
            let Some(place) = queue.rows.iter().position(|row| queue.is_free(row, held)) else { break };
            freed.push((number, row_bytes(&queue.rows.remove(place).envelope.message)));
            queue.dropped += 1;
        }
        freed
    }
}

fn grown(unit: &Unit) -> u64 {
    let copies = |planned: &Planned| planned.queues().count() as u64 + u64::from(planned.envelope.message.retain);
    let rows: u64 = unit.publishes.iter().map(|planned| copies(planned) * row_bytes(&planned.envelope.message)).sum();
    let buried: u64 = unit.burial.iter().map(|burial| row_bytes(&burial.envelope.message)).sum();
    let values = unit.values.iter().filter_map(|change| Some(value_bytes(&change.key, change.value.as_ref()?)));
    rows + buried + values.sum::<u64>()
}
