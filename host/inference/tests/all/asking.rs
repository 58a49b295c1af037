//! Models as a configuration has them, and questions to them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use edgewit_domain::config;
use edgewit_domain::limits::MIB;
use edgewit_domain::model::{InferenceError, Named};
use edgewit_domain::tensor::{Tensor, TensorType};
use edgewit_inference::{LoadError, Model};

use crate::support::{TRACT, cases, kit, model};

/// Longer than anything here takes that is to end well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// As if it stood in a configuration without any key but its file.
pub fn configured(file: &str) -> config::Model {
    config::Model {
        name: "test".into(),
        file: file.into(),
        digest: None,
        backend: TRACT,
        shapes: BTreeMap::new(),
        warm_up: 1,
        instances: 1,
        queue: 16,
        memory: 64 * MIB,
        time: PATIENCE,
    }
}

pub fn load(config: &config::Model) -> Result<Model, LoadError> {
    Model::load(config, model(config.file.to_str().unwrap()).to_vec(), &kit())
}

/// Why it cannot be loaded.
pub fn refused(config: &config::Model) -> LoadError {
    match load(config) {
        Ok(model) => panic!("{}: {:?}", config.file.display(), model.description()),
        Err(error) => error,
    }
}

pub fn named(name: &str, ty: TensorType, dimensions: &[u32], data: &[u8]) -> Named {
    vec![(name.into(), Tensor::new(ty, dimensions.to_vec(), data).unwrap())]
}

/// For a file that wants one float.
pub fn one(number: f32) -> Named {
    named("x", TensorType::F32, &[1], &number.to_ne_bytes())
}

/// For a file that has a reference, what it is asked there first.
pub fn first(file: &str) -> Named {
    cases().into_iter().find(|case| case.model == file).unwrap().inputs
}

/// One inference.
pub fn answer(model: &Model, inputs: Named) -> Result<Named, InferenceError> {
    model.run(inputs, Instant::now() + PATIENCE, &|| false)
}

/// Whoever asks on a thread of its own; it gives up when this is dropped.
pub struct Asked {
    given_up: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Named, InferenceError>>>,
}

pub fn ask(model: &Model, inputs: Named) -> Asked {
    let given_up = Arc::new(AtomicBool::new(false));
    let (model, gives_up) = (model.clone(), given_up.clone());
    let ask = move || model.run(inputs, Instant::now() + PATIENCE, &|| gives_up.load(Ordering::Relaxed));
    Asked { given_up, thread: Some(Builder::new().spawn(ask).unwrap()) }
}

impl Asked {
    pub fn is_answered(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    pub fn wait(mut self) -> Result<Named, InferenceError> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say any more.
            let _ = thread.join();
        }
    }
}
