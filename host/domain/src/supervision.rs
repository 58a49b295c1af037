//! When a component's instance is started, started again, given up, or ended.
//!
//! One machine for each component, driven by the component's own thread: every event comes with the time, and at
//! most one order comes out. It starts nothing itself, and it never asks for a start that nobody could have
//! foreseen: after a fault, and after a refusal that may pass, at [`Supervision::wake_at`], otherwise when someone
//! asks. What is no longer of interest (a fault of an instance that was stopped meanwhile) changes nothing.
//!
//! A refusal is no fault: nothing of the component ran, so none is counted, and none leads to quarantine.

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
    /// The launch cannot succeed until something outside changes. Where that is nothing that anybody has to do (a
    /// full disk, a killed compiler) the refusal is `passing`, and the launch is tried again for ever.
    Refused {
        reason: String,
        passing: bool,
    },
    /// The time of [`Supervision::wake_at`] has come.
    Woke,
    /// The artifact or the configuration was replaced.
    Changed(Restart),
    /// Other waits and another limit of faults from now on. Nothing is started, and no fault is forgotten.
    Policy(Restart),
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
    Refused { reason: String, again: Option<Duration> },
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
    /// Why the last launch was ordered; none before the first.
    launched: Option<StartReason>,
    /// Launches after a fault.
    restarts: u64,
}

impl Supervision {
    /// Stopped, until the first [`Event::Start`].
    pub fn new(policy: Restart) -> Supervision {
        let (state, since, faults) = (Stopped, Duration::ZERO, 0);
        Supervision { policy, state, since, faults, last_fault: None, launched: None, restarts: 0 }
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
            (_, Event::Policy(policy)) => self.judge_by(policy),
            (Starting, Event::Started) => self.enter(now, Running, None),
            (Running, Event::Started) => None,
            (_, Event::Started) => Some(Order::Discard),
            (Starting | Running, Event::Fault(fault)) => self.fault(now, fault),
            (Starting | Running, Event::Refused { reason, passing }) => {
                let again = passing.then(|| now.saturating_add(self.policy.backoff_max));
                self.enter(now, State::Refused { reason, again }, Some(Order::Discard))
            }
            (Backoff { until }, Event::Woke) if *until <= now => {
                self.restarts += 1;
                self.launch(now, StartReason::AfterFault)
            }
            // Nothing has run since that launch was ordered.
            (State::Refused { again: Some(again), .. }, Event::Woke) if *again <= now => {
                let reason = self.launched.unwrap_or(StartReason::First);
                self.launch(now, reason)
            }
            (_, Event::Start | Event::Fault(_) | Event::Refused { .. } | Event::Woke) => None,
        }
    }

    /// A fault that costs the instance and says nothing about the component.
    pub fn note(&mut self, fault: Fault) {
        self.last_fault = Some(fault);
    }

    /// When to step with [`Event::Woke`].
    pub fn wake_at(&self) -> Option<Duration> {
        match self.state {
            Backoff { until } => Some(until),
            State::Refused { again, .. } => again,
            _ => None,
        }
    }

    pub fn state(&self, now: Duration) -> ComponentState {
        let faults = self.faults;
        match &self.state {
            Stopped => ComponentState::Stopped,
            Starting => ComponentState::Starting,
            Running => ComponentState::Running,
            Backoff { until } => ComponentState::Backoff { faults, retry_in_ms: wait(now, *until) },
            Quarantined => ComponentState::Quarantined { faults },
            State::Refused { reason, again } => {
                ComponentState::Refused { reason: reason.clone(), retry_in_ms: again.map(|again| wait(now, again)) }
            }
        }
    }

    /// Starts after a fault. Those that somebody asked for are none of them.
    pub fn restarts(&self) -> u64 {
        self.restarts
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
        let reason = if self.launched.is_none() { StartReason::First } else { reason };
        self.launched = Some(reason);
        self.enter(now, Starting, Some(Order::Launch(reason)))
    }

    fn fault(&mut self, now: Duration, fault: Fault) -> Option<Order> {
        if self.state == Running && now.saturating_sub(self.since) >= HEALTHY_AFTER {
            self.faults = 0;
        }
        self.faults += 1;
        self.last_fault = Some(fault);
        let next = self.sentence(now);
        self.enter(now, next, Some(Order::Discard))
    }

    /// What the faults so far lead to, the last of them at this time.
    fn sentence(&self, last: Duration) -> State {
        match self.policy.quarantine_after {
            Some(most) if self.faults >= most => Quarantined,
            _ => Backoff { until: last.saturating_add(self.backoff()) },
        }
    }

    /// A component that waits or is quarantined stands as if the policy had been this one at its last fault.
    fn judge_by(&mut self, policy: Restart) -> Option<Order> {
        self.policy = policy;
        match &mut self.state {
            Backoff { .. } | Quarantined => self.state = self.sentence(self.since),
            State::Refused { again: Some(again), .. } => *again = self.since.saturating_add(self.policy.backoff_max),
            Stopped | Starting | Running | State::Refused { again: None, .. } => {}
        }
        None
    }

    /// The first wait, doubled for every fault in a row after the first, up to the maximum.
    fn backoff(&self) -> Duration {
        let doublings = u32::try_from(self.faults.saturating_sub(1)).unwrap_or(u32::MAX);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.policy.backoff.saturating_mul(factor).min(self.policy.backoff_max)
    }
}

fn wait(now: Duration, until: Duration) -> u64 {
    until.saturating_sub(now).as_millis().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
