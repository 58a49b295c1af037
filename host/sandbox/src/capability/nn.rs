//! `wasi:nn`: inference by models that configuration names and a grant permits, and by those that a guest brings.
//!
//! Linked by hand, since the functions that `bindgen!` makes take each list of bytes as a `Vec` of its own: here a tensor
//! is read once, out of the guest's memory. Nothing computes here: the guest's thread waits, within the handling's
//! deadlines, for what computes elsewhere. An inference is no effect, so there is nothing to undo. What can be answered
//! is answered with the cure; only what has no answer in the WIT ends the guest.

mod error;
mod tensor;

use std::sync::{Arc, Weak};

use edgewit_domain::config::ModelLoadGrant;
use edgewit_domain::limits::{KIB, MODELS_BROUGHT, NAME_BYTES};
use edgewit_domain::model::{ErrorKind, InferenceError, Named};
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType, WasmList};
use wasmtime::{Result, StoreContextMut};

use crate::bindings::wasi::nn::graph::{ExecutionTarget, GraphEncoding};
use crate::guest::{Guest, Profile};
use crate::link::granted;
use crate::services::Model;
use error::Refusal;
use tensor::HeldTensor;

/// The others of its package come and go with it.
pub(crate) const GRAPH: &str = "wasi:nn/graph@0.2.0-rc-2024-10-28";
const TENSOR: &str = "wasi:nn/tensor@0.2.0-rc-2024-10-28";
const INFERENCE: &str = "wasi:nn/inference@0.2.0-rc-2024-10-28";
const ERRORS: &str = "wasi:nn/errors@0.2.0-rc-2024-10-28";

/// The outer result is a trap, the inner what the guest gets.
type Answer<T> = Result<Result<T, InferenceError>>;
type Store<'a> = StoreContextMut<'a, Guest>;

struct Graph(Arc<dyn Model>);
struct Context(Arc<dyn Model>);

/// The models that an instance has brought, those of them that something still holds.
#[derive(Default)]
pub(crate) struct Brought(Vec<Weak<dyn Model>>);

/// Bytes of the largest tensor that a guest can hand over: one that fills its memory.
pub(crate) fn largest_tensor(profile: &Profile) -> usize {
    if granted(&profile.grants, GRAPH) { usize::try_from(profile.limits.memory).unwrap_or(usize::MAX) } else { 0 }
}

pub(crate) fn add_to_linker(linker: &mut Linker<Guest>) -> Result<()> {
    error::add_to_linker(&mut linker.instance(ERRORS)?)?;
    tensor::add_to_linker(&mut linker.instance(TENSOR)?)?;

    let graph = &mut linker.instance(GRAPH)?;
    resource::<Graph>(graph, "graph")?;
    type Load = (Vec<WasmList<u8>>, GraphEncoding, ExecutionTarget);
    graph.func_wrap("load", |mut store: Store<'_>, (builders, encoding, target): Load| {
        let permitted = store.data_mut().may_load(&builders, encoding, target);
        let bytes = permitted.map(|(builder, grant)| (builder.as_le_slice(&store).to_vec(), grant));
        let guest = store.data_mut();
        let loaded = match bytes {
            Ok((bytes, grant)) => guest.load(bytes, grant)?,
            Err(error) => Err(error),
        };
        Ok((guest.hand_out(loaded.map(Graph))?,))
    })?;
    graph.func_wrap("load-by-name", |mut store: Store<'_>, (name,): (String,)| {
        let guest = store.data_mut();
        let found = guest.named(&name);
        Ok((guest.hand_out(found.map(Graph))?,))
    })?;
    graph.func_wrap("[method]graph.init-execution-context", |mut store: Store<'_>, (graph,): (Resource<Graph>,)| {
        let guest = store.data_mut();
        let model = guest.table.get(&graph)?.0.clone();
        Ok((guest.hand_out(Ok(Context(model)))?,))
    })?;

    let inference = &mut linker.instance(INFERENCE)?;
    resource::<Context>(inference, "graph-execution-context")?;
    type Compute = (Resource<Context>, Vec<(String, Resource<HeldTensor>)>);
    inference.func_wrap(
        "[method]graph-execution-context.compute",
        |mut store: Store<'_>, (context, inputs): Compute| {
            let guest = store.data_mut();
            let computed = guest.compute(&context, inputs)?;
            Ok((guest.or_refusal(computed)?,))
        },
    )
}

/// A resource whose end is nobody's concern.
fn resource<T: Send + 'static>(linker: &mut LinkerInstance<'_, Guest>, name: &str) -> Result<()> {
    linker.resource(name, ResourceType::host::<T>(), |mut store, handle| {
        store.data_mut().table.delete(Resource::<T>::new_own(handle))?;
        Ok(())
    })
}

impl Guest {
    fn named(&self, name: &str) -> Result<Arc<dyn Model>, InferenceError> {
        if name.len() > NAME_BYTES {
            let text = format!("this is no name of a model, which has at most {NAME_BYTES} bytes");
            return Err(InferenceError::new(ErrorKind::NotFound, text));
        }
        let granted = self.profile.grants.model(name);
        let model = granted.map_err(|denied| InferenceError::new(ErrorKind::Denied, denied.to_string()))?;
        self.services.models.model(model).ok_or_else(|| {
            let text = format!("there is no model `{model}` here; configure [model.{model}] with its file");
            InferenceError::new(ErrorKind::NotFound, text)
        })
    }

