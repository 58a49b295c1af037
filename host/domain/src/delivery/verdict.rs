//! What is told to the deliveries of a component, and what they answer.

use std::time::Duration;

use crate::ledger::{Attempt, Consumed, Refusal, Usage};
use crate::queue::QueueNumber;

/// How much may be taken out of a queue now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appetite {
    Nothing,
    /// One, as the only one of its batch.
    One,
    Many,
}

#[derive(Clone, Debug)]
pub enum Next {
    Handle {
        row: Consumed,
        attempt: u32,
        /// To be on disk before the handling begins.
        first: Option<Attempt>,
        /// Everything before it is to be committed first, and nothing else handled until it is.
        alone: bool,
    },
    /// It had its last attempt before.
    Bury(Death),
}

/// A delivery that is given up: its row is consumed and its message buried in one unit.
#[derive(Clone, Debug)]
pub struct Death {
    pub row: Consumed,
    pub reason: String,
    pub attempts: u32,
    pub backtrace: String,
}

/// Why a delivery was not consumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest gave it up.
    Rejected { reason: String },
    /// A trap, a deadline, a `retry`.
    Failed { reason: String, backtrace: String },
    /// It failed, and before that it was refused room.
    NoRoom(Lack),
    /// It returned well, and its unit was refused.
    Refused(Refusal),
    /// It was told to end for the sake of something else.
    Interrupted,
}

#[derive(Clone, Debug)]
pub enum Verdict {
    /// It comes again, if there is still something to come. What counts its attempts is to be committed, if anything; if nothing, it is still behind the
    /// units of its batch, and one of those that is refused undoes it.
    Again(Option<Attempt>),
    Bury(Death),
}

/// Room that a full queue refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    pub queue: QueueNumber,
    /// All that the handling asked for in it.
    pub wanted: Usage,
}

/// A delivery at which its queue waits, for room in another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parked {
    pub target: QueueNumber,
    /// Since when it does, and since when there is its message.
    pub since: Duration,
    pub message_since: Duration,
}
