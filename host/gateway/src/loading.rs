//! From a component's configuration to something that can be instantiated: its file is read, loaded, linked to
//! its grants, and its directories are opened.
//!
//! On threads of its own, since compiling may take minutes: neither a running component nor the start of
//! another waits for it. Files are reached through the configuration folder's handle, which follows nothing
//! that leads out of it. Whoever asked must get an answer and a thread must come back, also from a panic underneath:
//! a component that nobody answers for would be loading for ever.

mod digests;
mod refusal;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use edgewit_domain::config::{Component, DirGrant, Recycle};
use edgewit_domain::limits::ARTIFACT_BYTES;
use edgewit_sandbox::Prepared;
use edgewit_sandbox::artifact::{Digest, Loader};
use edgewit_sandbox::engine::Engine;

use crate::error::{chain, panic_words};
use crate::files::open_file;
use crate::models::{Granted, Models};
use crate::pool::{NoThread, Pool};
use crate::threads::Threads;
pub(crate) use digests::Digests;
use refusal::Obstacle;
pub(crate) use refusal::Refusal;

/// Loads under way at once. Each may hold an artifact in memory; most take a millisecond.
const AT_ONCE: usize = 32;

/// A component ready to be instantiated.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub prepared: Prepared,
    pub digest: Digest,
    pub dirs: BTreeMap<Arc<str>, Arc<Dir>>,
    /// Held for as long as it may run: a model goes when nobody holds it who may use it.
    pub models: Arc<Granted>,
}

impl Loaded {
    /// Limits for planned recycling that nothing can come of.
    pub fn is_never_recycled(&self, component: &Component) -> bool {
        component.recycle != Recycle::default() && !component.stateless && !self.prepared.exports().state
    }
}

/// What to say of [`Loaded::is_never_recycled`].
pub(crate) const NEVER_RECYCLED: &str = "recycle has no effect: the component does not export edgewit:lifecycle/state, \
                                         and is not declared stateless";

/// Where components come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub engine: Engine,
    pub loader: Arc<Loader>,
    /// The folder of the configuration file: its handle, and its name for what grants lead to elsewhere.
    pub folder: Arc<Dir>,
    pub folder_path: Arc<Path>,
    pub models: Arc<Models>,
}

impl Source {
    /// Blocks while it compiles, if it has to. Looks at everything, whatever is wrong with the rest.
    pub fn load(&self, component: &Component) -> Result<Loaded, Refusal> {
        let (mut dirs, mut obstacles) = (BTreeMap::new(), Vec::new());
        for (name, grant) in &component.grants.dir {
            match self.open(name, grant) {
                Ok(dir) => drop(dirs.insert(name.clone(), dir)),
                Err(obstacle) => obstacles.push(obstacle),
            }
        }
        let (prepared, digest) = Refusal::of(self.prepare(component), obstacles)?;
        Ok(Loaded { prepared, digest, dirs, models: Arc::new(self.models.granted(component)) })
    }

    fn prepare(&self, component: &Component) -> Result<(Prepared, Digest), Obstacle> {
        let path = self.folder_path.join(&component.artifact);
        let wasm = self.read(&component.artifact).map_err(|error| Obstacle::artifact(&path, error))?;
        let artifact = self.loader.load(&wasm).map_err(|error| Obstacle::Load { path, error })?;
        drop(wasm);
        Ok((Prepared::new(&self.engine, &artifact, component)?, artifact.digest))
    }

    /// The digest of the artifact as it lies there now; none where it cannot be read.
    pub fn digest(&self, component: &Component) -> Option<Digest> {
        self.read(&component.artifact).ok().map(|wasm| Digest::of(&wasm))
    }

    fn sweep(&self, components: &[Arc<Component>]) {
        let keep: Vec<Digest> = components.iter().filter_map(|component| self.digest(component)).collect();
        match self.loader.sweep(&keep) {
            Ok(0) => {}
            Ok(removed) => tracing::debug!(removed, "Removed native code that nothing uses any more"),
            Err(error) => tracing::warn!(error = chain(&error), "The cache of compiled components was not swept"),
        }
    }

    /// At most one byte more than a loader takes, so that it can refuse.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = open_file(&self.folder, path)?;
        let mut wasm = Vec::new();
        file.take(ARTIFACT_BYTES + 1).read_to_end(&mut wasm)?;
        Ok(wasm)
    }

    /// A grant leads wherever the operator wrote; the component gets the handle and nothing above it.
    fn open(&self, name: &Arc<str>, grant: &DirGrant) -> Result<Arc<Dir>, Obstacle> {
        let path = self.folder_path.join(&grant.path);
        let opened = Dir::open_ambient_dir(&path, ambient_authority());
        opened.map(Arc::new).map_err(|error| Obstacle::Dir { grant: name.clone(), path, error })
    }
}

