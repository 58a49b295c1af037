//! Cloud links as `edgewit cloud` shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One cloud link as `edgewit cloud` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudStatus {
    pub state: LinkState,
    pub broker: String,
    /// The last thing that went wrong, and how to mend it.
    pub trouble: Option<String>,
    /// How often the broker accepted us.
    pub connections: u64,
    /// Messages go one at a time, because connections kept ending without an acknowledgement.
    pub one_at_a_time: bool,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Messages from the cloud that no rule took, or that could not be used.
    pub unmatched: u64,
    pub uplinks: BTreeMap<String, UplinkStatus>,
    pub downlinks: BTreeMap<String, DownlinkStatus>,
    /// None where no shadow is kept the same over this link.
    pub shadows: Option<ShadowsStatus>,
}

/// The shadows that are kept the same over one link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowsStatus {
    /// How many are in each state.
    pub states: BTreeMap<String, u64>,
    /// Those with something said here that is not in the cloud.
    pub dirty: u64,
    pub requests: u64,
    pub request_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum LinkState {
    Stopped,
    Backoff { retry_in_ms: u64 },
    Connecting,
    Connected { for_ms: u64 },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UplinkStatus {
    pub queued: u64,
    pub queued_bytes: u64,
    /// For how long the oldest of them has waited.
    pub oldest_ms: Option<u64>,
    /// By the queue's rule, and because they waited longer than they may.
    pub dropped: u64,
    pub expired: u64,
    /// Sent again included.
    pub sent: u64,
    pub sent_bytes: u64,
    pub acknowledged: u64,
    pub given_up: u64,
    pub in_flight: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownlinkStatus {
    pub received: u64,
    pub bytes: u64,
    /// Found no room, and are dead letters.
    pub given_up: u64,
}

impl LinkState {
    /// One word for tables, metrics and the link's topic.
    pub fn word(&self) -> &'static str {
        match self {
            LinkState::Stopped => "stopped",
            LinkState::Backoff { .. } => "backoff",
            LinkState::Connecting => "connecting",
            LinkState::Connected { .. } => "connected",
        }
    }
}
