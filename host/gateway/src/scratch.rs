//! A folder of one's own for as long as a check or a trial takes: its cache of native code.
//!
//! Not the data directory's cache, since a gateway may be running on that one.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use edgewit_domain::config::Profile;
use edgewit_sandbox::artifact::{Digest, DigestIndex, Loader};
use edgewit_sandbox::engine::{Engine, EngineError};
use edgewit_worker::WorkerCommand;

use crate::files::ConfigFile;
use crate::loading::Source;
use crate::models::Models;
use crate::sync::lock;

#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    #[error("no temporary folder can be made in {}; make room there, or set TMPDIR", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Removed with everything in it when it is dropped.
pub(crate) struct Scratch {
    path: PathBuf,
    dir: Dir,
}

impl Scratch {
    pub fn new() -> Result<Scratch, ScratchError> {
        let name = format!("edgewit-{:016x}", RandomState::new().build_hasher().finish());
        let path = std::env::temp_dir().join(name);
        // Made, or the name is taken by someone else, which is an error: nothing there can be trusted.
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        let opened = made.and_then(|()| Dir::open_ambient_dir(&path, ambient_authority()));
        match opened {
            Ok(dir) => Ok(Scratch { path, dir }),
            Err(source) => Err(ScratchError::Folder { path, source }),
        }
    }

    /// Loads components of this configuration's folder, with a cache in here. They get these models.
    pub fn source(
        &self,
        file: &ConfigFile,
        profile: Profile,
        worker: &WorkerCommand,
        models: Arc<Models>,
    ) -> Result<Source, ScratchError> {
        let engine = Engine::new(profile)?;
        let dir = self.dir.try_clone().map_err(|source| ScratchError::Folder { path: self.path.clone(), source })?;
        let loader = Loader::new(engine.clone(), dir, Arc::new(InMemory::default()), worker.clone());
        let (folder, folder_path) = (file.folder.clone(), file.folder_path.clone());
        Ok(Source { engine, loader: Arc::new(loader), folder, folder_path, models })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever cleans temporary folders.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Digests of what this process has compiled itself, moments ago.
#[derive(Default)]
struct InMemory(Mutex<Vec<(String, Digest)>>);

impl DigestIndex for InMemory {
    fn get(&self, key: &str) -> Option<Digest> {
        lock(&self.0).iter().find(|(known, _)| known == key).map(|(_, digest)| *digest)
    }

    fn put(&self, key: &str, digest: Digest) -> io::Result<()> {
        lock(&self.0).push((key.to_owned(), digest));
        Ok(())
    }

    fn retain(&self, keep: &dyn Fn(&str) -> bool) -> io::Result<()> {
        lock(&self.0).retain(|(key, _)| keep(key));
        Ok(())
    }
}
