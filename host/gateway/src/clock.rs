//! The gateway's two clocks: running time, by which everything is decided, and the wall clock, which is only told.
//!
//! The pure crates never read a clock; this is where their `now` comes from.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgewit_domain::message::WallTime;

/// A wall clock before this (the beginning of 2026) was never set: this version did not exist then.
const SET_FROM_MS: u64 = 1_767_225_600_000;

/// Running time since the gateway's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Clock(Instant::now())
    }

    pub fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The wall clock. An edge device without a battery starts in 1970, and says so by `trusted`.
pub(crate) fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    WallTime { unix_ms, trusted: unix_ms >= SET_FROM_MS }
}
