//! One-shot timers: a debounce or a timeout in one line. Needs `grant.timer`, and `ticks` among the exports.
//!
//! Timers are effects: they are set and cancelled when the handling returns well, and survive a restart of the gateway.

use std::time::Duration;

use crate::host;

/// One call of a timer, as a handler gets it.
pub use crate::bindings::imports::edgewit::timer::types::Tick;
/// Why a timer was not set.
pub use crate::bindings::imports::edgewit::timer::types::TimerError;

/// Ticks once, after so much running time, and at the soonest after 10 ms. A pending timer of the same name is
/// replaced.
pub fn set(name: &str, after: Duration, payload: &[u8]) -> Result<(), TimerError> {
    let milliseconds = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    host::timer_set(name, milliseconds, payload)
}

/// Forgets a pending timer. True if there was one.
pub fn cancel(name: &str) -> bool {
    host::timer_cancel(name)
}
