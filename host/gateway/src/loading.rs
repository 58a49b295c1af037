//! From a component's configuration to something that can be instantiated: its file is read, loaded, linked to
//! its grants, and its directories are opened.
//!
//! On threads of its own, since compiling may take minutes: neither a running component nor the start of
//! another waits for it. Files are reached through the configuration folder's handle, which follows nothing
//! that leads out of it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use edgewit_domain::config::{Component, DirGrant};
use edgewit_domain::limits::ARTIFACT_BYTES;
use edgewit_sandbox::artifact::{Digest, LoadError, Loader};
use edgewit_sandbox::engine::Engine;
use edgewit_sandbox::{LinkError, Prepared};

use crate::sync::lock;
use crate::threads::Threads;

/// Loads under way at once. Each may hold an artifact in memory; most take a millisecond.
const AT_ONCE: usize = 32;

/// A component ready to be instantiated.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub prepared: Prepared,
    pub digest: Digest,
    pub dirs: BTreeMap<Arc<str>, Arc<Dir>>,
}

/// Why a component cannot run as it is, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "artifact {} cannot be read: {source}; put it there, below the folder of the configuration file",
        path.display()
    )]
    Artifact { path: PathBuf, source: io::Error },
    #[error("artifact {} {source}", path.display())]
    Load { path: PathBuf, source: LoadError },
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error(
        "grant.dir.{grant}: {} cannot be opened: {source}; create it, or give the gateway's user access",
        path.display()
    )]
    Dir { grant: Arc<str>, path: PathBuf, source: io::Error },
}

/// Where components come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub engine: Engine,
    pub loader: Arc<Loader>,
    /// The folder of the configuration file: its handle, and its name for what grants lead to elsewhere.
    pub folder: Arc<Dir>,
    pub folder_path: Arc<Path>,
}

impl Source {
    /// Blocks while it compiles, if it has to.
    pub fn load(&self, component: &Component) -> Result<Loaded, Refusal> {
        let path = || component.artifact.clone();
        let wasm = self.read(&component.artifact).map_err(|source| Refusal::Artifact { path: path(), source })?;
        let artifact = self.loader.load(&wasm).map_err(|source| Refusal::Load { path: path(), source })?;
        drop(wasm);
        let prepared = Prepared::new(&self.engine, &artifact, component)?;
        let dirs = component.grants.dir.iter().map(|(name, grant)| Ok((name.clone(), self.open(name, grant)?)));
        Ok(Loaded { prepared, digest: artifact.digest, dirs: dirs.collect::<Result<_, Refusal>>()? })
    }

    /// The digest of the artifact as it lies there now; none where it cannot be read.
    pub fn digest(&self, component: &Component) -> Option<Digest> {
        self.read(&component.artifact).ok().map(|wasm| Digest::of(&wasm))
    }

    /// At most one byte more than a loader takes, so that it can refuse.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.folder.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        let mut wasm = Vec::new();
        file.take(ARTIFACT_BYTES + 1).read_to_end(&mut wasm)?;
        Ok(wasm)
    }

    /// A grant leads wherever the operator wrote; the component gets the handle and nothing above it.
    fn open(&self, name: &Arc<str>, grant: &DirGrant) -> Result<Arc<Dir>, Refusal> {
        let path = self.folder_path.join(&grant.path);
        let opened = Dir::open_ambient_dir(&path, ambient_authority());
        opened.map(Arc::new).map_err(|source| Refusal::Dir { grant: name.clone(), path, source })
    }
}

type Job = Box<dyn FnOnce(&Source) + Send>;

/// The threads that load.
#[derive(Clone)]
pub(crate) struct Loading {
    source: Source,
    threads: Threads,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    waiting: VecDeque<Job>,
    running: usize,
    handles: Vec<JoinHandle<()>>,
    closed: bool,
}

impl Loading {
    pub fn new(source: Source, threads: Threads) -> Self {
        Loading { source, threads, shared: Arc::default() }
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Calls `then` with the outcome, on a thread of its own. Whoever waits for a second outcome of the same
    /// component sorts them out.
    pub fn start(&self, component: Arc<Component>, then: impl FnOnce(Result<Loaded, Refusal>) + Send + 'static) {
        self.run(Box::new(move |source| then(source.load(&component))));
    }

    fn run(&self, job: Job) {
        let mut shared = lock(&self.shared);
        if shared.closed {
            return;
        }
        shared.waiting.push_back(job);
        shared.handles.retain(|thread| !thread.is_finished());
        if shared.running >= AT_ONCE {
            return;
        }
        let loading = self.clone();
        shared.running += 1;
        match self.threads.spawn("edgewit-load".to_owned(), None, move || loading.work()) {
            Ok(thread) => shared.handles.push(thread),
            Err(error) => {
                drop(shared);
                tracing::error!(%error, "No thread can be started for loading; loading where it was asked for");
                self.work();
            }
        }
    }

    fn work(&self) {
        loop {
            let job = {
                let mut shared = lock(&self.shared);
                match shared.waiting.pop_front() {
                    Some(job) => job,
                    None => {
                        shared.running -= 1;
                        return;
                    }
                }
            };
            job(&self.source);
        }
    }

    /// Starts nothing more, and gives back the threads that still load: a compile under way ends with the
    /// process, not before.
    pub fn close(&self) -> Vec<JoinHandle<()>> {
        let mut shared = lock(&self.shared);
        shared.closed = true;
        shared.waiting.clear();
        std::mem::take(&mut shared.handles)
    }
}
