//! A component's own thread: it makes the instance, hands it what waits, and throws it away when it fails.
//!
//! One loop: carry out orders, see what is due (a restart, a tick, a health check, a renewal), handle a batch of
//! deliveries, sleep until the next of these. Whatever a guest does, it does it here, so that it can hold up
//! nobody else; and whatever fails here is a fault of this component and never of the process.
//!
//! Whether and when to start again is not decided here but by the supervision machine of the domain.

mod change;
mod guard;
mod live;
mod pending;
mod shift;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use edgewit_domain::config::Component;
use edgewit_domain::control::ComponentState;
use edgewit_domain::fault::Fault;
use edgewit_domain::handling::StartReason;
use edgewit_domain::limits::{HEALTHY_AFTER, LOG_BURST, LOG_LINES_PER_SECOND};
use edgewit_domain::rate::TokenBucket;
use edgewit_domain::supervision;

use crate::desk::Desk;
use crate::error::chain;
use crate::loading::{Loaded, NEVER_RECYCLED, Refusal};
use crate::mailbox::{Taken, current_thread};
use crate::orders::Order;
use change::Replacing;
use live::{Live, Unreplaced};
use shift::Ended;

pub(crate) struct Runner {
    desk: Arc<Desk>,
    component: Arc<Component>,
    loaded: Option<Loaded>,
    /// A start that waits for its artifact.
    launching: Option<StartReason>,
    /// A change that waits for its artifact.
    replacing: Option<Replacing>,
    live: Option<Live>,
    /// Taken from the mailbox and not handled yet; empty between two batches.
    batch: VecDeque<Taken>,
    /// What faults and rejections may say in the log.
    log_rate: TokenBucket,
    waker: Waker,
}

impl Runner {
    /// To be called on the component's thread. Ends by order only: a panic is a fault like any other.
    pub fn run(desk: Arc<Desk>) {
        let mut runner = Runner {
            component: desk.component(),
            loaded: None,
            launching: None,
            replacing: None,
            live: None,
            batch: VecDeque::new(),
            log_rate: TokenBucket::new(LOG_LINES_PER_SECOND.default, LOG_BURST),
            waker: current_thread(),
            desk,
        };
        if runner.component.enabled {
            runner.step(supervision::Event::Start);
        }
        while let Err(fault) = guard::guarded(|| {
            runner.serve();
            Ok(())
        }) {
            runner.fail(fault);
        }
        runner.discard();
    }

    fn serve(&mut self) {
        while self.obey() {
            self.work();
            self.look_after();
            self.sleep();
        }
    }

    /// Carries out every waiting order. False when the last one was to end.
    fn obey(&mut self) -> bool {
        while let Some((order, done)) = self.desk.orders.take(&self.desk.mailbox, &self.desk.interrupter) {
            match order {
                Order::Start => self.step(supervision::Event::Start),
                Order::Stop => {
                    self.step(supervision::Event::Stop);
                    self.desk.inbox.release();
                }
                Order::Restart => self.step(supervision::Event::Restart),
                Order::Loaded(asked_with, outcome) => self.loaded(&asked_with, *outcome),
                Order::Change(wanted) => self.change(wanted),
                Order::Replace(component, outcome) => self.replace(component, *outcome),
                Order::End => return false,
            }
            drop(done);
        }
        true
    }

    /// Tells supervision what happened, and does what it says.
    fn step(&mut self, event: supervision::Event) {
        match self.tell(event) {
            Some(supervision::Order::Launch(reason)) => self.launch(reason),
            Some(supervision::Order::Discard) => self.discard(),
            None => {}
        }
    }

    fn tell(&mut self, event: supervision::Event) -> Option<supervision::Order> {
        let before = self.desk.state();
        let order = self.desk.step(event);
        let state = self.desk.state();
        if state.word() != before.word() {
            self.say(&state);
        }
        order
    }

    fn launch(&mut self, reason: StartReason) {
        self.discard();
        let Some(loaded) = &self.loaded else { return self.load(reason) };
        match Live::make(&self.desk, &self.component, loaded, None, reason) {
            Ok(live) => {
                self.live = Some(live);
                self.step(supervision::Event::Started);
            }
            Err(fault) => self.fail(fault),
        }
    }

    /// Launches later, when the artifact is there.
    fn load(&mut self, reason: StartReason) {
        if self.launching.replace(reason).is_some() {
            return;
        }
        let (desk, component) = (self.desk.clone(), self.component.clone());
        let then = move |outcome| {
            let order = Order::Loaded(component, Box::new(outcome));
            // Orders of this kind are never refused.
            let _ = desk.orders.push(order, None, &desk.mailbox);
        };
        self.desk.common.loading.start(self.component.clone(), then);
    }

