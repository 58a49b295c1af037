//! Does what is desired of an actuator: hears that a number is desired in a shadow, publishes it as a command, and reports
//! it.
//!
//! Command and report are one handling, so that there is never one without the other, however the gateway ends. What was
//! desired while nobody listened is done at the start. A wish that cannot be fulfilled is rejected and never reported: it
//! stays visible as what differs, and an operator finds it among the dead letters.

mod settings;

use edgewit_sdk::shadow::ShadowId;
use edgewit_sdk::{Component, ConfigError, Delta, Failure, HandleDeltas, Message, Reason, Start, component, log};
use serde_json::{Map, Value};

use settings::Settings;

/// The component.
pub struct Setpoint {
    settings: Settings,
}

impl Component for Setpoint {
    fn from_config() -> Result<Self, ConfigError> {
        Ok(Self { settings: Settings::from_config()? })
    }
}

impl Start for Setpoint {
    fn init(&mut self, _: Reason) -> Result<(), String> {
        let shadow = &self.settings.shadow;
        let wishes = shadow.delta().map_err(words)?.unwrap_or_default();
        match self.fulfil(shadow, &wishes) {
            // What is wrong with it is said, and the next wish may be better.
            Err(Failure::Reject(reason)) => {
                log::warn(format!("what is desired already is not done: {reason}"));
                Ok(())
            }
            done => done.map_err(words),
        }
    }
}

impl HandleDeltas for Setpoint {
    fn on_delta(&mut self, delta: Delta) -> Result<(), Failure> {
        self.fulfil(&delta.shadow, &delta.state_as()?)
    }
}

impl Setpoint {
    fn fulfil(&self, shadow: &ShadowId, wishes: &Map<String, Value>) -> Result<(), Failure> {
        let Settings { field, output, .. } = &self.settings;
        let Some(wish) = wishes.get(field) else { return Ok(()) };
        self.settings.check(wish).map_err(|reason| Failure::Reject(format!("`{field}` cannot be {wish}: {reason}")))?;
        Message::json(output.as_str(), wish)?.publish()?;
        shadow.report(&Map::from_iter([(field.clone(), wish.clone())]))
    }
}

fn words(failure: Failure) -> String {
    match failure {
        Failure::Retry(reason) | Failure::Reject(reason) => reason,
    }
}

component!(Setpoint: deltas, init);

#[cfg(test)]
mod tests;
