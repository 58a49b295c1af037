//! `edgewit model inspect` and `edgewit model bench`: models without a gateway around them, loaded the way a gateway
//! loads them.

mod bench;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgewit_domain::config::{Backend, Config, Mistakes, Model, Onnxruntime};
use edgewit_domain::limits;
use edgewit_domain::model::{Description, Port};
use edgewit_worker::WorkerCommand;
use serde::Serialize;

use super::source::{ModelSource, Unloaded};
use crate::error::chain;
use crate::files::{ConfigFile, FileError};
pub use bench::{Asked, Bench, Figures, Until};

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}", mistakes.in_file(file))]
    Configuration { file: String, mistakes: Mistakes },
    #[error("there is no [model.{name}]; the configuration has: {known}")]
    Unknown { name: String, known: String },
    #[error("{0}")]
    Refused(String),
    #[error("no thread can be started; raise the limit of processes")]
    Thread(#[source] std::io::Error),
}

impl From<Unloaded> for ModelError {
    fn from(unloaded: Unloaded) -> Self {
        ModelError::Refused(chain(&unloaded))
    }
}

/// A file, and what has to be known beside it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub file: PathBuf,
    pub backend: Backend,
    /// Of inputs that the file leaves open.
    pub shapes: BTreeMap<Arc<str>, Vec<u32>>,
    /// The library of onnxruntime, where it is not where the system has it.
    pub library: Option<PathBuf>,
}

/// What a model is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    pub file: String,
    pub digest: String,
    /// As they are written for people: `` `x`: [1, 64] of f32 ``.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    /// Numbers that were learned.
    pub parameters: u64,
    /// Bytes that it takes while it waits, and that one inference takes beside them, as far as its backend can tell.
    pub resting_memory: Option<u64>,
    pub running_memory: Option<u64>,
}

/// Loads a file as a model of its own, with nothing configured but what has to be, and says what it is. Runs nothing.
pub fn inspect(subject: &Subject, worker: &WorkerCommand) -> Result<Inspection, ModelError> {
    let file = ConfigFile::open(&subject.file)?;
    let name = subject.file.file_name().unwrap_or_default();
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let model = Model {
        name: "inspected".into(),
        file: name.into(),
        digest: None,
        backend: subject.backend,
        shapes: subject.shapes.clone(),
        warm_up: 0,
        instances: 1,
        queue: 1,
        memory: limits::MODEL_INSPECTED,
        time: limits::MODEL_TIME.max,
    };
    let onnxruntime = Onnxruntime { library: subject.library.as_ref().map(absolute) };
    let loaded = ModelSource::new(&file, worker.clone()).load_configured(&Arc::new(model), &onnxruntime)?;
    let Description { inputs, outputs, parameters, planned } = loaded.model.description();
    let shown = |ports: &[Port]| ports.iter().map(Port::to_string).collect();
    Ok(Inspection {
        file: subject.file.display().to_string(),
        digest: loaded.digest.to_string(),
        inputs: shown(inputs),
        outputs: shown(outputs),
        parameters: *parameters,
        resting_memory: planned.map(|planned| planned.resting),
        running_memory: planned.map(|planned| planned.running),
    })
}

fn configured(path: &Path, name: &str) -> Result<(ConfigFile, Arc<Model>, Onnxruntime), ModelError> {
    let file = ConfigFile::open(path)?;
    let config = Config::parse(&file.read()?)
        .map_err(|mistakes| ModelError::Configuration { file: path.display().to_string(), mistakes })?;
    let Some(model) = config.models.get(name) else {
        let known: Vec<&str> = config.models.keys().map(|name| &**name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(ModelError::Unknown { name: name.to_owned(), known });
    };
    Ok((file, model.clone(), config.onnxruntime.clone()))
}
