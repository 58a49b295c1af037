//! What of a store lies on disk: its directory, its header, its engine and its reserve, opened together.
//!
//! Opening looks before it touches: a store that is not ours, is newer than we read, or lies beside another engine's is
//! refused with what to do, and nothing is ever emptied to get past it. One process has it open at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::limits::COMMIT_PATIENCE;
use rustix::fs::{FlockOperation, flock};

use crate::batch::Batch;
use crate::engine::sled::{self, OpenSledError, Sled};
use crate::engine::sqlite::{self, OpenSqliteError, Sqlite};
use crate::engine::{CommitError, Engine, EngineError};
use crate::header::{HEADER_KEY, Header, HeaderError, Kind};
use crate::reserve::{RESERVE_BYTES, Reserve};

const LOCK: &str = "lock";

pub struct Disk {
    kept: Kept,
    header: Header,
    left_clean: bool,
    /// Locked as long as it is open.
    _lock: File,
}

#[derive(Clone)]
enum Kept {
    Sqlite(Arc<Sqlite>),
    Sled(Arc<Sled>),
}

impl Kept {
    fn open(dir: &Path, kind: Kind, first: &Batch, patience: Duration) -> Result<Kept, OpenError> {
        Ok(match kind {
            Kind::Sqlite => Kept::Sqlite(Arc::new(Sqlite::open(dir, first)?)),
            Kind::Sled => Kept::Sled(Arc::new(Sled::open_within(dir, first, patience)?)),
        })
    }

    fn engine(&self) -> Arc<dyn Engine> {
        match self {
            Kept::Sqlite(engine) => engine.clone(),
            Kept::Sled(engine) => engine.clone(),
        }
    }

    fn header(&self, kind: Kind) -> Result<Header, OpenError> {
        let bytes = self.engine().get(HEADER_KEY)?.ok_or(OpenError::NoHeader)?;
        Ok(Header::decode(&bytes, kind)?)
    }

