//! The store as the gateway uses it: submit units, look at rows, take a turn at the ledger.
//!
//! Reading goes past the writer and sees what is committed. Everything that changes anything goes through the writer,
//! and whoever waits for it may do so as a thread or be called back.

mod reading;

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use edgewit_domain::ledger::{Broken, BucketId, DeathNote, Ledger, Opening, Refusal, SavedTimer, Unit, shadow_bytes};
use edgewit_domain::message::{Envelope, WallTime};
use edgewit_domain::shadow::{Document, ShadowId, Stored, ThingName};

use crate::engine::{Engine, EngineError};
use crate::format::{envelope, key, record};
use crate::reserve::Reserve;
use crate::writer::rows::broken;
use crate::writer::{self, Outcome, Pending, Readers, Request, Submission, Turn, Unknown, Writer};

pub use reading::{Page, damaged_queue, retained, rows};
use reading::{each, each_readable, range, unreadable};

/// A store that was opened and is not written to yet.
pub struct Opened {
    engine: Arc<dyn Engine>,
    opening: Opening,
    /// The gateway's uptime when it was last kept, and the wall clock then.
    pub uptime: Option<(Duration, WallTime)>,
}

pub struct Store {
    engine: Arc<dyn Engine>,
    /// Nothing once it has ended.
    writer: Arc<Mutex<Option<Writer>>>,
    pending: Arc<Pending>,
    commits: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the store may keep.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Bytes of all rows together.
    pub quota: u64,
    /// How long the rows of a queue are kept that lost its reader.
    pub keep: Duration,
    pub shadows: edgewit_domain::shadow::Limits,
}

/// A row of a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRow {
    pub sequence: u64,
    pub envelope: Envelope,
    /// Failed attempts.
    pub failed: u32,
    /// In a dead-letter queue.
    pub note: Option<DeathNote>,
}

impl Opened {
    /// Reads what has to be known of the store before it is used. Costs as many reads as there are queues, buckets and
    /// retained messages, however much waits in the queues.
    pub fn new(engine: Arc<dyn Engine>) -> Result<Opened, Broken> {
        let mut opening = Opening::default();
        each(&*engine, &[key::QUEUES], |key, row| {
            opening.queues.push((key::queue_of(key)?, record::read_queue(row)?));
            Some(())
        })?;
        each(&*engine, &[key::BUCKETS], |key, row| {
            let bucket = std::str::from_utf8(key.get(1..)?).ok()?.parse().ok()?;
            opening.buckets.push((bucket, record::read_number(row)?));
            Some(())
        })?;
        each(&*engine, &[key::RETAINED], |_, row| {
            opening.retained.messages += 1;
            opening.retained.bytes += envelope::read_head(0, row)?.bytes;
            Some(())
        })?;
        each_readable(&*engine, &[key::SHADOWS], |key, row| {
            opening.shadows.messages += 1;
            opening.shadows.bytes += shadow_bytes(&key::shadow_of(key)?, row);
            Some(())
        })?;
        each_readable(&*engine, &[key::SYNC_ROWS], |key, row| {
            opening.shadows.bytes += shadow_bytes(&key::synced(key)?.1, row);
            Some(())
        })?;
        let uptime = engine.get(key::UPTIME).map_err(|error| broken(&error))?;
        let uptime = uptime.and_then(|row| record::read_uptime(&row));
        Ok(Opened { engine, opening, uptime })
    }

    /// What is in it.
    pub fn contents(&self) -> &Opening {
        &self.opening
    }

