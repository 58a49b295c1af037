//! What the gateway promises, shown with real components: the fixtures, which misbehave in one way each.
//!
//! Every test has a gateway of its own in a folder of its own. Nothing sleeps: a test waits for what it expects, and
//! fails when that does not come.

#[cfg(test)]
mod check;
#[cfg(test)]
mod cloud;
#[cfg(test)]
mod control;
#[cfg(test)]
mod data;
#[cfg(test)]
mod disaster;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod far;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod gapless;
#[cfg(test)]
mod guest_shadows;
#[cfg(test)]
mod handling;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod models;
#[cfg(test)]
mod onnx;
#[cfg(test)]
mod process;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod shadow;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod state;
#[cfg(test)]
mod trial;
#[cfg(test)]
mod world;
