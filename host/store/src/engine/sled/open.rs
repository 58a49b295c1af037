//! Making and opening sled's folder.
//!
//! sled takes a folder without its files for a new one. So a folder is made under another name, and gets its own
//! only when it is whole and on disk; one that lacks a file is damage. What sled creates it does not sync, so that is
//! done here at each opening.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::mem;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use sled::Db;

use super::caught;
use super::rows::Rows;
use crate::batch::Batch;

/// Bytes of sled's cache. It takes a gibibyte if it is not told.
const CACHE: u64 = 4 << 20;
/// sled's files without which there is no store.
const LOG: &str = "db";
const SETTINGS: &str = "conf";
const BLOBS: &str = "blobs";
/// How long its files may stay locked by what was closed a moment ago.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum OpenSledError {
    #[error("{step} failed")]
    Io {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(
        "sled could not open the store. Put back a copy, or import an export; to start empty, move its folder away"
    )]
    Sled(#[source] sled::Error),
    #[error(
        "the store of sled is damaged: {what}. Put back a copy, or import an export; \
         to start empty, move its folder away"
    )]
    Damaged { what: &'static str },
}

pub(super) fn exists(folder: &Path) -> Result<bool, OpenSledError> {
    folder.try_exists().map_err(io("looking for the folder of the store"))
}

pub(super) fn create(dir: &Path, folder: &Path, first: &Batch) -> Result<(), OpenSledError> {
    let step = "making the folder of the store";
    let temporary = folder.with_extension("new");
    match fs::remove_dir_all(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(step)(error)),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(&temporary).map_err(io(step))?;
    let rows = Rows::new(start(&temporary)?).map_err(OpenSledError::Sled)?;
    let filled = caught(|| {
        rows.db().apply_batch(rows.changes(first)?)?;
        rows.db().flush()
    });
    if filled.is_err() {
        // It would panic on its way out.
        mem::forget(rows.db().clone());
    }
    filled.map_err(OpenSledError::Sled)?;
    caught(|| {
        drop(rows);
        Ok(())
    })
    .map_err(OpenSledError::Sled)?;
    sync(&temporary).map_err(io(step))?;
    fs::rename(&temporary, folder).and_then(|()| File::open(dir)?.sync_all()).map_err(io(step))
}

pub(super) fn open(folder: &Path) -> Result<(Db, File), OpenSledError> {
    for (name, what) in [(LOG, "its log is missing"), (SETTINGS, "its settings are missing")] {
        match fs::metadata(folder.join(name)) {
            Ok(file) if file.len() > 0 => {}
            Ok(_) => return Err(OpenSledError::Damaged { what }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenSledError::Damaged { what }),
            Err(error) => return Err(io("looking at the files of the store")(error)),
        }
    }
    // Opened before sled writes, so that no error of a write can go by unseen.
    let log = File::open(folder.join(LOG)).map_err(io("opening the log of the store"))?;
    remove_unfinished(folder).map_err(io("removing what an opening left that was cut short"))?;
    let db = start(folder)?;
    sync(folder).map_err(io("syncing the folder of the store"))?;
    if has_blobs(folder).map_err(io("looking at the files of the store"))? {
        return Err(OpenSledError::Damaged { what: "it holds values in files of their own, which sled does not sync" });
    }
    Ok((db, log))
}

/// A snapshot that was being written when the power went holds nothing that the log does not, and sled would take a
/// torn one for a torn store.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn start(folder: &Path) -> Result<Db, OpenSledError> {
    let config = sled::Config::new().path(folder).cache_capacity(CACHE).flush_every_ms(None);
    let started = Instant::now();
    loop {
        match caught(|| config.open()) {
            // Its threads let go of the files a little after it was closed.
            Err(error) if is_locked(&error) && started.elapsed() < PATIENCE => thread::yield_now(),
            opened => return opened.map_err(OpenSledError::Sled),
        }
    }
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

pub(super) fn has_blobs(folder: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(folder.join(BLOBS))?.next().is_some())
}

/// Every file, and every folder, and the names of files before what is in them: sled changes its log in the belief that
/// the snapshot it has just named stays.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    Ok(())
}

pub(super) fn bytes(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(data) if data.is_dir() => sum += bytes(&entry.path())?,
            Ok(data) => sum += data.len(),
            // sled removes snapshots when it has a newer one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

pub(super) fn io(step: &'static str) -> impl Fn(io::Error) -> OpenSledError {
    move |source| OpenSledError::Io { step, source }
}
