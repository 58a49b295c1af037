//! The gateway's side of every import, in memory: what was granted, what is configured, what was asked for.
//!
//! A world is this thread's current one only while its bench calls the component; with none, imports refuse.
//! Effects are collected apart from what is in force, which makes undoing them a matter of dropping them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use super::buckets::{Buckets, ChangedValue};
use super::models::{self, Inference, Models};
use super::shadows::{ShadowRequest, Shadows};
use crate::bindings::imports::wasi::keyvalue::store::KeyResponse;
use crate::kv::Error;
use crate::log::Level;
use crate::message::{Message, PublishError};
use crate::model::{self, ErrorCode, Tensor, Tensors};
use crate::shadow::{Document, ShadowError, ShadowId};
use crate::timer::TimerError;
use crate::topic;

/// What one handling asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Messages, in the order in which they were published.
    pub published: Vec<Message>,
    /// One-shot timers that were set.
    pub timers_set: Vec<SetTimer>,
    /// Names of one-shot timers that were cancelled while they were pending.
    pub timers_cancelled: Vec<String>,
    /// Values that are different from before.
    pub values: Vec<ChangedValue>,
    /// What was asked of shadows, in the order in which it was.
    pub shadows: Vec<ShadowRequest>,
}

impl Effects {
    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.published.is_empty()
            && self.timers_set.is_empty()
            && self.timers_cancelled.is_empty()
            && self.values.is_empty()
            && self.shadows.is_empty()
    }

    /// Topic and payload of every message, as text where it is text.
    pub fn lines(&self) -> Vec<(&str, String)> {
        let line = |message: &'_ Message| String::from_utf8_lossy(&message.payload).into_owned();
        self.published.iter().map(|message| (message.topic.as_str(), line(message))).collect()
    }

    pub(crate) fn append(&mut self, later: Self) {
        self.published.extend(later.published);
        self.timers_set.extend(later.timers_set);
        self.timers_cancelled.extend(later.timers_cancelled);
        self.values.extend(later.values);
        self.shadows.extend(later.shadows);
    }
}

/// As the gateway, so that a timer that sets itself leaves time between its ticks here, too.
const SOONEST_MS: u64 = 10;

/// A one-shot timer as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetTimer {
    /// Its name.
    pub name: String,
    /// In how many milliseconds it is due.
    pub after_ms: u64,
    /// What its tick will carry.
    pub payload: Vec<u8>,
}

/// A line that the component logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// Its text.
    pub text: String,
}

/// A pending one-shot timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    pub due_ms: u64,
    pub payload: Vec<u8>,
}

/// All that the component can reach.
#[derive(Debug, Default)]
pub struct World {
    pub config: BTreeMap<String, String>,
    /// Filters that may be published to; none given permits every topic.
    pub granted: Option<Vec<String>>,
    /// What publishing to a filter is answered with, before anything else is looked at.
    pub refusals: Vec<(String, PublishError)>,
    pub payload_limit: Option<usize>,
    pub timer_limit: Option<usize>,
    pub now_ms: u64,
    pub timers: BTreeMap<String, Pending>,
    pub logs: Vec<LogLine>,
    pub buckets: Buckets,
    pub shadows: Shadows,
    pub models: Models,
    asked: Effects,
    timers_asked: BTreeMap<String, Pending>,
}

impl World {
    pub fn new(config: BTreeMap<String, String>, now_ms: u64) -> Self {
        Self { config, now_ms, ..Self::default() }
    }

    pub fn begin(&mut self) {
        self.asked = Effects::default();
        self.timers_asked = self.timers.clone();
        self.buckets.begin();
        self.shadows.begin();
    }

    pub fn commit(&mut self) -> Effects {
        self.timers = std::mem::take(&mut self.timers_asked);
        let values = self.buckets.commit();
        let shadows = self.shadows.commit();
        Effects { values, shadows, ..std::mem::take(&mut self.asked) }
    }

