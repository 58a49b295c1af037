//! What an operator does with the store of a gateway that does not run: look whether it is whole, what is in it, and
//! move it through a file.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgewit_domain::config::{Config, Mistakes};
use edgewit_domain::ledger::Broken;
use edgewit_store::engine::{Checked, Progress};
use edgewit_store::transfer::{self, TransferError};
use edgewit_store::{Disk, EngineError, IfAbsent, Kind, OpenError, Opened};
use serde::Serialize;

use super::{FOLDER, kind};
use crate::files::{ConfigFile, FileError};

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}", mistakes.in_file(file))]
    Configuration { file: String, mistakes: Mistakes },
    #[error("the store in {} cannot be opened", path.display())]
    Open { path: PathBuf, source: OpenError },
    #[error("the store cannot be read")]
    Read(#[from] EngineError),
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error("the folder {} cannot be made; check space and permissions of the data directory", path.display())]
    Folder { path: PathBuf, source: io::Error },
}

/// Where a configuration keeps its store.
pub struct StorePlace {
    path: PathBuf,
    kind: Kind,
}

/// What is in a store.
#[derive(Clone, Debug, Serialize)]
pub struct StoreStats {
    pub engine: &'static str,
    /// On disk, and what of it is free for new rows.
    pub bytes: u64,
    pub free_bytes: u64,
    pub queues: u64,
    pub messages: u64,
    pub message_bytes: u64,
    pub retained: u64,
    pub buckets: u64,
    pub bucket_bytes: u64,
    /// Running time that was kept last.
    pub uptime_ms: u64,
    /// Whether the last gateway ended in good order.
    pub clean: bool,
}

impl StorePlace {
    /// By the configuration at `path`.
    pub fn of(path: &Path) -> Result<StorePlace, ToolError> {
        let file = ConfigFile::open(path)?;
        let config = Config::parse(&file.read()?)
            .map_err(|mistakes| ToolError::Configuration { file: file.path().display().to_string(), mistakes })?;
        let path = file.folder_path.join(&config.gateway.data).join(FOLDER);
        Ok(StorePlace { path, kind: kind(config.store.engine) })
    }

    fn open(&self) -> Result<Disk, ToolError> {
        match Disk::open(&self.path, self.kind, IfAbsent::Refuse) {
            Ok((disk, _)) => Ok(disk),
            Err(source) => Err(ToolError::Open { path: self.path.clone(), source }),
        }
    }

    /// Reads all of it. `watch` is told how far it is.
    pub fn check(&self, watch: impl Fn(Progress) + Send + Sync + 'static) -> Result<Checked, ToolError> {
        let disk = self.open()?;
        let watch = move |progress: Progress| {
            watch(progress);
            ControlFlow::Continue(())
        };
        let checked = disk.engine().check(&(Arc::new(watch) as _))?;
        leave(disk);
        Ok(checked)
    }

    pub fn stats(&self) -> Result<StoreStats, ToolError> {
        let disk = self.open()?;
        let size = disk.engine().size()?;
        let opened = Opened::new(disk.engine())?;
        let contents = opened.contents();
        let stats = StoreStats {
            engine: disk.kind().name(),
            bytes: size.bytes,
            free_bytes: size.free,
            queues: contents.queues.len() as u64,
            messages: contents.queues.iter().map(|(_, record)| record.messages).sum(),
            message_bytes: contents.queues.iter().map(|(_, record)| record.bytes).sum(),
            retained: contents.retained.messages,
            buckets: contents.buckets.len() as u64,
            bucket_bytes: contents.buckets.iter().map(|(_, bytes)| bytes).sum(),
            uptime_ms: opened.uptime.map_or(0, |(uptime, _)| crate::desk::millis(uptime)),
            clean: disk.left_clean(),
        };
        leave(disk);
        Ok(stats)
    }

    /// Writes all rows to a file. Returns how many.
    pub fn export(&self, file: &Path, progress: &mut dyn FnMut(u64)) -> Result<u64, ToolError> {
        Ok(transfer::export(&self.path, self.kind, file, progress)?)
    }

    /// Makes the store from a file; there must be none yet.
    pub fn import(&self, file: &Path, progress: &mut dyn FnMut(u64)) -> Result<u64, ToolError> {
        let made = std::fs::create_dir_all(&self.path);
        made.map_err(|source| ToolError::Folder { path: self.path.clone(), source })?;
        Ok(transfer::import(file, &self.path, self.kind, progress)?)
    }
}

/// A store that was closed in good order is so again; any other is for the gateway to put right.
fn leave(disk: Disk) {
    if disk.left_clean() {
        // Whoever opens it next takes it for one that was not closed, and handles with care what heads its queues.
        let _ = disk.close();
    }
}