    /// A commit, and nothing of it left in a log.
    fn commit_header(&self, header: &Header) -> Result<(), CommitError> {
        let mut batch = Batch::new();
        batch.put(HEADER_KEY, &header.encode());
        self.engine().commit(&batch)?;
        match self {
            Kept::Sqlite(engine) => engine.settle(header.clean),
            Kept::Sled(_) => Ok(()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{step} failed")]
    Io {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("another process has the store open. Stop the gateway first, or wait for the other command to end")]
    Busy,
    #[error(
        "the directory holds a store kept by {found}, and {wanted} was asked for. Set store.engine = \"{found}\", or \
         export the store and import it with {wanted}"
    )]
    OtherEngine { found: Kind, wanted: Kind },
    #[error(
        "there is no store kept by {wanted} in the directory. The gateway makes it at its first start; name the gateway's own configuration, or import an export"
    )]
    Absent { wanted: Kind },
    #[error(transparent)]
    Sqlite(#[from] OpenSqliteError),
    #[error(transparent)]
    Sled(#[from] OpenSledError),
    #[error("the store has no header. Put back a copy, or import an export; to start empty, move it away")]
    NoHeader,
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("reading the header of the store failed. Put back a copy, or import an export")]
    Read(#[from] EngineError),
    #[error("writing the header of the store failed")]
    Write(#[from] CommitError),
}

/// What to do where there is no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfAbsent {
    Create,
    Refuse,
}

impl Disk {
    /// Opens the store in this directory, which exists. The space held back is the business of whoever commits.
    pub fn open(dir: &Path, kind: Kind, if_absent: IfAbsent) -> Result<(Disk, Reserve), OpenError> {
        Self::open_within(dir, kind, if_absent, COMMIT_PATIENCE)
    }

    /// As [`Disk::open`]; a commit of an engine that may never come back is given so long.
    pub fn open_within(
        dir: &Path,
        kind: Kind,
        if_absent: IfAbsent,
        patience: Duration,
    ) -> Result<(Disk, Reserve), OpenError> {
        let lock = lock(dir)?;
        if let Some(found) = found(dir)? {
            if found != kind {
                return Err(OpenError::OtherEngine { found, wanted: kind });
            }
        } else if if_absent == IfAbsent::Refuse {
            return Err(OpenError::Absent { wanted: kind });
        }
        let mut reserve = Reserve::find(dir, RESERVE_BYTES);
        let (kept, header, left_clean) = match begin(dir, kind, patience) {
            Err(error) if reserve.is_held() && is_full(&error) => {
                reserve.release().map_err(|source| OpenError::Io {
                    step: "releasing the reserve of the store",
                    source: io::Error::other(source),
                })?;
                begin(dir, kind, patience)?
            }
            begun => begun?,
        };
        Ok((Disk { kept, header, left_clean, _lock: lock }, reserve))
    }

    /// Opens the store in this directory to be looked at: it is left as it was found, closed in good order or not.
    pub fn look(dir: &Path, kind: Kind) -> Result<Disk, OpenError> {
        match found(dir)? {
            Some(found) if found != kind => return Err(OpenError::OtherEngine { found, wanted: kind }),
            Some(_) => {}
            None => return Err(OpenError::Absent { wanted: kind }),
        }
        let lock = lock(dir)?;
        let kept = Kept::open(dir, kind, &Batch::new(), COMMIT_PATIENCE)?;
        let header = kept.header(kind)?;
        Ok(Disk { left_clean: header.clean, kept, header, _lock: lock })
    }

    pub fn engine(&self) -> Arc<dyn Engine> {
        self.kept.engine()
    }

    pub fn kind(&self) -> Kind {
        self.header.engine
    }

    pub fn epoch(&self) -> u64 {
        self.header.epoch
    }

    /// Whether whoever had it open before closed it. True for a new one.
    pub fn left_clean(&self) -> bool {
        self.left_clean
    }

    /// Says on disk that it was left as it should be. Nothing may be committed afterwards.
    pub fn close(self) -> Result<(), CommitError> {
        self.kept.commit_header(&self.header.left(true))
    }
}

/// The engine, its header, and whether it was left clean.
type Begun = (Kept, Header, bool);

fn begin(dir: &Path, kind: Kind, patience: Duration) -> Result<Begun, OpenError> {
    let mut first = Batch::new();
    first.put(HEADER_KEY, &Header::new(random()?, kind).left(true).encode());
    let kept = Kept::open(dir, kind, &first, patience)?;
    let found = kept.header(kind)?;
    let left_clean = found.clean;
    let header = found.left(false);
    kept.commit_header(&header)?;
    Ok((kept, header, left_clean))
}

/// Which engine's files lie in the directory.
pub fn found(dir: &Path) -> Result<Option<Kind>, OpenError> {
    for (kind, name) in [(Kind::Sqlite, sqlite::FILE), (Kind::Sled, sled::FOLDER)] {
        if dir.join(name).try_exists().map_err(io("looking for the store"))? {
            return Ok(Some(kind));
        }
    }
    Ok(None)
}

/// Gives a whole and closed store its place. The disk has it when this returns.
pub(crate) fn move_store(from: &Path, to: &Path, kind: Kind) -> io::Result<()> {
    let name = match kind {
        Kind::Sqlite => sqlite::FILE,
        Kind::Sled => sled::FOLDER,
    };
    // Closing leaves rows in the log where the disk had no room for them anywhere else.
    let log = fs::metadata(from.join(format!("{name}-wal"))).map_or(0, |file| file.len());
    if log > 0 {
        return Err(io::ErrorKind::StorageFull.into());
    }
    fs::rename(from.join(name), to.join(name))?;
    File::open(to)?.sync_all()
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let step = "locking the store";
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(dir.join(LOCK)).map_err(io(step))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::Busy),
        Err(error) => Err(io(step)(error.into())),
    }
}

pub(crate) fn random() -> Result<u64, OpenError> {
    let mut bytes = [0; 8];
    let drawn = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    drawn.map_err(io("drawing a random number"))?;
    Ok(u64::from_le_bytes(bytes))
}

fn is_full(error: &OpenError) -> bool {
    match error {
        OpenError::Write(CommitError::Refused(_)) => true,
        OpenError::Io { source, .. }
        | OpenError::Sled(OpenSledError::Io { source, .. } | OpenSledError::Sled(::sled::Error::Io(source)))
        | OpenError::Sqlite(OpenSqliteError::Io { source, .. }) => source.kind() == io::ErrorKind::StorageFull,
        OpenError::Sqlite(OpenSqliteError::Sqlite(error)) => {
            use rusqlite::ErrorCode::{DiskFull, SystemIoFailure};
            matches!(error.sqlite_error_code(), Some(DiskFull | SystemIoFailure))
        }
        _ => false,
    }
}

fn io(step: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Io { step, source }
}
