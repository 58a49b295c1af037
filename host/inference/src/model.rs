//! A model as everybody else sees it: how it comes to be, and how it is asked.
//!
//! A file may be made to harm whoever reads it. A child reads it first, plans it, and computes it once; what harms ends the
//! child. Only what tract computes, and only with every shape known beforehand, comes into the gateway's own process, where
//! its memory is what was planned. Must never load what a child has not survived.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use edgewit_domain::config::{self, Backend, Precision};
use edgewit_domain::digest::Digest;
use edgewit_domain::limits::{
    MODEL_LOAD_TIME, MODEL_PORTS, MODEL_QUEUE, MODEL_READING, MODEL_READING_FILE, MODEL_STACK,
};
use edgewit_domain::model::{Description, Dimension, ErrorKind, InferenceError, Named, Port, PortType};
use edgewit_domain::tensor::Tensor;

use crate::Kit;
use crate::pool::{Errors, Pool, Rules, StartError};
use crate::session::Loaded;
use crate::tract::TractModel;
use crate::worker::{Limits, Remote, Work};

/// Why there is no model. The reader knows which model; a cure names the key of its `[model.NAME]`.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The backend cannot make a model of these bytes, in its words.
    #[error("{0}")]
    Refused(String),
    /// Dimensions of its inputs are open, so that there is no plan of its memory.
    #[error("its input {0} is open, so nobody can say what it takes; give its dimensions, in `shapes` or by `--shape`")]
    Open(String),
    /// `shapes` is not for these inputs.
    #[error("{0}")]
    Shapes(String),
    #[error("its digest is {found} and not {expected}; put back the file that was meant, or correct `digest`")]
    Digest { expected: Digest, found: Digest },
    #[error("it is planned to take {planned} bytes and may take {limit}; raise `memory`, or lower `instances`")]
    Memory { planned: u64, limit: u64 },
    /// Its child had no more, whatever for.
    #[error("reading it takes more than {limit} bytes; raise `memory`")]
    Exhausted { limit: u64 },
    #[error("reading it took longer than {0:?}; no model may")]
    Time(Duration),
    /// There is no onnxruntime here, or not one that will do.
    #[error("{0}")]
    Library(String),
    #[error("a child process to read it failed")]
    Worker(#[source] io::Error),
    #[error("it was loaded, but a first inference of zeros failed: {0}")]
    WarmUp(#[source] InferenceError),
}

/// One that answers. Its threads end when the last of its clones is dropped.
#[derive(Clone)]
pub struct Model {
    description: Arc<Description>,
    pool: Arc<Pool>,
}

/// What it has done since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub runs: u64,
    /// Of the runs, those without a result.
    pub failures: u64,
    /// Requests that were not even waited with.
    pub refused: u64,
    pub waiting: u64,
    pub computing: Duration,
}

impl Model {
    /// Takes as long as it takes, on the caller's thread.
    pub fn load(config: &config::Model, bytes: Vec<u8>, kit: &Kit) -> Result<Model, LoadError> {
        if let Some(expected) = config.digest {
            let found = Digest::of(&bytes);
            if found != expected {
                return Err(LoadError::Digest { expected, found });
            }
        }
        let bytes = Arc::new(bytes);
        let loaded: Box<dyn Loaded> = match config.backend {
            Backend::Tract { precision } => {
                survived(config, bytes.clone(), kit)?;
                Box::new(in_this_process(config, &bytes, precision)?)
            }
            Backend::Onnxruntime { .. } => {
                let limits = Limits { memory: config.memory, load: MODEL_LOAD_TIME };
                let remote = Remote::start(&work(config), bytes, limits, kit)?;
                usable(remote.description(), config.memory)?;
                Box::new(remote)
            }
        };
        let rules = Rules {
            name: config.name.clone(),
            time: config.time,
            queue: usize::try_from(config.queue).unwrap_or(usize::MAX),
            errors: Box::new(Configured { name: config.name.clone(), time: config.time }),
        };
        start(loaded.as_ref(), rules, config.instances, config.warm_up)
    }

