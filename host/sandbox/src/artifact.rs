//! From the bytes of a component to native code that may run: checked, compiled in a child, cached.
//!
//! Compiled code is loaded without validation, so it is loaded only if this gateway's own compiling child made
//! it for this very engine, and if it still has the SHA-256 that was recorded when it came out of the child.
//! Whatever else lies in the cache — torn, truncated, of another version, of another origin — is compiled again
//! and replaced, never run. Nothing is compiled inside the gateway: a compile can be neither cancelled nor
//! bounded there.
//!
//! The digest of a component is the identity of an artifact everywhere else in the gateway.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use cap_std::fs::Dir;
use edgewit_domain::config::Profile;
use edgewit_domain::limits;
use edgewit_worker::WorkerCommand;
use wasmtime::component::Component;

use crate::engine::Engine;
use crate::inspect::Surface;
use crate::worker::{self, CompileLimits};

mod cache;
mod error;
mod flight;

pub use edgewit_domain::digest::{Digest, NotADigest};
pub use error::LoadError;

use cache::Cache;
use flight::{Flights, Slots};

/// Where the digests of compiled code are kept: with the store, outside the cache's own directory.
pub trait DigestIndex: Send + Sync {
    fn get(&self, key: &str) -> Option<Digest>;
    /// Returns once the entry would survive a power cut.
    fn put(&self, key: &str, digest: Digest) -> io::Result<()>;
    /// Forgets every entry whose key is not kept.
    fn retain(&self, keep: &dyn Fn(&str) -> bool) -> io::Result<()>;
}

/// A component that can be linked and run.
#[derive(Clone)]
pub struct Artifact {
    pub digest: Digest,
    pub component: Component,
    pub surface: Arc<Surface>,
}

/// Loads artifacts. Shared by all threads that do.
pub struct Loader {
    engine: Engine,
    cache: Cache,
    command: WorkerCommand,
    limits: CompileLimits,
    flights: Flights<Component>,
    slots: Slots,
}

impl Loader {
    /// `dir` is the cache's own directory, mode 0700: whoever can write into it while a component runs can
    /// change its code. It is this loader's alone: what another has not finished in it is removed.
    pub fn new(engine: Engine, dir: Dir, index: Arc<dyn DigestIndex>, command: WorkerCommand) -> Loader {
        // Each compile may take as much memory as the limit allows.
        let slots = match engine.profile() {
            Profile::Standard => 2,
            Profile::Small => 1,
        };
        let cache = Cache::new(engine.wasmtime().clone(), dir, index);
        let limits = CompileLimits::default();
        Loader { engine, cache, command, limits, flights: Flights::default(), slots: Slots::new(slots) }
    }

    /// With other limits than the gateway's own.
    #[must_use]
    pub fn with_limits(mut self, limits: CompileLimits) -> Loader {
        self.limits = limits;
        self
    }

    /// Blocks while the component is compiled, if it has to be. Threads that load the same component at once
    /// share one compile and its outcome.
    pub fn load(&self, wasm: &[u8]) -> Result<Artifact, LoadError> {
        if wasm.len() as u64 > limits::ARTIFACT_BYTES {
            return Err(LoadError::TooLarge { bytes: wasm.len() as u64, limit: limits::ARTIFACT_BYTES });
        }
        let surface = Arc::new(Surface::parse(wasm)?);
        let digest = Digest::of(wasm);
        let component = self.flights.share(digest, || self.find_or_compile(digest, wasm))?;
        Ok(Artifact { digest, component, surface })
    }

    /// Removes what no artifact in `keep` needs, and what this engine cannot run.
    pub fn sweep(&self, keep: &[Digest]) -> Result<usize, LoadError> {
        self.cache.sweep(keep)
    }

    fn find_or_compile(&self, digest: Digest, wasm: &[u8]) -> Result<Component, LoadError> {
        if let Some(component) = self.cache.find(digest) {
            return Ok(component);
        }
        let _slot = self.slots.take();
        let started = Instant::now();
        let mut confinement = None;
        let bytes = self.cache.put(digest, |out| {
            let compiled = worker::compile(&self.command, self.engine.profile(), &self.limits, wasm, out)?;
            confinement = Some(compiled.confinement);
            Ok(())
        })?;
        tracing::info!(
            artifact = %digest,
            milliseconds = started.elapsed().as_millis() as u64,
            bytes,
            confinement = ?confinement,
            "Compiled"
        );
        self.cache.find(digest).ok_or(LoadError::Unusable)
    }
}
