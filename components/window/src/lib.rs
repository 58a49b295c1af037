//! Aggregates a number of JSON messages per key over a window of time: count, min, max, mean, last.
//!
//! A window ends with each tick of a timer of the configuration, and the next one begins: time is the gateway's matter.
//! Nothing that a message holds makes a handling fail: what cannot be read is counted, and said once a window, because one
//! broken sensor must not stop the others. Nor does a full queue: an aggregate that could not be published stays and
//! goes on growing until the next tick, since failing would throw away the instance and all readings with it.

mod aggregate;
mod settings;

use edgewit_sdk::{
    CarryState, Component, ConfigError, Delivery, Failure, HandleMessages, HandleTicks, Message, PublishError, Start,
    Tick, component, json, log,
};
use serde::Serialize;

use aggregate::{Aggregate, Missing, Window};
use settings::Settings;

/// The component.
pub struct TumblingWindow {
    settings: Settings,
    window: Window,
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
        Ok(Self { settings: Settings::from_config()?, window: Window::default() })
    }
}

impl Start for TumblingWindow {}

impl HandleMessages for TumblingWindow {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let topic = delivery.topic();
        let window = &mut self.window;
        match self.settings.read(&delivery) {
            Err(reason) => {
                window.missing.unreadable += 1;
                window.missing.last_reason = format!("`{topic}`: {reason}");
            }
            Ok(Reading { at: Some(at), .. }) if window.from.is_some_and(|from| at < from as f64) => {
                window.missing.late += 1;
            }
            Ok(reading) => window.add(&reading.key, topic, reading.value, self.settings.keys),
        }
        Ok(())
    }
}

impl Settings {
    fn read(&self, delivery: &Delivery) -> Result<Reading, String> {
        let whole = json::read(delivery.payload())?;
        let key = match &self.key_field {
            Some(path) => path.text(&whole)?,
            None => delivery.topic().to_string(),
        };
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
        let ended = std::mem::replace(&mut self.window, Window { from: to, ..Window::default() });
        report(&ended.missing);
        for (key, aggregate) in ended.keys {
            if self.publish(&key, &aggregate, ended.from, to) == Sent::Later {
                self.window.keys.insert(key, aggregate);
                self.window.from = ended.from;
            }
        }
        Ok(())
    }
}

#[derive(PartialEq)]
enum Sent {
    /// Published, or refused for good.
    Done,
    /// Refused for now.
    Later,
}

impl TumblingWindow {
    fn publish(&self, key: &str, aggregate: &Aggregate, from: Option<u64>, to: Option<u64>) -> Sent {
        let output = &self.settings.output;
        let Some(topic) = output.fill(&aggregate.topic, &[("key", key)]) else {
            log::error(format!("`{}` does not fill the output topic `{output}`: its window is lost", aggregate.topic));
            return Sent::Done;
        };
        let Aggregate { count, min, max, mean, last, .. } = *aggregate;
        let Ok(message) = Message::json(topic, &Summary { key, count, min, max, mean, last, from, to }) else {
            return Sent::Done;
        };
        let message = if self.settings.retain { message.retained() } else { message };
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

impl CarryState for TumblingWindow {
    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(&self.window).map_err(|error| error.to_string())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.window = serde_json::from_slice(state).map_err(|error| format!("not a state of `window`: {error}"))?;
        Ok(())
    }
}

component!(TumblingWindow: messages, ticks, init, state);

#[cfg(test)]
mod tests;
