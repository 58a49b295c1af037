//! One component on the bench: calls its handlers as the gateway would.
//!
//! The rules are those of the gateway's contract: an error undoes what the handling asked for; after a retry, and
//! never after a rejection, the instance is replaced.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::double::{Effects, LogLine, World, enter};
use crate::component::{CarryState, CheckHealth, Component, HandleMessages, HandleTicks, Reason, Start};
use crate::config::ConfigError;
use crate::message::{Delivery, Failure, Message, Origin, PublishError};
use crate::model::{Error, Tensors};
use crate::timer::Tick;

/// When a bench's clock starts: a plain instant of 2025, in milliseconds since 1970.
pub(super) const START_MS: u64 = 1_750_000_000_000;

/// One component with its configuration, its grants and a gateway around it.
pub struct Bench<C> {
    pub(super) world: World,
    instance: C,
    pub(super) deliveries: u64,
}

impl<C: Component> Bench<C> {
    /// A component without configuration.
    pub fn new() -> Result<Self, ConfigError> {
        Self::with_config::<&str, &str>([])
    }

    /// A component with these keys and values under `[component.NAME.config]`.
    pub fn with_config<K: Into<String>, V: Into<String>>(
        config: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        let config = config.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let mut world = World::new(config, START_MS);
        let instance = enter(&mut world, C::from_config)?;
        Ok(Self { world, instance, deliveries: 0 })
    }

    /// Permits publishing to these filters and to nothing else. Without it everything is permitted.
    pub fn granting<F: Into<String>>(mut self, filters: impl IntoIterator<Item = F>) -> Self {
        self.world.granted = Some(filters.into_iter().map(Into::into).collect());
        self
    }

    /// Answers every publish to this filter with this error.
    pub fn refusing(mut self, filter: impl Into<String>, error: PublishError) -> Self {
        self.world.refusals.push((filter.into(), error));
        self
    }

    /// Takes no payload larger than this.
    pub fn with_payload_limit(mut self, bytes: usize) -> Self {
        self.world.payload_limit = Some(bytes);
        self
    }

    /// Lets no more timers than this be pending.
    pub fn with_timer_limit(mut self, timers: usize) -> Self {
        self.world.timer_limit = Some(timers);
        self
    }

    /// Permits opening these buckets and no others. Without it everything is permitted.
    pub fn granting_buckets<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let granted = self.world.buckets.granted.get_or_insert_default();
        granted.extend(names.into_iter().map(|name| (name.into(), true)));
        self
    }

    /// Permits opening these buckets to read, and no others.
    pub fn granting_to_read<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let granted = self.world.buckets.granted.get_or_insert_default();
        granted.extend(names.into_iter().map(|name| (name.into(), false)));
        self
    }

    /// Lets each bucket hold no more than so many bytes of keys and values.
    pub fn with_bucket_quota(mut self, bytes: usize) -> Self {
        self.world.buckets.quota = Some(bytes);
        self
    }

    /// A value that a bucket holds before anything is handled.
    pub fn with_value(mut self, bucket: &str, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.world.buckets.keep(bucket, key, value.as_ref());
        self
    }

    /// Permits this model and lets `infer` stand for it. Without it no model is there.
    pub fn with_model(
        mut self,
        name: impl Into<String>,
        infer: impl Fn(&Tensors) -> Result<Tensors, Error> + 'static,
    ) -> Self {
        self.world.models.named.insert(name.into(), Rc::new(infer));
        self
    }

    /// Permits bringing models, and lets `infer` stand for each: it gets the model's bytes and its inputs.
    pub fn taking_models(mut self, infer: impl Fn(&[u8], &Tensors) -> Result<Tensors, Error> + 'static) -> Self {
        self.world.models.brought = Some(Rc::new(infer));
        self
    }

    /// What a bucket holds.
    pub fn values(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        self.world.buckets.kept(bucket)
    }

    /// The component itself, to look at.
    pub fn component(&self) -> &C {
        &self.instance
    }

    /// What was logged since the last call. Lines of failed handlings are among them: logging is no effect.
    pub fn take_logs(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.world.logs)
    }

    /// The pending one-shot timers: name, and in how many milliseconds each is due.
    pub fn pending_timers(&self) -> Vec<(&str, u64)> {
        let left = |due_ms: u64| due_ms.saturating_sub(self.world.now_ms);
        self.world.timers.iter().map(|(name, timer)| (name.as_str(), left(timer.due_ms))).collect()
    }

    /// The bench's wall clock, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        self.world.now_ms
    }

    /// Replaces the instance by a fresh one that knows nothing, as after a fault or a restart of the gateway.
    /// Pending timers and the values in buckets stay.
    pub fn restart(&mut self) -> Result<(), ConfigError> {
        self.world.begin();
        self.instance = enter(&mut self.world, C::from_config)?;
        Ok(())
    }

    fn handle<E>(&mut self, call: impl FnOnce(&mut C) -> Result<(), E>) -> Result<Effects, E> {
        self.world.begin();
        let instance = &mut self.instance;
        enter(&mut self.world, || call(instance))?;
        Ok(self.world.commit())
    }

    pub(super) fn handle_or_replace(
        &mut self,
        call: impl FnOnce(&mut C) -> Result<(), Failure>,
    ) -> Result<Effects, Failure> {
        let outcome = self.handle(call);
        if let Err(Failure::Retry(_)) = &outcome {
            self.restart().map_err(|error| Failure::Retry(error.to_string()))?;
        }
        outcome
    }
}

