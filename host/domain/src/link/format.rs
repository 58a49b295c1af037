//! What a message looks like in the cloud: its payload alone (`raw`), or an envelope of JSON around it.
//!
//! The envelope is for people who write a rule or a function on the far side: one flat object, names without
//! surprises, the payload readable wherever it can be. `gateway`, `rule`, `epoch` and `sequence` together name a
//! message for ever, and are what duplicates are dropped by. The payload is never altered: JSON stands in the envelope
//! byte for byte as it was published.

use serde::Serialize;
use serde::de::IgnoredAny;

use crate::message::{Envelope, Message, Origin};

/// How an uplink rule writes its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The payload as it is. Duplicates cannot be told.
    Raw,
    /// JSON around the payload, with what the far side needs to drop duplicates.
    #[default]
    Envelope,
}

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub thing: &'a str,
    /// Random, once for each store that was created or imported.
    pub epoch: u64,
    pub rule: &'a str,
}

impl Format {
    /// Every format, as configuration writes it.
    pub const ALL: [(&str, Format); 2] = [("raw", Format::Raw), ("envelope", Format::Envelope)];

    /// The payload that goes out.
    pub fn encode(self, source: Source<'_>, sequence: u64, envelope: &Envelope) -> Vec<u8> {
        match self {
            Format::Raw => envelope.message.payload.clone(),
            Format::Envelope => Writer::envelope(source, sequence, envelope).into_bytes(),
        }
    }

    /// As many bytes as it may become, without writing it: at once, and for most messages much too many.
    pub fn bytes_at_most(self, source: Source<'_>, message: &Message, by: &Origin) -> usize {
        match self {
            Format::Raw => message.payload.len(),
            Format::Envelope => {
                let name = origin(by).1.map_or(0, str::len);
                let texts = source.thing.len() + source.rule.len() + name + message.size();
                // A control character becomes six, and a property brings two pairs of quotes, two commas and brackets.
                ENVELOPE_NAMES + texts * 6 + message.user_properties.len() * 8
            }
        }
    }
}

/// More than the names, numbers and signs of an envelope without its texts.
const ENVELOPE_NAMES: usize = 512;

/// Writes a JSON object, a name at a time.
struct Writer(String);

impl Writer {
    fn envelope(source: Source<'_>, sequence: u64, envelope: &Envelope) -> String {
        let message = &envelope.message;
        let mut out = Writer(String::with_capacity(message.payload.len() + 512));
        out.field("edgewit", &1);
        out.field("gateway", source.thing);
        out.field("rule", source.rule);
        out.field("epoch", &format!("{:016x}", source.epoch));
        out.field("sequence", &sequence);
        out.field("id", &envelope.id.to_string());
        out.field("topic", message.topic.as_str());
        out.field("time_ms", &envelope.received.unix_ms);
        out.field("clock_trusted", &envelope.received.trusted);
        let (origin, name) = origin(&envelope.origin);
        out.field("origin", origin);
        if let Some(name) = name {
            out.field("origin_name", name);
        }
        if let Some(text) = &message.content_type {
            out.field("content_type", text);
        }
        if let Some(text) = &message.response_topic {
            out.field("response_topic", text);
        }
        if let Some(bytes) = &message.correlation_data {
            out.field("correlation_base64", &base64(bytes));
        }
        if !message.user_properties.is_empty() {
            // Pairs, since a name may come twice and their order is the publisher's.
            out.field("properties", &message.user_properties);
        }
        out.payload(&message.payload);
        out.0.push('}');
        out.0
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        // Texts, numbers and pairs of texts: nothing that JSON could refuse.
        self.raw(name, &serde_json::to_string(value).unwrap_or_else(|_| "null".into()));
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(json);
    }

    fn payload(&mut self, payload: &[u8]) {
        match std::str::from_utf8(payload) {
            Ok(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
                self.field("encoding", "json");
                self.raw("payload", text);
            }
            Ok(text) => {
                self.field("encoding", "text");
                self.field("payload", text);
            }
            Err(_) => {
                self.field("encoding", "base64");
                self.field("payload", &base64(payload));
            }
        }
    }
}

fn origin(origin: &Origin) -> (&'static str, Option<&str>) {
    match origin {
        Origin::Component(name) => ("component", Some(name)),
        Origin::Device(name) => ("device", Some(name)),
        Origin::Cloud(name) => ("cloud", Some(name)),
        Origin::Service(name) => ("service", Some(name)),
        Origin::Operator => ("operator", None),
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place) & 63) as usize;
            let digit = if place > chunk.len() { None } else { DIGITS.get(digit) };
            out.push(char::from(digit.copied().unwrap_or(b'=')));
        }
    }
    out
}

#[cfg(test)]
mod tests;
