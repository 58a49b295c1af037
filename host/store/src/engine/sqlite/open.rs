//! Making and opening the database's files, with the settings that durability and small machines ask for.
//!
//! A database is made under another name, and gets its own only when it is whole and on disk: a crash leaves none or
//! a whole one, so that an empty or torn file under the store's name is damage and never taken for a new store.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::log::{self, Log};
use crate::batch::{Batch, Row};
use crate::header::{HEADER_KEY, Header, Kind};
use crate::seal;

/// In the file's header, where SQLite keeps it for `file` and for us: "EWst".
const APPLICATION: i32 = 0x4557_7374;

/// As SQLite keeps it, and as it has to read for ever.
const TABLE: &str = "CREATE TABLE row (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// Pages of each connection's cache, in KiB.
const WRITER_CACHE: i64 = 2048;
const READER_CACHE: i64 = 512;

#[derive(Debug, thiserror::Error)]
pub enum OpenSqliteError {
    #[error("{step} failed")]
    Io {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("opening the database of the store failed; see to the disk, or put back a copy")]
    Sqlite(#[source] rusqlite::Error),
    #[error(
        "the database of the store is damaged: {what}. Put back a copy, or import an export; \
         to start empty, move the file away"
    )]
    Damaged { what: String },
    #[error(
        "the file in the store's place is not a store of edgewit, or its first page is damaged. Put back a copy, move it away, or name another directory"
    )]
    Foreign,
}

pub(super) fn exists(path: &Path) -> Result<bool, OpenSqliteError> {
    path.try_exists().map_err(io("looking for the database of the store"))
}

/// A database with these rows under its name, on disk.
pub(super) fn create(dir: &Path, path: &Path, first: &Batch) -> Result<(), OpenSqliteError> {
    let temporary = path.with_extension("new");
    for ending in ["new", "new-wal", "new-shm", "new-journal"] {
        match fs::remove_file(path.with_extension(ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("removing what an opening left that was cut short")(error));
            }
            _ => {}
        }
    }
    let step = "making the database of the store";
    let options = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    options().map_err(io(step))?;
    {
        let db = Connection::open_with_flags(&temporary, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        db.execute_batch(&format!(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA application_id = {APPLICATION};
             {TABLE};"
        ))?;
        for Row { key, sealed } in first.rows() {
            db.execute("INSERT INTO row (key, value) VALUES (?1, ?2)", (key, sealed))?;
        }
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")?;
    }
    File::open(&temporary).and_then(|file| file.sync_all()).map_err(io(step))?;
    fs::rename(&temporary, path).map_err(io(step))?;
    sync_dir(dir).map_err(io(step))
}

pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Looks at the files before SQLite does, which takes an empty one for a new database and a damaged log for a short one.
pub(super) fn look(path: &Path) -> Result<Log, OpenSqliteError> {
    let step = "looking at the database of the store";
    if fs::metadata(path).map_err(io(step))?.len() == 0 {
        return Err(OpenSqliteError::Damaged { what: "its file is empty".into() });
    }
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match log::look(Path::new(&log)).map_err(io(step))? {
        Log::Damaged { frame } => Err(OpenSqliteError::Damaged {
            what: format!("frame {frame} of its log is not what was written, and later changes follow"),
        }),
        found => Ok(found),
    }
}

/// Where the database was not closed, the log has to be there: its header says so from before the first change on.
pub(super) fn misses_no_log(db: &Connection, log: Log) -> Result<(), OpenSqliteError> {
    let find = "SELECT value FROM row WHERE key = ?1";
    let header: Option<Vec<u8>> = db.query_row(find, [HEADER_KEY], |row| row.get(0)).optional()?;
    let decoded = header.and_then(|sealed| Header::decode(seal::open(HEADER_KEY, &sealed)?, Kind::Sqlite).ok());
    match decoded {
        Some(header) if !header.clean && log == Log::Absent => {
            Err(OpenSqliteError::Damaged { what: "its log is missing, and with it what was last written".into() })
        }
        _ => Ok(()),
    }
}

pub(super) fn connect(path: &Path, access: Access) -> Result<Connection, OpenSqliteError> {
    // Readers may write, too, as far as SQLite is concerned: the index of the log is shared memory.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Only the instant in which another connection resets the log is waited for.
    db.busy_timeout(Duration::from_secs(10))?;
    let cache = if access == Access::Write { WRITER_CACHE } else { READER_CACHE };
    db.pragma_update(None, "cache_size", -cache)?;
    db.pragma_update(None, "mmap_size", 0)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    if access == Access::Read {
        db.pragma_update(None, "query_only", true)?;
    }
    recognise(&db)?;
    Ok(db)
}

fn recognise(db: &Connection) -> Result<(), OpenSqliteError> {
    let application: i32 = db.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION {
        return Err(OpenSqliteError::Foreign);
    }
    if db.is_readonly("main")? {
        let what = "it may not be written, by its permissions or by its first page".into();
        return Err(OpenSqliteError::Damaged { what });
    }
    let table = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'row'";
    let table: Option<Vec<u8>> = db.query_row(table, [], |row| Ok(row.get_ref(0)?.as_bytes()?.to_vec())).optional()?;
    if table.as_deref() != Some(TABLE.as_bytes()) {
        return Err(OpenSqliteError::Damaged { what: "its table of rows is missing, or not what it was".into() });
    }
    Ok(())
}

impl From<rusqlite::Error> for OpenSqliteError {
    fn from(error: rusqlite::Error) -> OpenSqliteError {
        if super::is_damage(&error) {
            OpenSqliteError::Damaged { what: error.to_string() }
        } else {
            OpenSqliteError::Sqlite(error)
        }
    }
}

fn io(step: &'static str) -> impl Fn(io::Error) -> OpenSqliteError {
    move |source| OpenSqliteError::Io { step, source }
}
