//! `queue = { … }` of what is durable, and `dead-letter`, wherever they stand: limits are written in one way.

use super::source::Table;
use crate::limits;
use crate::queue::{FullRule, QueueLimits};

/// `dead-letter`: how much of what was given up is kept for an operator to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub messages: u64,
    pub bytes: u64,
    pub full: DeadFullRule,
}

/// What happens when one more has to be given up than there is room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeadFullRule {
    /// Whoever would give it up stops, until an operator made room.
    #[default]
    Stop,
    /// The oldest entry makes room.
    DropOldest,
}

impl DeadLetter {
    pub(super) fn read(t: &mut Table) -> DeadLetter {
        let full = t.choice("full", &[("stop", DeadFullRule::Stop), ("drop-oldest", DeadFullRule::DropOldest)]);
        DeadLetter { full, ..Self::read_limits(t) }
    }

    /// Where nothing may ever stop: the rule is no choice.
    pub(super) fn read_limits(t: &mut Table) -> DeadLetter {
        DeadLetter {
            messages: t.count("messages", limits::DEAD_MESSAGES),
            bytes: t.size("bytes", limits::DEAD_BYTES),
            full: DeadFullRule::DropOldest,
        }
    }
}

pub(super) fn read_limits(t: &mut Table) -> QueueLimits {
    QueueLimits {
        messages: t.count("messages", limits::DURABLE_MESSAGES),
        bytes: t.size("bytes", limits::DURABLE_BYTES),
        age: t.optional("age", super::scalar::duration(limits::DURABLE_AGE)),
        full: t.choice("full", &FullRule::ALL),
    }
}

/// Notes those of `keys` that stand where a queue is live.
pub(super) fn only_durable(t: &mut Table, keys: &[&str]) {
    for key in keys {
        if t.ask(key).is_some() {
            let cure = "remove it, or say delivery = \"durable\"";
            t.mistake(key, "a live queue has nothing of the kind", cure);
        }
    }
}
