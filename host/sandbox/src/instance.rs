//! One instance of a component: one store, called synchronously from the one thread that it was made on.
//!
//! Every call is a handling: it starts with no effects and with fresh deadlines, and what it asked for leaves only
//! when it has returned well. **After a [`Fault`] the instance must be dropped**: its memory is whatever the
//! guest left behind in the middle of something.

mod backtrace;
pub(crate) mod collector;
pub(crate) mod deadline;
mod ended;
mod lower;
pub(crate) mod memory;
pub(crate) mod notes;
mod told;

use std::time::Duration;

use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Delivery, Effects, Outcome, StartReason, Tick};
use edgewit_domain::limits;
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::edgewit::pubsub::types as pubsub;
use crate::bindings::edgewit::timer::types as timer;
use crate::capability::nn;
use crate::engine::Engine;
use crate::guest::Guest;
use crate::link::Handlers;
use lower::{IdText, delivery_param, reason_param};

/// Bytes that a guest may hand over in one call besides its largest message, snapshot or tensor.
const CALL_SLACK: usize = 64 * limits::KIB as usize;

/// What an instance can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exports {
    pub message: bool,
    pub tick: bool,
    pub delta: bool,
    pub change: bool,
    pub start: bool,
    pub health: bool,
    pub state: bool,
}

impl Exports {
    /// Whether there is anything that deliveries can go to.
    pub fn hears(self) -> bool {
        self.message || self.delta || self.change
    }
}

pub struct Instance {
    engine: Engine,
    store: Store<Guest>,
    handlers: Handlers,
    calls: u64,
    in_batch: bool,
    /// Where in the guest its last fault happened.
    backtrace: String,
}

impl Instance {
    /// `make` instantiates the component in the store that it is given.
    pub(crate) fn new(
        engine: Engine,
        guest: Guest,
        make: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<Handlers>,
    ) -> Result<Self, Fault> {
        let mut store = Store::new(engine.wasmtime(), guest);
        store.limiter(|guest| &mut guest.memory);
        let largest = limits::MESSAGE_BYTES.max(limits::STATE_BYTES).max(nn::largest_tensor(&store.data().profile));
        store.set_hostcall_fuel(largest.saturating_add(CALL_SLACK));
        store.set_max_component_handles(limits::HANDLES);
        store.epoch_deadline_callback(|store| Ok(UpdateDeadline::Continue(store.data().deadline.extend()?)));
        begin(&mut store, limits::START_FACTOR);
        let running = engine.running();
        let made = make(&mut store);
        drop(running);
        match made {
            Ok(handlers) => {
                Ok(Instance { engine, store, handlers, calls: 0, in_batch: false, backtrace: String::new() })
            }
            Err(error) => Err(ended::fault(store.data(), engine.guest_stack(), limits::START_FACTOR, &error).0),
        }
    }

    pub fn exports(&self) -> Exports {
        self.handlers.exports
    }

    /// Bytes of linear memory and tables, and of tensors that it has handles for.
    pub fn memory(&self) -> u64 {
        self.store.data().memory.used()
    }

    /// Calls since the instance was made.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// What the last call asked for and did not get, in words, whatever the guest made of it.
    pub fn refusals(&self) -> Vec<String> {
        self.store.data().notes.refusals()
    }

    /// Where in the guest the fault of the last call happened, a frame a line. Empty where that is not known.
    pub fn take_backtrace(&mut self) -> String {
        std::mem::take(&mut self.backtrace)
    }

    /// Runs several calls for the price of one look at the clocks, and says how much CPU time of this thread they took.
    pub fn batch<R>(&mut self, calls: impl FnOnce(&mut Self) -> R) -> (R, Duration) {
        let engine = self.engine.clone();
        let running = engine.running();
        let before = self.store.data_mut().deadline.read_cpu();
        self.in_batch = true;
        let result = calls(self);
        self.in_batch = false;
        let after = self.store.data_mut().deadline.read_cpu();
        drop(running);
        (result, after.saturating_sub(before))
    }

    /// `start.init`; nothing where the component does not export it.
    pub fn start(&mut self, reason: StartReason) -> Result<Effects, Fault> {
        let Some(start) = &self.handlers.start else { return Ok(Effects::default()) };
        let start = start.clone();
        self.call(limits::START_FACTOR, |store| start.call_init(store, reason_param(reason)))?
            .map_err(|reason| Fault::Init { reason })?;
        Ok(self.take_effects())
    }

