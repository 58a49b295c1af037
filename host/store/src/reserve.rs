//! Disk space held back, so that a full gateway can still delete.
//!
//! Removing a row takes space before it gives any: the log of the engine grows first. When a commit is refused for
//! want of space, whoever commits releases the reserve, goes on with what makes the store smaller, and takes the space
//! back when there is room again. The reserve never holds data, and losing it costs nothing but the space.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// The file below the store's directory.
pub const FILE: &str = "reserve";

/// What the engines need to go on: SQLite a log as long as it gets and the pages from it that are not in the database
/// yet, sled a few segments.
pub const RESERVE_BYTES: u64 = 8 << 20;

pub struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("holding back {bytes} bytes for the store failed")]
pub struct ReserveError {
    bytes: u64,
    #[source]
    source: io::Error,
}

impl Reserve {
    /// Takes up what an earlier process left, held or not.
    pub fn find(dir: &Path, bytes: u64) -> Reserve {
        let path = dir.join(FILE);
        let held = fs::metadata(&path).is_ok_and(|file| file.len() == bytes);
        Reserve { path, bytes, held }
    }

    pub fn is_held(&self) -> bool {
        self.held
    }

    /// False where there is no room for it now.
    pub fn hold(&mut self) -> Result<bool, ReserveError> {
        if self.held {
            return Ok(true);
        }
        match self.allocate() {
            Ok(()) => self.held = true,
            Err(error) if is_full(&error) => self.release()?,
            Err(source) => return Err(ReserveError { bytes: self.bytes, source }),
        }
        Ok(self.held)
    }

    /// Gives the space back to the disk, and so to the engine.
    pub fn release(&mut self) -> Result<(), ReserveError> {
        self.held = false;
        match fs::remove_file(&self.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ReserveError { bytes: self.bytes, source }),
            _ => Ok(()),
        }
    }

    /// The length is set last: a file of another length is no reserve.
    fn allocate(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, self.bytes) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return fill(&mut file, self.bytes),
            Err(error) => return Err(error.into()),
        }
        file.set_len(self.bytes)?;
        file.sync_all()
    }
}

/// Where the file system cannot allocate without writing.
fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    let block = [0xa5; 64 << 10];
    let mut left = bytes;
    while left > 0 {
        let some = block.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(&block);
        file.write_all(some)?;
        left -= some.len() as u64;
    }
    file.sync_all()
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn it_takes_its_space_gives_it_back_and_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut reserve = Reserve::find(dir.path(), 1 << 20);
        assert!(!reserve.is_held());
        assert!(reserve.hold().unwrap() && reserve.hold().unwrap());
        let file = fs::metadata(&path).unwrap();
        assert!(file.blocks() * 512 >= 1 << 20, "{} blocks", file.blocks());
        assert!(Reserve::find(dir.path(), 1 << 20).is_held());
        assert!(!Reserve::find(dir.path(), 2 << 20).is_held(), "one of another length is none");
        reserve.release().unwrap();
        assert!(!path.exists() && !reserve.is_held());
        reserve.release().unwrap();
    }

    #[test]
    fn filling_takes_as_much() {
        let mut file = tempfile::tempfile().unwrap();
        fill(&mut file, (100 << 10) + 3).unwrap();
        assert_eq!(file.metadata().unwrap().len(), (100 << 10) + 3);
    }
}
