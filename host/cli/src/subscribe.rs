//! `edgewit sub`: every message that matches, as it comes.

use edgewit_domain::control::{Command, MessageView, Reply};
use edgewit_domain::message::Qos;
use serde::Serialize;

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Payload, safe, safe_bytes};

/// Show messages as they come
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit sub 'sensors/+/temperature' 'alerts/#'
  edgewit sub -n 1 --json 'alerts/#'

Each line is a topic, a space, and the payload. What is no text, or what a terminal would obey, is shown by its code; \
`--json` gives it exactly.")]
pub struct Args {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    format: Format,
    /// MQTT filters: `+` stands for one level, a final `#` for all the rest
    #[arg(required = true, value_name = "FILTER")]
    filters: Vec<String>,
    /// End after so many messages
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// A message for programs.
#[derive(Serialize)]
struct Shown {
    topic: String,
    #[serde(flatten)]
    payload: Payload,
    qos: u8,
    id: String,
    origin: String,
    hops: u32,
    received_ms: u64,
    dropped: u64,
}

pub fn subscribe(args: &Args) -> Outcome {
    let mut seen = 0;
    for reply in args.gateway.follow(&Command::Subscribe { filters: args.filters.clone() })? {
        match reply? {
            Reply::Message(message) => show(message, args.format)?,
            other => return Err(connect::unexpected(&other)),
        }
        seen += 1;
        if Some(seen) == args.count {
            return Ok(Exit::Ok);
        }
    }
    Err(Failure::new(Exit::Unavailable, "the gateway has ended", "").into())
}

fn show(message: MessageView, format: Format) -> anyhow::Result<()> {
    if message.dropped > 0 {
        output::note(&format!(
            "edgewit: {} messages were dropped here, because they were not read in time",
            message.dropped
        ));
    }
    if format.json { output::json_line(&Shown::from(message)) } else { output::line(&render(&message)) }
}

fn render(message: &MessageView) -> String {
    format!("{} {}", safe(&message.topic), safe_bytes(&message.payload))
}

impl From<MessageView> for Shown {
    fn from(message: MessageView) -> Self {
        Shown {
            topic: message.topic,
            payload: message.payload.into(),
            qos: match message.qos {
                Qos::AtMostOnce => 0,
                Qos::AtLeastOnce => 1,
            },
            id: message.id,
            origin: message.origin,
            hops: message.hops,
            received_ms: message.received_ms,
            dropped: message.dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &[u8]) -> MessageView {
        MessageView {
            topic: "a/b".into(),
            payload: payload.to_vec(),
            qos: Qos::AtLeastOnce,
            id: "1f".into(),
            origin: "operator".into(),
            hops: 0,
            received_ms: 5,
            dropped: 0,
        }
    }

    #[test]
    fn a_payload_cannot_reach_the_terminal() {
        let cases = [
            (&b"{\"celsius\": 9.5}"[..], "a/b {\"celsius\": 9.5}"),
            (b"\x1b]52;c;cm0gLXJm\x07", "a/b \\u{1b}]52;c;cm0gLXJm\\u{7}"),
            (b"two\nlines", "a/b two\\nlines"),
            (b"\x89PNG\xff", "a/b \\x89PNG\\xff"),
        ];
        for (payload, expected) in cases {
            assert_eq!(render(&message(payload)), expected);
        }
    }

    #[test]
    fn programs_get_the_payload_exactly() {
        let json = |payload| serde_json::to_value(Shown::from(message(payload))).unwrap();
        assert_eq!(json(b"9.5")["payload"], "9.5");
        assert_eq!(json(b"\x89P")["payload_hex"], "8950");
        assert_eq!(json(b"")["qos"], 1);
    }
}
