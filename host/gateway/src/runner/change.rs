//! Running otherwise from now on: what that asks of the instance is decided here, by what really runs, and answered
//! when it has come about or cannot.
//!
//! A running instance is replaced only by one that has started. Where there is none the component takes the new
//! configuration whatever comes of it, since there is nothing that would go on with the old one.

use std::sync::Arc;

use edgewit_domain::config::{Change, Component};
use edgewit_domain::control::{ComponentState, NotTaken};
use edgewit_domain::handling::StartReason;
use edgewit_domain::supervision;
use tokio::sync::oneshot;

use super::Runner;
use super::live::Unreplaced;
use crate::error::chain;
use crate::loading::{Loaded, Refusal};
use crate::orders::{Answer, Order, Wanted};
use crate::sync::lock;

pub(super) struct Replacing {
    component: Arc<Component>,
    answer: oneshot::Sender<Answer>,
}

impl Runner {
    /// Whatever was wanted before is not wanted any more.
    pub(super) fn change(&mut self, wanted: Wanted) {
        self.replacing = None;
        let Wanted { component, digest, answer } = wanted;
        let other_code = self.desk.is_other_code(digest).then_some(Change::Replace);
        match other_code.or_else(|| self.component.change(&component)) {
            Some(Change::Replace) => self.prepare(component, answer),
            Some(Change::Adjust) => {
                self.adjust(component.clone());
                self.settle(&component, answer, Answer::Changed);
            }
            None => self.settle(&component, answer, Answer::Same),
        }
    }

    /// Has loaded what is to run from now on.
    fn prepare(&mut self, component: Arc<Component>, answer: oneshot::Sender<Answer>) {
        let (desk, wanted) = (self.desk.clone(), component.clone());
        let then = move |outcome| {
            let order = Order::Replace(wanted, Box::new(outcome));
            // Orders of this kind are never refused.
            let _ = desk.orders.push(order, None, &desk.mailbox);
        };
        self.replacing = Some(Replacing { component: component.clone(), answer });
        self.desk.common.loading.start(component, then);
    }

    pub(super) fn replace(&mut self, component: Arc<Component>, outcome: Result<Loaded, Refusal>) {
        let wanted = self.replacing.take_if(|replacing| Arc::ptr_eq(&replacing.component, &component));
        // What was loaded for something older comes too late.
        let Some(Replacing { answer, .. }) = wanted else { return };
        let became = self.take_over(&component, outcome);
        self.settle(&component, answer, became);
    }

    fn take_over(&mut self, component: &Arc<Component>, outcome: Result<Loaded, Refusal>) -> Answer {
        if let Some(old) = &mut self.live {
            let successor = match &outcome {
                Ok(loaded) => old.successor(&self.desk, component, loaded, StartReason::Swap),
                Err(refusal) => Err(Unreplaced::Kept(chain(refusal))),
            };
            if let Err(reason) = self.succeed(successor) {
                return Answer::NotTaken(NotTaken { reason, old_stays: true });
            }
        }
        self.launching = None;
        match outcome {
            Ok(loaded) => {
                tracing::info!(component = &*self.desk.name, digest = %loaded.digest, "Replaced");
                self.equip(component, Some(loaded));
                self.surround(component.clone());
                self.changed(None);
                self.how_it_stands()
            }
            Err(refusal) => {
                self.equip(component, None);
                self.surround(component.clone());
                self.changed(Some(&refusal));
                Answer::NotTaken(NotTaken { reason: chain(&refusal), old_stays: false })
            }
        }
    }

    /// Supervision begins anew with a changed component, and asks for a launch: an instance that runs already is
    /// that launch.
    fn changed(&mut self, refusal: Option<&Refusal>) {
        let order = self.tell(supervision::Event::Changed(self.component.restart.clone()));
        match (order, refusal) {
            (Some(supervision::Order::Launch(_)), Some(refusal)) => self.refuse(refusal),
            (Some(supervision::Order::Launch(_)), None) if self.live.is_some() => {
                self.step(supervision::Event::Started);
            }
            (Some(supervision::Order::Launch(reason)), None) => self.launch(reason),
            (Some(supervision::Order::Discard), _) => self.discard(),
            (None, _) => {}
        }
    }

    fn how_it_stands(&self) -> Answer {
        match self.desk.state() {
            ComponentState::Backoff { .. } | ComponentState::Quarantined { .. } => {
                let reason = self.desk.last_fault().map(|fault| fault.to_string()).unwrap_or_default();
                Answer::NotTaken(NotTaken { reason, old_stays: false })
            }
            _ => Answer::Changed,
        }
    }

    fn settle(&self, component: &Arc<Component>, asker: oneshot::Sender<Answer>, answer: Answer) {
        let refused = match &answer {
            Answer::NotTaken(NotTaken { reason, old_stays: true }) => Some(reason.clone()),
            _ => None,
        };
        self.desk.settle(component, refused);
        // Whoever asked may have stopped waiting.
        let _ = asker.send(answer);
    }

    fn adjust(&mut self, component: Arc<Component>) {
        let policy_differs = self.component.restart != component.restart;
        self.surround(component);
        if policy_differs {
            self.step(supervision::Event::Policy(self.component.restart.clone()));
        }
        // What is being loaded was asked for with the old configuration.
        if let Some(reason) = self.launching.take() {
            self.load(reason);
        }
    }

    /// Adopts what an instance is not made from.
    fn surround(&mut self, component: Arc<Component>) {
        let now = self.desk.now();
        if self.component.timers != component.timers {
            lock(&self.desk.timers).redeclare(&component.timers, now);
        }
        let enabled = (self.component.enabled, component.enabled);
        self.desk.adopt(component.clone());
        self.component = component;
        if let Some(live) = &mut self.live {
            live.adjust(&self.component, now);
        }
        match enabled {
            (true, false) => self.step(supervision::Event::Stop),
            (false, true) => self.step(supervision::Event::Start),
            _ => {}
        }
    }
}
