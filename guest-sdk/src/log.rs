//! Lines for the gateway's log, under the component's name.
//!
//! The gateway limits how many lines a component may write and counts what it drops: log what a person can act on.

use std::fmt::Display;

use crate::host;

/// How much a line matters.
pub use crate::bindings::imports::wasi::logging::logging::Level;

/// Writes one line.
pub fn log(level: Level, line: impl Display) {
    host::log(level, &line.to_string());
}

/// The flow of control, for whoever writes the component.
pub fn debug(line: impl Display) {
    log(Level::Debug, line);
}

/// Something that whoever watches the gateway likes to know.
pub fn info(line: impl Display) {
    log(Level::Info, line);
}

/// Something is not as it should be, and the component goes on.
pub fn warn(line: impl Display) {
    log(Level::Warn, line);
}

/// Something is lost, or will be.
pub fn error(line: impl Display) {
    log(Level::Error, line);
}
