//! The one connection that writes: transactions, and the care for the log.
//!
//! What the log holds goes into the database when there is enough of it, so that its file is used again from the start
//! and stays small. It must never call a change refused that may have happened: only a full disk with a clean rollback is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, ErrorCode};

use super::{READERS, is_damage, lock, unknown};
use crate::batch::{Batch, Row};
use crate::engine::CommitError;

/// Pages in the log from which on they are brought into the database. 4 MiB, which is as long as the log stays.
const CHECKPOINT_PAGES: u32 = 1000;
/// And from which on readers are kept waiting for it, since they never left a moment.
const INSIST_PAGES: u32 = 4 * CHECKPOINT_PAGES;
/// Bytes that the log's file is cut back to after it had to grow longer.
const LOG_BYTES: u32 = (CHECKPOINT_PAGES + 24) * 4120;

/// Free pages that are kept for the next rows. Past twice as many, and half of the file, the file shrinks.
const SPARE_PAGES: i64 = 512;
/// Pages that the file shrinks by at a time, and commits between two looks at whether it should.
const SHRINK_PAGES: i64 = 256;
const SHRINK_COMMITS: u32 = 16;
/// Pieces that it shrinks by when the disk is short: 16 MiB.
const GIVEN_BACK_AT_ONCE: u32 = 16;

const PUT: &str = "INSERT INTO row (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const DELETE: &str = "DELETE FROM row WHERE key = ?1";

pub(super) struct Writer {
    db: Connection,
    readers: Arc<[Mutex<Connection>; READERS]>,
    log_pages: Arc<AtomicU32>,
    commits: u32,
}

impl Writer {
    pub fn new(mut db: Connection, readers: Arc<[Mutex<Connection>; READERS]>) -> rusqlite::Result<Writer> {
        let log_pages = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&log_pages);
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        db.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            counted.store(pages.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Writer { db, readers, log_pages, commits: 0 })
    }

    pub fn transact(&self, batch: &Batch) -> Result<(), CommitError> {
        self.execute("BEGIN IMMEDIATE").map_err(|error| self.undo(error))?;
        self.apply(batch)?;
        self.execute("COMMIT").map_err(|error| self.undo(error))
    }

    fn apply(&self, batch: &Batch) -> Result<(), CommitError> {
        let mut put = self.db.prepare_cached(PUT).map_err(|error| self.undo(error))?;
        let mut delete = self.db.prepare_cached(DELETE).map_err(|error| self.undo(error))?;
        for Row { key, sealed } in batch.rows() {
            let done = match sealed {
                Some(sealed) => put.execute((key, sealed)),
                None => delete.execute([key]),
            };
            done.map_err(|error| if is_damage(&error) { self.undo_at(error, key) } else { self.undo(error) })?;
        }
        Ok(())
    }

    fn execute(&self, statement: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached(statement)?.execute([]).map(|_| ())
    }

    /// What a failure means for the change, which is rolled back.
    fn undo(&self, error: rusqlite::Error) -> CommitError {
        match self.roll_back() {
            Err(second) => unknown(second),
            Ok(()) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => CommitError::Refused(Box::new(error)),
            Ok(()) => unknown(error),
        }
    }

    /// The row's place is damaged, which was found before anything was written.
    fn undo_at(&self, error: rusqlite::Error, key: &[u8]) -> CommitError {
        match self.roll_back() {
            Err(second) => unknown(second),
            Ok(()) => CommitError::Damaged { key: key.to_vec(), source: Box::new(error) },
        }
    }

    fn roll_back(&self) -> rusqlite::Result<()> {
        // SQLite has already rolled back after some errors, and a second time would be an error of its own.
        if self.db.is_autocommit() { Ok(()) } else { self.execute("ROLLBACK") }
    }

    /// After a commit: keeps the log and the file small. A full disk is no failure here: the log goes on growing until
    /// a commit is refused.
    pub fn tend(&mut self) -> rusqlite::Result<()> {
        self.commits = self.commits.wrapping_add(1);
        match self.tend_now() {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => self.roll_back(),
            other => other,
        }
    }

    /// Shrinks the file by all that is not needed, a piece at a time, as far as the disk lets it.
    pub fn give_back(&mut self) -> rusqlite::Result<()> {
        for _ in 0..GIVEN_BACK_AT_ONCE {
            let shrunk = self.shrink(1).and_then(|shrunk| self.checkpoint("PASSIVE").map(|()| shrunk));
            match shrunk {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => return self.roll_back(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn tend_now(&self) -> rusqlite::Result<()> {
        // What is cut off the file goes back to the disk when the log has been brought into it.
        let shrunk = self.commits.is_multiple_of(SHRINK_COMMITS) && self.shrink(2)?;
        let pages = self.log_pages.load(Ordering::Relaxed);
        if pages < CHECKPOINT_PAGES && !shrunk {
            return Ok(());
        }
        let _waiting: Vec<_> = if pages < INSIST_PAGES { Vec::new() } else { self.readers.iter().map(lock).collect() };
        self.checkpoint("PASSIVE")
    }

    /// Where more pages are free than so many times those that are kept, and half of the file.
    fn shrink(&self, times: i64) -> rusqlite::Result<bool> {
        let pragma = |text: &str| self.db.prepare_cached(text)?.query_row([], |row| row.get::<_, i64>(0));
        let free = pragma("PRAGMA freelist_count")?;
        if free <= times * SPARE_PAGES || free < pragma("PRAGMA page_count")? / 2 {
            return Ok(false);
        }
        let pages = (free - SPARE_PAGES).min(SHRINK_PAGES);
        let mut statement = self.db.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(true)
    }

    fn checkpoint(&self, mode: &str) -> rusqlite::Result<()> {
        self.db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
    }

    /// Everything from the log into the database.
    pub fn settle(&self, empty: bool) -> Result<(), CommitError> {
        let _waiting: Vec<_> = self.readers.iter().map(lock).collect();
        match self.checkpoint(if empty { "TRUNCATE" } else { "FULL" }) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(()),
            other => other.map_err(unknown),
        }
    }
}
