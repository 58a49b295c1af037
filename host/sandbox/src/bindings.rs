//! The Rust face of `wit/`, generated.
//!
//! Imports may trap, since a guest that breaks a rule of the host is ended and not argued with. Exports borrow
//! their arguments, so that a delivery is copied once, straight into the guest's memory.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "edgewit:worlds/full",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
    with: { "wasi:keyvalue/store.bucket": crate::capability::keyvalue::OpenBucket },
});
