//! What the gateway opens of the file system, once, at its start: the folder of its configuration and its data
//! directory. Everything later goes through these handles.
//!
//! The data directory belongs to one gateway at a time: whoever holds the lock in it. Its folders are closed to
//! other users, since what lies in the cache is native code.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, File, OpenOptions, OpenOptionsExt, Permissions, PermissionsExt};
use edgewit_domain::limits::CONFIG_BYTES;
use rustix::fs::{FlockOperation, OFlags, flock, fstat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// In the data directory.
const LOCK: &str = "gateway.lock";
const CACHE: &str = "cache";

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{step} {} failed; check that it exists and that the gateway's user may use it", path.display())]
    Io { step: &'static str, path: PathBuf, source: io::Error },
    #[error("{} lies outside the configuration's folder; copy it in", path.display())]
    Outside { path: PathBuf },
    #[error(
        "another gateway runs on the data directory {}; stop it, or give this one a directory of its own",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error("{} belongs to user {owner}, who could put other code into it; remove it, or change its owner", path.display())]
    NotOwned { path: PathBuf, owner: u32 },
    #[error("{} is in the place of a file of the gateway, and is none; remove it", path.display())]
    NotAFile { path: PathBuf },
}

impl FileError {
    fn io(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
        let path = path.to_owned();
        move |source| FileError::Io { step, path, source }
    }
}

/// A configuration file and the folder that everything in it starts from.
#[derive(Clone)]
pub(crate) struct ConfigFile {
    pub folder: Arc<Dir>,
    pub folder_path: Arc<Path>,
    name: PathBuf,
}

impl ConfigFile {
    pub fn open(path: &Path) -> Result<ConfigFile, FileError> {
        let name = path.file_name().map(PathBuf::from);
        let name = name.ok_or_else(|| FileError::io("reading", path)(io::ErrorKind::IsADirectory.into()))?;
        let folder_path = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder_path = std::path::absolute(folder_path).map_err(FileError::io("finding", folder_path))?;
        let folder = Dir::open_ambient_dir(&folder_path, ambient_authority());
        let folder = folder.map_err(FileError::io("opening", &folder_path))?;
        Ok(ConfigFile { folder: Arc::new(folder), folder_path: folder_path.into(), name })
    }

    /// The file's name as people know it.
    pub fn path(&self) -> PathBuf {
        self.folder_path.join(&self.name)
    }

    /// As it is now. One byte more than is read of a configuration at most, so that it can be refused.
    pub fn read(&self) -> Result<String, FileError> {
        self.read_text(&self.name)
    }

    /// Another file that the configuration refers to.
    pub fn read_beside(&self, path: &Path) -> Result<String, FileError> {
        self.read_text(path)
    }

    fn read_text(&self, path: &Path) -> Result<String, FileError> {
        let mut text = String::new();
        let read = open_file(&self.folder, path).and_then(|file| file.take(CONFIG_BYTES + 1).read_to_string(&mut text));
        let looked_at = self.folder_path.join(path);
        match read {
            Ok(_) => Ok(text),
            Err(error) if led_outside(&error) => Err(FileError::Outside { path: looked_at }),
            Err(error) => Err(FileError::io("reading", &looked_at)(error)),
        }
    }
}

/// The data directory, locked for as long as this lives.
pub(crate) struct Data {
    pub path: PathBuf,
    dir: Dir,
    _lock: File,
}

impl Data {
    pub fn open(path: &Path) -> Result<Data, FileError> {
        let mut create = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut create, 0o700);
        create.recursive(true).create(path).map_err(FileError::io("making the data directory", path))?;
        let dir = Dir::open_ambient_dir(path, ambient_authority());
        let dir = dir.map_err(FileError::io("opening the data directory", path))?;
        let lock = open_lock(&dir).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => FileError::NotAFile { path: path.join(LOCK) },
            _ => FileError::io("opening the lock in", path)(error),
        })?;
        match flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(FileError::InUse { path: path.to_owned() }),
            Err(error) => return Err(FileError::io("locking", path)(error.into())),
        }
        note_process(&lock);
        Ok(Data { path: path.to_owned(), dir, _lock: lock })
    }

    /// The folder for native code, which nobody else may write to.
    pub fn cache(&self) -> Result<Dir, FileError> {
        cache_in(&self.dir, &self.path)
    }
}

/// Opens what is a file, and nothing that could make its reader wait.
pub(crate) fn open_file(dir: &Dir, path: &Path) -> io::Result<File> {
    only_a_file(dir, path, OpenOptions::new().read(true))
}

fn open_lock(dir: &Dir) -> io::Result<File> {
    only_a_file(dir, Path::new(LOCK), OpenOptions::new().write(true).create(true).truncate(false).mode(0o600))
}

fn only_a_file(dir: &Dir, path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let not_a_file = || io::Error::new(io::ErrorKind::InvalidInput, "not a file");
    let opened = dir.open_with(path, options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()));
    let file = opened.map_err(|error| match Errno::from_io_error(&error) {
        // A folder that was to be written to; a socket, or a pipe that nobody reads.
        Some(Errno::ISDIR | Errno::NXIO) => not_a_file(),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_file()) }
}

/// Whether a path was not followed because it leads out of the folder that it starts from. The system's own refusals
/// have a number.
pub(crate) fn led_outside(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}

/// Who holds the lock, for the person who looks; nothing reads it.
fn note_process(mut lock: &File) {
    let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
}

fn cache_in(dir: &Dir, path: &Path) -> Result<Dir, FileError> {
    let path = path.join(CACHE);
    let mut create = DirBuilder::new();
    create.mode(0o700);
    match dir.create_dir_with(CACHE, &create) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(FileError::io("making", &path)(error));
        }
        _ => {}
    }
    let cache = dir.open_dir(CACHE).map_err(FileError::io("opening", &path))?;
    let owner = fstat(&cache).map_err(|error| FileError::io("looking at", &path)(error.into()))?.st_uid;
    if owner != geteuid().as_raw() {
        return Err(FileError::NotOwned { path, owner });
    }
    let closed = dir.set_permissions(CACHE, Permissions::from_mode(0o700));
    closed.map_err(FileError::io("closing to others", &path))?;
    Ok(cache)
}
