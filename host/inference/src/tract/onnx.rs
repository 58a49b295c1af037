//! An ONNX file, before tract makes anything of it.
//!
//! tract believes a file: it takes an operator for what it is called, the last of two values of one name, and panics where
//! a name leads nowhere. What it would believe wrongly is refused here, and the shapes that configuration names are written
//! in, so that all of the graph knows them.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;

use edgewit_domain::model::{Dimension, Port, PortType};
use edgewit_domain::tensor::TensorType;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::Dimension as Axis;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::type_proto::{Tensor, Value as Kind};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, TensorProto, TensorShapeProto, ValueInfoProto};
use tract_onnx::prelude::Framework;

use crate::model::LoadError;
use crate::shapes::{self, Bound, NAMELESS, Shapes};

/// What tract calls a dimension that is still open, and what the file calls it. The later may begin like an earlier.
pub(super) type Open = Vec<(String, Arc<str>)>;

/// Whose operators tract knows.
const HOUSES: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// What a file says of itself, and nothing that tract would read wrongly.
pub(super) struct File {
    pub model: ModelProto,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Arc<str>>,
    pub parameters: u64,
    pub open: Open,
}

impl File {
    pub fn read(bytes: &[u8], shapes: &Shapes) -> Result<File, LoadError> {
        let none = |problem: &dyn Display| LoadError::Refused(format!("it is no ONNX file: {problem}"));
        let read = tract_onnx::onnx().proto_model_for_read(&mut &*bytes);
        let mut model = read.map_err(|error| none(&error.root_cause()))?;
        let graph = model.graph.as_mut().ok_or_else(|| none(&"there is no graph in it"))?;
        every_graph(graph, &|graph| known(graph)).and_then(|()| wired(graph)).map_err(LoadError::Refused)?;
        let (inputs, open) = bind(graph, shapes)?;
        let outputs = graph.output.iter().map(|output| Arc::from(output.name.as_str())).collect();
        let parameters = graph.initializer.iter().map(parameters).fold(0, u64::saturating_add);
        Ok(File { model, inputs, outputs, parameters, open })
    }
}

/// What of a file concerns whoever computes it: numbers that were learned, unless some of them lie elsewhere. Nothing of
/// what cannot be read as ONNX, of which others may make something.
pub(crate) fn glance(bytes: &[u8]) -> Result<u64, String> {
    let Ok(ModelProto { graph: Some(graph), .. }) = tract_onnx::onnx().proto_model_for_read(&mut &*bytes) else {
        return Ok(0);
    };
    every_graph(&graph, &|graph| constants(graph).try_for_each(here))?;
    Ok(graph.initializer.iter().map(parameters).fold(0, u64::saturating_add))
}

/// As it may be shown, whoever chose it.
fn shown(name: &str) -> String {
    format!("`{}`", name.escape_debug())
}

/// Asks of the graph and all that its nodes hold. They lie in one another no deeper than a file can be read.
fn every_graph(graph: &GraphProto, ask: &dyn Fn(&GraphProto) -> Result<(), String>) -> Result<(), String> {
    ask(graph)?;
    let attributes = graph.node.iter().flat_map(|node| &node.attribute);
    attributes.flat_map(inner).try_for_each(|inner| every_graph(inner, ask))
}

fn inner(attribute: &AttributeProto) -> impl Iterator<Item = &GraphProto> {
    attribute.g.iter().chain(&attribute.graphs)
}

/// Operators and numbers that tract has, and that are in the file.
fn known(graph: &GraphProto) -> Result<(), String> {
    for node in &graph.node {
        if !HOUSES.contains(&node.domain.as_str()) {
            let (operator, house) = (shown(&node.op_type), shown(&node.domain));
            return Err(format!("it computes {operator} of {house}, which tract does not know"));
        }
    }
    for tensor in constants(graph) {
        here(tensor)?;
        computable(&tensor.name, tensor.data_type)?;
    }
    for value in graph.input.iter().chain(&graph.output) {
        if let Some(Kind::TensorType(tensor)) = value.r#type.as_ref().and_then(|ty| ty.value.as_ref()) {
            computable(&value.name, tensor.elem_type)?;
        }
    }
    Ok(())
}