    /// One that somebody brought who is not trusted: it computes in a child and nowhere else.
    pub fn bring(bytes: Vec<u8>, grant: config::ModelLoadGrant, kit: &Kit) -> Result<Model, InferenceError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if length > grant.bytes {
            let text = format!("the model has {length} bytes; grant.model-load.bytes is {}", grant.bytes);
            return Err(InferenceError::new(ErrorKind::TooLarge, text));
        }
        let backend = Backend::Tract { precision: Precision::Full };
        let work = Work { backend, shapes: BTreeMap::new(), look_only: false };
        let limits = Limits { memory: grant.memory, load: MODEL_LOAD_TIME };
        let rules = Rules {
            name: "brought".into(),
            time: grant.time,
            queue: usize::try_from(MODEL_QUEUE.default).unwrap_or(usize::MAX),
            errors: Box::new(Brought { time: grant.time }),
        };
        let brought = || {
            let remote = Remote::start(&work, Arc::new(bytes), limits, kit)?;
            usable(remote.description(), grant.memory)?;
            start(&remote, rules, 1, 0)
        };
        brought().map_err(|error| {
            let kind = match &error {
                LoadError::Refused(_) | LoadError::Open(_) | LoadError::Shapes(_) | LoadError::Digest { .. } => {
                    ErrorKind::Encoding
                }
                LoadError::Memory { .. } | LoadError::Exhausted { .. } => ErrorKind::TooLarge,
                LoadError::Time(_) => ErrorKind::Timeout,
                LoadError::Library(_) | LoadError::Worker(_) | LoadError::WarmUp(_) => ErrorKind::Runtime,
            };
            InferenceError::new(kind, error.to_string())
        })
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// One inference, on a thread that may wait: not past `until`, and not long after `given_up` says yes. What is said then
    /// is of the kind `Timeout`, and nobody reads it.
    pub fn run(&self, inputs: Named, until: Instant, given_up: &dyn Fn() -> bool) -> Result<Named, InferenceError> {
        self.pool.run(self.description.arrange(inputs)?, until, given_up)
    }

    pub fn stats(&self) -> Stats {
        self.pool.stats()
    }
}

fn work(config: &config::Model) -> Work {
    Work { backend: config.backend, shapes: config.shapes.clone(), look_only: false }
}

/// A child reads the model, and computes it once where it is to be warmed up.
fn survived(config: &config::Model, bytes: Arc<Vec<u8>>, kit: &Kit) -> Result<(), LoadError> {
    let file = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let memory = config.memory.saturating_mul(2).saturating_add(file.saturating_mul(MODEL_READING_FILE));
    let limits = Limits { memory: memory.saturating_add(MODEL_READING), load: MODEL_LOAD_TIME };
    let work = Work { look_only: config.warm_up == 0, ..work(config) };
    let child = Remote::start(&work, bytes, limits, kit)?;
    let description = child.description();
    let Some(planned) = description.planned else {
        return Err(unplanned(description));
    };
    let planned = planned.with(config.instances);
    if planned > config.memory {
        return Err(LoadError::Memory { planned, limit: config.memory });
    }
    usable(description, config.memory)?;
    if config.warm_up == 0 {
        return Ok(());
    }
    let until = Instant::now().checked_add(config.time).unwrap_or_else(Instant::now);
    let first = child.session().and_then(|mut session| session.run(zeros(description), until, &|| false));
    first.map(drop).map_err(|error| match error.kind {
        ErrorKind::Timeout => LoadError::WarmUp(InferenceError::timeout(&config.name, config.time)),
        _ => LoadError::WarmUp(error),
    })
}

fn unplanned(description: &Description) -> LoadError {
    let open = |port: &&Port| port.dimensions.iter().any(|dimension| matches!(dimension, Dimension::Any(_)));
    let open: Vec<String> = description.inputs.iter().filter(open).map(Port::to_string).collect();
    if open.is_empty() {
        let text = "what it takes is known only when it computes, by the numbers that it is given; choose onnxruntime, \
                    which computes it in a process of its own";
        LoadError::Refused(text.to_owned())
    } else {
        LoadError::Open(open.join(", "))
    }
}

