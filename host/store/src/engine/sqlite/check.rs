//! The full check: every row's seal, then SQLite's own look at every page.
//!
//! It has a connection of its own and reads rows in slices, so that it neither holds readers up nor keeps the log from
//! being used again. Damage that SQLite reports without a key is narrowed down by reading towards it from both ends.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, ErrorCode};

use super::{Access, blobs, is_damage, open, read};
use crate::engine::{Checked, EngineError, FINDINGS, Finding, Progress, Watch};
use crate::seal;

/// Rows read in one transaction.
const SLICE: usize = 512;
/// Steps of SQLite's own check between two looks at the watch.
const STEPS: i32 = 20_000;

pub(super) fn check(path: &Path, watch: &Watch) -> Result<Checked, EngineError> {
    let mut db = open::connect(path, Access::Read).map_err(|error| EngineError::Read(Box::new(error)))?;
    let mut done = Done { checked: Checked::default(), bytes: 0 };
    if !rows(&db, watch, &mut done)? {
        return Ok(done.checked);
    }
    done.checked.complete = pages(&mut db, watch, &mut done)?;
    Ok(done.checked)
}

struct Done {
    checked: Checked,
    bytes: u64,
}

impl Done {
    fn found(&mut self, from: Vec<u8>, to: Option<Vec<u8>>, what: impl Into<String>) {
        if self.checked.findings.len() < FINDINGS {
            self.checked.findings.push(Finding { from, to, what: what.into() });
        }
    }

    fn progress(&self) -> Progress {
        Progress { rows: self.checked.rows, bytes: self.bytes }
    }
}

/// Where the next slice begins.
enum Next {
    After(Vec<u8>),
    End,
}

/// Whether all of them were seen.
fn rows(db: &Connection, watch: &Watch, done: &mut Done) -> Result<bool, EngineError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        match slice(db, after.as_deref(), done) {
            Ok(Next::End) => return Ok(true),
            Ok(Next::After(key)) => after = Some(key),
            Err(Cut { at, error }) if is_damage(&error) => {
                let after_damage = first_behind(db)?;
                done.found(at, after_damage, format!("pages are damaged ({error})"));
                return Ok(true);
            }
            Err(Cut { error, .. }) => return Err(read(error)),
        }
        if watch(done.progress()).is_break() {
            return Ok(false);
        }
    }
}

/// A read that failed behind the last key that was good.
struct Cut {
    at: Vec<u8>,
    error: rusqlite::Error,
}

fn slice(db: &Connection, after: Option<&[u8]>, done: &mut Done) -> Result<Next, Cut> {
    let mut last = after.unwrap_or_default().to_vec();
    let mut first = after.is_none();
    let cut = |at: &[u8]| {
        let at = at.to_vec();
        move |error| Cut { at, error }
    };
    let sql = "SELECT key, value FROM row WHERE key > ?1 OR (?2 AND key = ?1) ORDER BY key LIMIT ?3";
    let mut statement = db.prepare_cached(sql).map_err(cut(&last))?;
    let mut rows = statement.query((&last, first, SLICE as i64)).map_err(cut(&last))?;
    let mut seen = 0;
    while let Some(row) = rows.next().map_err(cut(&last))? {
        let (key, sealed) = blobs(row).map_err(cut(&last))?;
        if !first && key <= last.as_slice() {
            done.found(last.clone(), None, "keys are out of order");
            return Ok(Next::End);
        }
        if seal::open(key, sealed).is_none() {
            done.found(key.to_vec(), Some([key, &[0]].concat()), "the row's checksum does not match");
        }
        first = false;
        last = key.to_vec();
        seen += 1;
        done.checked.rows += 1;
        done.bytes += (key.len() + sealed.len()) as u64;
    }
    Ok(if seen < SLICE { Next::End } else { Next::After(last) })
}

/// The key from which on rows can be read to the end.
fn first_behind(db: &Connection) -> Result<Option<Vec<u8>>, EngineError> {
    let mut statement = db.prepare("SELECT key FROM row ORDER BY key DESC").map_err(read)?;
    let mut rows = statement.query([]).map_err(read)?;
    let mut good = None;
    loop {
        match rows.next() {
            Ok(Some(row)) => good = Some(row.get_ref(0).map_err(read)?.as_blob().unwrap_or_default().to_vec()),
            Ok(None) => return Ok(good),
            Err(error) if is_damage(&error) => return Ok(good),
            Err(error) => return Err(read(error)),
        }
    }
}

/// What the seals do not show: pages lost, used twice, or wrong inside. Whether it came to its end.
fn pages(db: &mut Connection, watch: &Watch, done: &mut Done) -> Result<bool, EngineError> {
    let ended = Arc::new(AtomicBool::new(false));
    let (asked, progress, told) = (Arc::clone(watch), done.progress(), Arc::clone(&ended));
    db.progress_handler(
        STEPS,
        Some(move || {
            let stop = asked(progress).is_break();
            told.fetch_or(stop, Ordering::Relaxed);
            stop
        }),
    )
    .map_err(read)?;
    let mut statement = db.prepare(&format!("PRAGMA integrity_check({FINDINGS})")).map_err(read)?;
    let mut lines = statement.query([]).map_err(read)?;
    loop {
        match lines.next() {
            Ok(None) => return Ok(true),
            Ok(Some(line)) => {
                let line: String = line.get(0).map_err(read)?;
                if line != "ok" {
                    done.found(Vec::new(), None, line);
                }
            }
            Err(error)
                if ended.load(Ordering::Relaxed)
                    && error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
            {
                return Ok(false);
            }
            Err(error) if is_damage(&error) => {
                done.found(Vec::new(), None, error.to_string());
                return Ok(true);
            }
            Err(error) => return Err(read(error)),
        }
    }
}
