//! Configured shapes, held against what a file says of its inputs: the same rules and words whatever computes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use edgewit_domain::model::{Dimension, Port};

/// What a dimension is called here that has no name in the file.
pub(crate) const NAMELESS: &str = "?";

/// By the name of an input.
pub(crate) type Shapes = BTreeMap<Arc<str>, Vec<u32>>;
/// What the names of dimensions are.
pub(crate) type Bound = HashMap<Arc<str>, u32>;

/// Puts the shapes into the inputs, and says what they make of the names of dimensions.
pub(crate) fn bind(inputs: &mut [Port], shapes: &Shapes) -> Result<Bound, String> {
    let bound = bound(inputs, shapes)?;
    for port in inputs {
        let shape = shapes.get(&port.name).map(Vec::as_slice).unwrap_or_default();
        port.dimensions.iter_mut().zip(shape).for_each(|(dimension, size)| *dimension = Dimension::Fixed(*size));
        fill(port, &bound);
    }
    Ok(bound)
}

/// Puts what is known into the dimensions that have a name.
pub(crate) fn fill(port: &mut Port, bound: &Bound) {
    for dimension in &mut port.dimensions {
        if let Dimension::Any(name) = dimension
            && let Some(size) = bound.get(name)
        {
            *dimension = Dimension::Fixed(*size);
        }
    }
}

fn bound(inputs: &[Port], shapes: &Shapes) -> Result<Bound, String> {
    let mut bound = Bound::new();
    for (name, shape) in shapes {
        let Some(port) = inputs.iter().find(|port| port.name == *name) else {
            let all: Vec<String> = inputs.iter().map(Port::to_string).collect();
            return Err(format!("`shapes` names `{}`, and its inputs are {}", name.escape_debug(), all.join(", ")));
        };
        let unfit = || format!("`shapes` has {shape:?} for the input {port}");
        if port.dimensions.len() != shape.len() {
            return Err(unfit());
        }
        for (dimension, size) in port.dimensions.iter().zip(shape) {
            match dimension {
                Dimension::Fixed(declared) if declared != size => return Err(unfit()),
                Dimension::Any(name) if &**name != NAMELESS => {
                    let before = *bound.entry(name.clone()).or_insert(*size);
                    if before != *size {
                        return Err(format!("{}, and `{}` is {before} elsewhere", unfit(), name.escape_debug()));
                    }
                }
                Dimension::Fixed(_) | Dimension::Any(_) => {}
            }
        }
    }
    Ok(bound)
}
