//! What an instance may hold: its linear memories and tables together, however many modules it is made of, and what the
//! host keeps for it beside them.
//!
//! wasmtime's own limiter counts each memory by itself, which lets a component of four modules hold four limits.

use wasmtime::{ResourceLimiter, Result};

use edgewit_domain::limits;

/// Bytes that the host keeps for one element of a table.
const ELEMENT_BYTES: usize = size_of::<usize>();

pub(crate) struct MemoryLimit {
    limit: u64,
    used: u64,
    /// Whether a growth was refused since [`MemoryLimit::begin`]: the likely cause of a trap that follows.
    pub refused: bool,
}

impl MemoryLimit {
    pub fn new(limit: u64) -> Self {
        MemoryLimit { limit, used: 0, refused: false }
    }

    pub fn begin(&mut self) {
        self.refused = false;
    }

    pub fn used(&self) -> u64 {
        self.used
    }

    /// Counts what the host keeps for the guest, unless there is no room for it.
    pub fn hold(&mut self, bytes: u64) -> bool {
        let wanted = self.used.saturating_add(bytes);
        let fits = wanted <= self.limit;
        if fits {
            self.used = wanted;
        }
        fits
    }

    /// Gives back what was held.
    pub fn release(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Bytes that the instance may still take.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    fn grow(&mut self, current: usize, desired: usize, unit: usize) -> bool {
        let growth = (desired.saturating_sub(current) as u64).saturating_mul(unit as u64);
        let permitted = self.hold(growth);
        self.refused |= !permitted;
        permitted
    }

    /// wasmtime also tells of growths that it never asked about, so nothing may be given back: what was permitted
    /// and failed after all stays counted until the instance goes.
    fn failed(&mut self) {
        self.refused = true;
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(current, desired, 1))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> Result<()> {
        self.failed();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(current, desired, ELEMENT_BYTES))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> Result<()> {
        self.failed();
        Ok(())
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        limits::TABLES
    }

    fn memories(&self) -> usize {
        limits::MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three memories and a table share one limit: each growth (current, desired, unit) and whether it is permitted.
    #[test]
    fn the_limit_is_the_instance_s_not_the_memory_s() {
        let mut limit = MemoryLimit::new(300);
        for (current, desired, unit, expected) in [
            (0, 100, 1, true),
            (0, 100, 1, true),
            (100, 150, 1, true),
            (0, 7, 8, false),
            (0, 6, 8, true),
            (0, 3, 1, false),
        ] {
            assert_eq!(limit.grow(current, desired, unit), expected, "{current} → {desired} × {unit}");
        }
        assert_eq!(limit.used(), 298);
        assert!(limit.refused);
    }

    #[test]
    fn what_the_host_holds_counts_until_it_is_released() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.grow(0, 60, 1) && limit.hold(40));
        assert_eq!((limit.hold(1), limit.used(), limit.left()), (false, 100, 0));
        assert!(!limit.refused, "who holds says what becomes of it");
        limit.release(40);
        assert!(limit.grow(60, 100, 1));
    }

    #[test]
    fn a_growth_that_fails_gives_nothing_back() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.grow(0, 60, 1));
        // A table's growth that overflows is reported as failed without having been asked about.
        limit.table_grow_failed(wasmtime::Error::msg("overflow")).unwrap();
        assert_eq!(limit.used(), 60);
        assert!(!limit.grow(0, 60, 1));
    }
}
