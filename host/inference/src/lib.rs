//! Inference: models that compute for components, by the backend that each was configured with.
//!
//! A [`Model`] is loaded once and shared by all who use it. Whoever asks waits for an answer on a bounded queue; what
//! computes are threads of the model's own, or a child process, so that a slow model holds up nobody but those who asked
//! it. A file that may be hostile is looked at first by a child that holds nothing (`worker`).
//!
//! Must never know who asks, nor what a component may do. One file a backend: `tract`, `onnxruntime`.

pub mod library;
mod model;
mod onnxruntime;
mod pages;
mod pool;
pub mod session;
mod shapes;
mod tract;
pub mod worker;

use std::path::PathBuf;

use edgewit_worker::WorkerCommand;

pub use model::{LoadError, Model, Stats};

/// What loading needs from outside.
#[derive(Clone, Debug)]
pub struct Kit {
    pub worker: WorkerCommand,
    /// The shared library of onnxruntime, where configuration names it.
    pub onnxruntime: Option<PathBuf>,
}
