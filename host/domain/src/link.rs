//! The link to one cloud broker, as a machine: when to connect, what to send next, what to do about silence.
//!
//! The driver in `net` owns the socket and the bytes; here are only rules, sequence numbers and sizes. Every input
//! comes with running time, and the effects that come out are carried out in their order. The machine never resumes
//! anything: when a connection ends, all that was not acknowledged goes back to the head of its queue, where the
//! queue's own rules apply to it again, and the next connection starts from there. That is why it needs no memory of
//! packet ids, and why the order within a rule is the queue's order whatever happened in between.
//!
//! It must never hold more than a window of messages, wait for something without an end, or take one rule's
//! trouble for another's.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::{LINK_ACK_WAIT, LINK_STALL_MARGIN};
use crate::rate::TokenBucket;

mod backoff;
mod broker;
mod fit;
mod flights;
mod format;
mod lane;
mod profile;
mod rewrite;
mod transitions;

pub use broker::{Broker, BrokerError, Proxy, Scheme};
pub use fit::{Fit, NotForCloud};
pub use format::{Format, Source};
pub use lane::{LaneCounters, Priority, Row};
pub use profile::{Profile, Unfit};
pub use rewrite::Rewrite;

use backoff::Backoff;
use flights::Flights;
use lane::Lane;

/// What the operator chose, and the profile filled in.
#[derive(Clone, Debug)]
pub struct Settings {
    pub keep_alive: Duration,
    pub backoff: Duration,
    pub backoff_max: Duration,
    pub rate: Rate,
    pub profile: &'static Profile,
    /// The uplink rules: their names, and how they share the link.
    pub rules: Vec<(Arc<str>, Priority)>,
    /// How many filters to subscribe to.
    pub filters: usize,
}

/// What the link may send in a second. The profile's own limits hold beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    pub messages: Option<u64>,
    pub bytes: Option<u64>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Start,
    /// The time of [`Link::wake_at`] has come.
    Woke,
    /// The broker accepted us, and still knew our session or did not.
    Connected {
        session_present: bool,
    },
    /// The attempt failed or the connection ended. `jitter` is any random number.
    Lost {
        by: Side,
        jitter: u64,
    },
    /// Something came from the broker.
    Heard,
    /// The far side took bytes that the socket had refused before.
    Drained,
    /// Rows of a rule, in order, after [`Effect::Fetch`]. None: the rule has nothing more until [`Input::Ready`].
    Rows {
        rule: usize,
        rows: Vec<Row>,
    },
    Ready {
        rule: usize,
    },
    Acknowledged {
        packet: u16,
    },
    /// The broker's answer to [`Effect::Subscribe`], and whether it granted every filter.
    Subscribed {
        packet: u16,
        granted: bool,
    },
    /// [`Effect::Remove`] is on disk, with so many rows.
    Removed {
        rule: usize,
        count: usize,
    },
    /// [`Effect::GiveUp`] is on disk.
    GivenUp {
        rule: usize,
    },
    /// Certificate, key or authorities changed: connect anew, without losing anything.
    Renew,
    /// End well.
    Stop,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It was closed or reset under us.
    Peer,
    /// [`Effect::Close`] did.
    Us,
}

/// What to do. A `rule` is its index in [`Settings::rules`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Try to connect, and report [`Input::Connected`] or [`Input::Lost`].
    Connect,
    /// Subscribe to these filters.
    Subscribe {
        packet: u16,
        filters: Range<usize>,
    },
    /// Take up to so many rows, and past the first up to so many bytes, and report them at once.
    Fetch {
        rule: usize,
        count: usize,
        bytes: usize,
    },
    Send {
        rule: usize,
        sequence: u64,
        packet: u16,
    },
    Ping,
    /// Close the connection, with a goodbye where the broker can hear one, and report [`Input::Lost`].
    Close {
        goodbye: bool,
        why: Why,
    },
    /// These rows go back to the head of their queue, in this order.
    PutBack {
        rule: usize,
        sequences: Vec<u64>,
    },
    /// The broker has these rows; when that is on disk report [`Input::Removed`].
    Remove {
        rule: usize,
        sequences: Vec<u64>,
    },
    /// This row goes to the dead letters; when that is on disk report [`Input::GivenUp`].
    GiveUp {
        rule: usize,
        sequence: u64,
        why: Why,
    },
    /// Nothing more will come.
    End,
}

/// Why the link closed a connection or gave up a message. `Display` is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("nothing was heard for {} s", .0.as_secs_f32())]
    Silence(Duration),
    #[error("nothing was acknowledged for {} s", .0.as_secs_f32())]
    NoAcknowledgement(Duration),
    #[error("the certificate, key or authorities changed")]
    Renewed,
    #[error("the gateway ends the link")]
    Stopped,
    #[error(
        "{0} connections in a row ended while this message alone was on its way; look at its topic and size, and at what the broker permits this client"
    )]
    EndsConnections(u32),
    #[error("{0}")]
    Unfit(Unfit),
}

/// Where the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before [`Input::Start`] and after [`Effect::End`].
    Stopped,
    /// Until then, out of a wait of at most `step`.
    Backoff {
        until: Duration,
        step: Duration,
    },
    Connecting {
        since: Duration,
    },
    Connected {
        since: Duration,
    },
}

