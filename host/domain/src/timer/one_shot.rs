//! The timers that a component sets: each comes once, and again only if its tick fails.
//!
//! A tick in hand is no longer pending and carries all there is to know, so that its handling can set the same
//! name anew; if it fails after all, what was set anew wins.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::handling::Tick;
use crate::ledger::SavedTimer;
use crate::limits::{TIMER_AFTER, TIMER_ATTEMPTS, TIMER_SOONEST};

#[derive(Clone, Debug, Default)]
pub(super) struct OneShots {
    pending: BTreeMap<String, OneShot>,
}

#[derive(Clone, Debug)]
struct OneShot {
    due: Duration,
    payload: Vec<u8>,
    attempt: u32,
}

impl OneShots {
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    pub fn is_pending(&self, name: &str) -> bool {
        self.pending.contains_key(name)
    }

    pub fn set(&mut self, now: Duration, name: String, after: Duration, payload: Vec<u8>) {
        let due = now.saturating_add(after.clamp(TIMER_SOONEST, TIMER_AFTER));
        self.pending.insert(name, OneShot { due, payload, attempt: 1 });
    }

    pub fn saved(&self, name: &str) -> Option<SavedTimer> {
        let OneShot { due, payload, attempt } = self.pending.get(name)?;
        Some(SavedTimer { due: *due, payload: payload.clone(), attempt: *attempt })
    }

    pub fn restore(&mut self, kept: impl Iterator<Item = (String, SavedTimer)>) {
        let pending =
            kept.map(|(name, SavedTimer { due, payload, attempt })| (name, OneShot { due, payload, attempt }));
        self.pending = pending.collect();
    }

    pub fn cancel(&mut self, name: &str) {
        self.pending.remove(name);
    }

    pub fn next_due(&self) -> Option<Duration> {
        self.pending.values().map(|timer| timer.due).min()
    }

    /// Takes a tick that is due exactly then.
    pub fn take(&mut self, due: Duration) -> Option<Tick> {
        let name = self.pending.iter().find(|(_, timer)| timer.due == due).map(|(name, _)| name.clone())?;
        let OneShot { payload, attempt, .. } = self.pending.remove(&name)?;
        Some(Tick { name, payload, attempt, missed: 0 })
    }

    /// Tries again, unless this was the last attempt or the name was set anew.
    pub fn failed(&mut self, again: Duration, tick: &Tick) -> Option<Duration> {
        if tick.attempt >= TIMER_ATTEMPTS || self.is_pending(&tick.name) {
            return None;
        }
        let timer = OneShot { due: again, payload: tick.payload.clone(), attempt: tick.attempt + 1 };
        self.pending.insert(tick.name.clone(), timer);
        Some(again)
    }
}
