//! What has happened in the cold rooms so far, from the messages and figures that the gateway shows to anyone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

/// How much a room remembers to be drawn, and how many events.
const SAMPLES: usize = 48;
const EVENTS: usize = 8;

#[derive(Default)]
pub struct Scene {
    pub rooms: BTreeMap<String, Room>,
    pub components: BTreeMap<String, Component>,
    pub events: VecDeque<Event>,
    /// Events since the last drawing.
    pub news: Vec<Event>,
    messages: u64,
    raised: u64,
}

#[derive(Default)]
pub struct Room {
    pub samples: VecDeque<f64>,
    pub mean: Option<f64>,
    pub alert_since: Option<Duration>,
}

#[derive(Clone)]
pub struct Event {
    pub at: Duration,
    pub kind: Kind,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Average,
    Raised,
    Cleared,
    Door,
}

#[derive(Deserialize)]
pub struct Component {
    pub state: State,
    pub handled: u64,
    pub published: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub memory: u64,
    pub restarts: u64,
}

#[derive(Deserialize)]
pub struct State {
    pub state: String,
}

#[derive(Deserialize)]
struct Status {
    components: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
struct Line {
    topic: String,
    payload: String,
}

/// Whatever the scenario's components say.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Payload {
    value: Option<f64>,
    mean: Option<f64>,
    limit: Option<f64>,
    alert: String,
    open: bool,
}

impl Scene {
    /// Takes one line of `edgewit sub --json`.
    pub fn message(&mut self, line: &str, at: Duration) -> Result<()> {
        let line: Line = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let payload: Payload = serde_json::from_str(&line.payload).unwrap_or_default();
        self.messages += 1;
        let mut levels = line.topic.split('/');
        let (Some(kind), Some(name)) = (levels.next(), levels.next()) else { return Ok(()) };
        let quantity = levels.next().unwrap_or_default();
        let room = self.rooms.entry(name.to_owned()).or_default();
        let event = match (kind, quantity, payload.value) {
            ("sensors", "temperature", Some(value)) => {
                room.sample(value);
                None
            }
            ("sensors", "door", _) => {
                Some((Kind::Door, format!("somebody {} the door", if payload.open { "opens" } else { "shuts" })))
            }
            ("averages", ..) => room.average(payload.mean),
            ("alerts", ..) => room.alert(&payload, at),
            _ => None,
        };
        if let Some((kind, text)) = event {
            self.raised += u64::from(kind == Kind::Raised);
            self.tell(Event { at, kind, text: format!("{name:<8} {text}") });
        }
        Ok(())
    }

    /// Takes what `edgewit ps --json` says.
    pub fn status(&mut self, text: &str) -> Result<()> {
        let status: Status = serde_json::from_str(text).with_context(|| text.to_owned())?;
        self.components = status.components;
        Ok(())
    }

    pub fn alerts(&self) -> u64 {
        self.raised
    }

    pub fn summary(&self) -> String {
        let alerts = if self.raised == 1 { "1 alert was".to_owned() } else { format!("{} alerts were", self.raised) };
        format!("{} messages went through its hub, {alerts} raised", self.messages)
    }

    fn tell(&mut self, event: Event) {
        self.news.push(event.clone());
        if event.kind == Kind::Average {
            return;
        }
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Room {
    fn sample(&mut self, value: f64) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(value);
    }

    fn average(&mut self, mean: Option<f64>) -> Option<(Kind, String)> {
        self.mean = mean;
        mean.map(|mean| (Kind::Average, format!("mean {mean:6.2} °C")))
    }

    fn alert(&mut self, payload: &Payload, at: Duration) -> Option<(Kind, String)> {
        let value = payload.value?;
        if payload.alert == "raised" {
            self.alert_since = Some(at);
            let limit = payload.limit.map(|limit| format!(", the limit is {limit}")).unwrap_or_default();
            return Some((Kind::Raised, format!("mean {value:6.2} °C{limit}")));
        }
        self.alert_since = None;
        Some((Kind::Cleared, format!("mean {value:6.2} °C, all is well again")))
    }
}
