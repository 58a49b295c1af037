//! Children of this very binary that take everything away from themselves before they look at what may be hostile:
//! `edgewit worker VERB`.
//!
//! What a verb does stands where the work belongs; here is what all of them share: how one is started, what it holds
//! itself to, and how its parent is rid of it. A child trusts its parent, a parent trusts its child in nothing.
//!
//! Must never run anything in the gateway's own process, nor know what is worked on.

mod confine;
mod process;

pub use confine::{Limits, Reach, close, end_with_parent, limit};
pub use process::{WorkerCommand, dies, end, kill, last_words, words};

/// How far the kernel let the child shut itself in. Its limits and its want of file descriptors hold in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// No Landlock in this kernel.
    None,
    /// An older Landlock: the file system is closed, the network may not be.
    Partial,
    Full,
}
