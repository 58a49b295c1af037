//! The models of a bench: functions that stand for them.
//!
//! What is no tensor is refused here as in the gateway; what a model wants is for its function to say.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::model::{Error, ErrorCode, Tensor, TensorType, Tensors};

/// What a model gives for its inputs.
pub type Inference = Rc<dyn Fn(&Tensors) -> Result<Tensors, Error>>;
/// What a model that was brought gives for its bytes and its inputs.
type Brought = Rc<dyn Fn(&[u8], &Tensors) -> Result<Tensors, Error>>;

/// All that can be asked.
#[derive(Default)]
pub struct Models {
    /// What is granted, by the name that the component says.
    pub named: BTreeMap<String, Inference>,
    /// Set where the component may bring models.
    pub brought: Option<Brought>,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.named.keys()).finish()
    }
}

impl Models {
    pub fn named(&self, name: &str) -> Result<Inference, Error> {
        self.named.get(name).cloned().ok_or_else(|| denied(format!("grant.model]\n{name} = \"{name}\"")))
    }

    pub fn bring(&self, bytes: Vec<u8>) -> Result<Inference, Error> {
        let brought = self.brought.clone().ok_or_else(|| denied("grant.model-load]\nbytes = \"4MiB\"".into()))?;
        Ok(Rc::new(move |inputs| brought(&bytes, inputs)))
    }
}

fn denied(line: String) -> Error {
    Error::new(ErrorCode::Security, format!("[component.NAME.{line}"))
}

/// The inputs with their names, if each is a tensor.
pub fn inputs(given: &[(&str, &Tensor)]) -> Result<Tensors, Error> {
    for (name, tensor) in given {
        let wanted = tensor.dimensions().iter().try_fold(size(tensor.ty()), |all, one| all.checked_mul(*one as usize));
        let (held, shape, ty) = (tensor.data().len(), tensor.dimensions(), tensor.ty());
        if wanted != Some(held) {
            let text = format!("`{name}`: {held} bytes are no {shape:?} of {ty:?}");
            return Err(Error::new(ErrorCode::InvalidArgument, text));
        }
    }
    Ok(given.iter().map(|(name, tensor)| (*name, (*tensor).clone())).collect())
}

fn size(ty: TensorType) -> usize {
    match ty {
        TensorType::U8 => 1,
        TensorType::Fp16 | TensorType::Bf16 => 2,
        TensorType::Fp32 | TensorType::I32 => 4,
        TensorType::Fp64 | TensorType::I64 => 8,
    }
}
