//! The directory of compiled code, and the only place that hands such code to wasmtime.
//!
//! An entry is named by the component's digest and a fingerprint of what else decides how code comes out: wasmtime's
//! full version, the target, and the engine's configuration. It is loaded only if its SHA-256 is the one that stands
//! in the index, and if this processor has what it was compiled for.
//!
//! Hash and mapping see the same open file, so that nothing can be swapped in between. Code stays mapped from
//! that file instead of being read into memory: it is then paged in as it is used, shared by every instance, and
//! the kernel can take it back. No file is ever written to under its final name: entries are written beside it,
//! synced, renamed, and their directory synced.
//!
//! The directory is one cache's alone, as long as it lives. Whatever lies in the place of an entry and is none
//! counts as no entry and is replaced; it must never be waited for, nor keep a component from being compiled.

use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use edgewit_domain::limits;
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::{Digest, DigestIndex, LoadError};
use crate::engine::WASMTIME_VERSION;

const SUFFIX: &str = ".cwasm";
const TEMPORARY: &str = ".tmp";

pub(super) struct Cache {
    engine: wasmtime::Engine,
    dir: Dir,
    index: Arc<dyn DigestIndex>,
    fingerprint: String,
}

impl Cache {
    pub(super) fn new(engine: wasmtime::Engine, dir: Dir, index: Arc<dyn DigestIndex>) -> Cache {
        let fingerprint = fingerprint(&engine);
        let cache = Cache { engine, dir, index, fingerprint };
        if let Err(error) = cache.remove(|name| name.ends_with(TEMPORARY)) {
            tracing::warn!(%error, "What an earlier gateway did not finish compiling was not removed");
        }
        cache
    }

    /// The component's code, if it is there and may be run. What is there and may not is logged.
    pub(super) fn find(&self, digest: Digest) -> Option<Component> {
        let name = self.name(digest);
        let expected = self.index.get(&name)?;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let loaded = match self.dir.open_with(&name, &options) {
            Ok(mut file) => self.load(&mut file, expected),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(format!("it cannot be opened: {error}")),
        };
        let unusable =
            |reason: &String| tracing::warn!(artifact = %digest, reason, "compiled code in the cache is not usable");
        loaded.inspect_err(unusable).ok()
    }

    /// Stores what `fill` writes as the component's code, and returns its size.
    pub(super) fn put(
        &self,
        digest: Digest,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), LoadError>,
    ) -> Result<u64, LoadError> {
        let name = self.name(digest);
        let temporary = format!("{name}{TEMPORARY}");
        let written = self.write(&temporary, fill);
        let stored = written.and_then(|(code, bytes)| {
            self.discard(&name).map_err(LoadError::cache("clearing the place of compiled code"))?;
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

    /// Not what is being compiled: it has a temporary name.
    pub(super) fn sweep(&self, keep: &[Digest]) -> Result<usize, LoadError> {
        let failed = LoadError::cache("removing old entries");
        let kept: Vec<String> = keep.iter().map(|digest| self.name(*digest)).collect();
        let is_kept = |name: &str| kept.iter().any(|kept| kept == name);
        let removed = self.remove(|name| name.ends_with(SUFFIX) && !is_kept(name)).map_err(&failed)?;
        self.index.retain(&is_kept).map_err(&failed)?;
        Ok(removed)
    }

    fn remove(&self, is_old: impl Fn(&str) -> bool) -> io::Result<usize> {
        let mut removed = 0;
        for entry in self.dir.entries()? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if is_old(&name) {
                self.discard(&name)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Makes room, whatever it is that lies there.
    fn discard(&self, name: &str) -> io::Result<()> {
        match self.dir.symlink_metadata(name) {
            Ok(found) if found.is_dir() => self.dir.remove_dir_all(name),
            Ok(_) => self.dir.remove_file(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
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
        self.discard(temporary).map_err(&failed)?;
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
