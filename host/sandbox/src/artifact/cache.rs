//! The directory of compiled code, and the only place that hands such code to wasmtime.
//!
//! An entry is named by the component's digest and a fingerprint of everything else that decides how code comes
//! out: wasmtime's full version, the target with its CPU features, and the engine's configuration. It is loaded
//! only if its SHA-256 is the one that stands in the index.
//!
//! Hash and mapping see the same open file, so that nothing can be swapped in between. Code stays mapped from
//! that file instead of being read into memory: it is then paged in as it is used, shared by every instance, and
//! the kernel can take it back. No file is ever written to under its final name: entries are written beside it,
//! synced, renamed, and their directory synced.

use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use edgewit_domain::limits;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::{Digest, DigestIndex, LoadError};
use crate::engine::WASMTIME_VERSION;

const SUFFIX: &str = ".cwasm";
const TEMPORARY: &str = ".tmp";
/// A temporary file older than this was left behind by a process that died.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

pub(super) struct Cache {
    engine: wasmtime::Engine,
    dir: Dir,
    index: Arc<dyn DigestIndex>,
    fingerprint: String,
}

impl Cache {
    pub(super) fn new(engine: wasmtime::Engine, dir: Dir, index: Arc<dyn DigestIndex>) -> Cache {
        let fingerprint = fingerprint(&engine);
        Cache { engine, dir, index, fingerprint }
    }

    /// The component's code, if it is there and may be run. What is there and may not is logged.
    pub(super) fn find(&self, digest: Digest) -> Result<Option<Component>, LoadError> {
        let name = self.name(digest);
        let Some(expected) = self.index.get(&name) else {
            return Ok(None);
        };
        let mut file = match self.dir.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LoadError::cache("opening compiled code")(error)),
        };
        match self.load(&mut file, expected) {
            Ok(component) => Ok(Some(component)),
            Err(reason) => {
                tracing::warn!(artifact = %digest, reason, "compiled code in the cache is not usable");
                Ok(None)
            }
        }
    }

    /// Stores what `fill` writes as the component's code, and returns its size.
    pub(super) fn put(
        &self,
        digest: Digest,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), LoadError>,
    ) -> Result<u64, LoadError> {
        let name = self.name(digest);
        let temporary = format!("{name}.{}{TEMPORARY}", std::process::id());
        let written = self.write(&temporary, fill);
        let stored = written.and_then(|(code, bytes)| {
            self.dir.rename(&temporary, &self.dir, &name).map_err(LoadError::cache("renaming compiled code"))?;
            self.sync().map_err(LoadError::cache("syncing its directory"))?;
            self.index.put(&name, code).map_err(LoadError::cache("recording the digest of compiled code"))?;
            Ok(bytes)
        });
        if stored.is_err() {
            // Already gone, or removed by a later sweep.
            let _ = self.dir.remove_file(&temporary);
        }
        stored
    }

    pub(super) fn sweep(&self, keep: &[Digest]) -> Result<usize, LoadError> {
        let failed = LoadError::cache("removing old entries");
        let kept: Vec<String> = keep.iter().map(|digest| self.name(*digest)).collect();
        let is_kept = |name: &str| kept.iter().any(|kept| kept == name);
        let mut removed = 0;
        for entry in self.dir.entries().map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let old = (name.ends_with(SUFFIX) && !is_kept(&name))
                || (name.ends_with(TEMPORARY) && entry.metadata().is_ok_and(|metadata| is_left_behind(&metadata)));
            if old {
                self.dir.remove_file(&name).map_err(&failed)?;
                removed += 1;
            }
        }
        self.index.retain(&is_kept).map_err(&failed)?;
        Ok(removed)
    }

    fn name(&self, digest: Digest) -> String {
        format!("{digest}-{}{SUFFIX}", self.fingerprint)
    }

    fn load(&self, file: &mut File, expected: Digest) -> Result<Component, String> {
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if !metadata.is_file() || metadata.len() > limits::COMPILED_BYTES {
            return Err("not a file of a size that a compile could have made".into());
        }
        let mut hash = Hashed::new(io::sink());
        io::copy(file, &mut hash).map_err(|error| error.to_string())?;
        if hash.finish().1 != expected {
            return Err("its SHA-256 is not the recorded one".into());
        }
        match self.map(file) {
            Ok(component) => Ok(component),
            // A file system mounted `noexec` maps no code; memory does.
            Err(_) => self.copy(file, expected).map_err(|error| format!("{error:#}")),
        }
    }

    #[expect(unsafe_code, reason = "compiled code is loaded unchecked; its origin is what is checked")]
    fn map(&self, file: &File) -> wasmtime::Result<Component> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: the code came out of our own compiling child: the SHA-256 of this very file was compared with
        // the one recorded then. The path is the open file itself, not a name that could now lead elsewhere. It
        // is never written to again: entries are created under another name, read-only, in a private directory,
        // and replaced by renaming only.
        unsafe { Component::deserialize_file(&self.engine, Path::new(&path)) }
    }

    #[expect(unsafe_code, reason = "compiled code is loaded unchecked; its origin is what is checked")]
    fn copy(&self, file: &mut File, expected: Digest) -> wasmtime::Result<Component> {
        let mut code = Vec::new();
        io::Seek::rewind(file)?;
        file.take(limits::COMPILED_BYTES).read_to_end(&mut code)?;
        if Digest::of(&code) != expected {
            wasmtime::bail!("it changed while it was read");
        }
        // SAFETY: these bytes came out of our own compiling child: their SHA-256 is the one recorded then.
        unsafe { Component::deserialize(&self.engine, &code) }
    }

    fn write(
        &self,
        temporary: &str,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), LoadError>,
    ) -> Result<(Digest, u64), LoadError> {
        let failed = LoadError::cache("writing compiled code");
        match self.dir.remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o400);
        let file = self.dir.open_with(temporary, &options).map_err(&failed)?;
        let mut out = Hashed::new(file);
        fill(&mut out)?;
        let bytes = out.bytes;
        let (file, digest) = out.finish();
        file.sync_all().map_err(&failed)?;
        Ok((digest, bytes))
    }

    fn sync(&self) -> io::Result<()> {
        // The directory's own handle may have been opened without the right to sync.
        self.dir.open(".")?.sync_all()
    }
}