    fn loaded(&mut self, asked_with: &Arc<Component>, outcome: Result<Loaded, Refusal>) {
        if !Arc::ptr_eq(asked_with, &self.component) {
            return;
        }
        let reason = self.launching.take();
        match outcome {
            Ok(loaded) => {
                self.equip(asked_with, Some(loaded));
                if let (Some(reason), ComponentState::Starting) = (reason, self.desk.state()) {
                    self.launch(reason);
                }
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    fn equip(&mut self, component: &Component, loaded: Option<Loaded>) {
        self.desk.set_digest(loaded.as_ref().map(|loaded| loaded.digest));
        if loaded.as_ref().is_some_and(|loaded| loaded.is_never_recycled(component)) {
            tracing::warn!(component = &*self.desk.name, "{NEVER_RECYCLED}");
        }
        self.loaded = loaded;
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.equip(&self.component.clone(), None);
        let reason = chain(refusal);
        self.step(supervision::Event::Refused { reason, passing: refusal.is_passing() });
    }

    /// What is due by the clock.
    fn look_after(&mut self) {
        let now = self.desk.now();
        if self.desk.wake_at().is_some_and(|at| at <= now) {
            self.step(supervision::Event::Woke);
        }
        let Some(live) = &mut self.live else { return };
        if live.health_is_due(now) {
            if let Err(fault) = live.check_health(&self.component, now) {
                self.fail(fault);
            }
        } else if live.renewal_is_due(&self.component, now) {
            self.renew();
        }
    }

    /// Planned recycling: the new instance gets the old one's state, or the old one stays.
    fn renew(&mut self) {
        let (Some(old), Some(loaded)) = (&mut self.live, &self.loaded) else { return };
        old.put_renewal_off(self.desk.now() + HEALTHY_AFTER);
        let renewed = old.successor(&self.desk, &self.component, loaded, StartReason::Recycle);
        if self.succeed(renewed).is_ok() {
            self.desk.stats.recycled.add(1);
        }
    }

    /// Puts a successor in the old instance's place, or says why there is none.
    fn succeed(&mut self, successor: Result<Live, Unreplaced>) -> Result<(), String> {
        match successor {
            Ok(new) => {
                self.discard();
                self.desk.stats.memory.set(new.memory());
                self.live = Some(new);
                Ok(())
            }
            Err(Unreplaced::Kept(reason)) => {
                let name = &*self.desk.name;
                tracing::error!(component = name, reason, "The new instance did not start; the old one stays");
                Err(reason)
            }
            Err(Unreplaced::Lost(fault)) => {
                let reason = fault.to_string();
                self.fail(fault);
                Err(reason)
            }
        }
    }

    fn work(&mut self) {
        let Some(live) = &mut self.live else { return };
        let room = live.room_for_deliveries();
        if room > 0 {
            self.desk.inbox.fetch(&mut self.batch, room, self.desk.now());
        }
        let until = live.next_due(&self.component);
        let ended = shift::work(&self.desk, live.instance(), &mut self.batch, &mut self.log_rate, until);
        self.desk.inbox.put_back(self.batch.drain(..));
        self.desk.inbox.look_ahead();
        self.desk.stats.memory.set(self.live.as_ref().map_or(0, Live::memory));
        match ended {
            Ended::Well => {}
            Ended::Renew => self.make_anew(),
            Ended::Fault(fault) => {
                self.desk.stats.failed.add(1);
                self.fail(fault);
            }
        }
    }

    /// The instance has seen what never was, or failed in the middle of something; the component is as well as it was.
    fn make_anew(&mut self) {
        self.discard();
        let Some(loaded) = &self.loaded else { return };
        match Live::make(&self.desk, &self.component, loaded, None, StartReason::AfterFault) {
            Ok(live) => self.live = Some(live),
            Err(fault) => self.fail(fault),
        }
    }

    /// The instance is of no more use.
    fn fail(&mut self, fault: Fault) {
        self.discard();
        // Ended because an order waits, which is what comes next.
        if fault == Fault::Interrupted && self.desk.mailbox.is_called() {
            tracing::info!(component = &*self.desk.name, "Interrupted what it was doing");
            return;
        }
        self.step(supervision::Event::Fault(fault));
    }

    fn discard(&mut self) {
        if let Some(live) = self.live.take() {
            guard::discard(live);
            self.desk.stats.memory.set(0);
        }
    }

    fn sleep(&self) {
        let ticks = self.live.as_ref().and_then(|live| live.next_tick(&self.desk));
        let due = self.live.as_ref().and_then(|live| live.next_due(&self.component));
        let deliveries = self.desk.inbox.wake_at(self.desk.now());
        let next = [self.desk.wake_at(), ticks, due, deliveries].into_iter().flatten().min();
        let time = next.map(|next| next.saturating_sub(self.desk.now()));
        if time != Some(Duration::ZERO) {
            let deliveries = self.live.as_ref().is_some_and(|live| live.room_for_deliveries() > 0);
            self.desk.mailbox.sleep(&self.waker, deliveries, time);
        }
    }

    fn say(&mut self, state: &ComponentState) {
        let name = &*self.desk.name;
        match state {
            ComponentState::Quarantined { faults } => {
                let fault = self.desk.last_fault().map(|fault| fault.to_string());
                tracing::error!(component = name, faults, fault, "Quarantined; `edgewit restart {name}` lifts it");
            }
            ComponentState::Refused { reason, retry_in_ms: None } => {
                tracing::error!(component = name, reason, "Cannot run as it is");
            }
            // A component that fails again and again may do so a thousand times a second.
            _ if !self.log_rate.take(self.desk.now()) => {}
            ComponentState::Refused { reason, retry_in_ms } => {
                tracing::error!(component = name, reason, retry_in_ms, "Cannot run now, and will be tried again");
            }
            ComponentState::Backoff { faults, retry_in_ms } => {
                let fault = self.desk.last_fault().map(|fault| fault.to_string());
                tracing::warn!(component = name, faults, retry_in_ms, fault, "Failed, and will be started again");
            }
            ComponentState::Running => tracing::info!(component = name, "Running"),
            ComponentState::Stopped => tracing::info!(component = name, "Stopped"),
            // Not of the supervisor's saying.
            ComponentState::Blocked { .. } => {}
            ComponentState::Starting => tracing::debug!(component = name, "Starting"),
        }
    }
}