fn constants(graph: &GraphProto) -> impl Iterator<Item = &TensorProto> {
    let attributes = graph.node.iter().flat_map(|node| &node.attribute);
    graph.initializer.iter().chain(attributes.flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors)))
}

/// Its numbers are in the file itself.
fn here(tensor: &TensorProto) -> Result<(), String> {
    if tensor.data_location != Some(DataLocation::External as i32) {
        return Ok(());
    }
    let name = shown(&tensor.name);
    Err(format!("{name} lies in another file, which is not read; save the model as a single file"))
}

fn computable(name: &str, ty: i32) -> Result<(), String> {
    if ty != DataType::Bfloat16 as i32 {
        return Ok(());
    }
    let name = shown(name);
    Err(format!("{name} is bf16, which tract does not compute with; convert it to f32, or choose onnxruntime"))
}

/// Every value has one origin, and what is wanted is there.
fn wired(graph: &GraphProto) -> Result<(), String> {
    let mut values = HashSet::new();
    for constant in &graph.initializer {
        if !values.insert(constant.name.as_str()) {
            return Err(format!("it has two constants {}", shown(&constant.name)));
        }
    }
    let mut inputs = HashSet::new();
    for input in &graph.input {
        if !inputs.insert(input.name.as_str()) {
            return Err(format!("it has two inputs {}", shown(&input.name)));
        }
    }
    // A constant that is an input too is the default for it.
    values.extend(inputs);
    for output in graph.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty()) {
        if !values.insert(output) {
            return Err(format!("{} is computed twice", shown(output)));
        }
    }
    let taken = graph.node.iter().flat_map(|node| &node.input).filter(|name| !name.is_empty());
    let given = graph.output.iter().map(|output| &output.name);
    let missing = taken.chain(given.clone()).find(|name| !values.contains(name.as_str()));
    if let Some(name) = missing {
        return Err(format!("{} is wanted, and nothing computes it", shown(name)));
    }
    let mut outputs = HashSet::new();
    given.into_iter().try_for_each(|name| match outputs.insert(name) {
        true => Ok(()),
        false => Err(format!("it has two outputs {}", shown(name))),
    })
}

/// Numbers that were learned: not those by which shapes are reckoned.
fn parameters(tensor: &TensorProto) -> u64 {
    if tensor.data_type == DataType::Int64 as i32 || tensor.data_type == DataType::String as i32 {
        return 0;
    }
    let size = |all: u64, one: &i64| all.saturating_mul(u64::try_from(*one).unwrap_or(0));
    tensor.dims.iter().fold(1, size)
}

pub(super) fn port_type(ty: i32) -> PortType {
    let ty = match DataType::try_from(ty) {
        Ok(DataType::Float16) => TensorType::F16,
        Ok(DataType::Float) => TensorType::F32,
        Ok(DataType::Double) => TensorType::F64,
        Ok(DataType::Bfloat16) => TensorType::Bf16,
        Ok(DataType::Uint8) => TensorType::U8,
        Ok(DataType::Int32) => TensorType::I32,
        Ok(DataType::Int64) => TensorType::I64,
        Ok(other) => return PortType::Other(other.as_str_name().to_lowercase().into()),
        Err(_) => return PortType::Other("unknown".into()),
    };
    PortType::Tensor(ty)
}

