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
    use crate::log::Level;
    use crate::message::{Message, PublishError};
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
    BucketHandle, bucket_delete_many, bucket_get_many, bucket_increment, bucket_open, bucket_set_many, config_all,
    config_get, log, publish, timer_cancel, timer_set,
};
#[cfg(not(target_family = "wasm"))]
pub use crate::testing::double::{shadow_delete, shadow_get, shadow_list, shadow_update, shadow_update_expecting};