/// Whether components can give it what it wants, and be given what it computes.
fn usable(description: &Description, memory: u64) -> Result<(), LoadError> {
    for (ports, what) in [(&description.inputs, "inputs"), (&description.outputs, "outputs")] {
        if ports.len() > MODEL_PORTS {
            let text = format!("it has {} {what}, and at most {MODEL_PORTS} are possible", ports.len());
            return Err(LoadError::Refused(text));
        }
        for port in ports {
            if let PortType::Other(_) = port.ty {
                let text =
                    format!("among its {what} is {port}, a type that no component can have; leave it out of the file");
                return Err(LoadError::Refused(text));
            }
        }
    }
    let inputs = description.inputs.iter().map(|port| match port.ty {
        PortType::Tensor(ty) => Tensor::bytes_of(ty, &smallest(port)).ok().and_then(|bytes| u64::try_from(bytes).ok()),
        PortType::Other(_) => None,
    });
    let bytes = inputs.fold(0, |sum: u64, bytes| sum.saturating_add(bytes.unwrap_or(u64::MAX)));
    if bytes > memory {
        return Err(LoadError::Memory { planned: bytes, limit: memory });
    }
    Ok(())
}

/// One where anything would do.
fn smallest(port: &Port) -> Vec<u32> {
    let size = |dimension: &Dimension| match dimension {
        Dimension::Fixed(size) => *size,
        Dimension::Any(_) => 1,
    };
    port.dimensions.iter().map(size).collect()
}

/// Nothing at all, in the shape of what it wants. Only for a model that is usable.
fn zeros(description: &Description) -> Vec<Tensor> {
    let input = |port: &Port| match port.ty {
        PortType::Tensor(ty) => Tensor::zeros(ty, smallest(port)).ok(),
        PortType::Other(_) => None,
    };
    description.inputs.iter().filter_map(input).collect()
}

/// On a stack with more room than that of the child, or one that it just survived would end the gateway.
fn in_this_process(config: &config::Model, bytes: &[u8], precision: Precision) -> Result<TractModel, LoadError> {
    let name = format!("edgewit-m-{}", config.name);
    thread::scope(|scope| {
        let load = || TractModel::load(bytes, &config.shapes, precision);
        let loading = thread::Builder::new().name(name).stack_size(MODEL_STACK).spawn_scoped(scope, load);
        let ended = || LoadError::Refused("reading it failed".to_owned());
        loading.map_err(LoadError::Worker)?.join().unwrap_or_else(|_| Err(ended()))
    })
}

fn start(loaded: &dyn Loaded, rules: Rules, instances: u64, warm_up: u64) -> Result<Model, LoadError> {
    let description = Arc::new(loaded.description().clone());
    let inputs = if warm_up == 0 { Vec::new() } else { zeros(&description) };
    let pool = Pool::new(rules);
    for _ in 0..instances {
        let session = loaded.session().map_err(LoadError::WarmUp)?;
        pool.start(session, &inputs, warm_up).map_err(|error| match error {
            StartError::Thread(error) => LoadError::Worker(error),
            StartError::First(error) => LoadError::WarmUp(error),
        })?;
    }
    Ok(Model { description, pool: Arc::new(pool) })
}

/// The limits of `[model.NAME]`.
struct Configured {
    name: Arc<str>,
    time: Duration,
}

impl Errors for Configured {
    fn late(&self) -> InferenceError {
        InferenceError::timeout(&self.name, self.time)
    }

    fn busy(&self, waiting: u64) -> InferenceError {
        InferenceError::busy(&self.name, waiting)
    }

    fn stuck(&self) -> InferenceError {
        InferenceError::stuck(&self.name, self.time)
    }
}

/// The limits of a grant.
struct Brought {
    time: Duration,
}

impl Errors for Brought {
    fn late(&self) -> InferenceError {
        let text = format!("the model took longer than {:?}; its limit is grant.model-load.time", self.time);
        InferenceError::new(ErrorKind::Timeout, text)
    }

    fn busy(&self, waiting: u64) -> InferenceError {
        InferenceError::new(ErrorKind::Busy, format!("{waiting} requests wait for the model already"))
    }

    fn stuck(&self) -> InferenceError {
        let text = format!("the model still computes what passed its limit of {:?}; ask again later", self.time);
        InferenceError::new(ErrorKind::Busy, text)
    }
}
