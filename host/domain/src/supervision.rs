//! When a component's instance is started, started again, given up, or ended.
//!
//! One machine for each component, driven by the component's own thread: every event comes with the time, and at
//! most one order comes out. It starts nothing itself, and it never asks for a start that nobody could have
//! foreseen: after a fault at [`Supervision::wake_at`], otherwise when someone asks. What is no longer of
//! interest (a fault of an instance that was stopped meanwhile) changes nothing.

use std::time::Duration;

use crate::config::Restart;
use crate::control::ComponentState;
use crate::fault::Fault;
use crate::handling::StartReason;
use crate::limits::HEALTHY_AFTER;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The operator, or the gateway's own start.
    Start,
    Stop,
    /// The operator: a fresh start that forgets all faults before it.
    Restart,
    /// The launch went well: init, and the first look at its health.
    Started,
    Fault(Fault),
    /// The launch cannot succeed until something outside changes.
    Refused(String),
    /// The time of [`Supervision::wake_at`] has come.
    Woke,
    /// The artifact or the configuration was replaced.
    Changed(Restart),
}

/// What the component's thread has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Make an instance in place of the one there may be, and report how that went.
    Launch(StartReason),
    /// Throw away the instance there may be.
    Discard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Stopped,
    Starting,
    Running,
    Backoff { until: Duration },
    Quarantined,
    Refused { reason: String },
}

use State::{Backoff, Quarantined, Running, Starting, Stopped};

/// One component under supervision.
#[derive(Clone, Debug)]
pub struct Supervision {
    policy: Restart,
    state: State,
    since: Duration,
    /// In a row.
    faults: u64,
    last_fault: Option<Fault>,
    launches: u64,
}

impl Supervision {
    /// Stopped, until the first [`Event::Start`].
    pub fn new(policy: Restart) -> Supervision {
        Supervision { policy, state: Stopped, since: Duration::ZERO, faults: 0, last_fault: None, launches: 0 }
    }

    pub fn step(&mut self, now: Duration, event: Event) -> Option<Order> {
        match (&self.state, event) {
            (_, Event::Stop) => self.stop(now),
            (_, Event::Restart) => self.launch_afresh(now, StartReason::Restart),
            (Stopped | State::Refused { .. }, Event::Start) => self.launch_afresh(now, StartReason::Restart),
            (state, Event::Changed(policy)) => {
                let stopped = *state == Stopped;
                self.policy = policy;
                if stopped { None } else { self.launch_afresh(now, StartReason::Swap) }
            }
            (Starting, Event::Started) => self.enter(now, Running, None),
            (Running, Event::Started) => None,
            (_, Event::Started) => Some(Order::Discard),
            (Starting | Running, Event::Fault(fault)) => self.fault(now, fault),
            (Starting | Running, Event::Refused(reason)) => {
                self.enter(now, State::Refused { reason }, Some(Order::Discard))
            }
            (Backoff { until }, Event::Woke) if *until <= now => self.launch(now, StartReason::AfterFault),
            (_, Event::Start | Event::Fault(_) | Event::Refused(_) | Event::Woke) => None,
        }
    }

    /// When to step with [`Event::Woke`].
    pub fn wake_at(&self) -> Option<Duration> {
        match self.state {
            Backoff { until } => Some(until),
            _ => None,
        }
    }

    pub fn state(&self, now: Duration) -> ComponentState {
        let faults = self.faults;
        match &self.state {
            Stopped => ComponentState::Stopped,
            Starting => ComponentState::Starting,
            Running => ComponentState::Running,
            Backoff { until } => {
                let wait = until.saturating_sub(now).as_millis();
                ComponentState::Backoff { faults, retry_in_ms: wait.try_into().unwrap_or(u64::MAX) }
            }
            Quarantined => ComponentState::Quarantined { faults },
            State::Refused { reason } => ComponentState::Refused { reason: reason.clone() },
        }
    }

    /// Starts after the first.
    pub fn restarts(&self) -> u64 {
        self.launches.saturating_sub(1)
    }

    /// The most recent fault, however long ago.
    pub fn last_fault(&self) -> Option<&Fault> {
        self.last_fault.as_ref()
    }

    /// When it came into its present state.
    pub fn since(&self) -> Duration {
        self.since
    }

    fn enter(&mut self, now: Duration, state: State, order: Option<Order>) -> Option<Order> {
        self.state = state;
        self.since = now;
        order
    }

    fn stop(&mut self, now: Duration) -> Option<Order> {
        match self.state {
            Stopped => None,
            Starting | Running => self.enter(now, Stopped, Some(Order::Discard)),
            Backoff { .. } | Quarantined | State::Refused { .. } => self.enter(now, Stopped, None),
        }
    }

    fn launch_afresh(&mut self, now: Duration, reason: StartReason) -> Option<Order> {
        self.faults = 0;
        self.launch(now, reason)
    }

    fn launch(&mut self, now: Duration, reason: StartReason) -> Option<Order> {
        let reason = if self.launches == 0 { StartReason::First } else { reason };
        self.launches += 1;
        self.enter(now, Starting, Some(Order::Launch(reason)))
    }

    fn fault(&mut self, now: Duration, fault: Fault) -> Option<Order> {
        if self.state == Running && now.saturating_sub(self.since) >= HEALTHY_AFTER {
            self.faults = 0;
        }
        self.faults += 1;
        self.last_fault = Some(fault);
        let next = match self.policy.quarantine_after {
            Some(most) if self.faults >= most => Quarantined,
            _ => Backoff { until: now.saturating_add(self.backoff()) },
        };
        self.enter(now, next, Some(Order::Discard))
    }

    /// The first wait, doubled for every fault in a row after the first, up to the maximum.
    fn backoff(&self) -> Duration {
        let doublings = u32::try_from(self.faults.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.policy.backoff.saturating_mul(factor).min(self.policy.backoff_max)
    }
}

#[cfg(test)]
mod tests;
