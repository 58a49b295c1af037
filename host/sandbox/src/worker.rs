//! Compiling in a child process of the same binary: `edgewit worker compile`.
//!
//! A compiler fed with hostile bytes can take any amount of memory and time, and a mistake in it is a way out of
//! the sandbox. So it never runs inside the gateway. The child limits its own memory, CPU time and file
//! descriptors and closes the file system and the network to itself *before* it reads the first byte of the
//! component, and it ends with its parent. The gateway trusts nothing that comes back except by length: whatever
//! the child writes is at worst wrong code, and the child had nothing but the component to get it from.
//!
//! `parent` starts and bounds the child, `child` is what runs in it, `frame` what passes between them.

use std::io;
use std::time::Duration;

use edgewit_domain::limits;
use edgewit_worker::Confinement;

mod child;
mod frame;
mod parent;

pub use child::main;
pub(crate) use parent::compile;

/// What one compile may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space of the child, in bytes.
    pub memory: u64,
    pub time: Duration,
    /// Native code that comes back, in bytes.
    pub output: u64,
}

impl Default for CompileLimits {
    fn default() -> CompileLimits {
        CompileLimits { memory: limits::COMPILE_MEMORY, time: limits::COMPILE_TIME, output: limits::COMPILED_BYTES }
    }
}

#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) confinement: Confinement,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    #[error("it could not be started: {0}")]
    Start(#[source] io::Error),
    #[error("{reason}")]
    Refused { reason: String },
    #[error("it took longer than {limit:?}")]
    Time { limit: Duration },
    #[error("it needed more than {limit} bytes of memory")]
    Memory { limit: u64 },
    #[error("its result is larger than {limit} bytes")]
    Output { limit: u64 },
    #[error("it ended early ({status}){}{words}", if words.is_empty() { "" } else { ": " })]
    Died { status: String, words: String },
    #[error("its result could not be written: {0}")]
    Sink(#[source] io::Error),
}
