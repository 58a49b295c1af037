//! What a model wants and gives, and whether what it is asked fits.
//!
//! A model is known by the description that its backend made of it when it loaded. What a guest hands in is compared with
//! that before it costs anything, and what does not fit is answered with what the model wants: a guest's author has no
//! other way to see the model.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::tensor::{Shape, Tensor, TensorType};

/// What a loaded model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// Numbers that were learned.
    pub parameters: u64,
    /// Bytes that it takes while it waits, and that one inference takes beside them at most. An estimate from the shapes,
    /// where the backend gives one.
    pub planned: Option<Planned>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub resting: u64,
    pub running: u64,
}

impl Planned {
    /// With so many inferences at once.
    pub fn with(self, instances: u64) -> u64 {
        self.resting.saturating_add(self.running.saturating_mul(instances))
    }
}

/// An input or an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: Arc<str>,
    pub ty: PortType,
    pub dimensions: Vec<Dimension>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortType {
    Tensor(TensorType),
    /// One that no guest can name, as the backend calls it.
    Other(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    Fixed(u32),
    /// Any, by the name that the model has for it.
    Any(Arc<str>),
}

impl Port {
    fn takes(&self, tensor: &Tensor) -> bool {
        let fits = |(wanted, given): (&Dimension, &u32)| match wanted {
            Dimension::Fixed(wanted) => wanted == given,
            Dimension::Any(_) => true,
        };
        self.ty == PortType::Tensor(tensor.ty())
            && self.dimensions.len() == tensor.dimensions().len()
            && self.dimensions.iter().zip(tensor.dimensions()).all(fits)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dimensions: Vec<String> = self.dimensions.iter().map(Dimension::to_string).collect();
        write!(f, "`{}`: [{}] of {}", self.name.escape_debug(), dimensions.join(", "), self.ty)
    }
}

impl fmt::Display for PortType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortType::Tensor(ty) => fmt::Display::fmt(ty, f),
            PortType::Other(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dimension::Fixed(size) => fmt::Display::fmt(size, f),
            Dimension::Any(name) => f.write_str(name),
        }
    }
}

/// Tensors with their names.
pub type Named = Vec<(Arc<str>, Tensor)>;

impl Description {
    /// The tensors in the order of the model's inputs, or why they are not what the model wants.
    pub fn arrange(&self, mut given: Named) -> Result<Vec<Tensor>, InferenceError> {
        let mut arranged = Vec::with_capacity(self.inputs.len());
        for port in &self.inputs {
            let Some(place) = given.iter().position(|(name, _)| *name == port.name) else {
                return Err(self.unfit(format!("the input `{}` is missing", port.name.escape_debug())));
            };
            let (name, tensor) = given.swap_remove(place);
            if !port.takes(&tensor) {
                let (shape, ty) = (Shape(tensor.dimensions()), tensor.ty());
                return Err(self.unfit(format!("`{}` is {shape} of {ty}", name.escape_debug())));
            }
            arranged.push(tensor);
        }
        match given.first() {
            None => Ok(arranged),
            Some((name, _)) => Err(self.unfit(format!("there is no input `{}` left to give", name.escape_debug()))),
        }
    }

    fn unfit(&self, problem: String) -> InferenceError {
        let wanted: Vec<String> = self.inputs.iter().map(Port::to_string).collect();
        InferenceError::new(ErrorKind::Argument, format!("{problem}; the model wants {}", wanted.join(", ")))
    }
}

/// Why there is no result, in words for the guest's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct InferenceError {
    pub kind: ErrorKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was handed in is not what the model wants.
    Argument,
    /// Bytes that are no model, or not one of this encoding.
    Encoding,
    Timeout,
    /// As many requests as may wait are waiting.
    Busy,
    /// It needs more memory than it may have.
    TooLarge,
    NotFound,
    Denied,
    /// The model has what no backend here can compute.
    Unsupported,
    /// It failed.
    Runtime,
}

impl InferenceError {
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> InferenceError {
        InferenceError { kind, text: text.into() }
    }

    pub fn timeout(model: &str, limit: Duration) -> InferenceError {
        let text = format!("model `{model}` took longer than {limit:?}; its limit is model.{model}.time");
        InferenceError::new(ErrorKind::Timeout, text)
    }

    pub fn busy(model: &str, waiting: u64) -> InferenceError {
        let text =
            format!("{waiting} requests wait for model `{model}` already; see model.{model}.queue and instances");
        InferenceError::new(ErrorKind::Busy, text)
    }

    pub fn stuck(model: &str, limit: Duration) -> InferenceError {
        let text = format!("model `{model}` still computes what passed its limit of {limit:?}; ask again later");
        InferenceError::new(ErrorKind::Busy, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        let port = |name: &str, ty, dimensions| Port { name: name.into(), ty: PortType::Tensor(ty), dimensions };
        Description {
            inputs: vec![
                port("x", TensorType::F32, vec![Dimension::Any("batch".into()), Dimension::Fixed(2)]),
                port("mask", TensorType::U8, vec![Dimension::Fixed(1)]),
            ],
            outputs: Vec::new(),
            parameters: 0,
            planned: None,
        }
    }

    fn tensor(name: &str, ty: TensorType, dimensions: &[u32]) -> (Arc<str>, Tensor) {
        (name.into(), Tensor::zeros(ty, dimensions.to_vec()).unwrap())
    }

    #[test]
    fn inputs_are_put_in_the_model_s_order_by_name() {
        let given = vec![tensor("mask", TensorType::U8, &[1]), tensor("x", TensorType::F32, &[7, 2])];
        let arranged = description().arrange(given).unwrap();
        assert_eq!(arranged.iter().map(Tensor::ty).collect::<Vec<_>>(), [TensorType::F32, TensorType::U8]);
    }

    #[test]
    fn what_does_not_fit_is_answered_with_what_is_wanted() {
        let mask = || tensor("mask", TensorType::U8, &[1]);
        for (given, problem) in [
            (vec![mask()], "the input `x` is missing"),
            (vec![mask(), tensor("X", TensorType::F32, &[1, 2])], "the input `x` is missing"),
            (vec![mask(), tensor("x", TensorType::F64, &[1, 2])], "`x` is [1, 2] of f64"),
            (vec![mask(), tensor("x", TensorType::F32, &[1, 3])], "`x` is [1, 3] of f32"),
            (vec![mask(), tensor("x", TensorType::F32, &[2])], "`x` is [2] of f32"),
            (vec![mask(), mask(), tensor("x", TensorType::F32, &[1, 2])], "there is no input `mask` left to give"),
        ] {
            let error = description().arrange(given).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Argument);
            assert_eq!(error.text, format!("{problem}; the model wants `x`: [batch, 2] of f32, `mask`: [1] of u8"));
        }
    }
}
