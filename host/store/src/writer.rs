//! The one writer: takes units from every thread, commits those that wait together, and delivers what it has committed.
//!
//! **Nothing is delivered or answered before it is on disk, and everything is delivered in the order in which it was
//! committed**: both because it happens here, one batch at a time, after the commit. While one batch is being synced the
//! next one gathers, so that concurrent commits share a sync and a lone one does not wait for company.
//!
//! There is one writer and it has a thread, but whoever may wait and comes while that thread sleeps holds the writer
//! himself for his batch. It must be in nobody's hands but one's, and never leave a request behind that was made before.
//!
//! A disk without room refuses what adds and still takes what frees. A commit whose outcome is not known ends the
//! gateway: whoever waits for it is told neither yes nor no.

mod batching;
mod pending;
pub(crate) mod rows;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewit_domain::ledger::{
    Broken, Ledger, Level, Planned, Planner, Records, Refusal, Sequences, Swept, Unit, Windows,
};
use edgewit_domain::limits::{SWEEP_EVERY, SWEEP_ROWS, UPTIME_EVERY};
use edgewit_domain::message::{Envelope, Message, WallTime};
use edgewit_domain::queue::{QueueId, QueueNumber};
use edgewit_domain::shadow::ShadowId;
use edgewit_domain::shadow::sync::Seen;

use crate::batch::Batch;
use crate::engine::{CommitError, Engine};
use crate::format::{key, record};
use crate::reserve::Reserve;
use crate::writer::rows::Rows;

pub(crate) use pending::{Changes, Pending, Request, Submission};

/// Who gets what was committed. Called by whoever has the writer, and never to wait.
pub trait Readers: Send {
    /// As [`Windows::retract`].
    fn retract(&mut self, queue: QueueNumber, sequence: u64) -> bool;

    /// What was retracted from this queue since the last commit is gone for good.
    fn settle(&mut self, queue: QueueNumber);

    /// What was retracted from this queue since the last commit, from this sequence number on, is there after all.
    fn restore(&mut self, queue: QueueNumber, from: u64);

    /// As [`Planner::plan`].
    fn plan(&mut self, message: Message, cause: &Envelope) -> Option<Planned>;

    /// A unit is on disk, and so are its rows; a row whose sequence number is zero was dropped again already.
    fn committed(&mut self, unit: Unit, sequences: Sequences);

    /// A shadow is another now.
    fn changed(&mut self, id: &ShadowId, seen: Seen);

    /// What is in a queue that the last batch touched.
    fn counted(&mut self, queue: QueueNumber, level: Level);

    /// Rows went without being handled: the bytes of each.
    fn freed(&mut self, rows: &[(QueueNumber, u64)]);

    /// A row of this queue cannot be read: nobody gets anything from it any more. May be said more than once.
    fn damaged(&mut self, queue: QueueNumber, id: &QueueId, reason: &str);

    /// Running time and wall clock.
    fn now(&self) -> (Duration, WallTime);

    /// The disk failed in the middle of a commit. Does not return before the process ends, but in a test.
    fn unknown(&mut self, reason: &str);
}

/// What became of units that were committed one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// So many of them are on disk; nothing of the others happened.
    pub committed: usize,
    /// Why the next one is not.
    pub refusal: Option<Refusal>,
}

/// Nobody knows whether it was committed: the gateway is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the disk failed, and the gateway is ending")]
pub struct Unknown;

/// A look at the ledger, and changes to it, between two batches.
pub struct Turn<'a> {
    pub ledger: &'a mut Ledger,
    pub records: &'a mut dyn Records,
    pub windows: &'a mut dyn Windows,
    pub engine: &'a dyn Engine,
    pub now: Duration,
}

pub(crate) struct Writer {
    engine: Arc<dyn Engine>,
    ledger: Ledger,
    readers: Box<dyn Readers>,
    batch: Batch,
    /// How long the rows of a queue without a reader are kept.
    keep: Duration,
    reserve: Option<Reserve>,
    uptime_at: Duration,
    sweep_at: Duration,
    /// The outcome of a commit is not known: nothing is answered any more.
    stopped: bool,
    /// Transactions so far.
    commits: Arc<AtomicU64>,
}

/// Rows that this batch takes out of their readers' windows.
struct Retracting<'a> {
    readers: &'a mut dyn Readers,
    gone: &'a mut HashSet<(QueueNumber, u64)>,
}

