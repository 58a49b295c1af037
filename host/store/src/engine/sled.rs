//! sled 0.34 as an engine, made as durable as it can be made from outside.
//!
//! Its `flush` writes without syncing, so the log file is synced here through a descriptor of our own, whose errors
//! are returned. Values lie in chunks, because sled writes a large leaf to a file of its own that nothing syncs. It
//! panics where others return an error, so every call is caught; where a write fails it may never return, so commits have a
//! thread of their own and an end. It must never show a row before the sync, nor go on
//! after an error: what its log then holds is anybody's guess.

use std::fs::File;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use edgewit_domain::limits::COMMIT_PATIENCE;

use super::{Checked, CommitError, Engine, EngineError, FINDINGS, Finding, Progress, Size, Stopped, Visit, Watch};
use crate::batch::Batch;
use commits::{Commits, Place};
use rows::{Fetched, Rows};

mod commits;
mod open;
mod rows;

pub use open::OpenSledError;

/// The folder below the store's directory.
pub const FOLDER: &str = "store.sled";

/// Free bytes on the disk without which nothing is begun: sled cannot take back what it failed to write. Two of its
/// segments, and twice the batch comes on top.
const HEADROOM: u64 = 1 << 20;
/// Rows of a check between two looks at the watch.
const SLICE: u64 = 512;

pub struct Sled {
    rows: Arc<Rows>,
    folder: PathBuf,
    log: File,
    commits: Commits,
    /// Held for writing from the first change to the sync: sled shows changes before they are on disk.
    shown: RwLock<()>,
    stopped: OnceLock<Stopped>,
}

impl Sled {
    /// Opens the store in this directory, or makes one with these rows where there is none: a new one has them, or is
    /// not there at all.
    pub fn open(dir: &Path, first: &Batch) -> Result<Sled, OpenSledError> {
        Self::open_within(dir, first, COMMIT_PATIENCE)
    }

    /// As [`Sled::open`]; a commit may take so long.
    pub(crate) fn open_within(dir: &Path, first: &Batch, patience: Duration) -> Result<Sled, OpenSledError> {
        let folder = dir.join(FOLDER);
        if !open::exists(&folder)? {
            open::create(dir, &folder, first)?;
        }
        let (db, log) = open::open(&folder)?;
        let rows = Arc::new(Rows::new(db).map_err(OpenSledError::Sled)?);
        let started = log
            .try_clone()
            .and_then(|log| Commits::start(Place { rows: rows.clone(), folder: folder.clone(), log }, patience));
        let commits = started.map_err(open::io("starting the thread of the store"))?;
        Ok(Sled { rows, folder, log, commits, shown: RwLock::new(()), stopped: OnceLock::new() })
    }

    fn running(&self) -> Result<(), Stopped> {
        self.stopped.get().map_or(Ok(()), |stopped| Err(stopped.clone()))
    }

    fn stop(&self, after: &str) {
        self.stopped.get_or_init(|| {
            // What sled does when it ends would fail as well, and it would panic. The process is about to end.
            mem::forget(self.rows.db().clone());
            Stopped { after: after.into() }
        });
    }

    fn reading(&self) -> Result<RwLockReadGuard<'_, ()>, Stopped> {
        let guard = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        self.running()?;
        Ok(guard)
    }

    fn room_for(&self, batch: &Batch) -> Result<(), CommitError> {
        let disk = rustix::fs::fstatvfs(&self.log).map_err(unknown)?;
        let needed = HEADROOM + 2 * batch.bytes() as u64;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < needed {
            return Err(CommitError::Refused(Box::new(std::io::Error::from(std::io::ErrorKind::StorageFull))));
        }
        Ok(())
    }
}

impl Drop for Sled {
    fn drop(&mut self) {
        self.commits.end(self.stopped.get().is_some());
    }
}

impl Engine for Sled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let _shown = self.reading()?;
        match caught(|| self.rows.get(key)).map_err(read)? {
            Fetched::Absent => Ok(None),
            Fetched::Value(value) => Ok(Some(value)),
            Fetched::Damaged => Err(EngineError::Damaged { key: key.to_vec() }),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        let _shown = self.reading()?;
        let mut rows = self.rows.range(from, to);
        while let Some((key, fetched)) = caught(|| rows.next().transpose()).map_err(read)? {
            let value = match fetched {
                Fetched::Absent => continue,
                Fetched::Value(value) => value,
                Fetched::Damaged => return Err(EngineError::Damaged { key }),
            };
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        self.running().map_err(unknown)?;
        if batch.is_empty() {
            // Its files shrink by themselves, or not at all.
            return Ok(());
        }
        self.room_for(batch)?;
        let _hidden = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        let changes = caught(|| self.rows.changes(batch)).map_err(unknown)?;
        let done = self.commits.commit(changes);
        if done.is_err() {
            self.stop("a commit whose outcome is not known");
        }
        done
    }

    fn size(&self) -> Result<Size, EngineError> {
        self.running()?;
        let bytes = open::bytes(&self.folder).map_err(|error| EngineError::Read(Box::new(error)))?;
        Ok(Size { bytes, free: 0 })
    }

    fn check(&self, watch: &Watch) -> Result<Checked, EngineError> {
        let mut checked = Checked::default();
        let mut bytes = 0;
        let mut from = Vec::new();
        loop {
            // Commits go on between two slices.
            let shown = self.reading()?;
            let mut rows = self.rows.range_from(&from);
            for _ in 0..SLICE {
                let Some((key, fetched)) = caught(|| rows.next().transpose()).map_err(read)? else {
                    checked.complete = true;
                    return Ok(checked);
                };
                let next = [key.as_slice(), &[0]].concat();
                match fetched {
                    Fetched::Value(value) => bytes += (key.len() + value.len()) as u64,
                    Fetched::Absent => {}
                    Fetched::Damaged if checked.findings.len() < FINDINGS => {
                        let what = "the row's checksum does not match".into();
                        checked.findings.push(Finding { from: key, to: Some(next.clone()), what });
                    }
                    Fetched::Damaged => {}
                }
                checked.rows += 1;
                from = next;
            }
            drop((rows, shown));
            if watch(Progress { rows: checked.rows, bytes }).is_break() {
                return Ok(checked);
            }
        }
    }
}

/// sled asserts where a file is not as it expects. Nothing of ours is held inside, and the engine stops afterwards.
fn caught<T>(call: impl FnOnce() -> sled::Result<T>) -> sled::Result<T> {
    let panicked = |_| sled::Error::ReportableBug("sled panicked".into());
    catch_unwind(AssertUnwindSafe(call)).map_err(panicked).and_then(|result| result)
}

fn read(error: sled::Error) -> EngineError {
    EngineError::Read(Box::new(error))
}

fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> CommitError {
    CommitError::Unknown(Box::new(error))
}