    /// `health.check`. What it asks for is thrown away.
    pub fn health(&mut self) -> Result<(), Fault> {
        let Some(health) = &self.handlers.health else { return Ok(()) };
        let health = health.clone();
        self.call(1, |store| health.call_check(store))?.map_err(|reason| Fault::Health { reason })
    }

    /// `state.snapshot`; `None` where the component does not export it.
    pub fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let Some(state) = &self.handlers.state else { return Ok(None) };
        let state = state.clone();
        let snapshot = self
            .call(limits::START_FACTOR, |store| state.call_snapshot(store))?
            .map_err(|reason| Fault::State { reason })?;
        if snapshot.len() > limits::STATE_BYTES {
            let reason = format!("a snapshot of {} bytes; {} are the limit", snapshot.len(), limits::STATE_BYTES);
            return Err(Fault::State { reason });
        }
        Ok(Some(snapshot))
    }

    /// `state.restore`, before [`Instance::start`].
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), Fault> {
        let Some(state) = &self.handlers.state else {
            return Err(Fault::State { reason: "the component does not export edgewit:lifecycle/state".into() });
        };
        let state = state.clone();
        self.call(limits::START_FACTOR, |store| state.call_restore(store, snapshot))?
            .map_err(|reason| Fault::State { reason })
    }

    /// Hands a delivery to whatever takes it: what shadows say to `on-delta` and `on-change`, where the component exports
    /// them, and everything else to `on-message`.
    pub fn deliver(&mut self, delivery: &Delivery) -> Result<Outcome, Fault> {
        match self.tell(delivery) {
            Some(told) => told,
            None if self.handlers.message.is_some() => self.on_message(delivery),
            // A subscription that came with a reload.
            None => {
                let reason = "nothing that the component exports takes this; export edgewit:pubsub/handler, or narrow \
                              the subscription";
                Ok(Outcome::Rejected { reason: reason.to_owned() })
            }
        }
    }

    /// `handler.on-message`.
    fn on_message(&mut self, delivery: &Delivery) -> Result<Outcome, Fault> {
        let Some(handler) = &self.handlers.message else { return Err(not_exported("edgewit:pubsub/handler")) };
        let handler = handler.clone();
        let id = IdText::new(delivery.envelope.id);
        let properties = lower::properties(&delivery.envelope.message);
        let param = delivery_param(delivery, &id, &properties);
        let answer = self.call(1, |store| handler.call_on_message(store, param))?;
        self.outcome(answer)
    }

    /// `timer.handler.on-tick`.
    pub fn on_tick(&mut self, tick: &Tick) -> Result<Outcome, Fault> {
        let Some(handler) = &self.handlers.tick else { return Err(not_exported("edgewit:timer/handler")) };
        let handler = handler.clone();
        let now = (self.store.data().services.wall_clock)();
        let param = timer::Tick {
            name: &tick.name,
            payload: &tick.payload,
            attempt: tick.attempt,
            missed: tick.missed,
            at: now.unix_ms,
            clock_trusted: now.trusted,
        };
        let answer = self.call(1, |store| handler.call_on_tick(store, param))?;
        self.outcome(answer)
    }

    fn call<R>(
        &mut self,
        factor: u32,
        call: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.calls += 1;
        let _running = (!self.in_batch).then(|| self.engine.running());
        begin(&mut self.store, factor);
        call(&mut self.store).map_err(|error| {
            let (fault, backtrace) = ended::fault(self.store.data(), self.engine.guest_stack(), factor, &error);
            self.backtrace = backtrace;
            fault
        })
    }

    fn outcome(&mut self, answer: Result<(), pubsub::Failure>) -> Result<Outcome, Fault> {
        match answer {
            Ok(()) => Ok(Outcome::Done(self.take_effects())),
            Err(pubsub::Failure::Reject(reason)) => Ok(Outcome::Rejected { reason }),
            Err(pubsub::Failure::Retry(reason)) => Err(Fault::Retry { reason }),
        }
    }

    fn take_effects(&mut self) -> Effects {
        self.store.data_mut().effects.take()
    }
}

/// Forgets what an earlier call left behind and starts the time of this one.
fn begin(store: &mut Store<Guest>, factor: u32) {
    let guest = store.data_mut();
    guest.effects.clear();
    guest.memory.begin();
    guest.notes.begin();
    guest.deadline.begin(factor);
    let first_look = guest.deadline.first_look();
    store.set_epoch_deadline(first_look);
}

fn not_exported(interface: &str) -> Fault {
    Fault::Host { reason: format!("the component does not export {interface}") }
}
