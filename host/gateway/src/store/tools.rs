//! What an operator does with the store of a gateway that does not run: look whether it is whole, what is in it, and
//! move it through a file.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgewit_domain::config::{Config, Mistakes};
use edgewit_domain::ledger::Broken;
use edgewit_store::engine::{Checked, Engine, Finding, Progress};
use edgewit_store::transfer::{self, TransferError};
use edgewit_store::{Disk, EngineError, Kind, Named, OpenError, Opened, name};
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
    /// Those of deleted shadows that are still remembered among them.
    pub shadows: u64,
    pub shadow_bytes: u64,
    /// Running time that was kept last.
    pub uptime_ms: u64,
    /// Whether the last gateway ended in good order.
    pub clean: bool,
}

/// What a check of a store found.
#[derive(Clone, Debug, Serialize)]
pub struct StoreCheck {
    /// Read.
    pub rows: u64,
    pub damaged: Vec<Damage>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Damage {
    pub place: String,
    /// The queue that it is in, where it can be told.
    pub queue: Option<String>,
    pub what: String,
}

pub(crate) fn damage(engine: &dyn Engine, finding: &Finding) -> Damage {
    let Finding { from, to, what } = finding;
    let Named { text, queue } = name(engine, from);
    let alone = to.as_deref() == Some(&[from.as_slice(), &[0]].concat());
    let place = match alone {
        true => text,
        false if from.is_empty() => "the files of the store".to_owned(),
        false => format!("behind {text}"),
    };
    Damage { place, queue: queue.map(|id| id.to_string()), what: what.clone() }
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
        Disk::look(&self.path, self.kind).map_err(|source| ToolError::Open { path: self.path.clone(), source })
    }

    /// Reads all of it. `watch` is told how far it is.
    pub fn check(&self, watch: impl Fn(Progress) + Send + Sync + 'static) -> Result<StoreCheck, ToolError> {
        let disk = self.open()?;
        let engine = disk.engine();
        let watch = move |progress: Progress| {
            watch(progress);
            ControlFlow::Continue(())
        };
        let Checked { rows, findings, .. } = engine.check(&(Arc::new(watch) as _))?;
        Ok(StoreCheck { rows, damaged: findings.iter().map(|finding| damage(engine.as_ref(), finding)).collect() })
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
            shadows: contents.shadows.messages,
            shadow_bytes: contents.shadows.bytes,
            uptime_ms: opened.uptime.map_or(0, |(uptime, _)| crate::desk::millis(uptime)),
            clean: disk.left_clean(),
        };
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
