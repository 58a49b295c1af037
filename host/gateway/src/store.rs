//! The gateway's store: opened at its start, closed at its end, and what happens when the disk fails in between.

mod checking;
pub mod tools;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use edgewit_domain::config::{Store as StoreConfig, StoreEngine};
use edgewit_domain::ledger::Broken;
use edgewit_domain::{shadow, uptime};
use edgewit_store::{Disk, IfAbsent, Kind, OpenError, Opened, Reserve, Rules};

use crate::clock::{Clock, kept_wall};
use crate::hub::{Hub, Keeping};
pub(crate) use checking::Checking;

/// In the data directory.
pub(crate) const FOLDER: &str = "store";

/// What a process ends with whose last commit may have happened or not.
pub(crate) const UNKNOWN_EXIT: u8 = 74;

/// How long such a process holds still before it ends: whoever starts it again does so at most this often.
const HOLD_STILL: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the folder {} cannot be made; check space and permissions of the data directory", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("the store in {} cannot be opened", path.display())]
    Open { path: PathBuf, source: OpenError },
    #[error(
        "the store in {} is damaged; `edgewit store check` says what is broken. Put back a copy, or import an export",
        path.display()
    )]
    Broken { path: PathBuf, source: Broken },
    #[error("a thread could not be started; raise the limit of processes for the gateway's user")]
    Thread(#[source] io::Error),
}

/// A store that was opened and is not written to yet.
pub(crate) struct Opening {
    pub disk: Disk,
    opened: Opened,
    reserve: Reserve,
}

impl Opening {
    pub fn open(data: &Path, config: StoreConfig) -> Result<Opening, StoreError> {
        let path = data.join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(StoreError::Folder { path, source });
            }
            _ => {}
        }
        let (disk, reserve) = match Disk::open(&path, kind(config.engine), IfAbsent::Create) {
            Ok(open) => open,
            Err(source) => return Err(StoreError::Open { path, source }),
        };
        let opened = Opened::new(disk.engine()).map_err(|source| StoreError::Broken { path, source })?;
        Ok(Opening { disk, opened, reserve })
    }

    /// Running time goes on where it ended.
    pub fn clock(&self) -> Clock {
        Clock::from(uptime::resume(self.opened.uptime, kept_wall()))
    }

    /// Starts the writer and gives the hub its store.
    pub fn start(
        self,
        config: StoreConfig,
        shadows: shadow::Limits,
        hub: &Arc<Hub>,
        spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>>,
    ) -> Result<Disk, StoreError> {
        let keeping = Keeping { hub: hub.clone(), unknown: end_at_once };
        let rules = Rules { quota: config.bytes, keep: config.keep, shadows };
        let store = self.opened.start(keeping, rules, Some(self.reserve), spawn);
        hub.keep_in(store.map_err(StoreError::Thread)?);
        Ok(self.disk)
    }
}

pub(crate) fn kind(engine: StoreEngine) -> Kind {
    match engine {
        StoreEngine::Sqlite => Kind::Sqlite,
        StoreEngine::Sled => Kind::Sled,
    }
}

/// Going on could break a promise: nobody knows what is on disk before the store is opened anew.
#[expect(clippy::disallowed_methods, reason = "no destructor may write to a store whose state is not known")]
fn end_at_once(reason: &str) {
    tracing::error!(
        reason,
        "The disk failed while the store was written. Whether that was kept is not known, so the gateway ends; see to the disk, and start it again"
    );
    std::thread::sleep(HOLD_STILL);
    std::process::exit(UNKNOWN_EXIT.into());
}
