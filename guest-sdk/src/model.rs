//! Inference: models that compute in the gateway, by the names that the component was granted them under.
//!
//! ```
//! # use edgewit_sdk::{Failure, model::{Tensor, model}};
//! fn is_odd(window: &[f32; 64]) -> Result<bool, Failure> {
//!     let outputs = model("anomaly")?.run(&[("x", &Tensor::f32(&[1, 64], window))])?;
//!     let score = outputs.get("score")?.to_f32()?;
//!     Ok(score.iter().any(|score| *score > 0.9))
//! }
//! ```
//!
//! A model needs its grant: `[component.NAME.grant.model]` with `anomaly = "anomaly"`, the right-hand name being that of a
//! `[model.NAME]`. Getting one by its name costs next to nothing. While the model computes, the component waits, which
//! counts as waiting and not as computing; an inference is no effect and leaves nothing behind. What goes wrong says
//! what the model wants, or what to configure.

use crate::bindings::imports::wasi::nn::{errors, tensor};
use crate::host;
use crate::message::Failure;

/// What an [`Error`] is about.
pub use errors::ErrorCode;
/// What the numbers of a [`Tensor`] are.
pub use tensor::TensorType;

/// `wasi:nn` as it is, for what this module has no words for: tensors that stay in the gateway, say, to go from one model
/// to the next. In a component only; elsewhere every call of it panics.
pub mod raw {
    pub use crate::bindings::imports::wasi::nn::{errors, graph, inference, tensor};
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Which kind of refusal it is.
    pub code: ErrorCode,
    /// What is wrong, and the cure.
    pub text: String,
}

impl Error {
    /// An error of this kind, for a model of a test.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The refusal in words.
    pub fn reason(&self) -> String {
        self.text.clone()
    }

    fn argument(text: String) -> Self {
        Self::new(ErrorCode::InvalidArgument, text)
    }
}

/// A model that is busy, slow or down may be well the next time; everything else would be refused again.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let reason = format!("inference refused: {}", error.text);
        match error.code {
            ErrorCode::Timeout | ErrorCode::RuntimeError | ErrorCode::Unknown => Self::Retry(reason),
            _ => Self::Reject(reason),
        }
    }
}

/// A model that can be asked.
#[derive(Debug)]
pub struct Model(host::ModelHandle);

/// The model that has this name under `[component.NAME.grant.model]`. It stays the one that it was for as long as it is
/// kept; ask anew to notice that its file has changed.
pub fn model(name: &str) -> Result<Model, Error> {
    host::model_named(name).map(Model)
}

impl Model {
    /// A model that the component brings, as ONNX. It needs `[component.NAME.grant.model-load]`, takes its time, for which
    /// `Start::init` is the place, and is gone when this is dropped.
    pub fn from_onnx(bytes: impl Into<Vec<u8>>) -> Result<Self, Error> {
        host::model_from_onnx(bytes.into()).map(Self)
    }

    /// One inference. The inputs go by the names that the model has for them, in any order.
    pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Tensors, Error> {
        self.0.run(inputs)
    }
}

/// Numbers of one type in rows and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    ty: TensorType,
    dimensions: Vec<u32>,
    data: Vec<u8>,
}

impl Tensor {
    /// Bytes in their order, least significant first. That they are as many as the dimensions say is looked at by the
    /// model.
    pub fn new(ty: TensorType, dimensions: impl Into<Vec<u32>>, data: impl Into<Vec<u8>>) -> Self {
        Self { ty, dimensions: dimensions.into(), data: data.into() }
    }

    /// What the numbers are.
    pub fn ty(&self) -> TensorType {
        self.ty
    }

    /// How many there are in each direction, the last one being that of neighbours.
    pub fn dimensions(&self) -> &[u32] {
        &self.dimensions
    }

    /// The numbers as bytes, least significant first.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    fn is(&self, ty: TensorType) -> Result<(), Error> {
        let fits = self.ty == ty;
        fits.then_some(()).ok_or_else(|| Error::argument(format!("the tensor is {:?} and not {ty:?}", self.ty)))
    }
}

macro_rules! numbers {
    ($($name:ident, $to:ident, $number:ty, $ty:ident;)*) => {
        impl Tensor {
            $(
                #[doc = concat!("A tensor of `", stringify!($number), "`.")]
                pub fn $name(dimensions: &[u32], values: &[$number]) -> Self {
                    let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                    Self::new(TensorType::$ty, dimensions, data)
                }

                #[doc = concat!("Its numbers, if they are `", stringify!($number), "`.")]
                pub fn $to(&self) -> Result<Vec<$number>, Error> {
                    self.is(TensorType::$ty)?;
                    let (numbers, _) = self.data.as_chunks();
                    Ok(numbers.iter().map(|bytes| <$number>::from_le_bytes(*bytes)).collect())
                }
            )*
        }
    };
}

numbers! {
    f32, to_f32, f32, Fp32;
    f64, to_f64, f64, Fp64;
    u8, to_u8, u8, U8;
    i32, to_i32, i32, I32;
    i64, to_i64, i64, I64;
}

/// Tensors with their names: what a model gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tensors(Vec<(String, Tensor)>);

impl Tensors {
    /// The one of this name.
    pub fn get(&self, name: &str) -> Result<&Tensor, Error> {
        self.iter().find(|(other, _)| *other == name).map(|(_, tensor)| tensor).ok_or_else(|| {
            let names: Vec<String> = self.iter().map(|(name, _)| format!("`{name}`")).collect();
            Error::argument(format!("there is no `{name}`, but {}", names.join(", ")))
        })
    }

    /// All of them, in the model's order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}

impl<N: Into<String>> FromIterator<(N, Tensor)> for Tensors {
    fn from_iter<T: IntoIterator<Item = (N, Tensor)>>(tensors: T) -> Self {
        Self(tensors.into_iter().map(|(name, tensor)| (name.into(), tensor)).collect())
    }
}

impl<N: Into<String>, const COUNT: usize> From<[(N, Tensor); COUNT]> for Tensors {
    fn from(tensors: [(N, Tensor); COUNT]) -> Self {
        tensors.into_iter().collect()
    }
}

impl IntoIterator for Tensors {
    type Item = (String, Tensor);
    type IntoIter = std::vec::IntoIter<(String, Tensor)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
