//! Shadows, through their public face: a folder of cases judged by what the cloud says, the algebra by property, and
//! whatever else a device may send.

mod cases;
mod hostile;
mod properties;

use edgewit_domain::shadow::{Limits, Outcome, Reply, RequestTopic, Stored, answer};
use edgewit_domain::topic::Topic;
use serde_json::Value;

/// When the case's document was last said, and when it is asked.
const BEFORE: u64 = 100;
const NOW: u64 = 200;

fn topic(text: &str) -> RequestTopic {
    RequestTopic::parse(&Topic::parse(text).unwrap()).unwrap().unwrap()
}

fn update(stored: Option<&Stored>, payload: &str, now: u64) -> Outcome {
    answer(&topic("$aws/things/gw-7/shadow/update"), payload.as_bytes(), stored, now, &Limits::default())
}

fn said(outcome: &Outcome, reply: Reply) -> Option<Value> {
    let (_, body) = outcome.answers.iter().find(|(found, _)| *found == reply)?;
    Some(serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body))))
}

/// What an operator would read of it, without the times.
fn got(stored: &Stored) -> Value {
    serde_json::from_slice(&stored.live().unwrap().body(NOW, None)).unwrap()
}
