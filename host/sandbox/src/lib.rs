//! The sandbox: runs components with nothing but what they were granted. The only crate that says wasmtime.
//!
//! The way of a component: bytes → [`artifact::Loader`] (checked, compiled in a child process, cached) →
//! [`Prepared`] (linked to exactly what its grants allow, or refused with the line that is missing) →
//! [`Instance`] (one thread, one store, synchronous calls, every call under its deadlines).
//!
//! Nothing here publishes, stores or schedules: a call returns the effects that it asked for, and whoever
//! made the call decides. What the sandbox needs from outside it declares as traits in `services`.

pub mod artifact;
mod bindings;
mod capability;
pub mod engine;
mod guest;
pub mod inspect;
mod instance;
mod link;
mod services;
pub mod worker;

pub use instance::{Exports, Instance};
pub use link::{LinkError, Prepared};
pub use services::{
    AddressCheck, EndlessRoom, Fetch, FetchError, FetchRequest, FetchResponse, Interrupter, Loading, LogCounter,
    MemoryShadows, MemoryValues, Model, Models, NoModels, NotTaken, Rooms, Services, Shadows, ShadowsError, Values,
    ValuesError,
};
