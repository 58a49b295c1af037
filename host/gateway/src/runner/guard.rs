//! The border to native code: a panic of the gateway underneath a guest is a fault of its instance, and ends
//! neither the thread nor the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use edgewit_domain::fault::Fault;

use crate::error::panic_words;

/// What the call shares with the rest is behind locks that hold consistent values at every step, and the
/// instance it panicked in is discarded after a fault: nothing half-done is seen again.
pub(super) fn guarded<R>(call: impl FnOnce() -> Result<R, Fault>) -> Result<R, Fault> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(Fault::Host { reason: panic_words(&*panic) }))
}

/// Drops what may panic while it is dropped.
pub(super) fn discard<T>(value: T) {
    let dropped = guarded(|| {
        drop(value);
        Ok(())
    });
    if let Err(fault) = dropped {
        tracing::error!(%fault, "An instance could not be dropped in good order");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_fault_that_says_why() {
        let number = 3;
        let fault = guarded::<()>(|| panic!("lost count at {number}")).unwrap_err();
        assert_eq!(fault, Fault::Host { reason: "panic: lost count at 3".into() });
    }
}