/// What a load shares with the rest is behind locks that hold consistent values at every step.
fn guarded<R>(load: impl FnOnce() -> Result<R, Refusal>) -> Result<R, Refusal> {
    catch_unwind(AssertUnwindSafe(load))
        .unwrap_or_else(|panic| Refusal::of(Err(Obstacle::Panicked { reason: panic_words(&*panic) }), Vec::new()))
}

/// The threads that load.
#[derive(Clone)]
pub(crate) struct Loading {
    source: Source,
    pool: Pool,
}

impl Loading {
    pub fn new(source: Source, threads: Threads) -> Self {
        Loading { source, pool: Pool::new(threads, AT_ONCE) }
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Calls `then` with the outcome, on a thread of its own.
    pub fn start(&self, component: Arc<Component>, then: impl FnOnce(Result<Loaded, Refusal>) + Send + 'static) {
        self.run(move |source| then(guarded(|| source.load(&component))));
    }

    /// Forgets the native code that no component of this configuration has any use for.
    pub fn sweep(&self, components: Vec<Arc<Component>>) {
        self.run(move |source| {
            let swept = guarded(|| {
                source.sweep(&components);
                Ok(())
            });
            if let Err(refusal) = swept {
                tracing::error!(error = chain(&refusal), "The cache of compiled components was not swept");
            }
        });
    }

    fn run(&self, job: impl FnOnce(&Source) + Send + 'static) {
        let source = self.source.clone();
        if let Err(NoThread { job, error }) = self.pool.run(Box::new(move || job(&source))) {
            tracing::error!(%error, "No thread can be started for loading; loading where it was asked for");
            job();
        }
    }

    /// Starts nothing more, and joins the threads. False if one still loads after `patience`: nothing can end a
    /// compile under way but the end of the process.
    pub fn close(&self, patience: Duration) -> bool {
        self.pool.close(patience)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use edgewit_domain::config::{Config, Profile};
    use edgewit_sandbox::artifact::DigestIndex;
    use edgewit_worker::WorkerCommand;
    use tracing::Dispatch;

    use super::*;
    use crate::files::ConfigFile;

    struct Panics;

    impl DigestIndex for Panics {
        fn get(&self, _: &str) -> Option<Digest> {
            panic!("on purpose")
        }

        fn put(&self, _: &str, _: Digest) -> io::Result<()> {
            panic!("on purpose")
        }

        fn retain(&self, _: &dyn Fn(&str) -> bool) -> io::Result<()> {
            panic!("on purpose")
        }
    }

    fn component() -> Arc<Component> {
        let text = "schema = 1\n[gateway]\nthing = \"test\"\ndata = \"data\"\n[component.it]\nartifact = \"it.wasm\"\n";
        Config::parse(text).unwrap().components.remove("it").unwrap()
    }

    #[test]
    fn a_panic_while_loading_is_answered_and_costs_no_slot() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("it.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
        let open = || Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let engine = Engine::new(Profile::Small).unwrap();
        let worker = WorkerCommand { program: "/nonexistent".into(), args: Vec::new() };
        let loader = Arc::new(Loader::new(engine.clone(), open(), Arc::new(Panics), worker.clone()));
        let threads = Threads::new(Dispatch::none());
        let file = ConfigFile::open(&folder.path().join("edgewit.toml")).unwrap();
        let models = Arc::new(Models::new(&file, worker, &threads));
        let source = Source { engine, loader, folder: file.folder, folder_path: file.folder_path, models };
        let loading = Loading::new(source, threads);
        let (told, outcomes) = sync_channel(AT_ONCE * 2);
        for _ in 0..AT_ONCE * 2 {
            let told = told.clone();
            loading.start(component(), move |outcome| told.send(outcome.map(drop)).unwrap());
            loading.sweep(vec![component()]);
        }
        let mut named = 0;
        for _ in 0..AT_ONCE * 2 {
            let refusal = outcomes.recv_timeout(Duration::from_secs(20)).unwrap().unwrap_err();
            assert!(refusal.is_passing(), "{refusal}");
            named += usize::from(refusal.to_string().contains("on purpose"));
        }
        assert!(named > 0, "those who waited for another's load are told that it gave up, and that one why");
        assert!(loading.close(Duration::from_secs(20)), "every slot came back");
    }
}
