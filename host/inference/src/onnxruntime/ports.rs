//! What the library says of a model, and what configured shapes make of it.
//!
//! The library computes whatever it is given; that a dimension is the configured one is held by the description, with
//! which everything that is handed in is compared.

use edgewit_domain::model::{Description, Dimension, Port, PortType};
use ort::session::Session;
use ort::value::{Outlet, ValueType};

use super::tensors;
use crate::model::LoadError;
use crate::shapes::{self, NAMELESS, Shapes};

pub(super) fn describe(session: &Session, configured: &Shapes, parameters: u64) -> Result<Description, LoadError> {
    let ports = |outlets: &[Outlet]| outlets.iter().map(port).collect::<Result<Vec<Port>, String>>();
    let (inputs, outputs) = (ports(session.inputs()), ports(session.outputs()));
    let (mut inputs, mut outputs) = (inputs.map_err(LoadError::Refused)?, outputs.map_err(LoadError::Refused)?);
    let bound = shapes::bind(&mut inputs, configured).map_err(LoadError::Shapes)?;
    outputs.iter_mut().for_each(|port| shapes::fill(port, &bound));
    // The library does not say what it will take.
    Ok(Description { inputs, outputs, parameters, planned: None })
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
