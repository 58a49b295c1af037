//! The gateway: joins the parts of edgewit into a running process. The only crate that knows all the others.
//!
//! A message goes from [`Hub`] to mailbox to component thread and back; [`Gateway`] starts and ends all of it;
//! the control socket, the signals and the metrics look in from outside. Nothing here decides what the domain can
//! decide, names a type of wasmtime, or prints.

pub mod check;
mod clock;
mod cloud;
mod components;
pub mod control;
mod core;
mod desk;
mod error;
mod fetch;
mod files;
mod gateway;
mod histogram;
mod hub;
mod inbox;
mod loading;
mod mailbox;
mod metrics;
pub mod models;
mod orders;
mod pool;
mod queue;
mod queues;
mod reload;
mod runner;
mod scratch;
mod shadow;
mod start_error;
mod stats;
pub mod store;
mod sync;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod threads;
pub mod trial;
mod values;
mod window;

pub use edgewit_worker::WorkerCommand;
pub use files::FileError;
pub use gateway::{Gateway, Options, run};
pub use hub::{Hub, HubCounts, PublishError, Stream};
pub use queue::Bounds;
pub use scratch::ScratchError;
pub use start_error::StartError;
pub use store::StoreError;
