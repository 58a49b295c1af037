//! Watches a number in JSON messages and says when it goes out of bounds and when it comes back.
//!
//! Only the edges are published, per source topic, so that what follows need not remember anything. Only sources that
//! are out of bounds are remembered, and no more than `sources` of them: the one that has been silent longest is forgotten
//! first, which at worst repeats an alert and never misses one. A message that cannot be read is rejected, because an
//! alarm that drops readings silently is worse than none.

mod alert;
mod settings;

use edgewit_sdk::{
    CarryState, Component, ConfigError, Delivery, Failure, HandleMessages, Message, Start, component, json, log,
};

use alert::{Alert, Edge, Raised, Side};
use settings::Settings;

/// The component.
pub struct Threshold {
    settings: Settings,
    raised: Raised,
}

impl Component for Threshold {
    fn from_config() -> Result<Self, ConfigError> {
        Ok(Self { settings: Settings::from_config()?, raised: Raised::default() })
    }
}

impl Start for Threshold {}

impl HandleMessages for Threshold {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let value = json::read(delivery.payload())
            .and_then(|whole| self.settings.field.number(&whole))
            .map_err(|reason| Failure::Reject(format!("`{}`: {reason}", delivery.topic())))?;
        let source = delivery.topic();
        let before = self.raised.side(source);
        let after = self.settings.bounds.judge(value, before);
        if before == after {
            self.raised.heard(source);
            return Ok(());
        }
        if let Some(side) = before {
            self.publish(&delivery, Edge::Cleared, side, value)?;
        }
        if let Some(side) = after {
            self.publish(&delivery, Edge::Raised, side, value)?;
        }
        if let Some(forgotten) = self.raised.set(source, after, self.settings.sources) {
            log::warn(format!(
                "more than {} sources are out of bounds: `{forgotten}` is forgotten",
                self.settings.sources
            ));
        }
        Ok(())
    }
}

impl Threshold {
    fn publish(&self, delivery: &Delivery, edge: Edge, side: Side, value: f64) -> Result<(), Failure> {
        let source = delivery.topic();
        let output = &self.settings.output;
        let topic = output
            .fill(source, &[])
            .ok_or_else(|| Failure::Reject(format!("`{source}` does not fill the output topic `{output}`")))?;
        let at = delivery.clock_trusted.then_some(delivery.received_at);
        let limit = self.settings.bounds.limit(side);
        let message = Message::json(topic, &Alert { alert: edge, source, bound: side, limit, value, at })?;
        let message = if self.settings.retain { message.retained() } else { message };
        Ok(message.publish()?)
    }
}

impl CarryState for Threshold {
    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(&self.raised).map_err(|error| error.to_string())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.raised = serde_json::from_slice(state).map_err(|error| format!("not a state of `threshold`: {error}"))?;
        Ok(())
    }
}

component!(Threshold: messages, init, state);

#[cfg(test)]
mod tests;
