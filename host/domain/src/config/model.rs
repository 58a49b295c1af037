//! `[model.NAME]` and `[onnxruntime]`: what computes for components, out of which file, and what it may take.
//!
//! What only one backend has is a mistake with the other, so that nobody believes in a key that does nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::mistake::{Wrong, quoted, wrong};
use super::scalar::{integer, path, text};
use super::source::Table;
use super::substitute::Names;
use crate::digest::Digest;
use crate::limits;

/// `[model.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    pub name: Arc<str>,
    /// Relative to the configuration file's folder.
    pub file: PathBuf,
    /// What the file's content has to be.
    pub digest: Option<Digest>,
    pub backend: Backend,
    /// Dimensions of inputs that the file leaves open, by the input's name.
    pub shapes: BTreeMap<Arc<str>, Vec<u32>>,
    /// Inferences after loading, before a component is answered.
    pub warm_up: u64,
    /// Inferences at once.
    pub instances: u64,
    /// Requests that may wait.
    pub queue: u64,
    pub memory: u64,
    /// For one inference.
    pub time: Duration,
}

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In the gateway.
    Tract { precision: Precision },
    /// In a child.
    Onnxruntime { provider: Provider, threads: u64 },
}

impl Backend {
    pub const fn name(self) -> &'static str {
        match self {
            Backend::Tract { .. } => "tract",
            Backend::Onnxruntime { .. } => "onnxruntime",
        }
    }
}

/// Of the numbers between the layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As the file has them.
    #[default]
    Full,
    /// 16 bits where the file has 32: half the memory, and not quite the same results. For processors that compute with 16
    /// bits, as newer ones of ARM do; others take a hundred times as long.
    Half,
}

/// What onnxruntime computes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    #[default]
    Cpu,
    Cuda,
}

#[derive(Clone, Copy, Default)]
enum Kind {
    #[default]
    Tract,
    Onnxruntime,
}

/// `[onnxruntime]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Onnxruntime {
    /// The shared library; looked for where the system has its own, unless told.
    pub library: Option<PathBuf>,
}

impl Onnxruntime {
    pub(super) fn read(t: &mut Table) -> Onnxruntime {
        Onnxruntime { library: t.optional("library", path) }
    }
}

impl Model {
    pub(super) fn read(t: &mut Table, name: &str) -> Option<Model> {
        let file = t.required("file", "\"models/anomaly.onnx\"", path);
        let digest = t.optional("digest", digest);
        let backend = Backend::read(t);
        let shapes = t.table("shapes", read_shapes);
        Some(Model {
            name: name.into(),
            digest,
            backend,
            shapes,
            warm_up: t.count("warm-up", limits::MODEL_WARM_UP),
            instances: t.count("instances", limits::MODEL_INSTANCES),
            queue: t.count("queue", limits::MODEL_QUEUE),
            memory: t.size("memory", limits::MODEL_MEMORY),
            time: t.duration("time", limits::MODEL_TIME),
            file: file?,
        })
    }
}

impl Backend {
    fn read(t: &mut Table) -> Backend {
        let kind = t.choice("backend", &[("tract", Kind::Tract), ("onnxruntime", Kind::Onnxruntime)]);
        let precision = t.choice("precision", &[("full", Precision::Full), ("half", Precision::Half)]);
        let provider = t.choice("provider", &[("cpu", Provider::Cpu), ("cuda", Provider::Cuda)]);
        let threads = t.count("threads", limits::MODEL_THREADS);
        let mut only = |keys: &[&str], owner: &str, cure: &str| {
            for key in keys {
                if t.ask(key).is_some() {
                    t.mistake(key, format!("only {owner} has it"), cure);
                }
            }
        };
        match kind {
            Kind::Tract => {
                only(&["provider", "threads"], "onnxruntime", "remove it, or write `backend = \"onnxruntime\"`");
                Backend::Tract { precision }
            }
            Kind::Onnxruntime => {
                only(&["precision"], "tract", "remove it, and convert the file instead");
                Backend::Onnxruntime { provider, threads }
            }
        }
    }
}

fn digest(value: &DeValue, names: &Names) -> Result<Digest, Wrong> {
    let text = text(value, names)?;
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits.parse().or_else(|_| {
        wrong(format!("{} is no SHA-256", quoted(text)), "write \"sha256:\" and the 64 digits that `sha256sum` prints")
    })
}

fn read_shapes(t: &mut Table) -> BTreeMap<Arc<str>, Vec<u32>> {
    let read = |key: String, t: &mut Table| {
        let shape = t.list(&key, "1, 64", dimension);
        if shape.len() > limits::TENSOR_DIMENSIONS {
            let most = limits::TENSOR_DIMENSIONS;
            t.mistake(&key, format!("has {} dimensions", shape.len()), format!("at most {most} are possible"));
        }
        (Arc::from(key), shape)
    };
    t.keys().into_iter().map(|key| read(key, t)).collect()
}

fn dimension(value: &DeValue, _: &Names) -> Result<u32, Wrong> {
    let cure = "write whole numbers from 1 on, one for each dimension";
    match integer(value).transpose()?.map(u32::try_from) {
        Some(Ok(size)) if size > 0 => Ok(size),
        _ => wrong("this is no dimension", cure),
    }
}

/// `[component.NAME.grant.model-load]`: models that a component brings itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelLoadGrant {
    /// Of the model as it is brought.
    pub bytes: u64,
    /// That it may take in its child.
    pub memory: u64,
    /// For one inference.
    pub time: Duration,
}

impl ModelLoadGrant {
    pub(super) fn read(t: &mut Table) -> ModelLoadGrant {
        ModelLoadGrant {
            bytes: t.size("bytes", limits::MODEL_LOAD_BYTES),
            memory: t.size("memory", limits::MODEL_MEMORY),
            time: t.duration("time", limits::MODEL_TIME),
        }
    }
}

/// `[component.NAME.grant.model]`: the names are the guest's, who may have been written for another host.
pub(super) fn read_grants(t: &mut Table) -> BTreeMap<Arc<str>, Arc<str>> {
    let names = t.keys();
    let mut granted = BTreeMap::new();
    for (place, name) in names.into_iter().enumerate() {
        if place == limits::ENTRIES_PER_COMPONENT {
            t.mistake(&name, "one model too many", format!("at most {place} can be here"));
        }
        if name.is_empty() || name.len() > limits::NAME_BYTES {
            let problem = format!("a name of {} characters is none that a model can have here", name.len());
            t.mistake(&name, problem, format!("use 1 to {}", limits::NAME_BYTES));
        }
        if let Some(model) = t.optional(&name, reference) {
            granted.insert(Arc::from(name), model);
        }
    }
    granted
}

/// The name of a model, as a grant refers to it.
fn reference(value: &DeValue, names: &Names) -> Result<Arc<str>, Wrong> {
    let name = text(value, names)?;
    if super::is_name(name) {
        return Ok(Arc::from(name));
    }
    wrong(format!("{} is no name of a model", quoted(name)), "write NAME of a [model.NAME]")
}
