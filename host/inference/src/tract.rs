//! tract: ONNX in pure Rust, in whatever process it is asked in.

use std::collections::BTreeMap;
use std::sync::Arc;

use edgewit_domain::config::Precision;
use edgewit_domain::model::{Description, InferenceError};

use crate::model::LoadError;
use crate::session::{Loaded, Session};

pub(crate) struct TractModel {
    description: Description,
}

impl TractModel {
    pub fn load(
        _model: &[u8],
        _shapes: &BTreeMap<Arc<str>, Vec<u32>>,
        _precision: Precision,
    ) -> Result<TractModel, LoadError> {
        todo!()
    }
}

impl Loaded for TractModel {
    fn description(&self) -> &Description {
        &self.description
    }

    fn session(&self) -> Result<Box<dyn Session>, InferenceError> {
        todo!()
    }
}