    fn publish(&mut self, message: &Message) -> Result<(), PublishError> {
        if let Some((_, answer)) = self.refusals.iter().find(|(filter, _)| topic::matches(filter, &message.topic)) {
            return Err(answer.clone());
        }
        topic::check(&message.topic).map_err(|reason| PublishError::InvalidTopic(reason.into()))?;
        let granted =
            self.granted.as_ref().is_none_or(|list| list.iter().any(|filter| topic::matches(filter, &message.topic)));
        if !granted {
            return Err(PublishError::Denied(format!("[component.NAME.grant.publish]\nname = \"{}\"", message.topic)));
        }
        if let Some(limit) = self.payload_limit.filter(|limit| message.payload.len() > *limit) {
            return Err(PublishError::TooLarge(u32::try_from(limit).unwrap_or(u32::MAX)));
        }
        self.asked.published.push(message.clone());
        Ok(())
    }

    fn timer_set(&mut self, name: &str, after_ms: u64, payload: &[u8]) -> Result<(), TimerError> {
        if name.is_empty() {
            return Err(TimerError::InvalidName("a timer's name has at least one character".into()));
        }
        let more = !self.timers_asked.contains_key(name);
        if let Some(limit) = self.timer_limit.filter(|limit| more && self.timers_asked.len() >= *limit) {
            return Err(TimerError::Quota(format!("{limit} timers are pending")));
        }
        let due_ms = self.now_ms.saturating_add(after_ms.max(SOONEST_MS));
        self.timers_asked.insert(name.into(), Pending { due_ms, payload: payload.into() });
        self.asked.timers_set.push(SetTimer { name: name.into(), after_ms, payload: payload.into() });
        Ok(())
    }

    fn timer_cancel(&mut self, name: &str) -> bool {
        let was_pending = self.timers_asked.remove(name).is_some();
        if was_pending {
            self.asked.timers_cancelled.push(name.into());
        }
        was_pending
    }
}

thread_local! {
    static CURRENT: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Runs `call` with `world` as the one that imports reach.
pub fn enter<R>(world: &mut World, call: impl FnOnce() -> R) -> R {
    CURRENT.set(Some(std::mem::take(world)));
    let outcome = call();
    if let Some(changed) = CURRENT.take() {
        *world = changed;
    }
    outcome
}

fn with<R>(call: impl FnOnce(&mut World) -> R) -> Option<R> {
    CURRENT.with_borrow_mut(|current| current.as_mut().map(call))
}

pub fn publish(message: &Message) -> Result<(), PublishError> {
    with(|world| world.publish(message)).unwrap_or_else(|| Err(PublishError::Denied("call it through a Bench".into())))
}

pub fn timer_set(name: &str, after_ms: u64, payload: &[u8]) -> Result<(), TimerError> {
    with(|world| world.timer_set(name, after_ms, payload))
        .unwrap_or_else(|| Err(TimerError::Quota("call it through a Bench".into())))
}

pub fn timer_cancel(name: &str) -> bool {
    with(|world| world.timer_cancel(name)).unwrap_or(false)
}

pub fn config_get(key: &str) -> Result<Option<String>, String> {
    with(|world| world.config.get(key).cloned()).ok_or_else(|| "call it through a Bench".into())
}

pub fn config_all() -> Result<Vec<(String, String)>, String> {
    with(|world| world.config.clone().into_iter().collect()).ok_or_else(|| "call it through a Bench".into())
}

pub fn log(level: Level, text: &str) {
    with(|world| world.logs.push(LogLine { level, text: text.into() }));
}

/// An open bucket.
#[derive(Debug)]
pub struct BucketHandle(String);

fn with_buckets<R>(call: impl FnOnce(&mut Buckets) -> Result<R, Error>) -> Result<R, Error> {
    with(|world| call(&mut world.buckets)).unwrap_or_else(|| Err(Error::Other("call it through a Bench".into())))
}

pub fn bucket_open(name: &str) -> Result<BucketHandle, Error> {
    with_buckets(|buckets| buckets.open(name)).map(|()| BucketHandle(name.into()))
}

impl BucketHandle {
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        with_buckets(|buckets| buckets.get(&self.0, key))
    }

    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        with_buckets(|buckets| buckets.set(&self.0, key, Some(value)))
    }

    pub fn delete(&self, key: &str) -> Result<(), Error> {
        with_buckets(|buckets| buckets.set(&self.0, key, None))
    }

    pub fn exists(&self, key: &str) -> Result<bool, Error> {
        Ok(self.get(key)?.is_some())
    }

    /// All in one page.
    pub fn list_keys(&self, _: Option<u64>) -> Result<KeyResponse, Error> {
        with_buckets(|buckets| Ok(KeyResponse { keys: buckets.values(&self.0).into_keys().collect(), cursor: None }))
    }
}

