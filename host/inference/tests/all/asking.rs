//! Models as a configuration has them, and questions to them.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use edgewit_domain::config;
use edgewit_domain::limits::MIB;
use edgewit_domain::model::Named;
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

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}
