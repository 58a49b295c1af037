//! onnxruntime: a shared library of somebody else, only ever loaded in a child.
//!
//! It is loaded before the child shuts itself in and sees the model afterwards. It gets no file to write a profile to and
//! nothing to tell its makers, and its threads sleep while there is nothing to compute. `tensors` is the passage between its
//! values and ours, `watch` what ends a computation that takes too long.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use edgewit_domain::config::Provider;
use edgewit_domain::model::{Description, ErrorKind, InferenceError, Named, Port, PortType};
use edgewit_domain::tensor::Tensor;
use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider};
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, SessionInputValue};

use crate::model::LoadError;
use crate::session::{Loaded, Session};
use crate::shapes::Shapes;
use crate::tract::onnx;

mod ports;
mod tensors;
mod watch;

use watch::Watch;

/// The library, and what it needs before it sees a model.
pub(crate) struct Library {
    environment: Environment,
}

impl Library {
    /// Needs files. The library is code, and runs as it is loaded.
    pub(crate) fn load(path: &[u8], provider: Provider) -> Result<Library, LoadError> {
        let unfit = |text: String| LoadError::Library(format!("onnxruntime cannot be used: {text}"));
        let builder = ort::init_from(OsStr::from_bytes(path)).map_err(|error| unfit(error.to_string()))?;
        let environment = builder.with_name("edgewit").with_telemetry(false).build();
        let environment = environment.map_err(|error| unfit(error.message().to_owned()))?;
        // What goes wrong comes back as an error.
        environment.set_log_level(LogLevel::Fatal);
        if provider == Provider::Cuda && !CUDA::is_available().unwrap_or(false) {
            let path = OsStr::from_bytes(path).display();
            let cure = "install a build of onnxruntime for GPUs, or write `provider = \"cpu\"`";
            return Err(LoadError::Library(format!("{path} was built without CUDA; {cure}")));
        }
        Ok(Library { environment })
    }

    pub(crate) fn model(
        &self,
        model: &[u8],
        shapes: &Shapes,
        provider: Provider,
        threads: u64,
    ) -> Result<OnnxruntimeModel, LoadError> {
        let parameters = onnx::glance(model).map_err(LoadError::Refused)?;
        let session =
            self.builder(provider, threads).and_then(|mut builder| builder.commit_from_memory(model)).map_err(
                |error| LoadError::Refused(format!("onnxruntime cannot compute it: {}", error.message().trim())),
            )?;
        let description = ports::describe(&session, shapes, parameters)?;
        Ok(OnnxruntimeModel { description: Arc::new(description), session: Arc::new(Mutex::new(session)) })
    }

    fn builder(&self, provider: Provider, threads: u64) -> ort::Result<SessionBuilder> {
        let threads = usize::try_from(threads).unwrap_or(usize::MAX);
        let builder = ort::session::Session::builder(&self.environment)?
            .with_intra_threads(threads)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_optimization_level(GraphOptimizationLevel::All)?;
        Ok(match provider {
            Provider::Cpu => builder,
            Provider::Cuda => builder.with_execution_providers([CUDA::default().build().error_on_failure()])?,
        })
    }
}

/// A model that its library has, which computes one inference at a time, however many sessions there are.
pub(crate) struct OnnxruntimeModel {
    description: Arc<Description>,
    session: Arc<Mutex<ort::session::Session>>,
}

impl Loaded for OnnxruntimeModel {
    fn description(&self) -> &Description {
        &self.description
    }

    fn session(&self) -> Result<Box<dyn Session>, InferenceError> {
        let watch = Watch::start().map_err(|error| InferenceError::new(ErrorKind::Runtime, error.to_string()))?;
        Ok(Box::new(OnnxruntimeSession { description: self.description.clone(), session: self.session.clone(), watch }))
    }
}

struct OnnxruntimeSession {
    description: Arc<Description>,
    session: Arc<Mutex<ort::session::Session>>,
    watch: Watch,
}

impl Session for OnnxruntimeSession {
    fn run(
        &mut self,
        inputs: Vec<Tensor>,
        until: Instant,
        _given_up: &dyn Fn() -> bool,
    ) -> Result<Named, InferenceError> {
        let wrong = |error: ort::Error| failure(error.message(), until);
        let ports = self.description.inputs.iter();
        let values: Vec<(&str, SessionInputValue<'_>)> = ports
            .zip(&inputs)
            .map(|(port, tensor)| Ok((&*port.name, tensors::value(tensor)?)))
            .collect::<ort::Result<_>>()
            .map_err(wrong)?;
        let options = Arc::new(RunOptions::new().map_err(wrong)?);
        let watched = self.watch.over(&options, until);
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run_with_options(values, &*options).map_err(wrong)?;
        drop(watched);
        let of = |port: &Port| match port.ty {
            PortType::Tensor(_) => {
                let value = outputs.get(&*port.name).ok_or_else(|| ort::Error::new("an output is missing"));
                Some(value.and_then(tensors::tensor).map(|tensor| (port.name.clone(), tensor)).map_err(wrong))
            }
            PortType::Other(_) => None,
        };
        self.description.outputs.iter().filter_map(of).collect()
    }
}

fn failure(text: &str, until: Instant) -> InferenceError {
    let kind = if Instant::now() >= until { ErrorKind::Timeout } else { ErrorKind::Runtime };
    InferenceError::new(kind, format!("onnxruntime failed: {}", text.trim()))
}
