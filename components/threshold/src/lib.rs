//! Watches a number in JSON messages and says when it goes out of bounds and when it comes back.
//!
//! Only the edges are published, per source topic, so that what follows need not remember anything. Only sources that
//! are out of bounds are remembered, and no more than `sources` of them: the one that has been silent longest is forgotten
//! first, which at worst repeats an alert and never misses one. They are in the bucket `state`, so that a fault or a power
//! cut repeats none either. A message that cannot be read is rejected, because an
//! alarm that drops readings silently is worse than none.

mod alert;
mod settings;

use edgewit_sdk::sources::Sources;
use edgewit_sdk::{
    Component, ConfigError, Delivery, Failure, HandleMessages, Message, Reason, Start, component, json, log,
};

use alert::{Alert, Edge, Side};
use settings::Settings;

/// The component.
pub struct Threshold {
    settings: Settings,
    /// On which side each source is that is out of bounds.
    raised: Sources<Side>,
}

impl Component for Threshold {
    fn from_config() -> Result<Self, ConfigError> {
        Ok(Self { settings: Settings::from_config()?, raised: Sources::new("state", "raised/") })
    }
}

impl Start for Threshold {
    fn init(&mut self, _: Reason) -> Result<(), String> {
        match self.raised.read() {
            Ok(_) => Ok(()),
            Err(Failure::Retry(reason) | Failure::Reject(reason)) => Err(reason),
        }
    }
}

impl HandleMessages for Threshold {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let value = json::read(delivery.payload())
            .and_then(|whole| self.settings.field.number(&whole))
            .map_err(|reason| Failure::Reject(format!("`{}`: {reason}", delivery.topic())))?;
        let source = delivery.topic();
        let before = self.raised.get(source)?.copied();
        let after = self.settings.bounds.judge(value, before);
        if before == after {
            return self.raised.hear(source);
        }
        if let Some(side) = before {
            self.settings.publish(&delivery, Edge::Cleared, side, value)?;
        }
        if let Some(side) = after {
            self.settings.publish(&delivery, Edge::Raised, side, value)?;
        }
        let Some(side) = after else { return self.raised.forget(source) };
        let most = self.settings.sources;
        if let Some(forgotten) = self.raised.keep(source, side, most)? {
            log::warn(format!("more than {most} sources are out of bounds: `{forgotten}` is forgotten"));
        }
        Ok(())
    }
}

impl Settings {
    fn publish(&self, delivery: &Delivery, edge: Edge, side: Side, value: f64) -> Result<(), Failure> {
        let source = delivery.topic();
        let output = &self.output;
        let topic = output
            .fill(source, &[])
            .ok_or_else(|| Failure::Reject(format!("`{source}` does not fill the output topic `{output}`")))?;
        let at = delivery.clock_trusted.then_some(delivery.received_at);
        let limit = self.bounds.limit(side);
        let message = Message::json(topic, &Alert { alert: edge, source, bound: side, limit, value, at })?;
        let message = if self.retain { message.retained() } else { message };
        Ok(message.publish()?)
    }
}

component!(Threshold: messages, init);

#[cfg(test)]
mod tests;
