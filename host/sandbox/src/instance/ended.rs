//! From an error of wasmtime to the fault that an operator can act on.

use edgewit_domain::fault::Fault;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::guest::Guest;
use crate::instance::backtrace;
use crate::instance::deadline::Stop;
use crate::services::ValuesError;

/// Names the fault and where in the guest it happened, and logs both.
pub(super) fn fault(guest: &Guest, guest_stack: u64, factor: u32, error: &wasmtime::Error) -> (Fault, String) {
    let fault = classify(guest, guest_stack, factor, error);
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(backtrace::frames).unwrap_or_default();
    tracing::warn!(component = &*guest.profile.name, kind = fault.kind(), backtrace, "The instance {fault}");
    (fault, backtrace)
}

fn classify(guest: &Guest, guest_stack: u64, factor: u32, error: &wasmtime::Error) -> Fault {
    let limits = &guest.profile.limits;
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return match stop {
            Stop::Cpu => Fault::CpuDeadline { limit: limits.cpu.saturating_mul(factor) },
            Stop::Wall => Fault::WallDeadline { limit: limits.wall.saturating_mul(factor) },
            Stop::Interrupted => Fault::Interrupted,
        };
    }
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return Fault::Exit { code: *code };
    }
    if let Some(error) = error.downcast_ref::<ValuesError>() {
        return Fault::Host { reason: error.to_string() };
    }
    if guest.memory.refused {
        return Fault::Memory { limit: limits.memory };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => Fault::Stack { limit: guest_stack },
        Some(trap) => Fault::Trap { reason: guest.notes.explain(&trap.to_string()) },
        None => Fault::Trap { reason: guest.notes.explain(&error.root_cause().to_string()) },
    }
}
