//! What can be asked of a running gateway, and what it answers: one pair of enums, whoever carries it.
//!
//! At the control socket each is one line of JSON. A command gets one reply, or, where it follows
//! something (`logs`, `sub`), as many as there are until the asker hangs up. Nothing in here knows how a
//! command is carried out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::message::Qos;

/// What `edgewit` asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// State and figures of every component.
    Status,
    /// The last lines of the log, and then, if `follow`, the ones to come.
    Logs {
        component: Option<String>,
        lines: usize,
        follow: bool,
    },
    /// Publish as the operator.
    Publish {
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        retain: bool,
    },
    /// Every message that matches, as it comes.
    Subscribe {
        filters: Vec<String>,
    },
    /// Throw the instance away and start afresh; lifts a quarantine.
    Restart {
        component: String,
    },
    Stop {
        component: String,
    },
    Start {
        component: String,
    },
    /// Read the configuration file again and change only what changed. Answered when every component has taken
    /// what changed, or has refused to.
    Reload,
    /// End the gateway in good order.
    Shutdown,
}

/// What the gateway answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    Done,
    Status(Box<Status>),
    Log(LogLine),
    Message(MessageView),
    /// To [`Command::Reload`], now and then before its answer: these components are still changing.
    Reloading {
        waiting: Vec<String>,
    },
    Reloaded(Box<Reloaded>),
    /// Not done. `cure` is what the operator can do about it.
    Refused {
        reason: String,
        cure: String,
    },
}

/// Answer to [`Command::Status`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub thing: String,
    /// Started with `--dev`: unsigned artifacts are accepted.
    pub dev: bool,
    pub uptime_ms: u64,
    /// Messages that the hub has taken since its start.
    pub messages: u64,
    /// Messages dropped because they ran in a circle.
    pub circles: u64,
    pub components: BTreeMap<String, ComponentStatus>,
}

/// One component as `ps` and `top` show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentStatus {
    pub state: ComponentState,
    /// SHA-256 of the artifact, in hex; empty until it was read.
    pub digest: String,
    /// Deliveries and ticks handled well, failed, and rejected by the component.
    pub handled: u64,
    pub failed: u64,
    pub rejected: u64,
    pub published: u64,
    /// Deliveries dropped by a full queue.
    pub dropped: u64,
    /// Deliveries whose expiry passed while they waited.
    pub expired: u64,
    pub log_lines_dropped: u64,
    /// Starts after a fault.
    pub restarts: u64,
    pub recycled: u64,
    /// Deliveries waiting.
    pub queued: u64,
    /// Bytes of linear memory and tables.
    pub memory: u64,
    pub cpu_ms: u64,
    /// Handling time, microseconds, since the last start of the gateway.
    pub p50_us: u64,
    pub p99_us: u64,
    /// How long in this state.
    pub since_ms: u64,
    pub last_fault: Option<Fault>,
    /// Why it has not taken the newest configuration or artifact, where it has not.
    pub older_configuration: Option<String>,
}

/// Where a component stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ComponentState {
    Starting,
    Running,
    /// Failed, and will be started again.
    Backoff {
        faults: u64,
        retry_in_ms: u64,
    },
    /// Failed too often. `edgewit restart` lifts it.
    Quarantined {
        faults: u64,
    },
    /// Cannot run as it is: a missing file, a missing grant, code that does not compile. What may pass with nothing
    /// done by anybody (a full disk, a killed compiler) is tried again, for ever.
    Refused {
        reason: String,
        retry_in_ms: Option<u64>,
    },
    Stopped,
}

impl ComponentState {
    /// One word for tables and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            ComponentState::Starting => "starting",
            ComponentState::Running => "running",
            ComponentState::Backoff { .. } => "backoff",
            ComponentState::Quarantined { .. } => "quarantined",
            ComponentState::Refused { .. } => "refused",
            ComponentState::Stopped => "stopped",
        }
    }
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    pub level: String,
    /// The component that the line is from or about.
    pub component: Option<String>,
    pub text: String,
    /// The remaining fields of the line.
    pub fields: BTreeMap<String, String>,
}

/// A message as an operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageView {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: Qos,
    pub id: String,
    pub origin: String,
    pub hops: u32,
    pub received_ms: u64,
    /// Messages dropped for this asker before this one, because it did not keep up.
    pub dropped: u64,
}

/// What a reload changed, by component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
    /// Those that do not run as the configuration says.
    pub failed: BTreeMap<String, NotTaken>,
    /// Keys that only a restart of the gateway can change, and that differ.
    pub needs_restart: Vec<String>,
}

/// Why a component does not run as the new configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotTaken {
    pub reason: String,
    /// It keeps its older configuration, and the instance made from that.
    pub old_stays: bool,
}
