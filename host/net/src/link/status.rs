//! What an operator sees of a link.

use std::time::Duration;

use edgewit_domain::link::{LaneCounters, Link, Phase};

use super::inbound::Inbound;

/// Where the link is. Times are running time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Stopped,
    /// Waits until then before it tries again.
    Backoff {
        until: Duration,
    },
    Connecting,
    Connected {
        since: Duration,
    },
}

/// The last thing that went wrong, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub at: Duration,
    pub text: String,
}

/// What came by a downlink rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DownlinkCounters {
    pub received: u64,
    pub bytes: u64,
}

/// A link as it is now. Readers of the channel are woken when its state or its trouble changes; the counters are those
/// of the moment whenever one looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    pub trouble: Option<Trouble>,
    /// How often the broker accepted us.
    pub connections: u64,
    /// Messages go one at a time, because connections kept ending without an acknowledgement.
    pub solo: bool,
    /// Of MQTT, without TLS and what is below it.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// In the order of the rules.
    pub uplinks: Vec<LaneCounters>,
    pub downlinks: Vec<DownlinkCounters>,
    /// Messages that fit no rule, and those that were too large or had a topic that is none here: acknowledged and
    /// gone.
    pub unmatched: u64,
    pub unusable: u64,
}

impl Status {
    pub(super) fn new(uplinks: usize, downlinks: usize) -> Status {
        Status {
            state: State::Stopped,
            trouble: None,
            connections: 0,
            solo: false,
            bytes_in: 0,
            bytes_out: 0,
            uplinks: vec![LaneCounters::default(); uplinks],
            downlinks: vec![DownlinkCounters::default(); downlinks],
            unmatched: 0,
            unusable: 0,
        }
    }

    /// Whether something changed that a reader wants to be woken for.
    pub(super) fn update(&mut self, link: &Link, inbound: &Inbound, trouble: Option<&Trouble>) -> bool {
        let state = match link.phase() {
            Phase::Stopped => State::Stopped,
            Phase::Backoff { until, .. } => State::Backoff { until },
            Phase::Connecting { .. } => State::Connecting,
            Phase::Connected { since } => State::Connected { since },
        };
        let changed = self.state != state || self.trouble.as_ref() != trouble;
        if changed {
            self.state = state;
            self.trouble = trouble.cloned();
        }
        self.connections = link.connections();
        self.solo = link.is_solo();
        for (rule, counters) in self.uplinks.iter_mut().enumerate() {
            *counters = link.counters(rule);
        }
        self.downlinks.clone_from(&inbound.counters);
        (self.unmatched, self.unusable) = (inbound.unmatched, inbound.unusable);
        changed
    }
}
