//! What the handling under way has asked for so far, within its quotas.
//!
//! Effects leave only through [`Collector::take`], which the instance calls when a handler has returned well;
//! every new call begins by throwing away what an earlier one left behind.

use std::collections::BTreeSet;

use edgewit_domain::config::ComponentLimits;
use edgewit_domain::handling::{Effects, TimerChange};
use edgewit_domain::limits;
use edgewit_domain::message::Message;

pub(crate) struct Collector {
    effects: Effects,
    bytes: u64,
    max_publishes: u64,
    max_bytes: u64,
}

impl Collector {
    pub fn new(limits: &ComponentLimits) -> Self {
        Collector {
            effects: Effects::default(),
            bytes: 0,
            max_publishes: limits.publishes,
            max_bytes: limits.publish_bytes,
        }
    }

    pub fn clear(&mut self) {
        self.effects.publishes.clear();
        self.effects.timers.clear();
        self.bytes = 0;
    }

    pub fn take(&mut self) -> Effects {
        self.bytes = 0;
        std::mem::take(&mut self.effects)
    }

    pub fn publish(&mut self, message: Message) -> Result<(), String> {
        let bytes = self.bytes.saturating_add(message.size() as u64);
        if self.effects.publishes.len() as u64 >= self.max_publishes {
            return Err(format!("one handling may publish {} messages (limits.publishes)", self.max_publishes));
        }
        if bytes > self.max_bytes {
            return Err(format!("one handling may publish {} bytes (limits.publish-bytes)", self.max_bytes));
        }
        self.bytes = bytes;
        self.effects.publishes.push(message);
        Ok(())
    }

    pub fn change_timer(&mut self, change: TimerChange) -> Result<(), String> {
        if self.effects.timers.len() >= limits::TIMER_CHANGES {
            return Err(format!("one handling may change timers {} times", limits::TIMER_CHANGES));
        }
        self.effects.timers.push(change);
        Ok(())
    }

    /// The one-shot timers that would be pending if this handling returned well now.
    pub fn pending_after(&self, mut pending: BTreeSet<String>) -> BTreeSet<String> {
        for change in &self.effects.timers {
            match change {
                TimerChange::Set { name, .. } => pending.insert(name.clone()),
                TimerChange::Cancel { name } => pending.remove(name),
            };
        }
        pending
    }
}
