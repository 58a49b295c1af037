//! What one component has done, counted by its own thread and read by anyone.
//!
//! One writer for each number, so that counting is a load and a store and no locked instruction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::histogram::Histogram;

/// A number that one thread writes and any number reads.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Ordering::Relaxed);
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Deliveries and ticks by how they ended.
    pub handled: Number,
    pub failed: Number,
    pub rejected: Number,
    pub published: Number,
    /// Deliveries whose expiry passed while they waited.
    pub expired: Number,
    pub recycled: Number,
    /// Bytes that the instance holds; 0 without one.
    pub memory: Number,
    pub cpu_ns: Number,
    pub times: Histogram,
}

impl Stats {
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_ns.get())
    }

    pub fn add_cpu(&self, time: Duration) {
        self.cpu_ns.add(u64::try_from(time.as_nanos()).unwrap_or(0));
    }
}
