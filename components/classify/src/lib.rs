//! Says what is in a picture: takes JPEG and PNG from messages, has a model look at them, and publishes what it takes them
//! for.
//!
//! Each message is by itself and nothing is remembered. Whoever sends pictures decides nothing else: how large one may be
//! is looked at before it is decoded, and one that cannot be read is rejected, where an operator finds it.

mod fit;
mod picture;
mod rank;
mod settings;

use edgewit_sdk::model::{Tensor, model};
use edgewit_sdk::{Component, ConfigError, Delivery, Failure, HandleMessages, Message, Reason, Start, component};
use serde::Serialize;

use picture::Picture;
use rank::{Guess, rank, softmax};
use settings::Settings;

/// The component.
pub struct Classify {
    settings: Settings,
}

/// What is published.
#[derive(Serialize)]
struct Seen<'a> {
    source: &'a str,
    label: &'a str,
    probability: f64,
    guesses: &'a [Guess],
    /// Milliseconds since 1970; none while the gateway's clock is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
}

impl Component for Classify {
    fn from_config() -> Result<Self, ConfigError> {
        Ok(Self { settings: Settings::from_config()? })
    }
}

impl Start for Classify {
    fn init(&mut self, _: Reason) -> Result<(), String> {
        model(&self.settings.model).map(drop).map_err(|error| error.reason())
    }
}

impl HandleMessages for Classify {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let (settings, source) = (&self.settings, delivery.topic());
        let topic = settings.output.fill(source, &[]);
        let topic = topic.ok_or_else(|| reject(source, &format!("does not fill the topic `{}`", settings.output)))?;
        let picture = Picture::decode(delivery.payload(), settings.pixels);
        let guesses = settings.look(&picture.map_err(|reason| reject(source, &reason))?)?;
        let Some(Guess { label, probability }) = guesses.first() else { return Ok(()) };
        let at = delivery.clock_trusted.then_some(delivery.received_at);
        let message = Message::json(topic, &Seen { source, label, probability: *probability, guesses: &guesses, at })?;
        let message = if settings.retain { message.retained() } else { message };
        Ok(message.publish()?)
    }
}

impl Settings {
    /// What the model takes the picture for.
    fn look(&self, picture: &Picture) -> Result<Vec<Guess>, Failure> {
        let shape = [1, 3, self.wanted.height as u32, self.wanted.width as u32];
        let image = Tensor::f32(&shape, &self.wanted.of(picture));
        let outputs = model(&self.model)?.run(&[(&self.input, &image)])?;
        let numbers = outputs.get(&self.probabilities)?.to_f32()?;
        let probabilities = if self.softmax { softmax(&numbers) } else { numbers };
        rank(&probabilities, &self.labels, self.top).map_err(|reason| reject(&self.model, &reason))
    }
}

fn reject(what: &str, reason: &str) -> Failure {
    Failure::Reject(format!("`{what}`: {reason}"))
}

component!(Classify: messages, init);

#[cfg(test)]
mod tests;
