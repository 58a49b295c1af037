//! What the gateway promises, shown with real components: the fixtures, which misbehave in one way each.
//!
//! Every test has a gateway of its own in a folder of its own. Nothing sleeps: a test waits for what it expects, and
//! fails when that does not come.

mod check;
mod control;
mod faults;
mod handling;
mod metrics;
mod process;
mod queues;
mod reload;
mod shutdown;
mod trial;
mod world;
