//! What the author of an edgewit component imports: the WIT in short words, one macro, and a gateway in memory for tests.
//!
//! A component is a library crate of type `cdylib` that implements a trait for each thing the gateway may call,
//! and names them in [`component!`]:
//!
//! ```
//! use edgewit_sdk::{Component, ConfigError, Delivery, Failure, HandleMessages, component, config, publish};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Reading {
//!     celsius: f64,
//! }
//!
//! struct Thermostat {
//!     above: f64,
//! }
//!
//! impl Component for Thermostat {
//!     fn from_config() -> Result<Self, ConfigError> {
//!         Ok(Self { above: config::required("above")? })
//!     }
//! }
//!
//! impl HandleMessages for Thermostat {
//!     fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
//!         let reading: Reading = delivery.json()?;
//!         if reading.celsius > self.above {
//!             publish("alerts/heat", format!("{} °C", reading.celsius))?;
//!         }
//!         Ok(())
//!     }
//! }
//!
//! component!(Thermostat: messages);
//!
//! // And its test, run by plain `cargo test`:
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use edgewit_sdk::testing::Bench;
//!
//! let mut bench = Bench::<Thermostat>::with_config([("above", "8")])?.granting(["alerts/#"]);
//! let effects = bench.message("sensors/a", r#"{"celsius": 9}"#).map_err(|failure| format!("{failure:?}"))?;
//! assert_eq!(effects.lines(), [("alerts/heat", "9 °C".to_string())]);
//! assert!(bench.message("sensors/a", "no JSON").is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//!
//! - **A handling is atomic.** What a handler publishes, keeps in buckets and sets as timers takes effect together when it
//!   returns `Ok`, or not at all. So publish first and ask questions later: an error anywhere undoes the rest.
//! - **[`Failure::Retry`] or [`Failure::Reject`]**: the one comes back to a fresh instance after a while, the other goes
//!   to the dead-letter queue where an operator finds it. `?` on a refused publish chooses the right one.
//! - **An instance's memory is a cache.** It is gone after a fault. What must last is kept in a bucket: [`kv`], or [`sources`]
//!   for what is known of each of many sensors.
//! - **What is desired and what is so.** A device's state is kept in its shadow: [`shadow`].
//! - **What a model makes of it.** Models compute in the gateway: [`model`].
//! - **What a component imports, it must be granted.** Only what you call is imported.
//!
//! Nothing here decides anything for the gateway, and no other crate of the repository needs it to build.
#![warn(missing_docs)]

mod bindings;
mod component;
pub mod config;
mod host;
pub mod json;
pub mod kv;
pub mod log;
mod message;
pub mod model;
pub mod shadow;
pub mod sources;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod timer;
pub mod topic;

pub use component::{
    CarryState, CheckHealth, Component, HandleChanges, HandleDeltas, HandleMessages, HandleTicks, Reason, Start,
};
pub use config::ConfigError;
pub use message::{Delivery, Failure, Message, Origin, PayloadFormat, PublishError, Qos, publish};
pub use shadow::{Change, Delta};
pub use timer::Tick;

/// What [`component!`] writes into the crate that calls it.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings::{changes, deltas, health, init, messages, state, ticks};
    pub use crate::component::Slot;
}
