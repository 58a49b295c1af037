//! Aggregates a number of JSON messages per key over a window of time: count, min, max, mean, last.
//!
//! A window ends with each tick of a timer of the configuration, and the next one begins: time is the gateway's matter.
//! Nothing that a message holds makes a handling fail: what cannot be read is counted, and said once a window, because one
//! broken sensor must not stop the others. Nor does a full queue: an aggregate that could not be published stays and
//! goes on growing until the next tick. The open window is in the bucket `state`, so that a fault or a power cut takes
//! no reading with it; a reading that the bucket has no room for is rejected.

mod aggregate;
mod settings;
mod state;

use std::collections::BTreeSet;

use edgewit_sdk::{
    Component, ConfigError, Delivery, Failure, HandleMessages, HandleTicks, Message, PublishError, Reason, Start, Tick,
    component, json, log,
};
use serde::Serialize;

use aggregate::{Aggregate, Missing};
use settings::Settings;
use state::State;

/// As long as a topic.
const KEY_BYTES: usize = 1024;

/// The component.
pub struct TumblingWindow {
    settings: Settings,
    state: Option<State>,
}

/// What is published for a key.
#[derive(Serialize)]
struct Summary<'a> {
    key: &'a str,
    count: u64,
    min: f64,
    max: f64,
    mean: f64,
    last: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<u64>,
}

/// A reading as a message holds it.
struct Reading {
    value: f64,
    key: String,
    at: Option<f64>,
}

impl Component for TumblingWindow {
    fn from_config() -> Result<Self, ConfigError> {
        Ok(Self { settings: Settings::from_config()?, state: None })
    }
}

impl Start for TumblingWindow {
    fn init(&mut self, _: Reason) -> Result<(), String> {
        match State::of(&mut self.state) {
            Ok(_) => Ok(()),
            Err(Failure::Retry(reason) | Failure::Reject(reason)) => Err(reason),
        }
    }
}

impl HandleMessages for TumblingWindow {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let topic = delivery.topic();
        let state = State::of(&mut self.state)?;
        match self.settings.read(&delivery) {
            Err(reason) => state.miss(|missing| {
                missing.unreadable += 1;
                missing.last_reason = format!("`{topic}`: {reason}");
            }),
            Ok(Reading { at: Some(at), .. }) if state.window().from.is_some_and(|from| at < from as f64) => {
                state.miss(|missing| missing.late += 1)
            }
            Ok(Reading { key, value, .. }) if state.window().has_room(&key, self.settings.keys) => {
                state.add(key, topic, value)
            }
            Ok(_) => state.miss(|missing| missing.beyond_keys += 1),
        }
    }
}

impl Settings {
    fn read(&self, delivery: &Delivery) -> Result<Reading, String> {
        let whole = json::read(delivery.payload())?;
        let key = match &self.key_field {
            Some(path) => path.text(&whole)?,
            None => delivery.topic().to_string(),
        };
        if key.len() > KEY_BYTES || key.contains('\0') {
            return Err(format!("a key has at most {KEY_BYTES} bytes and no null character"));
        }
        let at = self.time_field.as_ref().map(|path| path.number(&whole)).transpose()?;
        Ok(Reading { value: self.field.number(&whole)?, key, at })
    }
}

impl HandleTicks for TumblingWindow {
    fn on_tick(&mut self, tick: Tick) -> Result<(), Failure> {
        if tick.name != self.settings.timer {
            log::warn(format!(
                "the timer `{}` is not the one that ends a window: `{}`",
                tick.name, self.settings.timer
            ));
            return Ok(());
        }
        let to = tick.clock_trusted.then_some(tick.at);
        let state = State::of(&mut self.state)?;
        let window = state.window();
        report(&window.missing);
        let sent = |key: &str, aggregate| self.settings.publish(key, aggregate, window.from, to);
        let later = window.keys.iter().filter(|(key, aggregate)| sent(key, aggregate) == Sent::Later);
        let open: BTreeSet<String> = later.map(|(key, _)| key.clone()).collect();
        state.end(&open, to)
    }
}

#[derive(PartialEq)]
enum Sent {
    /// Published, or refused for good.
    Done,
    /// Refused for now.
    Later,
}

impl Settings {
    fn publish(&self, key: &str, aggregate: &Aggregate, from: Option<u64>, to: Option<u64>) -> Sent {
        let output = &self.output;
        let Some(topic) = output.fill(&aggregate.topic, &[("key", key)]) else {
            log::error(format!("`{}` does not fill the output topic `{output}`: its window is lost", aggregate.topic));
            return Sent::Done;
        };
        let Aggregate { count, min, max, mean, last, .. } = *aggregate;
        let Ok(message) = Message::json(topic, &Summary { key, count, min, max, mean, last, from, to }) else {
            return Sent::Done;
        };
        let message = if self.retain { message.retained() } else { message };
        match message.publish() {
            Ok(()) => Sent::Done,
            Err(error @ (PublishError::NoRoom(_) | PublishError::Quota(_))) => {
                log::warn(format!("the window of `{key}` goes on until the next tick: {}", error.reason()));
                Sent::Later
            }
            Err(error) => {
                log::error(format!("the window of `{key}` is lost: {}", error.reason()));
                Sent::Done
            }
        }
    }
}

fn report(missing: &Missing) {
    if missing.unreadable > 0 {
        log::warn(format!("{} messages could not be read, the last: {}", missing.unreadable, missing.last_reason));
    }
    if missing.late > 0 {
        log::warn(format!("{} readings were older than the window", missing.late));
    }
    if missing.beyond_keys > 0 {
        log::warn(format!("{} readings had a key too many; raise `keys`, or narrow the filter", missing.beyond_keys));
    }
}

component!(TumblingWindow: messages, ticks, init);

#[cfg(test)]
mod tests;
