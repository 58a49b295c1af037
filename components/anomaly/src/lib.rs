//! Notices that a number does not go as it usually does, before it is out of any bounds: a model knows the usual course of
//! the last readings of a source, and how far it is off says how unusual they are.
//!
//! Only the edges are published, per source topic, and every score to whoever wants it. The readings are in the bucket
//! `state`, so that a fault or a power cut costs no window. A message that cannot be read is rejected, and one for which the
//! model has no answer comes again or is rejected by the reason: nothing passes for usual because nobody looked.

mod limit;
mod settings;
mod source;

use edgewit_sdk::model::{Tensor, model};
use edgewit_sdk::sources::Sources;
use edgewit_sdk::topic::Template;
use edgewit_sdk::{
    Component, ConfigError, Delivery, Delta, Failure, HandleDeltas, HandleMessages, Message, Reason, Start, component,
    json, log,
};
use serde::Serialize;

use limit::Members;
use settings::Settings;
use source::{Source, judge, score};

/// The component.
pub struct Anomaly {
    settings: Settings,
    sources: Sources<Source>,
    /// Read from the shadow when it is first needed.
    limit: Option<f64>,
}

/// What is published at an edge.
#[derive(Serialize)]
struct Event<'a> {
    anomaly: &'static str,
    source: &'a str,
    score: f64,
    limit: f64,
    value: f64,
    /// Of the source, the last one included.
    readings: u64,
    /// Milliseconds since 1970; none while the gateway's clock is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
}

/// What is published of every reading.
#[derive(Serialize)]
struct Score {
    score: f64,
    limit: f64,
}

impl Component for Anomaly {
    fn from_config() -> Result<Self, ConfigError> {
        Ok(Self { settings: Settings::from_config()?, sources: Sources::new("state", "source/"), limit: None })
    }
}

impl Start for Anomaly {
    fn init(&mut self, _: Reason) -> Result<(), String> {
        self.sources.read().map_err(words)?;
        model(&self.settings.model).map_err(|error| error.reason())?;
        let shadow = &self.settings.shadow;
        let wishes = shadow.delta::<Members>().map_err(words)?.unwrap_or_default();
        match self.settings.take_up(shadow, &wishes) {
            // What is wrong with it is said, and the next wish may be better.
            Err(Failure::Reject(reason)) => log::warn(format!("what is desired already is not done: {reason}")),
            taken => self.limit = taken.map_err(words)?,
        }
        Ok(())
    }
}

impl HandleDeltas for Anomaly {
    fn on_delta(&mut self, delta: Delta) -> Result<(), Failure> {
        if let Some(limit) = self.settings.take_up(&delta.shadow, &delta.state_as()?)? {
            self.limit = Some(limit);
        }
        Ok(())
    }
}

impl HandleMessages for Anomaly {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let (settings, topic) = (&self.settings, delivery.topic());
        let (value, reading) = settings.read(&delivery).map_err(|reason| reject(topic, &reason))?;
        let known = self.sources.get(topic)?.cloned().unwrap_or_default();
        let mut source = known.with(reading, settings.window);
        if source.is_full(settings.window) {
            let limit = match self.limit {
                Some(limit) => limit,
                None => *self.limit.insert(settings.limit()?),
            };
            let score = settings.score(&source)?;
            source.raised = judge(score, limit, settings.hysteresis, known.raised);
            settings.tell(&delivery, &known, &source, Measured { value, score, limit })?;
        }
        if let Some(forgotten) = self.sources.keep(topic, source, settings.sources)? {
            log::warn(format!("more than {} sources speak: `{forgotten}` is forgotten", settings.sources));
        }
        Ok(())
    }
}

struct Measured {
    value: f64,
    score: f64,
    limit: f64,
}

impl Settings {
    /// The number of a message, as it is and as a model takes it.
    fn read(&self, delivery: &Delivery) -> Result<(f64, f32), String> {
        let value = self.field.number(&json::read(delivery.payload())?)?;
        let reading = value as f32;
        reading.is_finite().then_some((value, reading)).ok_or_else(|| format!("{value} is beyond what a model takes"))
    }

    fn score(&self, source: &Source) -> Result<f64, Failure> {
        let input = Tensor::f32(&[1, self.window as u32], &source.readings);
        let outputs = model(&self.model)?.run(&[(&self.input, &input)])?;
        let said = outputs.get(&self.reconstruction)?.to_f32()?;
        score(&source.readings, &said).map_err(|reason| reject(&format!("model {}", self.model), &reason))
    }

    fn tell(&self, delivery: &Delivery, before: &Source, now: &Source, measured: Measured) -> Result<(), Failure> {
        let (source, Measured { value, score, limit }) = (delivery.topic(), measured);
        if let Some(scores) = &self.scores {
            Message::json(filled(scores, source)?, &Score { score, limit })?.publish()?;
        }
        if now.raised != before.raised {
            let anomaly = if now.raised { "raised" } else { "cleared" };
            let at = delivery.clock_trusted.then_some(delivery.received_at);
            let event = Event { anomaly, source, score, limit, value, readings: now.taken, at };
            let message = Message::json(filled(&self.output, source)?, &event)?;
            if self.retain { message.retained() } else { message }.publish()?;
        }
        Ok(())
    }
}

fn filled(template: &Template, source: &str) -> Result<String, Failure> {
    template.fill(source, &[]).ok_or_else(|| reject(source, &format!("does not fill the topic `{template}`")))
}

fn reject(what: &str, reason: &str) -> Failure {
    Failure::Reject(format!("`{what}`: {reason}"))
}

fn words(failure: Failure) -> String {
    match failure {
        Failure::Retry(reason) | Failure::Reject(reason) => reason,
    }
}

component!(Anomaly: messages, deltas, init);

#[cfg(test)]
mod tests;
