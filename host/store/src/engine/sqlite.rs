//! SQLite as an engine: one table of keys and sealed values, a write-ahead log synced at every commit.
//!
//! One connection writes, a few read. Checkpoints are ours and not SQLite's own, which would swallow their errors. It
//! must never have two writers, let SQLite delete or empty the log behind our back (its absence is how a lost log is
//! noticed), or hand a row out without looking at its seal.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Checked, CommitError, Engine, EngineError, Size, Stopped, Visit, Watch};
use crate::batch::Batch;
use crate::seal;
use open::Access;
use writer::Writer;

mod check;
mod log;
mod open;
mod writer;

pub use open::OpenSqliteError;

/// The database's file below the store's directory. SQLite adds `-wal` and `-shm` for the log and its index.
pub const FILE: &str = "store.sqlite";

/// Connections that read. More than one, so that a scan does not hold up a look at one key.
const READERS: usize = 2;

pub struct Sqlite {
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: Arc<[Mutex<Connection>; READERS]>,
    stopped: OnceLock<Stopped>,
}

impl Sqlite {
    /// Opens the store in this directory, or makes one with these rows where there is none: a new one has them, or is
    /// not there at all.
    pub fn open(dir: &Path, first: &Batch) -> Result<Sqlite, OpenSqliteError> {
        let path = dir.join(FILE);
        if !open::exists(&path)? {
            open::create(dir, &path, first)?;
        }
        let log = open::look(&path)?;
        let writer = open::connect(&path, Access::Write)?;
        open::misses_no_log(&writer, log)?;
        let readers = Arc::new([
            Mutex::new(open::connect(&path, Access::Read)?),
            Mutex::new(open::connect(&path, Access::Read)?),
        ]);
        let writer = Mutex::new(Writer::new(writer, Arc::clone(&readers))?);
        Ok(Sqlite { path, writer, readers, stopped: OnceLock::new() })
    }

    /// Brings everything from the log into the database, as far as the disk has room, and empties the log where the
    /// header says that the store was closed: elsewhere an empty log is a lost one.
    pub fn settle(&self, closed: bool) -> Result<(), CommitError> {
        self.running().map_err(unknown)?;
        let settled = lock(&self.writer).settle(closed);
        if settled.is_err() {
            self.stop("the disk failed to take over what its log holds");
        }
        settled
    }

    fn running(&self) -> Result<(), Stopped> {
        self.stopped.get().map_or(Ok(()), |stopped| Err(stopped.clone()))
    }

    fn stop(&self, after: &str) {
        self.stopped.get_or_init(|| Stopped { after: after.into() });
    }

    /// A reader that is idle, or the first one to become so.
    fn reader(&self) -> MutexGuard<'_, Connection> {
        let idle = self.readers.iter().find_map(|reader| match reader.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        let [first, ..] = self.readers.as_ref();
        idle.unwrap_or_else(|| lock(first))
    }
}

impl Engine for Sqlite {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.running()?;
        let reader = self.reader();
        let mut statement = reader.prepare_cached("SELECT value FROM row WHERE key = ?1").map_err(read)?;
        let value = |row: &Row<'_>| -> rusqlite::Result<_> {
            let sealed = row.get_ref(0)?.as_blob_or_null()?.unwrap_or_default();
            Ok(seal::open(key, sealed).map(<[u8]>::to_vec))
        };
        match statement.query_row([key], value).optional().map_err(|error| torn_or_read(error, key))? {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => Err(EngineError::Damaged { key: key.to_vec() }),
        }
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
        self.running()?;
        scan(&self.reader(), from, to, visit)
    }

    fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        self.running().map_err(unknown)?;
        let mut writer = lock(&self.writer);
        if batch.is_empty() {
            if let Err(error) = writer.give_back() {
                self.stop(&format!("the disk failed while the file shrank ({error})"));
            }
            return Ok(());
        }
        let done = writer.transact(batch);
        if let Err(CommitError::Unknown(_)) = &done {
            self.stop("a commit whose outcome is not known");
        }
        done?;
        // The change is durable, so it is acknowledged, whatever becomes of the log now. But a disk that fails to take
        // what the log holds is not to be written to any further.
        if let Err(error) = writer.tend() {
            self.stop(&format!("the disk failed to take over what its log holds ({error})"));
        }
        Ok(())
    }

    fn size(&self) -> Result<Size, EngineError> {
        self.running()?;
        let length = |ending: &str| {
            let mut name = self.path.clone().into_os_string();
            name.push(ending);
            fs::metadata(PathBuf::from(name)).map_or(0, |file| file.len())
        };
        let reader = self.reader();
        let pragma = |name: &str| reader.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let free = pragma("freelist_count").and_then(|pages| Ok(pages * pragma("page_size")?)).map_err(read)?;
        Ok(Size { bytes: length("") + length("-wal") + length("-shm"), free: u64::try_from(free).unwrap_or(0) })
    }

    fn check(&self, watch: &Watch) -> Result<Checked, EngineError> {
        self.running()?;
        check::check(&self.path, watch)
    }
}

fn scan(reader: &Connection, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), EngineError> {
    let mut statement =
        reader.prepare_cached("SELECT key, value FROM row WHERE key >= ?1 AND key < ?2 ORDER BY key").map_err(read)?;
    let mut rows = statement.query(params![from, to]).map_err(read)?;
    let mut last = from.to_vec();
    while let Some(row) = rows.next().map_err(|error| torn_or_read(error, &last))? {
        let (key, sealed) = blobs(row).map_err(read)?;
        if key < last.as_slice() || key >= to {
            return Err(EngineError::Torn { near: last });
        }
        let damaged = || EngineError::Damaged { key: key.to_vec() };
        let value = seal::open(key, sealed).ok_or_else(damaged)?;
        if visit(key, value).is_break() {
            break;
        }
        last.clear();
        last.extend_from_slice(key);
    }
    Ok(())
}

/// A key and what is stored under it. What is no blob is damaged, and an empty one fails every seal.
fn blobs<'a>(row: &'a Row<'_>) -> rusqlite::Result<(&'a [u8], &'a [u8])> {
    Ok((row.get_ref(0)?.as_blob().unwrap_or_default(), row.get_ref(1)?.as_blob().unwrap_or_default()))
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// `near` is the key that was looked for, or the last good one before the damage.
fn torn_or_read(error: rusqlite::Error, near: &[u8]) -> EngineError {
    if is_damage(&error) { EngineError::Torn { near: near.to_vec() } } else { read(error) }
}

fn read(error: rusqlite::Error) -> EngineError {
    EngineError::Read(Box::new(error))
}

fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> CommitError {
    CommitError::Unknown(Box::new(error))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left is a connection, and SQLite rolls back what was not committed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