    /// Starts the writer.
    pub fn start<R: Readers + 'static>(
        self,
        readers: R,
        rules: Rules,
        reserve: Option<Reserve>,
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>>,
    ) -> io::Result<Store> {
        let (pending, commits) = (Arc::new(Pending::default()), Arc::new(AtomicU64::new(0)));
        let ledger = Ledger::new(self.opening, rules.quota, rules.shadows);
        let readers = Box::new(readers);
        let writer = Writer::new(self.engine.clone(), ledger, readers, rules.keep, reserve, commits.clone());
        let writer = Arc::new(Mutex::new(Some(writer)));
        let shared = (writer.clone(), pending.clone());
        let thread = spawn(Box::new(move || writer::run(&shared.0, &shared.1)))?;
        Ok(Store { engine: self.engine, writer, pending, commits, thread: Mutex::new(Some(thread)) })
    }
}

impl Store {
    /// Commits units one after another, with whatever else waits, and says what became of them.
    pub fn submit(&self, units: Vec<Unit>, done: impl FnOnce(Outcome) + Send + 'static) {
        self.push(Submission { units, done: Box::new(done) });
    }

    fn push(&self, submission: Submission) {
        if let Err(Request::Units(submission)) = self.pending.push(Request::Units(submission)) {
            (submission.done)(Outcome { committed: 0, refusal: Some(Refusal::Closed) });
        }
    }

    /// As [`Store::submit`], and waits. Who comes alone is his own writer: to have another thread do it, and to be woken
    /// by it, would take a third as long again as the disk does.
    pub fn commit(&self, units: Vec<Unit>) -> Result<Outcome, Unknown> {
        let (sender, receiver) = sync_channel(1);
        let done = move |outcome| {
            // Who does not wait any more does not want to know.
            let _ = sender.send(outcome);
        };
        let submission = Submission { units, done: Box::new(done) };
        let mut alone = self.pending.is_idle().then(|| self.writer.try_lock().ok()).flatten();
        match alone.as_mut().and_then(|writer| writer.as_mut()) {
            Some(writer) => writer.commit(vec![submission]),
            None => self.push(submission),
        }
        drop(alone);
        receiver.recv().map_err(|_| Unknown)
    }

