//! When the timers of one component are due: those of its configuration, and those it sets itself.
//!
//! Time is running time. A declared timer is due at its start plus whole multiples of its interval, however late
//! its ticks are handled, so that it never drifts; what could not be handled in time comes as one tick that
//! says how many it stands for. A tick that was taken is in hand until it is said how it ended; meanwhile it is
//! not due. Nothing here waits: whoever owns the timers asks when the next one is due.

mod declared;
mod one_shot;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::handling::{Tick, TimerChange};
use crate::ledger::SavedTimer;
use crate::limits::{TICK_BACKOFF, TICK_BACKOFF_MAX};
use declared::Declared;
use one_shot::OneShots;

/// Every timer of one component. A name is a declared timer's or a one-shot timer's, never both.
#[derive(Clone, Debug)]
pub struct Timers {
    declared: BTreeMap<Arc<str>, Declared>,
    one_shots: OneShots,
    /// The earliest of all, kept up to date by every change.
    next_due: Option<Duration>,
}

impl Timers {
    /// The first tick of each declared timer is due one interval from now.
    pub fn new(declared: &BTreeMap<Arc<str>, Duration>, now: Duration) -> Timers {
        let mut timers = Timers { declared: BTreeMap::new(), one_shots: OneShots::default(), next_due: None };
        timers.redeclare(declared, now);
        timers
    }

    /// Takes over a new configuration: a timer whose interval is the same keeps its phase, any other begins anew.
    pub fn redeclare(&mut self, declared: &BTreeMap<Arc<str>, Duration>, now: Duration) {
        self.declared.retain(|name, timer| declared.get(name) == Some(&timer.every()));
        for (name, every) in declared {
            self.declared.entry(name.clone()).or_insert_with(|| Declared::new(*every, now));
            self.one_shots.cancel(name);
        }
        self.find_next_due();
    }

    pub fn is_declared(&self, name: &str) -> bool {
        self.declared.contains_key(name)
    }

    /// One-shot timers set and not yet due, or due and not yet taken.
    pub fn pending(&self) -> usize {
        self.one_shots.pending()
    }

    pub fn is_pending(&self, name: &str) -> bool {
        self.one_shots.is_pending(name)
    }

    /// Carries out what a handling asked for. A declared timer's name cannot be set.
    pub fn apply(&mut self, now: Duration, changes: Vec<TimerChange>) {
        for change in changes {
            match change {
                TimerChange::Set { name, .. } if self.is_declared(&name) => {}
                TimerChange::Set { name, after, payload } => self.one_shots.set(now, name, after, payload),
                TimerChange::Cancel { name } => self.one_shots.cancel(&name),
            }
        }
        self.find_next_due();
    }

    /// What is to be kept of a one-shot timer; nothing where it is not pending.
    pub fn saved(&self, name: &str) -> Option<SavedTimer> {
        self.one_shots.saved(name)
    }

    /// Puts the one-shot timers that were kept in place of those that are pending.
    pub fn restore(&mut self, kept: Vec<(String, SavedTimer)>) {
        self.one_shots.restore(kept.into_iter().filter(|(name, _)| !self.declared.contains_key(name.as_str())));
        self.find_next_due();
    }

    /// When [`Timers::take_due`] next has a tick, as far as is known now.
    pub fn next_due(&self) -> Option<Duration> {
        self.next_due
    }

    /// The tick that is due the longest. It is in hand until `done`, `failed` or `rejected` is told of it.
    pub fn take_due(&mut self, now: Duration) -> Option<Tick> {
        let due = self.next_due.filter(|due| *due <= now)?;
        let declared = self.declared.iter_mut().find(|(_, timer)| timer.due() == Some(due));
        let tick = match declared {
            Some((name, timer)) => Some(timer.take(now, name)),
            None => self.one_shots.take(due),
        };
        self.find_next_due();
        tick
    }

    /// The tick was handled well.
    pub fn done(&mut self, _now: Duration, tick: &Tick) {
        if let Some(timer) = self.declared.get_mut(tick.name.as_str()) {
            timer.done();
        }
        self.find_next_due();
    }

    /// The tick was not handled. Says when it comes again; `None` where it is given up, or another takes its place.
    pub fn failed(&mut self, now: Duration, tick: &Tick) -> Option<Duration> {
        let again = now.saturating_add(backoff(tick.attempt));
        let again = match self.declared.get_mut(tick.name.as_str()) {
            Some(timer) => timer.failed(again),
            None => self.one_shots.failed(again, tick),
        };
        self.find_next_due();
        again
    }

    /// The component gave this tick up: it does not come again.
    pub fn rejected(&mut self, now: Duration, tick: &Tick) {
        self.done(now, tick);
    }

    fn find_next_due(&mut self) {
        let declared = self.declared.values().filter_map(Declared::due).min();
        self.next_due = declared.into_iter().chain(self.one_shots.next_due()).min();
    }
}

/// The wait after a failed attempt.
fn backoff(attempt: u32) -> Duration {
    let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
    TICK_BACKOFF.saturating_mul(factor).min(TICK_BACKOFF_MAX)
}

#[cfg(test)]
mod tests;
