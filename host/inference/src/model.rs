//! A model as everybody else sees it.

use std::future::Future;
use std::io;
use std::time::Duration;

use edgewit_domain::config;
use edgewit_domain::digest::Digest;
use edgewit_domain::model::{Description, InferenceError, Named};

use crate::Kit;

/// Why there is no model. The reader knows which model; a cure names the key of its `[model.NAME]`.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The backend cannot make a model of these bytes, in its words.
    #[error("{0}")]
    Refused(String),
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

/// One that answers. It ends when the last of its clones is dropped, after what it was asked before.
#[derive(Clone)]
pub struct Model {}

/// What it has done since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub runs: u64,
    pub failures: u64,
    pub refused: u64,
    pub waiting: u64,
    pub computing: Duration,
}

impl Model {
    /// Looks at the bytes in a child, loads them, plans, and warms up. Takes as long as that takes, on the caller's thread.
    pub fn load(_config: &config::Model, _bytes: Vec<u8>, _kit: &Kit) -> Result<Model, LoadError> {
        todo!()
    }

    /// One that somebody brought who is not trusted: it computes in a child and nowhere else.
    pub fn bring(_bytes: Vec<u8>, _grant: config::ModelLoadGrant, _kit: &Kit) -> Result<Model, InferenceError> {
        todo!()
    }

    pub fn description(&self) -> &Description {
        todo!()
    }

    /// Dropping the future gives the inference up.
    pub fn run(&self, _inputs: Named) -> impl Future<Output = Result<Named, InferenceError>> + Send + 'static {
        async { todo!() }
    }

    pub fn stats(&self) -> Stats {
        todo!()
    }
}
