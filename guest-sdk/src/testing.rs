//! The gateway in memory, so that a component's logic is tested by plain `cargo test`.
//!
//! A [`Bench`] holds one instance of a component with its configuration and grants, calls its handlers as the gateway
//! would, and hands back what each handling asked for. As in the gateway, what a handling asked for is undone when it
//! fails, and an instance that asked for a retry is replaced by a fresh one. It shows what the component decides; deadlines,
//! memory limits and traps are the gateway's and are tried with `edgewit try`. Not there in a component's own build.
//!
//! A bench belongs to its thread. Several may stand side by side.

mod bench;
mod buckets;
pub(crate) mod double;
mod models;
mod shadows;
mod told;

pub use bench::{Bench, delivery, tick};
pub use buckets::ChangedValue;
pub use double::{Effects, LogLine, SetTimer};
pub use shadows::{Allow, ShadowRequest};
pub use told::delta;