impl Planner for Retracting<'_> {
    fn plan(&mut self, message: Message, cause: &Envelope) -> Option<Planned> {
        self.readers.plan(message, cause)
    }
}

impl Windows for Retracting<'_> {
    fn retract(&mut self, queue: QueueNumber, sequence: u64) -> bool {
        let free = self.readers.retract(queue, sequence);
        if free {
            self.gone.insert((queue, sequence));
        }
        free
    }
}

/// The writer's thread: serves whoever cannot wait, and whoever came while another was served.
pub(crate) fn run(writer: &Mutex<Option<Writer>>, pending: &Pending) {
    let mut requests = Vec::new();
    let mut time = Duration::ZERO;
    while pending.wait(time) {
        // Who panicked in the middle of a batch left nothing to go on with.
        let Ok(mut writer) = writer.lock() else { break };
        let Some(writer) = writer.as_mut() else { break };
        pending.take(&mut requests);
        writer.serve(&mut requests);
        writer.look_after();
        time = writer.idle_for();
    }
    pending.abandon();
    // Whoever it delivers to has the store himself: nobody else would ever let go of it.
    let writer = writer.lock().map(|mut writer| writer.take()).unwrap_or_else(|panicked| {
        panicked.into_inner().take();
        None
    });
    if let Some(mut writer) = writer {
        writer.uptime_at = Duration::ZERO;
        writer.look_after();
    }
}

impl Writer {
    pub fn new(
        engine: Arc<dyn Engine>,
        ledger: Ledger,
        readers: Box<dyn Readers>,
        keep: Duration,
        reserve: Option<Reserve>,
        commits: Arc<AtomicU64>,
    ) -> Writer {
        let (uptime_at, sweep_at) = (Duration::ZERO, Duration::ZERO);
        let (batch, stopped) = (Batch::new(), false);
        Writer { engine, ledger, readers, batch, keep, reserve, uptime_at, sweep_at, stopped, commits }
    }

    fn serve(&mut self, requests: &mut Vec<Request>) {
        let mut group = Vec::new();
        for request in requests.drain(..) {
            match request {
                Request::Units(submission) => group.push(submission),
                Request::Rows(changes, answer) => {
                    self.commit(std::mem::take(&mut group));
                    self.change(&changes, answer);
                }
                Request::Turn(work) => {
                    self.commit(std::mem::take(&mut group));
                    self.turn(work);
                }
            }
        }
        self.commit(group);
    }

    fn idle_for(&self) -> Duration {
        let now = self.readers.now().0;
        self.uptime_at.min(self.sweep_at).saturating_sub(now)
    }

    /// Keeps the uptime, and sweeps, when it is time.
    fn look_after(&mut self) {
        let (now, wall) = self.readers.now();
        if now >= self.sweep_at {
            self.sweep_at = now + SWEEP_EVERY;
            self.sweep(now);
            self.give_back();
        }
        if now >= self.uptime_at {
            self.uptime_at = now + UPTIME_EVERY;
            self.batch.clear();
            let mut row = Vec::new();
            record::write_uptime(&mut row, now, wall);
            self.batch.put(key::UPTIME, &row);
            // What is refused now is kept the next time.
            let _ = self.write();
        }
    }

    fn sweep(&mut self, now: Duration) {
        let keep = self.keep;
        let swept = self.in_batch(|turn| {
            turn.ledger.sweep(now, keep, SWEEP_ROWS, turn.records, turn.windows).map_err(Refusal::from)
        });
        match swept {
            Ok(Swept { freed, more }) => {
                self.readers.freed(&freed);
                if more {
                    self.sweep_at = now;
                }
            }
            Err(refusal) => {
                self.notice(&refusal);
            }
        }
    }

    fn turn(&mut self, work: pending::Work) {
        let mut answer = None;
        let outcome = self.in_batch(|turn| {
            let (result, then) = work(turn);
            answer = Some(then);
            result
        });
        if let Err(refusal) = &outcome {
            self.notice(refusal);
        }
        if !self.stopped
            && let Some(answer) = answer
        {
            answer(outcome);
        }
    }

