//! Why a component could not be loaded, each with what to do about it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::limits::MIB;

use crate::inspect::InspectError;
use crate::worker::WorkerError;

/// Cloned to every thread that waited for the same load.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    #[error("is {bytes} bytes; {limit} is the most that is loaded: strip it, or split it into several components")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("is not a component: {0}")]
    NotAComponent(InspectError),
    #[error("does not compile: {reason}")]
    Compile { reason: String },
    #[error("took longer than {limit:?} to compile and was given up: make it smaller, or split its largest functions")]
    CompileTimeout { limit: Duration },
    #[error(
        "needed more than {} MiB to compile and was given up: make it smaller, or split its largest functions",
        limit / MIB
    )]
    CompileMemory { limit: u64 },
    #[error("compiles to more than {} MiB of native code: make it smaller", limit / MIB)]
    CompiledSize { limit: u64 },
    /// The child died or could not be started. Its last words are in `reason`.
    #[error("the compiling child failed: {reason}; `edgewit doctor` checks what it needs")]
    Worker { reason: String },
    #[error("the cache of compiled components failed while {step}: check space and permissions of the data directory")]
    Cache { step: &'static str, source: Arc<io::Error> },
    #[error(
        "was compiled, but this process cannot load the result: the binary of the gateway was replaced, or its data \
         directory is shared; restart the gateway"
    )]
    Unusable,
    #[error("another thread that was loading it gave up; load it again")]
    Interrupted,
}

impl LoadError {
    pub(super) fn cache(step: &'static str) -> impl Fn(io::Error) -> LoadError {
        move |source| LoadError::Cache { step, source: Arc::new(source) }
    }
}

/// Its words are part of this error's own, and not a cause to be printed after it.
impl From<InspectError> for LoadError {
    fn from(error: InspectError) -> LoadError {
        LoadError::NotAComponent(error)
    }
}

impl From<WorkerError> for LoadError {
    fn from(error: WorkerError) -> LoadError {
        match error {
            WorkerError::Refused { reason } => LoadError::Compile { reason },
            WorkerError::Time { limit } => LoadError::CompileTimeout { limit },
            WorkerError::Memory { limit } => LoadError::CompileMemory { limit },
            WorkerError::Output { limit } => LoadError::CompiledSize { limit },
            WorkerError::Sink(source) => LoadError::cache("writing compiled code")(source),
            WorkerError::Start(_) | WorkerError::Died { .. } => LoadError::Worker { reason: error.to_string() },
        }
    }
}