/// What is known of a standing connection only.
#[derive(Clone, Copy, Debug)]
struct Watch {
    heard: Duration,
    sent: Duration,
    /// Since when an acknowledgement is owed without one coming.
    owed_since: Duration,
    pinged: bool,
    closing: bool,
}

/// One link.
#[derive(Clone, Debug)]
pub struct Link {
    settings: Settings,
    phase: Phase,
    watch: Watch,
    backoff: Backoff,
    lanes: Vec<Lane>,
    flights: Flights,
    buckets: [Option<TokenBucket>; 4],
    /// SUBSCRIBEs that the broker owes an answer to.
    subscribing: Vec<u16>,
    /// Whether the broker's session is known to hold every filter.
    subscribed: bool,
    /// Messages go one at a time, to find the one that ends connections.
    solo: bool,
    leaving: Option<(Why, Duration)>,
    /// When the rate permits what waits for it.
    paced_until: Option<Duration>,
    /// What the rule that was last served had paid before: a rule that rested is owed nothing for that.
    paid: u64,
    connections: u64,
}

impl Link {
    pub fn new(settings: Settings) -> Link {
        let bucket = |rate: Option<u64>| rate.map(|rate| TokenBucket::new(rate, rate / 10));
        let (own, far) = (settings.rate, settings.profile.rate);
        Link {
            phase: Phase::Stopped,
            watch: Watch {
                heard: Duration::ZERO,
                sent: Duration::ZERO,
                owed_since: Duration::ZERO,
                pinged: false,
                closing: false,
            },
            backoff: Backoff::new(settings.backoff, settings.backoff_max, settings.profile.connect_every),
            lanes: settings.rules.iter().map(|(_, priority)| Lane::new(*priority)).collect(),
            flights: Flights::default(),
            // Messages at even places, bytes at odd ones.
            buckets: [bucket(own.messages), bucket(own.bytes), bucket(far.messages), bucket(far.bytes)],
            subscribing: Vec::new(),
            subscribed: false,
            solo: false,
            leaving: None,
            paced_until: None,
            paid: 0,
            connections: 0,
            settings,
        }
    }

    pub fn step(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Start if self.phase == Phase::Stopped && self.leaving.is_none() => self.connect(now, &mut out),
            Input::Start => {}
            Input::Woke => self.woke(now, &mut out),
            Input::Connected { session_present } => self.connected(now, session_present, &mut out),
            Input::Lost { by, jitter } => self.lost(now, by, jitter, &mut out),
            Input::Heard => self.heard(now),
            Input::Drained => {
                self.heard(now);
                self.watch.owed_since = now;
            }
            Input::Rows { rule, rows } => self.rows(rule, rows, &mut out),
            Input::Ready { rule } => self.with_lane(rule, Lane::ready),
            Input::Acknowledged { packet } => self.acknowledged(now, packet),
            Input::Subscribed { packet, granted } => self.subscribed(now, packet, granted),
            Input::Removed { rule, count } => self.with_lane(rule, |lane| lane.removed(count)),
            Input::GivenUp { rule } => self.with_lane(rule, Lane::given_up),
            Input::Renew => self.leave(now, Why::Renewed),
            Input::Stop => self.stop(now, &mut out),
        }
        self.pump(now, &mut out);
        out
    }

    /// When to step with [`Input::Woke`].
    pub fn wake_at(&self) -> Option<Duration> {
        match self.phase {
            Phase::Stopped | Phase::Connecting { .. } => None,
            Phase::Backoff { until, .. } => Some(until),
            Phase::Connected { .. } if self.watch.closing => None,
            Phase::Connected { .. } => {
                let ping = (!self.watch.pinged).then(|| self.ping_at());
                let owed = self.owed().then(|| self.watch.owed_since + LINK_ACK_WAIT);
                let leave = self.leaving.as_ref().map(|(_, until)| *until);
                [Some(self.stall_at()), ping, owed, leave, self.paced_until].into_iter().flatten().min()
            }
        }
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How often the broker accepted us.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Whether a connection stands, and the broker has answered to every filter.
    pub fn is_subscribed(&self) -> bool {
        matches!(self.phase, Phase::Connected { .. }) && !self.watch.closing && self.subscribing.is_empty()
    }

    /// Whether messages go one at a time, because connections kept ending without an acknowledgement.
    pub fn is_solo(&self) -> bool {
        self.solo
    }

    /// Whether a rule's queue is to be asked for [`Input::Ready`].
    pub fn is_dry(&self, rule: usize) -> bool {
        self.lanes.get(rule).is_some_and(Lane::is_dry)
    }

    pub fn counters(&self, rule: usize) -> LaneCounters {
        self.lanes.get(rule).map(Lane::counters).unwrap_or_default()
    }

    /// Silence after which a connection is given up.
    pub fn stall_after(&self) -> Duration {
        let keep_alive = self.settings.keep_alive;
        keep_alive + keep_alive / 2 + LINK_STALL_MARGIN.min(keep_alive)
    }

    fn stall_at(&self) -> Duration {
        self.watch.heard + self.stall_after()
    }

    fn ping_at(&self) -> Duration {
        self.watch.heard.min(self.watch.sent) + self.settings.keep_alive
    }

    /// Whether the broker owes an acknowledgement.
    fn owed(&self) -> bool {
        !self.flights.is_empty() || !self.subscribing.is_empty()
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
