//! Models in a child process of the same binary: `edgewit worker infer`.
//!
//! A model is a program that somebody else wrote, and its file is read by parsers that were made for friends. What is not
//! trusted, and what computes by a library that is not ours, is therefore read and computed where it can take nothing but
//! its own life. The child limits its memory and closes the file system and the network to itself *before* it sees the
//! first byte of the model, and it ends with its parent. Where an accelerator computes, its driver needs files, devices
//! and address space without end: there only writing and the network are closed, and memory has no limit.
//!
//! Orders and answers pass through a socket, the model and tensors through a file in memory that the child was handed
//! open. Neither side maps that file: both read and write it by calls, so that nothing the other does to it can take more
//! than a wrong result. The gateway sizes nothing by what the child says before it has compared it with a limit.
//!
//! `parent` is a model that computes so, `talk` one child as the gateway holds it, `keeper` starts children, `child` is what
//! runs in them, `frame` what passes through the socket and `memory` what passes beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::config::Backend;
use edgewit_domain::limits::MODEL_STACK;

mod child;
mod frame;
mod keeper;
mod memory;
mod parent;
mod talk;

pub use child::main;
pub use parent::Remote;

/// What a child is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    pub backend: Backend,
    /// Dimensions of inputs that the file leaves open.
    pub shapes: BTreeMap<Arc<str>, Vec<u32>>,
    /// Nothing will be computed: the child ends when it has described the model.
    pub look_only: bool,
}

/// What a child may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes: of its address space beyond what it has before it sees the model, and of the tensors that pass at once.
    pub memory: u64,
    /// Until it has loaded the model.
    pub load: Duration,
}

/// The stack of the thread that reads a model in a child. Whoever reads the same model in the gateway afterwards has to
/// have more, or a deeply nested one that passed here would end the gateway.
const STACK: usize = 4 << 20;

const _: () = assert!(STACK < MODEL_STACK, "what reads a model first has the smaller stack");