    /// What is to be loaded, and the grant to do so.
    fn may_load<'a>(
        &mut self,
        builders: &'a [WasmList<u8>],
        encoding: GraphEncoding,
        target: ExecutionTarget,
    ) -> Result<(&'a WasmList<u8>, ModelLoadGrant), InferenceError> {
        let refused = |kind, text: String| Err(InferenceError::new(kind, text));
        let grant = match self.profile.grants.model_load() {
            Ok(grant) => *grant,
            Err(denied) => return refused(ErrorKind::Denied, denied.to_string()),
        };
        if !matches!(encoding, GraphEncoding::Onnx | GraphEncoding::Autodetect) {
            let text = "models are ONNX here; convert this one, and load it as `onnx` or `autodetect`";
            return refused(ErrorKind::Encoding, text.to_owned());
        }
        if target != ExecutionTarget::Cpu {
            let text = "what a component brings is computed on the CPU: ask for `cpu`, or have the model configured as \
                        [model.NAME] with backend = \"onnxruntime\" and provider = \"cuda\", and load it by its name";
            return refused(ErrorKind::Unsupported, text.to_owned());
        }
        let [builder] = builders else {
            let text =
                format!("an ONNX model is one builder, and {} were given; put all of it into one", builders.len());
            return refused(ErrorKind::Argument, text);
        };
        if builder.len() as u64 > grant.bytes {
            let (given, component) = (builder.len(), &self.profile.name);
            let text = format!(
                "the model has {given} bytes and may have {}; raise component.{component}.grant.model-load.bytes",
                grant.bytes
            );
            return refused(ErrorKind::TooLarge, text);
        }
        self.brought.0.retain(|model| model.strong_count() > 0);
        if self.brought.0.len() >= MODELS_BROUGHT {
            let text =
                format!("{MODELS_BROUGHT} models that the component has brought are held already; drop one first");
            return refused(ErrorKind::Busy, text);
        }
        Ok((builder, grant))
    }

    fn load(&mut self, bytes: Vec<u8>, grant: ModelLoadGrant) -> Answer<Arc<dyn Model>> {
        let loaded = self.deadline.wait(self.services.models.load(bytes, grant))?;
        self.brought.0.extend(loaded.as_ref().ok().map(Arc::downgrade));
        Ok(loaded)
    }

    /// Takes the inputs, whatever comes of them.
    fn compute(
        &mut self,
        context: &Resource<Context>,
        inputs: Vec<(String, Resource<HeldTensor>)>,
    ) -> Answer<Vec<(Arc<str>, Resource<HeldTensor>)>> {
        let model = self.table.get(context)?.0.clone();
        let (mut named, mut unsound, mut taken) = (Named::with_capacity(inputs.len()), None, 0u64);
        for (name, handle) in inputs {
            let held = self.table.delete(handle)?;
            taken = taken.saturating_add(held.bytes());
            match held.into_tensor() {
                Ok(tensor) => named.push((name.into(), tensor)),
                Err(problem) => unsound = unsound.or(Some(format!("`{}`: {problem}", name.escape_debug()))),
            }
        }
        let computed = match unsound {
            Some(problem) => Err(InferenceError::new(ErrorKind::Argument, problem)),
            None => self.deadline.elsewhere(|until, given_up| model.run(named, until, given_up))?,
        };
        self.memory.release(taken);
        match computed {
            Ok(outputs) => self.keep(outputs),
            Err(error) => Ok(Err(error)),
        }
    }

    fn keep(&mut self, outputs: Named) -> Answer<Vec<(Arc<str>, Resource<HeldTensor>)>> {
        let outputs: Vec<_> = outputs.into_iter().map(|(name, tensor)| (name, HeldTensor::from(tensor))).collect();
        let bytes = outputs.iter().fold(0u64, |sum, (_, held)| sum.saturating_add(held.bytes()));
        if !self.memory.hold(bytes) {
            let left = self.memory.left() / KIB;
            let text = format!(
                "the results have {} KiB, and limits.memory leaves {left}; raise it, or drop tensors before",
                bytes.div_ceil(KIB)
            );
            return Ok(Err(InferenceError::new(ErrorKind::TooLarge, text)));
        }
        let keep = |(name, held)| Ok((name, self.table.push(held)?));
        outputs.into_iter().map(keep).collect::<Result<_>>().map(Ok)
    }

    fn hand_out<T: Send + 'static>(
        &mut self,
        answer: Result<T, InferenceError>,
    ) -> Result<Result<Resource<T>, Resource<Refusal>>> {
        match answer {
            Ok(value) => Ok(Ok(self.table.push(value)?)),
            Err(error) => self.or_refusal(Err(error)),
        }
    }

    fn or_refusal<T>(&mut self, answer: Result<T, InferenceError>) -> Result<Result<T, Resource<Refusal>>> {
        match answer {
            Ok(value) => Ok(Ok(value)),
            Err(error) => {
                let refusal = Refusal::new(error);
                self.notes.refused(refusal.text());
                Ok(Err(self.table.push(refusal)?))
            }
        }
    }
}
