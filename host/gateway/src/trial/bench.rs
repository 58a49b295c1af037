//! The thread that a trial runs on, and the instance on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewit_domain::config::Component;
use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Delivery, Effects, Outcome, StartReason, Tick, TimerChange};
use edgewit_domain::message::{Envelope, Message, MessageId, Origin};
use edgewit_domain::timer::Timers;
use edgewit_domain::topic::Topic;
use edgewit_sandbox::{EndlessRoom, Instance, Interrupter, LogCounter, MemoryShadows, MemoryValues, Services};

use super::{Beside, TrialOutcome, not_asked};
use crate::clock::{Clock, wall};
use crate::fetch::Fetching;
use crate::loading::Loaded;
use crate::sync::lock;

pub(super) enum Ask {
    Start,
    Message { topic: Topic, payload: Vec<u8> },
    Tick { name: String },
}

pub(super) struct Bench {
    component: Arc<Component>,
    loaded: Loaded,
    services: Services,
    values: Arc<MemoryValues>,
    shadows: Arc<MemoryShadows>,
    clock: Clock,
    /// What the component's pending one-shot timers were set with.
    payloads: BTreeMap<String, Vec<u8>>,
    instance: Option<Instance>,
    reason: StartReason,
    messages: u64,
    beside: Beside,
}

impl Bench {
    pub fn new(component: Arc<Component>, loaded: Loaded, io: tokio::runtime::Handle) -> Self {
        let (values, shadows) = (Arc::new(MemoryValues::default()), Arc::new(MemoryShadows::default()));
        let services = Services {
            io,
            fetch: Arc::new(Fetching::default()),
            wall_clock: wall,
            timers: Arc::new(Mutex::new(Timers::new(&component.timers, Duration::ZERO))),
            dirs: loaded.dirs.clone(),
            rooms: Arc::new(EndlessRoom),
            values: values.clone(),
            shadows: shadows.clone(),
            models: loaded.models.clone(),
            interrupter: Interrupter::new(),
            log_dropped: LogCounter::default(),
        };
        Bench {
            component,
            loaded,
            services,
            values,
            shadows,
            clock: Clock::start(),
            payloads: BTreeMap::new(),
            instance: None,
            reason: StartReason::First,
            messages: 0,
            beside: Beside::default(),
        }
    }

    pub fn call(&mut self, ask: Ask) -> (TrialOutcome, Beside) {
        self.beside = Beside::default();
        (self.outcome(ask), std::mem::take(&mut self.beside))
    }

    fn outcome(&mut self, ask: Ask) -> TrialOutcome {
        let handled = match ask {
            Ask::Start => match self.ready() {
                Ok(_) if !self.loaded.prepared.exports().start => {
                    return not_asked("the component does not export edgewit:lifecycle/start");
                }
                started => started.map(Outcome::Done),
            },
            Ask::Message { topic, payload } => self.message(topic, payload),
            Ask::Tick { name } => match self.payload_of(&name) {
                Some(payload) => self.tick(name, payload),
                None => {
                    return not_asked(format!("there is no timer `{name}`, declared or set by the component"));
                }
            },
        };
        match handled {
            Ok(Outcome::Done(effects)) => TrialOutcome::Done(effects),
            Ok(Outcome::Rejected { reason }) => TrialOutcome::Rejected { reason },
            Err(fault) => {
                self.instance = None;
                self.reason = StartReason::AfterFault;
                TrialOutcome::Failed(fault)
            }
        }
    }

    /// Makes an instance where there is none, and gives what its start asked for, which the next handling sees.
    fn ready(&mut self) -> Result<Effects, Fault> {
        if self.instance.is_some() {
            return Ok(Effects::default());
        }
        let mut instance = self.loaded.prepared.instantiate(self.services.clone())?;
        let (effects, cpu) = instance.batch(|instance| instance.start(self.reason));
        self.beside.add(&instance, cpu);
        let effects = effects?;
        self.instance = Some(instance);
        Ok(self.take_note(effects))
    }

    fn message(&mut self, topic: Topic, payload: Vec<u8>) -> Result<Outcome, Fault> {
        self.messages += 1;
        let envelope = Arc::new(Envelope {
            since: self.clock.now(),
            ..Envelope::new(
                Message::new(topic, payload),
                MessageId { epoch: 0, number: self.messages },
                Origin::Operator,
                wall(),
            )
        });
        self.handle(|instance| instance.deliver(&Delivery { envelope, attempt: 1, sequence: None }))
    }

    fn tick(&mut self, name: String, payload: Vec<u8>) -> Result<Outcome, Fault> {
        self.handle(|instance| instance.on_tick(&Tick { name, payload, attempt: 1, missed: 0 }))
    }

    fn handle(&mut self, call: impl FnOnce(&mut Instance) -> Result<Outcome, Fault>) -> Result<Outcome, Fault> {
        let mut effects = self.ready()?;
        let Some(instance) = &mut self.instance else { return Ok(Outcome::Done(effects)) };
        let (outcome, cpu) = instance.batch(call);
        self.beside.add(instance, cpu);
        Ok(match outcome? {
            Outcome::Done(more) => {
                let more = self.take_note(more);
                effects.publishes.extend(more.publishes);
                effects.timers.extend(more.timers);
                effects.values.extend(more.values);
                Outcome::Done(effects)
            }
            rejected => rejected,
        })
    }

    /// A timer that was set is gone once it ticks. A file without a configuration may be ticked by any name.
    fn payload_of(&mut self, name: &str) -> Option<Vec<u8>> {
        let set = self.payloads.remove(name).inspect(|_| {
            lock(&self.services.timers).apply(self.clock.now(), vec![TimerChange::Cancel { name: name.to_owned() }]);
        });
        let known = self.component.timers.contains_key(name) || self.component.timers.is_empty();
        set.or_else(|| known.then(Vec::new))
    }

    fn take_note(&mut self, effects: Effects) -> Effects {
        for change in &effects.timers {
            match change {
                TimerChange::Set { name, payload, .. } => self.payloads.insert(name.clone(), payload.clone()),
                TimerChange::Cancel { name } => self.payloads.remove(name),
            };
        }
        lock(&self.services.timers).apply(self.clock.now(), effects.timers.clone());
        self.values.apply(&effects.values);
        let now = wall().unix_ms / 1000;
        effects.publishes.iter().for_each(|message| self.shadows.apply(message, now));
        effects
    }
}
