//! tract: ONNX in pure Rust, in whatever process it is asked in.
//!
//! It can be stopped between two nodes of the graph and nowhere else, and it panics where it cannot go on; what it was
//! computing with is thrown away then. It must never be asked to load bytes in the gateway that a child has not survived.

mod memory;
pub(crate) mod onnx;
mod tensors;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use edgewit_domain::config::Precision;
use edgewit_domain::limits::MODEL_ERROR_BYTES;
use edgewit_domain::model::{Description, Dimension, ErrorKind, InferenceError, Named, Port, PortType};
use edgewit_domain::tensor::{Tensor, TensorType};
use tract_onnx::prelude::{Framework, InferenceModelExt};
use tract_onnx::tract_core::floats::FloatPrecisionTranslator;
use tract_onnx::tract_core::internal::{
    DatumType, TValue, TVec, TractError, TractResult, TypedFact, TypedModel, TypedSimplePlan, TypedSimpleState,
};
use tract_onnx::tract_core::plan::eval;
use tract_onnx::tract_core::transform::ModelTransform;

use crate::model::LoadError;
use crate::pages;
use crate::session::{Loaded, Session};
use crate::shapes::Shapes;
use onnx::File;

pub(crate) struct TractModel {
    known: Arc<Known>,
}

/// What all sessions of a model share.
struct Known {
    description: Description,
    plan: Arc<TypedSimplePlan>,
    /// What tract computes with at each input.
    takes: Vec<DatumType>,
}

impl TractModel {
    /// Dimensions that are open in the file become what `shapes` says; where one stays open there is no plan of memory.
    pub fn load(model: &[u8], shapes: &Shapes, precision: Precision) -> Result<TractModel, LoadError> {
        let loaded = caught(|| {
            let file = File::read(model, shapes)?;
            build(file, precision).map_err(|error| {
                let how = match precision {
                    Precision::Full => "",
                    Precision::Half => " with half of its precision",
                };
                LoadError::Refused(format!("tract cannot compute it{how}: {}", words(&error)))
            })
        });
        let refused = |panic| Err(LoadError::Refused(format!("tract failed on it: {panic}")));
        let known = loaded.unwrap_or_else(refused).map_err(|error| match error {
            LoadError::Refused(text) => LoadError::Refused(cut(text)),
            LoadError::Shapes(text) => LoadError::Shapes(cut(text)),
            other => other,
        })?;
        pages::keep(known.description.planned.map_or(0, |planned| planned.running));
        Ok(TractModel { known: Arc::new(known) })
    }
}

impl Loaded for TractModel {
    fn description(&self) -> &Description {
        &self.known.description
    }

    fn session(&self) -> Result<Box<dyn Session>, InferenceError> {
        let state = fresh(&self.known)?;
        Ok(Box::new(TractSession { known: self.known.clone(), state: Some(state) }))
    }
}

fn build(file: File, precision: Precision) -> TractResult<Known> {
    let File { model, inputs, outputs, parameters, open } = file;
    let mut typed = tract_onnx::onnx().model_for_proto_model(&model)?.into_typed()?;
    // The weights are in the graph by now, and take as much again here.
    drop(model);
    typed.declutter()?;
    let outputs = outputs_of(&typed, outputs, &open)?;
    if precision == Precision::Half {
        FloatPrecisionTranslator::new(DatumType::F32, DatumType::F16).transform(&mut typed)?;
        typed.declutter()?;
    }
    let takes = typed.input_outlets()?.iter().map(|outlet| Ok(typed.outlet_fact(*outlet)?.datum_type));
    let takes = takes.collect::<TractResult<_>>()?;
    typed.optimize()?;
    let plan = TypedSimplePlan::new(typed)?;
    let planned = memory::planned(&plan);
    Ok(Known { description: Description { inputs, outputs, parameters, planned }, plan, takes })
}

fn outputs_of(model: &TypedModel, names: Vec<Arc<str>>, open: &[(String, Arc<str>)]) -> TractResult<Vec<Port>> {
    let named = |text: String| open.iter().rev().fold(text, |text, (symbol, name)| text.replace(symbol, name));
    let port = |(outlet, name)| {
        let fact: &TypedFact = model.outlet_fact(outlet)?;
        let dimensions = fact.shape.iter().map(|dimension| match dimension.to_i64().map(u32::try_from) {
            Ok(Ok(size)) => Dimension::Fixed(size),
            _ => Dimension::Any(named(dimension.to_string()).into()),
        });
        Ok(Port { name, ty: type_of(fact.datum_type), dimensions: dimensions.collect() })
    };
    model.output_outlets()?.iter().copied().zip(names).map(port).collect()
}

fn type_of(datum: DatumType) -> PortType {
    let known = TensorType::ALL.into_iter().find(|ty| tensors::datum(*ty) == Some(datum.unquantized()));
    match known {
        Some(ty) => PortType::Tensor(ty),
        // Numbers by which tract reckons shapes; whoever gets them gets whole numbers.
        None if datum == DatumType::TDim => PortType::Tensor(TensorType::I64),
        None => PortType::Other(format!("{datum:?}").to_lowercase().into()),
    }
}

struct TractSession {
    known: Arc<Known>,
    /// None after what it computed was thrown away.
    state: Option<TypedSimpleState>,
}

/// Why a computation ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
struct Stopped;

impl Session for TractSession {
    fn run(
        &mut self,
        inputs: Vec<Tensor>,
        until: Instant,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Named, InferenceError> {
        let mut state = match self.state.take() {
            Some(state) => state,
            None => fresh(&self.known)?,
        };
        let known = &self.known;
        let computed = caught(|| {
            let values = inputs.iter().zip(&known.takes).map(|(input, datum)| tensors::into_tract(input, *datum));
            let values: TVec<TValue> = values.collect::<TractResult<_>>()?;
            drop(inputs);
            let values = state.run_plan_with_eval(values, |context, own, node, values| {
                if given_up() || Instant::now() >= until {
                    return Err(TractError::new(Stopped));
                }
                eval(context, own, node, values)
            })?;
            given(&known.description.outputs, &values)
        });
        match computed {
            Ok(Ok(outputs)) => {
                self.state = Some(state);
                Ok(outputs)
            }
            Ok(Err(error)) if error.is::<Stopped>() => Err(InferenceError::new(ErrorKind::Timeout, "stopped")),
            Ok(Err(error)) => Err(failed(words(&error))),
            Err(panic) => Err(failed(panic)),
        }
    }
}

fn given(ports: &[Port], values: &[TValue]) -> TractResult<Named> {
    let named = |(port, value): (&Port, &TValue)| match port.ty {
        PortType::Tensor(ty) => Some(tensors::from_tract(value, ty).map(|tensor| (port.name.clone(), tensor))),
        PortType::Other(_) => None,
    };
    ports.iter().zip(values).filter_map(named).collect()
}

fn fresh(known: &Known) -> Result<TypedSimpleState, InferenceError> {
    let state = caught(|| known.plan.spawn().map_err(|error| words(&error)));
    state.and_then(|state| state).map_err(failed)
}

fn failed(text: String) -> InferenceError {
    InferenceError::new(ErrorKind::Runtime, cut(format!("tract failed: {text}")))
}

/// A panic of tract is an answer as any other.
fn caught<T>(body: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
    })
}

/// An error with its causes.
fn words(error: &TractError) -> String {
    format!("{error:#}")
}

/// As much of a text as is kept, since it may hold names from the file.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MODEL_ERROR_BYTES));
    text
}
