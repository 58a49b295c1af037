//! Where the SDK meets the gateway: in a component these are the imports of the WIT, anywhere else the in-memory double.
//!
//! The only file that knows which of the two it is.

#[cfg(target_family = "wasm")]
mod inside {
    use crate::bindings::imports::edgewit::pubsub::publisher;
    use crate::bindings::imports::edgewit::shadow::store as shadows;
    use crate::bindings::imports::edgewit::timer::scheduler;
    use crate::bindings::imports::wasi::config::store;
    use crate::bindings::imports::wasi::keyvalue::store as buckets;
    use crate::bindings::imports::wasi::keyvalue::{atomics, batch};
    use crate::bindings::imports::wasi::logging::logging;
    use crate::bindings::imports::wasi::nn::graph::{self, ExecutionTarget, GraphEncoding};
    use crate::bindings::imports::wasi::nn::{errors, inference, tensor};
    use crate::log::Level;
    use crate::message::{Message, PublishError};
    use crate::model::{self, Tensor, Tensors};
    use crate::timer::TimerError;

    pub use atomics::increment as bucket_increment;
    pub use batch::{delete_many as bucket_delete_many, get_many as bucket_get_many, set_many as bucket_set_many};
    pub use buckets::{Bucket as BucketHandle, open as bucket_open};
    pub use shadows::{
        delete as shadow_delete, get as shadow_get, list as shadow_list, update as shadow_update,
        update_expecting as shadow_update_expecting,
    };

    pub fn publish(message: &Message) -> Result<(), PublishError> {
        publisher::publish(message)
    }

    pub fn timer_set(name: &str, after_ms: u64, payload: &[u8]) -> Result<(), TimerError> {
        scheduler::set(name, after_ms, payload)
    }

    pub fn timer_cancel(name: &str) -> bool {
        scheduler::cancel(name)
    }

    pub fn config_get(key: &str) -> Result<Option<String>, String> {
        store::get(key).map_err(explain)
    }

    pub fn config_all() -> Result<Vec<(String, String)>, String> {
        store::get_all().map_err(explain)
    }

    pub fn log(level: Level, line: &str) {
        logging::log(level, "", line);
    }

    #[derive(Debug)]
    pub struct ModelHandle(inference::GraphExecutionContext);

    pub fn model_named(name: &str) -> Result<ModelHandle, model::Error> {
        ready(graph::load_by_name(name))
    }

    pub fn model_from_onnx(bytes: Vec<u8>) -> Result<ModelHandle, model::Error> {
        ready(graph::load(&[bytes], GraphEncoding::Onnx, ExecutionTarget::Cpu))
    }

    fn ready(graph: Result<graph::Graph, errors::Error>) -> Result<ModelHandle, model::Error> {
        graph.and_then(|graph| graph.init_execution_context()).map(ModelHandle).map_err(read)
    }

    fn read(error: errors::Error) -> model::Error {
        model::Error { code: error.code(), text: error.data() }
    }

    impl ModelHandle {
        pub fn run(&self, inputs: &[(&str, &Tensor)]) -> Result<Tensors, model::Error> {
            let hand_over = |(name, given): &(&str, &Tensor)| {
                (name.to_string(), tensor::Tensor::new(given.dimensions(), given.ty(), given.data()))
            };
            let outputs = self.0.compute(inputs.iter().map(hand_over).collect()).map_err(read)?;
            let take = |(name, given): (String, tensor::Tensor)| {
                (name, Tensor::new(given.ty(), given.dimensions(), given.data()))
            };
            Ok(outputs.into_iter().map(take).collect())
        }
    }

    fn explain(error: store::Error) -> String {
        match error {
            store::Error::Upstream(reason) | store::Error::Io(reason) => reason,
        }
    }
}

#[cfg(target_family = "wasm")]
pub use inside::*;

#[cfg(not(target_family = "wasm"))]
pub use crate::testing::double::{
    BucketHandle, ModelHandle, bucket_delete_many, bucket_get_many, bucket_increment, bucket_open, bucket_set_many,
    config_all, config_get, log, model_from_onnx, model_named, publish, timer_cancel, timer_set,
};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::double::{shadow_delete, shadow_get, shadow_list, shadow_update, shadow_update_expecting};
