//! How an instance fails. One closed list, so that the log, `ps`, the metrics and the supervisor all
//! speak of the same thing, and each with the words an operator can act on.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why an instance was, or has to be, thrown away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Fault {
    /// The guest trapped: unreachable code, a wild address, a failed assertion.
    Trap { reason: String },
    /// The guest computed longer than `limits.cpu` in one handling.
    CpuDeadline { limit: Duration },
    /// The guest waited longer than `limits.wall` in one handling.
    WallDeadline { limit: Duration },
    /// The guest asked for more memory than `limits.memory` and did not survive the refusal.
    Memory { limit: u64 },
    /// The guest needed a deeper stack than the device profile gives.
    Stack { limit: u64 },
    /// A handler asked for the delivery to be tried again.
    Retry { reason: String },
    /// `start.init` returned an error.
    Init { reason: String },
    /// `health.check` returned an error.
    Health { reason: String },
    /// `state.restore` or `state.snapshot` returned an error.
    State { reason: String },
    /// The guest called `exit`.
    Exit { code: i32 },
    /// The gateway ended the handling because the component was told to stop.
    Interrupted,
    /// The gateway itself failed underneath the guest. Never the guest's fault; still a restart.
    Host { reason: String },
}

impl Fault {
    /// One word for metrics and tables.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Trap { .. } => "trap",
            Fault::CpuDeadline { .. } => "cpu-deadline",
            Fault::WallDeadline { .. } => "wall-deadline",
            Fault::Memory { .. } => "memory",
            Fault::Stack { .. } => "stack",
            Fault::Retry { .. } => "retry",
            Fault::Init { .. } => "init",
            Fault::Health { .. } => "health",
            Fault::State { .. } => "state",
            Fault::Exit { .. } => "exit",
            Fault::Interrupted => "interrupted",
            Fault::Host { .. } => "host",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Trap { reason } => write!(f, "trapped: {reason}"),
            Fault::CpuDeadline { limit } => {
                write!(f, "computed longer than {limit:?} in one handling; raise limits.cpu or do less at once")
            }
            Fault::WallDeadline { limit } => {
                write!(f, "waited longer than {limit:?} in one handling; raise limits.wall or wait for less")
            }
            Fault::Memory { limit } => {
                write!(f, "needed more than {} KiB of memory; raise limits.memory or hold less", limit / 1024)
            }
            Fault::Stack { limit } => write!(f, "needed a stack deeper than {} KiB", limit / 1024),
            Fault::Retry { reason } => write!(f, "asked for a retry: {reason}"),
            Fault::Init { reason } => write!(f, "init failed: {reason}"),
            Fault::Health { reason } => write!(f, "is not healthy: {reason}"),
            Fault::State { reason } => write!(f, "could not carry its state over: {reason}"),
            Fault::Exit { code } => write!(f, "called exit({code})"),
            Fault::Interrupted => f.write_str("was told to stop while it handled something"),
            Fault::Host { reason } => write!(f, "the gateway failed underneath it: {reason}"),
        }
    }
}

impl std::error::Error for Fault {}
