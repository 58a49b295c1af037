//! What is known of one shadow without its documents, and when it is its turn.

use std::time::Duration;

use thiserror::Error;

use super::How;
use super::plan::{Ask, News};
use super::row::{Row, Seen};
use crate::limits::SHADOW_SYNC_GIVE_UP_AFTER;
use crate::shadow::{Rejection, ShadowId, Unknown};
use crate::topic::Topic;

/// Why a shadow is not the same on both sides. `Display` is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    #[error("the cloud did not answer")]
    NoAnswer,
    /// What was asked, last, and how often in a row a connection ended with that.
    #[error(
        "{times} connections in a row ended while nothing but {asked} was asked; permit this client there, for AWS IoT in its certificate's policy, to iot:Publish on that topic, and to iot:Subscribe to and iot:Receive from what follows it"
    )]
    EndsConnections { asked: Topic, times: u32 },
    #[error("the cloud's answer cannot be read; get the shadow by hand and look for what is not usual in it")]
    Unreadable,
    #[error("the cloud refused: {code} {text}")]
    Refused { code: u16, text: String },
    #[error(
        "what both sides say together cannot be kept here: {0}; take something out of the shadow, or raise the limits"
    )]
    Local(Rejection),
    #[error("the store refused the change; it is tried again")]
    NoRoom,
    #[error("{0}")]
    Record(Unknown),
}

/// Where a shadow is in being made the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    InSync,
    Waiting,
    Fetching,
    Applying,
    Sending,
    Deleting,
    BackingOff,
    InError,
    Offline,
}

impl Standing {
    pub const ALL: [Standing; 9] = [
        Standing::InSync,
        Standing::Waiting,
        Standing::Fetching,
        Standing::Applying,
        Standing::Sending,
        Standing::Deleting,
        Standing::BackingOff,
        Standing::InError,
        Standing::Offline,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Standing::InSync => "in-sync",
            Standing::Waiting => "waiting",
            Standing::Fetching => "fetching",
            Standing::Applying => "applying",
            Standing::Sending => "sending",
            Standing::Deleting => "deleting",
            Standing::BackingOff => "backing-off",
            Standing::InError => "in-error",
            Standing::Offline => "offline",
        }
    }
}

/// What an operator is shown of a shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub local: Seen,
    /// The version that was last merged here, and whether the cloud had a shadow then.
    pub cloud: Seen,
    /// In running time.
    pub dirty_since: Option<Duration>,
    pub problem: Option<Problem>,
    pub standing: Standing,
}

