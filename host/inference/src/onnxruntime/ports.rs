//! What the library says of a model, and what configured shapes make of it.
//!
//! The library computes whatever it is given; that a dimension is the configured one is held by the description, with
//! which everything that is handed in is compared.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use edgewit_domain::model::{Description, Dimension, Port, PortType};
use ort::session::Session;
use ort::value::{Outlet, ValueType};

use super::tensors;
use crate::model::LoadError;

/// What a dimension is called here that has no name in the file.
const NAMELESS: &str = "?";

/// By the name of an input, from configuration.
type Shapes = BTreeMap<Arc<str>, Vec<u32>>;

pub(super) fn describe(session: &Session, shapes: &Shapes, parameters: u64) -> Result<Description, LoadError> {
    let ports = |outlets: &[Outlet]| outlets.iter().map(port).collect::<Result<Vec<Port>, String>>();
    let described = || {
        let (mut inputs, mut outputs) = (ports(session.inputs())?, ports(session.outputs())?);
        let bound = bind(&mut inputs, shapes)?;
        for dimension in inputs.iter_mut().chain(&mut outputs).flat_map(|port| &mut port.dimensions) {
            if let Dimension::Any(name) = dimension
                && let Some(size) = bound.get(name)
            {
                *dimension = Dimension::Fixed(*size);
            }
        }
        // The library does not say what it will take.
        Ok(Description { inputs, outputs, parameters, planned: None })
    };
    described().map_err(LoadError::Refused)
}

fn port(outlet: &Outlet) -> Result<Port, String> {
    let name = outlet.name();
    let ValueType::Tensor { ty, shape, dimension_symbols } = outlet.dtype() else {
        return Ok(Port {
            name: name.into(),
            ty: PortType::Other(outlet.dtype().to_string().into()),
            dimensions: Vec::new(),
        });
    };
    let dimension = |(at, size): (usize, &i64)| match size {
        0.. => u32::try_from(*size)
            .map(Dimension::Fixed)
            .map_err(|_| format!("`{}` has a dimension of {size}, and {} is the most", name.escape_debug(), u32::MAX)),
        _ => {
            let symbol = dimension_symbols.get(at).filter(|symbol| !symbol.is_empty());
            Ok(Dimension::Any(symbol.map_or(NAMELESS, String::as_str).into()))
        }
    };
    let ty = tensors::ty(*ty).map_or_else(|| PortType::Other(ty.to_string().into()), PortType::Tensor);
    let dimensions = shape.iter().enumerate().map(dimension).collect::<Result<_, _>>()?;
    Ok(Port { name: name.into(), ty, dimensions })
}

/// Puts the configured sizes into the inputs, and says what they make of the names of dimensions.
fn bind(inputs: &mut [Port], shapes: &Shapes) -> Result<HashMap<Arc<str>, u32>, String> {
    let mut bound = HashMap::new();
    for (name, shape) in shapes {
        let all: Vec<String> = inputs.iter().map(Port::to_string).collect();
        let Some(port) = inputs.iter_mut().find(|port| port.name == *name) else {
            let name = name.escape_debug();
            return Err(format!("`shapes` names `{name}`, and its inputs are {}", all.join(", ")));
        };
        let unfit = format!("`shapes` has {shape:?} for the input {port}");
        if port.dimensions.len() != shape.len() {
            return Err(unfit);
        }
        for (dimension, size) in port.dimensions.iter_mut().zip(shape) {
            match dimension {
                Dimension::Fixed(declared) if declared != size => return Err(unfit),
                Dimension::Fixed(_) => {}
                Dimension::Any(symbol) => {
                    if &**symbol != NAMELESS {
                        let before = *bound.entry(symbol.clone()).or_insert(*size);
                        if before != *size {
                            return Err(format!("{unfit}, and `{}` is {before} elsewhere", symbol.escape_debug()));
                        }
                    }
                    *dimension = Dimension::Fixed(*size);
                }
            }
        }
    }
    Ok(bound)
}