pub fn bucket_increment(bucket: &BucketHandle, key: &str, by: u64) -> Result<u64, Error> {
    with_buckets(|buckets| buckets.increment(&bucket.0, key, by))
}

type Pair = (String, Vec<u8>);

pub fn bucket_get_many(bucket: &BucketHandle, keys: &[String]) -> Result<Vec<Option<Pair>>, Error> {
    keys.iter().map(|key| Ok(bucket.get(key)?.map(|value| (key.clone(), value)))).collect()
}

pub fn bucket_set_many(bucket: &BucketHandle, pairs: &[Pair]) -> Result<(), Error> {
    pairs.iter().try_for_each(|(key, value)| bucket.set(key, value))
}

pub fn bucket_delete_many(bucket: &BucketHandle, keys: &[String]) -> Result<(), Error> {
    keys.iter().try_for_each(|key| bucket.delete(key))
}

fn with_shadows<R>(call: impl FnOnce(&mut Shadows, u64) -> Result<R, ShadowError>) -> Result<R, ShadowError> {
    with(|world| call(&mut world.shadows, world.now_ms / 1000))
        .unwrap_or_else(|| Err(ShadowError::Unavailable("call it through a Bench".into())))
}

pub fn shadow_get(shadow: &ShadowId) -> Result<Option<Document>, ShadowError> {
    with_shadows(|shadows, _| shadows.get(shadow))
}

pub fn shadow_update(shadow: &ShadowId, state: &str) -> Result<(), ShadowError> {
    with_shadows(|shadows, now| shadows.update(shadow, state, None, now))
}

pub fn shadow_update_expecting(shadow: &ShadowId, state: &str, version: Option<u64>) -> Result<(), ShadowError> {
    with_shadows(|shadows, now| shadows.update(shadow, state, Some(version), now))
}

pub fn shadow_delete(shadow: &ShadowId) -> Result<(), ShadowError> {
    with_shadows(|shadows, _| shadows.delete(shadow))
}

pub fn shadow_list(thing: Option<&str>, after: Option<&str>) -> Result<Vec<String>, ShadowError> {
    with_shadows(|shadows, _| shadows.list(thing, after))
}

/// A model that can be asked.
pub struct ModelHandle(Inference);

impl fmt::Debug for ModelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ModelHandle")
    }
}

fn with_models(call: impl FnOnce(&Models) -> Result<Inference, model::Error>) -> Result<ModelHandle, model::Error> {
    with(|world| call(&world.models))
        .unwrap_or_else(|| Err(model::Error::new(ErrorCode::RuntimeError, "call it through a Bench")))
        .map(ModelHandle)
}

pub fn model_named(name: &str) -> Result<ModelHandle, model::Error> {
    with_models(|models| models.named(name))
}

pub fn model_from_onnx(bytes: Vec<u8>) -> Result<ModelHandle, model::Error> {
    with_models(|models| models.bring(bytes))
}

impl ModelHandle {
    pub fn run(&self, given: &[(&str, &Tensor)]) -> Result<Tensors, model::Error> {
        (self.0)(&models::inputs(given)?)
    }
}