fn is_left_behind(metadata: &cap_std::fs::Metadata) -> bool {
    let written = metadata.modified().ok().map(cap_std::time::SystemTime::into_std);
    written.and_then(|written| written.elapsed().ok()).is_some_and(|age| age > LEFT_BEHIND)
}

/// Everything but the component that decides how its code comes out.
fn fingerprint(engine: &wasmtime::Engine) -> String {
    let mut hash = Hashed::new(io::sink());
    hash.hash.update(WASMTIME_VERSION);
    hash.hash.update([0]);
    hash.hash.update(std::env::consts::ARCH);
    hash.hash.update([0]);
    engine.precompile_compatibility_hash().hash(&mut hash);
    let mut text = hash.finish().1.to_string();
    text.truncate(32);
    text
}

/// Hashes and counts what is written through it.
struct Hashed<W> {
    out: W,
    hash: Sha256,
    bytes: u64,
}

impl<W> Hashed<W> {
    fn new(out: W) -> Hashed<W> {
        Hashed { out, hash: Sha256::new(), bytes: 0 }
    }

    fn finish(self) -> (W, Digest) {
        (self.out, Digest::from_bytes(self.hash.finalize().into()))
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        let (written, _) = bytes.split_at(count.min(bytes.len()));
        self.hash.update(written);
        self.bytes += written.len() as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// wasmtime offers its configuration as a `Hash`; this feeds it to SHA-256, whose result means the same in
/// every build.
impl<W> Hasher for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    fn finish(&self) -> u64 {
        self.hash.clone().finalize().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}