    /// Does something between two batches, and says how it ended once its changes are on disk.
    pub fn turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, Refusal> + Send + 'static,
        done: impl FnOnce(Result<T, Refusal>) + Send + 'static,
    ) {
        let done = Arc::new(Mutex::new(Some(done)));
        let answer = done.clone();
        let tell = move |result| {
            let done = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(done) = done {
                done(result);
            }
        };
        let request = Request::Turn(Box::new(move |turn| match work(turn) {
            Ok(value) => (Ok(()), Box::new(move |committed: Result<(), Refusal>| tell(committed.map(|()| value)))),
            Err(refusal) => (Err(refusal.clone()), Box::new(move |_| tell(Err(refusal)))),
        }));
        if self.pending.push(request).is_err() {
            let done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(done) = done {
                done(Err(Refusal::Closed));
            }
        }
    }

    /// As [`Store::turn`], and waits.
    pub fn wait_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (sender, receiver) = sync_channel(1);
        self.turn(work, move |result| {
            let _ = sender.send(result);
        });
        receiver.recv().unwrap_or(Err(Refusal::Closed))
    }

    /// Does what waits, and ends the writer.
    pub fn close(&self) {
        self.pending.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic there was told when it happened.
            let _ = thread.join();
        }
    }

    /// Transactions since it was started: what was committed together was one.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Gives it back where the writer has ended.
    pub(crate) fn request(&self, request: Request) -> Result<(), Request> {
        self.pending.push(request)
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    pub fn value(&self, bucket: &BucketId, key: &str) -> Result<Option<Vec<u8>>, Broken> {
        self.engine.get(&key::value(bucket, key)).map_err(|error| broken(&error))
    }

    /// Keys of a bucket, in order, behind `after`, at most `count`.
    pub fn keys(&self, bucket: &BucketId, after: Option<&str>, count: usize) -> Result<Vec<String>, Broken> {
        let prefix = key::values(bucket);
        let mut from = prefix.clone();
        if let Some(after) = after {
            from.extend_from_slice(after.as_bytes());
            from.push(0);
        }
        let mut keys = Vec::new();
        range(&*self.engine, &from, &key::end(&prefix), |key, _| {
            keys.push(std::str::from_utf8(key.get(prefix.len()..)?).ok()?.to_owned());
            Some(if keys.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(keys)
    }

    /// A shadow as it is kept, deleted or not.
    pub fn shadow(&self, id: &ShadowId) -> Result<Option<Stored>, Broken> {
        let key = key::shadow(id);
        let row = self.engine.get(&key).map_err(|error| broken(&error))?;
        row.map(|row| Stored::decode(&row).map_err(|error| unreadable(&key, &error.to_string()))).transpose()
    }

    /// The shadows of a thing, or of all, that are not deleted: at most `count` behind one, a thing's classic one first.
    pub fn shadows(
        &self,
        thing: Option<&ThingName>,
        after: Option<&ShadowId>,
        count: usize,
    ) -> Result<Vec<(ShadowId, Document)>, Broken> {
        let prefix = thing.map_or_else(|| vec![key::SHADOWS], key::shadows);
        let from = after.map_or_else(|| prefix.clone(), |after| [key::shadow(after), vec![0]].concat());
        let mut found = Vec::new();
        range(&*self.engine, &from, &key::end(&prefix), |key, row| {
            let id = key::shadow_of(key)?;
            if let Stored::Live(document) = Stored::decode(row).ok()? {
                found.push((id, document));
            }
            Some(if found.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }

    /// What is kept of a shadow's synchronisation with a cloud. Nothing can be made of what is damaged.
    pub fn sync_row(&self, cloud: &str, id: &ShadowId) -> Result<Option<Vec<u8>>, Broken> {
        match self.engine.get(&key::sync_row(cloud, id)) {
            Err(EngineError::Damaged { .. }) => Ok(Some(Vec::new())),
            read => read.map_err(|error| broken(&error)),
        }
    }

    /// All that is kept of synchronisation, with any cloud.
    pub fn sync_rows(&self, mut visit: impl FnMut(&str, ShadowId)) -> Result<(), Broken> {
        each_readable(&*self.engine, &[key::SYNC_ROWS], |key, _| {
            let (cloud, id) = key::synced(key)?;
            visit(cloud, id);
            Some(())
        })
    }

    /// Forgets shadows that were deleted longer ago than they are remembered, at most `count` of them. Says how many;
    /// `now` is the second since 1970.
    pub fn forget_shadows(&self, now: u64, count: usize) -> Result<usize, Refusal> {
        let mut over = Vec::new();
        range(&*self.engine, &[key::SHADOWS], &key::end(&[key::SHADOWS]), |key, row| {
            if Stored::decode(row).is_ok_and(|stored| stored.is_over(now)) {
                over.push(key::shadow_of(key)?);
            }
            Some(if over.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        let found = over.len();
        if found > 0 {
            // Looked at again: it may have come back meanwhile.
            self.wait_turn(move |turn| {
                over.iter().try_for_each(|id| turn.ledger.forget_shadow(id, now, turn.records))
            })?;
        }
        Ok(found)
    }

    /// The one-shot timers of a component.
    pub fn timers(&self, component: &str) -> Result<Vec<(String, SavedTimer)>, Broken> {
        let prefix = key::timers(component);
        let mut timers = Vec::new();
        each(&*self.engine, &prefix, |key, row| {
            let name = std::str::from_utf8(key.get(prefix.len()..)?).ok()?;
            timers.push((name.to_owned(), record::read_timer(row)?));
            Some(())
        })?;
        Ok(timers)
    }

    /// Bytes of all keys and values in a bucket.
    pub fn bytes(&self, bucket: &BucketId) -> Result<u64, Broken> {
        let row = self.engine.get(&key::bucket(bucket)).map_err(|error| broken(&error))?;
        Ok(row.and_then(|row| record::read_number(&row)).unwrap_or(0))
    }
}

#[cfg(test)]
pub(crate) mod tests;
