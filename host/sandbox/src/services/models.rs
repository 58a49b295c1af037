//! Models of a component that runs without a gateway: there are none.

use std::sync::Arc;

use edgewit_domain::config::ModelLoadGrant;
use edgewit_domain::model::{ErrorKind, InferenceError};

use super::{Loading, Model, Models};

#[derive(Clone, Copy, Debug, Default)]
pub struct NoModels;

impl Models for NoModels {
    fn model(&self, _name: &str) -> Option<Arc<dyn Model>> {
        None
    }

    fn load(&self, _bytes: Vec<u8>, _grant: ModelLoadGrant) -> Loading {
        let reason = "nothing computes here; start a gateway";
        Box::pin(async move { Err(InferenceError::new(ErrorKind::Unsupported, reason)) })
    }
}
