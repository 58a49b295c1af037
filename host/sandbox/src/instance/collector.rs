//! What the handling under way has asked for so far, within its quotas.
//!
//! Effects leave only through [`Collector::take`], which the instance calls when a handler has returned well;
//! every new call begins by throwing away what an earlier one left behind.

pub(crate) mod shadows;
pub(crate) mod values;

use std::collections::{BTreeMap, BTreeSet};

use edgewit_domain::config::ComponentLimits;
use edgewit_domain::handling::{Effects, TimerChange};
use edgewit_domain::limits;
use edgewit_domain::message::Message;
use edgewit_domain::shadow::{RequestTopic, ShadowId, Verb};
use edgewit_domain::timer::Timers;

use crate::services::Shadows;
use shadows::{Known, Unseen};

pub(crate) struct Collector {
    pub values: values::ValueEffects,
    shadows: shadows::ShadowEffects,
    effects: Effects,
    bytes: u64,
    max_publishes: u64,
    max_bytes: u64,
}

impl Collector {
    pub fn new(limits: &ComponentLimits) -> Self {
        Collector {
            values: values::ValueEffects::default(),
            shadows: shadows::ShadowEffects::default(),
            effects: Effects::default(),
            bytes: 0,
            max_publishes: limits.publishes,
            max_bytes: limits.publish_bytes,
        }
    }

    pub fn clear(&mut self) {
        self.effects.publishes.clear();
        self.effects.timers.clear();
        self.values.clear();
        self.shadows.clear();
        self.bytes = 0;
    }

    pub fn take(&mut self) -> Effects {
        self.bytes = 0;
        let (values, reads) = self.values.take();
        let shadow_reads = self.shadows.take();
        Effects { values, reads, shadow_reads, ..std::mem::take(&mut self.effects) }
    }

    /// Whether the handling may publish a message of this size as well.
    pub fn check_publish(&self, size: usize) -> Result<(), String> {
        let bytes = self.bytes.saturating_add(size as u64);
        if self.effects.publishes.len() as u64 >= self.max_publishes {
            return Err(format!("one handling may publish {} messages (limits.publishes)", self.max_publishes));
        }
        if bytes > self.max_bytes {
            return Err(format!("one handling may publish {} bytes (limits.publish-bytes)", self.max_bytes));
        }
        Ok(())
    }

    pub fn publish(&mut self, message: Message, size: usize) {
        self.bytes = self.bytes.saturating_add(size as u64);
        if let Some(Ok(request)) = RequestTopic::parse(&message.topic)
            && request.verb != Verb::Get
        {
            self.shadows.ask(request, self.effects.publishes.len());
        }
        self.effects.publishes.push(message);
    }

    /// A shadow as the handling would leave it by now; `now` is the second since 1970.
    pub fn shadow(&mut self, shadows: &dyn Shadows, id: &ShadowId, now: u64) -> Result<&mut Known, Unseen> {
        self.shadows.look(shadows, &self.effects.publishes, id, now)
    }

    /// The shadows that the handling has asked to change.
    pub fn asked_of(&self) -> BTreeSet<ShadowId> {
        self.shadows.asked_of().cloned().collect()
    }

    pub fn change_timer(&mut self, change: TimerChange) -> Result<(), String> {
        if self.effects.timers.len() >= limits::TIMER_CHANGES {
            return Err(format!("one handling may change timers {} times", limits::TIMER_CHANGES));
        }
        self.effects.timers.push(change);
        Ok(())
    }

    /// Whether the one-shot timer would be pending if this handling returned well now.
    pub fn is_pending(&self, timers: &Timers, name: &str) -> bool {
        let last = self.effects.timers.iter().rev().find(|change| changed_name(change) == name);
        last.map_or_else(|| timers.is_pending(name), is_set)
    }

    /// How many one-shot timers would be pending if this handling returned well now.
    pub fn pending(&self, timers: &Timers) -> usize {
        let last: BTreeMap<&str, bool> =
            self.effects.timers.iter().map(|change| (changed_name(change), is_set(change))).collect();
        let (gone, new) = last.iter().fold((0, 0), |(gone, new), (name, set)| match (timers.is_pending(name), set) {
            (true, false) => (gone + 1, new),
            (false, true) => (gone, new + 1),
            _ => (gone, new),
        });
        timers.pending() + new - gone
    }
}

fn changed_name(change: &TimerChange) -> &str {
    match change {
        TimerChange::Set { name, .. } | TimerChange::Cancel { name } => name,
    }
}

fn is_set(change: &TimerChange) -> bool {
    matches!(change, TimerChange::Set { .. })
}