    fn change(&mut self, changes: &Changes, answer: pending::Answer) {
        let adds = changes.iter().any(|(_, value)| value.is_some());
        let outcome = if adds && !self.holds_reserve() {
            Err(Refusal::NoSpace)
        } else {
            self.batch.clear();
            for (key, value) in changes {
                match value {
                    Some(value) => self.batch.put(key, value),
                    None => self.batch.delete(key),
                }
            }
            self.write()
        };
        if !self.stopped {
            answer(outcome);
        }
    }

    /// A batch of its own, for what is no unit.
    fn in_batch<T>(&mut self, work: impl FnOnce(&mut Turn<'_>) -> Result<T, Refusal>) -> Result<T, Refusal> {
        let now = self.readers.now().0;
        let engine = self.engine.clone();
        let mut gone = HashSet::new();
        self.batch.clear();
        self.ledger.begin();
        let mut rows = Rows::new(&*engine, &mut self.batch);
        let mut windows = Retracting { readers: &mut *self.readers, gone: &mut gone };
        let (records, windows) = (&mut rows, &mut windows);
        let done = work(&mut Turn { ledger: &mut self.ledger, records, windows, engine: &*engine, now });
        self.ledger.finish(records);
        let done = done.and_then(|done| self.write().map(|()| done));
        match &done {
            Ok(_) => self.keep(&gone),
            Err(_) => self.undo(&gone),
        }
        if matches!(done, Err(Refusal::NoSpace)) {
            // For whoever asks again.
            self.release_reserve();
        }
        done
    }

    fn keep(&mut self, gone: &HashSet<(QueueNumber, u64)>) {
        let settled: BTreeSet<QueueNumber> = gone.iter().map(|(queue, _)| *queue).collect();
        settled.into_iter().for_each(|queue| self.readers.settle(queue));
        for (queue, level) in self.ledger.touched() {
            self.readers.counted(queue, level);
        }
        self.ledger.keep();
    }

    fn undo(&mut self, gone: &HashSet<(QueueNumber, u64)>) {
        self.ledger.undo();
        let mut first: BTreeMap<QueueNumber, u64> = BTreeMap::new();
        for (queue, sequence) in gone {
            let first = first.entry(*queue).or_insert(*sequence);
            *first = (*first).min(*sequence);
        }
        first.into_iter().for_each(|(queue, from)| self.readers.restore(queue, from));
    }

    /// Takes the space back that was given to the engine, when there is room. Until then only what frees is kept: what
    /// is added now would be what the next full disk could not get rid of.
    fn holds_reserve(&mut self) -> bool {
        // Why it cannot be held is told by whoever is refused for it.
        self.reserve.as_mut().is_none_or(|reserve| reserve.hold().unwrap_or(false))
    }

    /// Has the engine give back what it does not need any more, while the disk is short of it.
    fn give_back(&mut self) {
        self.batch.clear();
        if !self.stopped && !self.holds_reserve() {
            // What comes of it is seen when the space is to be held the next time.
            let _ = self.write_batch();
        }
    }

    /// Gives the space that is held back to the engine. False where there is none.
    fn release_reserve(&mut self) -> bool {
        self.reserve.as_mut().is_some_and(|reserve| reserve.is_held() && reserve.release().is_ok())
    }

    /// Writes the batch, if there is anything in it.
    fn write(&mut self) -> Result<(), Refusal> {
        if self.stopped {
            return Err(Refusal::Closed);
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        self.write_batch()?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn write_batch(&mut self) -> Result<(), Refusal> {
        match self.engine.commit(&self.batch) {
            Ok(()) => Ok(()),
            Err(CommitError::Refused(_)) => Err(Refusal::NoSpace),
            Err(CommitError::Damaged { key, source }) => {
                let reason = format!("damaged around the key {}: {source}", key.escape_ascii());
                Err(Refusal::Broken(Broken { queue: key::queue_of(&key), reason }))
            }
            Err(CommitError::Unknown(source)) => {
                self.stopped = true;
                self.readers.unknown(&source.to_string());
                Err(Refusal::Closed)
            }
        }
    }

    /// Takes a queue out of use whose rows cannot be read. False where it is not about a queue.
    fn notice(&mut self, refusal: &Refusal) -> bool {
        let Refusal::Broken(Broken { queue: Some(queue), reason }) = refusal else { return false };
        let id = self.ledger.damage(*queue);
        id.inspect(|id| self.readers.damaged(*queue, id, reason)).is_some()
    }
}