/// Writes the configured shapes wherever the graph names what was open, and says what its inputs are then.
fn bind(graph: &mut GraphProto, shapes: &Shapes) -> Result<(Vec<Port>, Open), LoadError> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|constant| constant.name.as_str()).collect();
    let asked = graph.input.iter().filter(|input| !constants.contains(input.name.as_str()));
    let mut ports: Vec<Port> = asked.map(|input| declared(input, shapes)).collect::<Result<_, _>>()?;
    let bound = shapes::bind(&mut ports, shapes).map_err(LoadError::Shapes)?;
    let mut open = Open::new();
    for dimension in ports.iter().flat_map(|port| &port.dimensions) {
        // tract may not take it for the name that it is.
        if let Dimension::Any(name) = dimension
            && (&**name == NAMELESS || !open.iter().any(|(_, known)| known == name))
        {
            open.push((format!("open_{}", open.len()), name.clone()));
        }
    }
    let mut unnamed = open.iter().filter(|(_, name)| &**name == NAMELESS).map(|(symbol, _)| symbol.as_str());
    for port in &ports {
        let size = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size) => Size::DimValue(i64::from(*size)),
            Dimension::Any(name) if &**name == NAMELESS => {
                Size::DimParam(unnamed.next().unwrap_or_default().to_owned())
            }
            Dimension::Any(name) => Size::DimParam(symbol(&open, name).unwrap_or_default()),
        };
        let dim = port.dimensions.iter().map(size).map(|size| Axis { value: Some(size), ..Axis::default() }).collect();
        let input = graph.input.iter_mut().find(|input| *input.name == *port.name);
        if let Some(tensor) = input.and_then(tensor_mut) {
            tensor.shape = Some(TensorShapeProto { dim });
        }
    }
    let names: HashSet<&str> = ports.iter().map(|port| &*port.name).collect();
    rename(graph, &names, &bound, &open);
    Ok((ports, open))
}

fn symbol(open: &[(String, Arc<str>)], name: &str) -> Option<String> {
    open.iter().find(|(_, known)| **known == *name).map(|(symbol, _)| symbol.clone())
}

fn declared(input: &ValueInfoProto, shapes: &Shapes) -> Result<Port, LoadError> {
    let name = shown(&input.name);
    let Some(Kind::TensorType(tensor)) = input.r#type.as_ref().and_then(|ty| ty.value.as_ref()) else {
        return Err(LoadError::Refused(format!("the input {name} is no tensor, which is all that can be given")));
    };
    let open = || Dimension::Any(NAMELESS.into());
    let size = |size: &Option<Size>| match size {
        Some(Size::DimValue(size)) if *size >= 0 => u32::try_from(*size).map(Dimension::Fixed).map_err(|_| {
            LoadError::Refused(format!("the input {name} has a dimension of {size}, and {} is the most", u32::MAX))
        }),
        Some(Size::DimParam(name)) if !name.is_empty() => Ok(Dimension::Any(name.as_str().into())),
        _ => Ok(open()),
    };
    let dimensions = match (&tensor.shape, shapes.get(input.name.as_str())) {
        (Some(shape), _) => shape.dim.iter().map(|axis| size(&axis.value)).collect::<Result<_, _>>()?,
        (None, Some(shape)) => shape.iter().map(|_| open()).collect(),
        (None, None) => return Err(LoadError::Shapes(format!("the input {name} has no shape; give it in `shapes`"))),
    };
    Ok(Port { name: input.name.as_str().into(), ty: port_type(tensor.elem_type), dimensions })
}

fn tensor_mut(value: &mut ValueInfoProto) -> Option<&mut Tensor> {
    let Kind::TensorType(tensor) = value.r#type.as_mut()?.value.as_mut()?;
    Some(tensor)
}

/// Writes what is bound, and the names of what is open, wherever else the graph speaks of them. What it reckons with
/// names is left for tract to find out.
fn rename(graph: &mut GraphProto, done: &HashSet<&str>, bound: &Bound, open: &[(String, Arc<str>)]) {
    let values = graph.input.iter_mut().filter(|input| !done.contains(input.name.as_str()));
    let shapes = values.chain(&mut graph.output).chain(&mut graph.value_info).filter_map(tensor_mut);
    for axis in shapes.filter_map(|tensor| tensor.shape.as_mut()).flat_map(|shape| &mut shape.dim) {
        if let Some(Size::DimParam(name)) = &axis.value {
            let size = bound.get(name.as_str()).map(|size| Size::DimValue(i64::from(*size)));
            axis.value = size.or_else(|| symbol(open, name).map(Size::DimParam));
        }
    }
    let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
    for inner in attributes.flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs)) {
        rename(inner, &HashSet::new(), bound, open);
    }
}