impl<C: HandleMessages> Bench<C> {
    /// Delivers a payload on a topic, and returns what the component asked for.
    pub fn message(&mut self, topic: &str, payload: impl Into<Vec<u8>>) -> Result<Effects, Failure> {
        self.deliver(Message::new(topic, payload))
    }

    /// Delivers a message, first attempt, from an operator.
    pub fn deliver(&mut self, message: Message) -> Result<Effects, Failure> {
        self.deliveries += 1;
        let sequence = Some(self.deliveries);
        let id = format!("bench-{}", self.deliveries);
        self.delivery(Delivery { id, sequence, received_at: self.world.now_ms, ..delivery(message) })
    }

    /// Delivers this, exactly.
    pub fn delivery(&mut self, delivery: Delivery) -> Result<Effects, Failure> {
        self.handle_or_replace(|instance| instance.on_message(delivery))
    }
}

impl<C: HandleTicks> Bench<C> {
    /// One tick of a timer of the configuration.
    pub fn tick(&mut self, name: &str) -> Result<Effects, Failure> {
        self.deliver_tick(Tick { at: self.world.now_ms, ..tick(name) })
    }

    /// This tick, exactly.
    pub fn deliver_tick(&mut self, tick: Tick) -> Result<Effects, Failure> {
        self.handle_or_replace(|instance| instance.on_tick(tick))
    }

    /// Lets time pass. One-shot timers tick as they become due; a failed tick stays pending and ends it.
    pub fn advance(&mut self, time: Duration) -> Result<Effects, Failure> {
        let end = self.world.now_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let mut all = Effects::default();
        while let Some((name, due_ms)) = self.next_due(end) {
            self.world.now_ms = self.world.now_ms.max(due_ms);
            let Some(timer) = self.world.timers.remove(&name) else { continue };
            let due = Tick { payload: timer.payload.clone(), at: self.world.now_ms, ..tick(&name) };
            match self.deliver_tick(due) {
                Ok(effects) => all.append(effects),
                Err(failure) => {
                    self.world.timers.insert(name, timer);
                    return Err(failure);
                }
            }
        }
        self.world.now_ms = end;
        Ok(all)
    }

    fn next_due(&self, end: u64) -> Option<(String, u64)> {
        let due = self.world.timers.iter().filter(|(_, timer)| timer.due_ms <= end);
        due.min_by_key(|(_, timer)| timer.due_ms).map(|(name, timer)| (name.clone(), timer.due_ms))
    }
}

impl<C: Start> Bench<C> {
    /// Starts the component.
    pub fn init(&mut self, reason: Reason) -> Result<Effects, String> {
        self.handle(|instance| instance.init(reason))
    }
}

impl<C: CheckHealth> Bench<C> {
    /// Asks the component how it is. Nothing that it asks for takes effect.
    pub fn check(&mut self) -> Result<(), String> {
        self.handle(CheckHealth::check).map(drop)
    }
}

impl<C: CarryState> Bench<C> {
    /// Replaces the instance by plan: the next one gets its snapshot. On an error the old one stays.
    pub fn recycle(&mut self) -> Result<(), String> {
        let instance = &mut self.instance;
        self.world.begin();
        let state = enter(&mut self.world, || instance.snapshot())?;
        self.restore(&state)
    }

    /// Replaces the instance by one that restores this state. On an error the old one stays.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let next = enter(&mut self.world, || {
            let mut next = C::from_config().map_err(|error| error.to_string())?;
            next.restore(state).map(|()| next)
        })?;
        self.instance = next;
        Ok(())
    }
}

/// A delivery with nothing special about it, to change what a test is about.
pub fn delivery(message: Message) -> Delivery {
    Delivery {
        message,
        id: "bench".into(),
        attempt: 1,
        sequence: None,
        received_at: START_MS,
        clock_trusted: true,
        origin: Origin::Operator,
        hops: 0,
    }
}

/// A tick with nothing special about it, to change what a test is about.
pub fn tick(name: &str) -> Tick {
    Tick { name: name.into(), payload: Vec::new(), attempt: 1, missed: 0, at: START_MS, clock_trusted: true }
}
