//! A handling: one call of a guest's handler, and what it asked for.
//!
//! Effects are collected while the guest runs and become real only when it returns well. Nothing in
//! here applies an effect; whoever holds an [`Effects`] whose handling failed drops it.

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::{ShadowRead, ValueChange, ValueRead};
use crate::message::{Envelope, Message};

/// What the hub hands to a guest's `on-message`.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub envelope: Arc<Envelope>,
    /// 1 the first time.
    pub attempt: u32,
    /// Its place in a durable queue; a live queue has none.
    pub sequence: Option<u64>,
}

/// What the timers hand to a guest's `on-tick`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    pub name: String,
    pub payload: Vec<u8>,
    pub attempt: u32,
    /// Earlier ticks that this one stands for.
    pub missed: u32,
}

/// Why an instance is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartReason {
    First,
    Restart,
    Recycle,
    AfterFault,
    Swap,
}

/// A change that a handling asks of its component's one-shot timers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimerChange {
    Set { name: String, after: Duration, payload: Vec<u8> },
    Cancel { name: String },
}

impl TimerChange {
    pub fn name(&self) -> &str {
        match self {
            TimerChange::Set { name, .. } | TimerChange::Cancel { name } => name,
        }
    }
}

/// Everything one handling asked for, in the order it asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    pub publishes: Vec<Message>,
    pub timers: Vec<TimerChange>,
    pub values: Vec<ValueChange>,
    /// What it saw of buckets that others write as well.
    pub reads: Vec<ValueRead>,
    /// What it saw of shadows.
    pub shadow_reads: Vec<ShadowRead>,
}

impl Effects {
    pub fn is_empty(&self) -> bool {
        self.publishes.is_empty()
            && self.timers.is_empty()
            && self.values.is_empty()
            && self.reads.is_empty()
            && self.shadow_reads.is_empty()
    }
}

/// How a handling ended that left its instance usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned well: its effects may become real.
    Done(Effects),
    /// It gave the delivery up: no effect, and never again.
    Rejected { reason: String },
}
