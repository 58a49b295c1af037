//! The store as the gateway uses it: submit units, look at rows, take a turn at the ledger.
//!
//! Reading goes past the writer and sees what is committed. Everything that changes anything goes through the writer,
//! and whoever waits for it may do so as a thread or be called back.

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use edgewit_domain::ledger::{
    Broken, BucketId, DeathNote, Ledger, Opening, QueueRecord, Refusal, SavedTimer, Unit, shadow_bytes,
};
use edgewit_domain::message::{Envelope, WallTime};
use edgewit_domain::queue::QueueNumber;
use edgewit_domain::shadow::{Document, ShadowId, Stored, ThingName};

use crate::engine::{Engine, EngineError, Finding};
use crate::format::bytes::Reader;
use crate::format::{envelope, key, record};
use crate::reserve::Reserve;
use crate::writer::rows::{MALFORMED, broken};
use crate::writer::{Outcome, Pending, Readers, Request, Submission, Turn, Unknown, Writer};

/// A store that was opened and is not written to yet.
pub struct Opened {
    engine: Arc<dyn Engine>,
    opening: Opening,
    /// The gateway's uptime when it was last kept, and the wall clock then.
    pub uptime: Option<(Duration, WallTime)>,
}

pub struct Store {
    engine: Arc<dyn Engine>,
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
        each(&*engine, &[key::SHADOWS], |key, row| {
            opening.shadows.messages += 1;
            opening.shadows.bytes += shadow_bytes(&key::shadow_of(key)?, row);
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
        let shared = (pending.clone(), commits.clone());
        let thread = Writer::spawn(self.engine.clone(), ledger, readers, (rules.keep, reserve), shared, spawn)?;
        Ok(Store { engine: self.engine, pending, commits, thread: Mutex::new(Some(thread)) })
    }
}

impl Store {
    /// Commits units one after another, with whatever else waits, and says what became of them.
    pub fn submit(&self, units: Vec<Unit>, done: impl FnOnce(Outcome) + Send + 'static) {
        let submission = Submission { units, done: Box::new(done) };
        if let Err(Request::Units(submission)) = self.pending.push(Request::Units(submission)) {
            (submission.done)(Outcome { committed: 0, refusal: Some(Refusal::Closed) });
        }
    }

    /// As [`Store::submit`], and waits.
    pub fn commit(&self, units: Vec<Unit>) -> Result<Outcome, Unknown> {
        let (sender, receiver) = sync_channel(1);
        self.submit(units, move |outcome| {
            // Who does not wait any more does not want to know.
            let _ = sender.send(outcome);
        });
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

/// Every retained message.
pub fn retained(engine: &dyn Engine, mut visit: impl FnMut(Envelope)) -> Result<(), Broken> {
    each(engine, &[key::RETAINED], |_, row| {
        visit(envelope::read(&mut Reader(row))?);
        Some(())
    })
}

/// Rows of a queue that were read at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub rows: Vec<StoredRow>,
    /// There may be rows behind them.
    pub more: bool,
}

/// The queue that damage is in, where it is in one and still there.
pub fn damaged_queue(engine: &dyn Engine, found: &Finding) -> Option<QueueNumber> {
    let queue = key::queue_of(&found.from)?;
    // Its kind and its number.
    let end = key::end(found.from.get(..5)?);
    let to = found.to.as_deref().filter(|to| *to < end.as_slice()).unwrap_or(&end);
    let read = engine.scan(&found.from, to, &mut |_, _| ControlFlow::Continue(()));
    matches!(read, Err(EngineError::Damaged { .. } | EngineError::Torn { .. })).then_some(queue)
}

/// Rows of a queue from a sequence number on: at most `count`, and past the first at most so many `bytes`.
pub fn rows(
    engine: &dyn Engine,
    queue: QueueNumber,
    from: u64,
    (count, bytes): (usize, usize),
) -> Result<Page, Broken> {
    let dead = |record: &QueueRecord| matches!(record.id, edgewit_domain::queue::QueueId::Dead(_));
    let record = engine.get(&key::queue(queue)).map_err(|error| broken(&error))?;
    let record = record.and_then(|row| record::read_queue(&row));
    let dead = record.as_ref().is_some_and(dead);
    // Below the head lies at most what could not be removed of a damaged queue.
    let from = from.max(record.map_or(0, |record| record.head));
    let (mut rows, mut more, mut left): (Vec<StoredRow>, _, _) = (Vec::new(), false, bytes);
    if count == 0 {
        return Ok(Page::default());
    }
    range(engine, &key::row(queue, from), &key::end(&key::queue_rows(queue)), |key, row| {
        let mut reader = Reader(row);
        let sequence = key::sequence(key::ROWS, queue, key)?;
        more = rows.len() >= count || (row.len() > left && !rows.is_empty());
        if more {
            return Some(ControlFlow::Break(()));
        }
        left = left.saturating_sub(row.len());
        let envelope = envelope::read(&mut reader)?;
        let note = if dead { Some(envelope::read_note(&mut reader)?) } else { None };
        rows.push(StoredRow { sequence, envelope, failed: 0, note });
        Some(ControlFlow::Continue(()))
    })?;
    let last = rows.last().map_or(from, |row| row.sequence);
    range(engine, &key::attempts(queue, from), &key::attempts(queue, last.saturating_add(1)), |key, row| {
        let sequence = key::sequence(key::ATTEMPTS, queue, key)?;
        let failed = u32::try_from(record::read_number(row)?).ok()?;
        if let Ok(place) = rows.binary_search_by_key(&sequence, |row| row.sequence)
            && let Some(row) = rows.get_mut(place)
        {
            row.failed = failed;
        }
        Some(ControlFlow::Continue(()))
    })?;
    Ok(Page { rows, more })
}

fn unreadable(key: &[u8], reason: &str) -> Broken {
    Broken { queue: None, reason: format!("the row with the key {}: {reason}", key.escape_ascii()) }
}

/// Every row whose key begins so.
fn each(engine: &dyn Engine, prefix: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> Option<()>) -> Result<(), Broken> {
    range(engine, prefix, &key::end(prefix), |key, row| visit(key, row).map(ControlFlow::Continue))
}

/// Rows between two keys, until `visit` breaks. What it can make no sense of is damaged.
fn range(
    engine: &dyn Engine,
    from: &[u8],
    to: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Option<ControlFlow<()>>,
) -> Result<(), Broken> {
    let mut malformed = None;
    let scanned = engine.scan(from, to, &mut |key, row| {
        visit(key, row).unwrap_or_else(|| {
            let reason = format!("the row with the key {}: {MALFORMED}", key.escape_ascii());
            malformed = Some(Broken { queue: key::queue_of(key), reason });
            ControlFlow::Break(())
        })
    });
    scanned.map_err(|error| broken(&error))?;
    malformed.map_or(Ok(()), Err)
}

#[cfg(test)]
pub(crate) mod tests;
