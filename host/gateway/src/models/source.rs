//! From a model's table in the configuration to something that computes: its file is read, held against its digest, and
//! loaded.
//!
//! Files are reached through the configuration folder's handle, which follows nothing that leads out of it.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::{Dir, File};
use edgewit_domain::config::{Backend, Model, Onnxruntime};
use edgewit_domain::digest::{Digest, Digesting};
use edgewit_domain::limits::{KIB, MIB, MODEL_BYTES};
use edgewit_domain::model::{ErrorKind, InferenceError};
use edgewit_inference::{Kit, LoadError};
use edgewit_worker::WorkerCommand;

use crate::error::panic_words;
use crate::files::{ConfigFile, led_outside, open_file};

/// All that a model is made from but the content of its file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub model: Arc<Model>,
    /// The library that its backend needs, where configuration names it.
    pub library: Option<PathBuf>,
}

impl Wanted {
    pub fn new(model: &Arc<Model>, onnxruntime: &Onnxruntime) -> Self {
        let library = match model.backend {
            Backend::Tract { .. } => None,
            Backend::Onnxruntime { .. } => onnxruntime.library.clone(),
        };
        Wanted { model: model.clone(), library }
    }
}

/// A model that answers, and what it was made from.
pub(crate) struct LoadedModel {
    pub model: edgewit_inference::Model,
    pub(super) wanted: Wanted,
    pub digest: Digest,
}

impl LoadedModel {
    pub(super) fn is(&self, wanted: &Wanted, digest: Option<Digest>) -> bool {
        self.wanted == *wanted && Some(self.digest) == digest
    }
}

/// Why a model was not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unloaded {
    #[error("{} cannot be read: {error}; put it there, in the folder of the configuration file or below", path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("{} lies outside the configuration's folder; copy it in", path.display())]
    Outside { path: PathBuf },
    #[error("{} has more than {} MiB, which is more than is read; use a smaller model", path.display(), MODEL_BYTES / MIB)]
    TooLarge { path: PathBuf },
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("loading it failed within the gateway: {reason}; report it, with the model")]
    Panicked { reason: String },
}

impl Unloaded {
    /// The key below the model's that is to blame; empty where it is the whole of it.
    pub fn key(&self) -> &'static str {
        match self {
            Unloaded::File { .. } | Unloaded::Outside { .. } | Unloaded::TooLarge { .. } => "file",
            Unloaded::Load(LoadError::Digest { .. }) => "digest",
            Unloaded::Load(LoadError::Memory { .. } | LoadError::Exhausted { .. }) => "memory",
            Unloaded::Load(LoadError::Library(_)) => "backend",
            Unloaded::Load(LoadError::Open(_) | LoadError::Shapes(_)) => "shapes",
            Unloaded::Load(LoadError::WarmUp(InferenceError { kind: ErrorKind::Timeout, .. })) => "time",
            Unloaded::Load(LoadError::Refused(_) | LoadError::Time(_) | LoadError::WarmUp(_)) => "file",
            Unloaded::Load(LoadError::Worker(_)) => "",
            Unloaded::Panicked { .. } => "",
        }
    }
}

/// Where models come from.
#[derive(Clone)]
pub(crate) struct ModelSource {
    folder: Arc<Dir>,
    folder_path: Arc<Path>,
    worker: WorkerCommand,
}

impl ModelSource {
    pub fn new(file: &ConfigFile, worker: WorkerCommand) -> Self {
        ModelSource { folder: file.folder.clone(), folder_path: file.folder_path.clone(), worker }
    }

    pub fn worker(&self) -> &WorkerCommand {
        &self.worker
    }

    /// Takes as long as reading, loading and warming up take.
    pub(super) fn load(&self, wanted: &Wanted) -> Result<LoadedModel, Unloaded> {
        let (model, path) = (&wanted.model, self.folder_path.join(&wanted.model.file));
        let bytes = self.read(&model.file, &path)?;
        let digest = Digest::of(&bytes);
        let library = wanted.library.as_ref().map(|library| self.folder_path.join(library));
        let kit = Kit { worker: self.worker.clone(), onnxruntime: library };
        let loaded = catch_unwind(AssertUnwindSafe(|| edgewit_inference::Model::load(model, bytes, &kit)));
        let loaded = loaded.map_err(|panic| Unloaded::Panicked { reason: panic_words(&*panic) })?;
        Ok(LoadedModel { model: loaded?, wanted: wanted.clone(), digest })
    }

    /// Loads it as a gateway would that is started with this configuration.
    pub fn load_configured(&self, model: &Arc<Model>, onnxruntime: &Onnxruntime) -> Result<LoadedModel, Unloaded> {
        self.load(&Wanted::new(model, onnxruntime))
    }

    /// The digest of the file as it lies there now; none where it cannot be read.
    pub fn digest(&self, model: &Model) -> Option<Digest> {
        let mut file = open_file(&self.folder, &model.file).ok()?.take(MODEL_BYTES + 1);
        let (mut digesting, mut piece) = (Digesting::default(), vec![0; 64 * KIB as usize]);
        loop {
            match file.read(&mut piece).ok()? {
                0 => return Some(digesting.digest()),
                read => digesting.add(piece.get(..read)?),
            }
        }
    }

    fn read(&self, file: &Path, path: &Path) -> Result<Vec<u8>, Unloaded> {
        let unread = |error: io::Error| match led_outside(&error) {
            true => Unloaded::Outside { path: path.to_owned() },
            false => Unloaded::File { path: path.to_owned(), error },
        };
        let bytes = open_file(&self.folder, file).and_then(whole).map_err(unread)?;
        bytes.ok_or_else(|| Unloaded::TooLarge { path: path.to_owned() })
    }
}

/// None of a file that is larger than any model may be.
fn whole(file: File) -> io::Result<Option<Vec<u8>>> {
    let length = file.metadata()?.len();
    if length > MODEL_BYTES {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let room = usize::try_from(length).unwrap_or(usize::MAX);
    bytes.try_reserve_exact(room).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.take(MODEL_BYTES + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MODEL_BYTES).then_some(bytes))
}