#[derive(Clone, Debug)]
pub(super) enum Phase {
    Idle,
    Getting {
        token: u64,
        deadline: Duration,
    },
    /// None: only to remember that there is a change.
    Loading(Option<Box<News>>),
    Committing(Box<Commit>),
    Asking {
        token: u64,
        deadline: Duration,
        delete: bool,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub news: Option<Box<News>>,
    pub row: Row,
    pub ask: Option<Ask>,
    /// Whether the row says of another update than the one before.
    pub is_new: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub id: ShadowId,
    pub how: How,
    pub lane: usize,
    pub phase: Phase,
    /// The local document, as it was last heard of.
    pub local: Seen,
    /// Of the row: the cloud's document, and the local one that both agreed on.
    pub cloud: u64,
    pub cloud_is_live: bool,
    pub agreed: Seen,
    pub since: Option<u64>,
    /// Whether `since` is on disk, and whether there is a row at all.
    pub marked: bool,
    pub known: bool,
    /// The cloud's document has to be got.
    pub fetch: bool,
    /// The version that others were heard to have come to since the last `get`.
    pub heard: u64,
    /// Somebody else was heard to delete it, and nobody has looked since.
    pub claimed: bool,
    pub refused: Option<(u16, u32)>,
    pub failures: u32,
    pub until: Duration,
    pub began: Option<Duration>,
    pub reconcile_at: Duration,
    pub problem: Option<Problem>,
    /// The problem does not pass by itself.
    pub in_error: bool,
    /// A row of a format to come is not touched.
    pub blocked: bool,
    /// It was asked for when connections ended: how many of them, in a row, while it alone was.
    pub suspect: Option<u32>,
    /// The cloud has answered for it since this began.
    pub answered: bool,
    /// It waits for its turn, and whether it is urgent.
    pub queued: Option<bool>,
    pub timer: Option<Duration>,
}

impl Entry {
    pub fn new(id: ShadowId, how: How, lane: usize, local: Seen, row: Option<&[u8]>) -> Entry {
        let (row, known, problem) = read(row);
        let blocked = matches!(problem, Some(Problem::Record(Unknown::Format { .. })));
        Entry {
            id,
            how,
            lane,
            phase: Phase::Idle,
            local,
            cloud: row.cloud,
            cloud_is_live: row.base.is_some(),
            agreed: row.local,
            since: row.since,
            marked: row.since.is_some(),
            known,
            fetch: true,
            heard: 0,
            claimed: false,
            refused: None,
            failures: 0,
            until: Duration::ZERO,
            began: None,
            reconcile_at: Duration::ZERO,
            problem,
            in_error: blocked,
            blocked,
            suspect: None,
            answered: false,
            queued: None,
            timer: None,
        }
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    pub fn is_dirty(&self) -> bool {
        self.since.is_some() || self.local != self.agreed
    }

    /// Whatever is under way is from before, and asked for once more.
    pub fn fetch_again(&mut self) {
        self.fetch = true;
        if !self.is_idle() {
            self.heard = u64::MAX;
        }
    }

    /// It ends connections.
    pub fn is_condemned(&self) -> bool {
        self.suspect.is_some_and(|closes| closes >= SHADOW_SYNC_GIVE_UP_AFTER)
    }

    /// Something changed: what was in error is tried again.
    pub fn revive(&mut self, now: Duration) {
        if self.in_error && !self.blocked && !self.is_condemned() {
            self.in_error = false;
            self.until = now;
        }
    }

    /// When it is its turn.
    pub fn due(&self, online: bool) -> Option<Duration> {
        if self.blocked {
            return None;
        }
        if !online {
            return (self.is_dirty() && !self.marked && self.known).then_some(self.until);
        }
        if !self.fetch && !self.is_dirty() {
            return Some(self.reconcile_at);
        }
        // What failed goes by its own wait.
        let began = self.began.filter(|_| self.failures == 0 && self.suspect.is_none());
        let paced = began.map_or(Duration::ZERO, |began| began.saturating_add(self.how.every));
        Some(self.until.max(paced))
    }

    /// After a commit: what the row says.
    pub fn take(&mut self, row: &Row) {
        self.cloud = row.cloud;
        self.cloud_is_live = row.base.is_some();
        self.agreed = row.local;
        self.since = row.since;
        self.marked = row.since.is_some();
        self.known = true;
    }

    pub fn status(&self, now: Duration, online: bool) -> Status {
        let standing = match &self.phase {
            _ if self.in_error => Standing::InError,
            Phase::Getting { .. } => Standing::Fetching,
            Phase::Asking { delete: true, .. } => Standing::Deleting,
            Phase::Asking { .. } => Standing::Sending,
            Phase::Loading(_) | Phase::Committing(_) => Standing::Applying,
            Phase::Idle if !online => Standing::Offline,
            Phase::Idle if self.until > now => Standing::BackingOff,
            Phase::Idle if self.fetch || self.is_dirty() => Standing::Waiting,
            Phase::Idle => Standing::InSync,
        };
        Status {
            local: self.local,
            cloud: if self.cloud_is_live { Seen::Live(self.cloud) } else { Seen::Absent },
            dirty_since: self.since.map(Duration::from_secs),
            problem: self.problem.clone(),
            standing,
        }
    }
}

/// A row that is damaged counts as none: both sides are then merged as if they had never met, which loses nothing.
pub(super) fn read(bytes: Option<&[u8]>) -> (Row, bool, Option<Problem>) {
    match bytes.map(Row::decode) {
        None => (Row::default(), false, None),
        Some(Ok(row)) => (row, true, None),
        Some(Err(unknown)) => (Row::default(), false, Some(Problem::Record(unknown))),
    }
}
