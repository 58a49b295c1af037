//! What can be asked of a running gateway, and what it answers: one pair of enums, whoever carries it.
//!
//! At the control socket each is one line of JSON. A command gets one reply, or, where it follows
//! something (`logs`, `sub`), as many as there are until the asker hangs up. Nothing in here knows how a
//! command is carried out.

mod cloud;
mod model;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::message::Qos;
use crate::shadow::Verb;

pub use cloud::{CloudStatus, DownlinkStatus, LinkState, ShadowsStatus, UplinkStatus};
pub use model::{ModelState, ModelStatus};

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
    /// Every durable queue.
    Queues,
    /// Rows of a queue from a sequence number on.
    Rows {
        queue: String,
        from: u64,
        count: usize,
    },
    /// Drop everything in a queue that nobody has in hand.
    DropRows {
        queue: String,
    },
    /// Put dead letters back at the tail of where they came from: this one, or all of the queue's.
    Replay {
        queue: String,
        sequence: Option<u64>,
    },
    /// Ask something of a shadow as the operator: of the gateway's own thing where none is named, and of its classic
    /// shadow. `document` is what an update asks for, as the cloud takes it.
    Shadow {
        thing: Option<String>,
        name: Option<String>,
        verb: Verb,
        document: Vec<u8>,
    },
    /// The shadows of a thing, or of all, behind the one named.
    Shadows {
        thing: Option<String>,
        after: Option<ShadowView>,
    },
    /// How the shadows of a thing, or of all, stand against the cloud, behind the one named.
    SyncedShadows {
        thing: Option<String>,
        after: Option<SyncedShadow>,
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
    Queues {
        queues: Vec<QueueStatus>,
    },
    /// To [`Command::Rows`]: fewer than were asked for where they are large, and then there is `more`.
    Rows {
        rows: Vec<RowView>,
        more: bool,
    },
    /// To [`Command::Shadow`]: what the shadow service answered.
    Shadow {
        body: String,
    },
    /// To [`Command::Shadows`]: not all of them where there are many, and then there are `more`.
    Shadows {
        shadows: Vec<ShadowView>,
        more: bool,
    },
    /// To [`Command::SyncedShadows`], as above.
    SyncedShadows {
        shadows: Vec<SyncedShadow>,
        more: bool,
    },
    /// So many rows were dropped or replayed.
    Counted {
        rows: u64,
        /// Those that were not, though they were meant as well.
        left: Option<Left>,
    },
    /// Not done. `cure` is what the operator can do about it.
    Refused {
        reason: String,
        cure: String,
    },
}

/// A shadow in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowView {
    pub thing: String,
    /// None for the classic one.
    pub name: Option<String>,
    pub version: u64,
    /// Of its state, as it counts towards its limit.
    pub bytes: usize,
    /// The second since 1970 of its last update.
    pub updated: u64,
    /// Whether something is desired that is not reported.
    pub differs: bool,
}

/// A shadow that is kept the same as a cloud's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncedShadow {
    pub cloud: String,
    pub thing: String,
    /// None for the classic one.
    pub name: Option<String>,
    /// The version here; none where there is no shadow.
    pub local: Option<u64>,
    /// The cloud's version that was last merged here; none where it had no shadow.
    pub remote: Option<u64>,
    /// One of [`Standing::ALL`](crate::shadow::sync::Standing::ALL).
    pub state: String,
    /// For how long something said here has not been in the cloud.
    pub dirty_ms: Option<u64>,
    /// What kept them from being the same the last time, until they are.
    pub error: Option<String>,
}

/// Rows that stay where they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Left {
    pub rows: u64,
    /// Why the first of them does, and what to do about it.
    pub reason: String,
    pub cure: String,
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
    /// By the names of the clouds.
    pub clouds: BTreeMap<String, CloudStatus>,
    /// By the names of the models.
    pub models: BTreeMap<String, ModelStatus>,
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
    /// Bytes of its messages that links have sent to clouds, repeats included.
    pub uplink_bytes: u64,
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

/// A durable queue as `edgewit queue ls` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    pub queue: String,
    pub messages: u64,
    pub bytes: u64,
    /// Rows dropped because the queue was full, and because of their age.
    pub dropped: u64,
    pub expired: u64,
    /// Whether somebody reads it; otherwise it is given up after a while.
    pub read: bool,
    /// A row of it cannot be read.
    pub damaged: bool,
    /// How long the oldest row waits.
    pub oldest_ms: Option<u64>,
}

/// A row of a durable queue as an operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowView {
    pub sequence: u64,
    pub message: MessageView,
    /// How long it waits.
    pub age_ms: u64,
    /// Failed attempts.
    pub failed: u32,
    /// Why it was given up, and where it waited before; of a dead letter.
    pub dead: Option<DeadView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadView {
    pub queue: Option<String>,
    pub reason: String,
    pub attempts: u32,
    pub backtrace: String,
    pub at_ms: u64,
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
    /// It runs, and handles nothing until an operator does something.
    Blocked {
        reason: String,
    },
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
            ComponentState::Blocked { .. } => "blocked",
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
    /// What else differs and is in force now: keys, and tables of links and of what goes by them.
    pub settings: Vec<String>,
    /// Those that do not run as the configuration says.
    pub failed: BTreeMap<String, NotTaken>,
    /// Models that were loaded and answer from now on.
    pub models: Vec<String>,
    /// Models that could not be loaded as the configuration says.
    pub models_failed: BTreeMap<String, NotTaken>,
    /// Keys that only a restart of the gateway can change, and that differ.
    pub needs_restart: Vec<String>,
}

/// Why a component, or a model, does not run as the new configuration says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotTaken {
    pub reason: String,
    /// It keeps its older configuration, and what was made from that.
    pub old_stays: bool,
}
