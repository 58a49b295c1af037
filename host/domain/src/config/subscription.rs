//! `[component.NAME.subscribe.SUB]`: what a component hears, and the queue in which it waits.
//!
//! A subscription has to say whether its queue is live or durable, since nobody should learn after a power cut
//! which one it was. The two have different keys, and a key of the one is a mistake in the other.

use super::queue::{only_durable, read_limits};
use super::scalar::{choice, filter};
use super::source::Table;
use crate::delivery::Policy;
use crate::limits;
use crate::queue::QueueLimits;
use crate::topic::Filter;

/// `[component.NAME.subscribe.SUB]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub filter: Filter,
    /// Whether it hears what its own component publishes.
    pub own: bool,
    pub delivery: Delivery,
}

/// `delivery`, with the keys that its kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// In memory, gone with the process.
    Live { messages: u64, bytes: u64, full: LiveFullRule },
    /// In the store, until it was handled.
    Durable(DurableQueue),
}

/// What a live queue does when it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LiveFullRule {
    #[default]
    DropOldest,
    DropNewest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurableQueue {
    pub limits: QueueLimits,
    /// Whether messages of quality 0 are kept, too.
    pub qos0: bool,
    /// What becomes of a delivery that failed, and of those behind it.
    pub policy: Policy,
}

#[derive(Clone, Copy)]
enum Kind {
    Live,
    Durable,
}

impl Subscription {
    /// Whether what it hears survives a power cut.
    pub fn is_durable(&self) -> bool {
        matches!(self.delivery, Delivery::Durable(_))
    }

    pub(super) fn read(t: &mut Table) -> Option<Subscription> {
        let filter = t.required("filter", "\"sensors/+/temperature\"", filter);
        let own = t.flag("own", false);
        let kinds = [("live", Kind::Live), ("durable", Kind::Durable)];
        let delivery = match t.required("delivery", "\"live\"", |value, _| choice(value, &kinds)) {
            Some(Kind::Live) => read_live(t),
            Some(Kind::Durable) => Delivery::Durable(DurableQueue::read(t)),
            None => {
                // Which of them fit is not known, and a slip is one whatever they are.
                for key in ["queue", "qos0", "order", "attempts"] {
                    t.ask(key);
                }
                return None;
            }
        };
        Some(Subscription { filter: filter?, own, delivery })
    }
}

impl DurableQueue {
    fn read(t: &mut Table) -> DurableQueue {
        DurableQueue {
            limits: t.table("queue", read_limits),
            qos0: t.flag("qos0", false),
            policy: Policy {
                attempts: u32::try_from(t.count("attempts", limits::ATTEMPTS)).unwrap_or(u32::MAX),
                relaxed: t.choice("order", &[("strict", false), ("relaxed", true)]),
            },
        }
    }
}

fn read_live(t: &mut Table) -> Delivery {
    only_durable(t, &["qos0", "order", "attempts"]);
    let rules = [("drop-oldest", LiveFullRule::DropOldest), ("drop-newest", LiveFullRule::DropNewest)];
    t.table("queue", |t| {
        only_durable(t, &["age"]);
        Delivery::Live {
            messages: t.count("messages", limits::QUEUE_MESSAGES),
            bytes: t.size("bytes", limits::QUEUE_BYTES),
            full: t.choice("full", &rules),
        }
    })
}
