//! What has happened in the cold rooms so far, from the messages and figures that the gateway shows to anyone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// How much a room remembers to be drawn, and how many events.
const SAMPLES: usize = 48;
const EVENTS: usize = 8;

/// The room whose sensor drifts.
const DRIFTS: &str = "pantry";

#[derive(Default)]
pub struct Scene {
    pub rooms: BTreeMap<String, Room>,
    pub components: BTreeMap<String, Component>,
    pub events: VecDeque<Event>,
    /// Events since the last drawing.
    pub news: Vec<Event>,
    /// What the alarm has said, in order.
    pub raised: Vec<Value>,
    /// How much of it has arrived in the cloud.
    pub arrived: usize,
    pub is_cut: bool,
    /// How the setpoint stands on both sides.
    pub shadow: String,
    clouds: BTreeMap<String, Cloud>,
    messages: u64,
    alerts: u64,
    /// Rooms in which something was unusual.
    unusual: BTreeSet<String>,
}

#[derive(Default)]
pub struct Room {
    pub samples: VecDeque<f64>,
    pub mean: Option<f64>,
    pub alert_since: Option<Duration>,
    pub unusual_since: Option<Duration>,
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
    Unusual,
    Usual,
    Raised,
    Cleared,
    Door,
    Cloud,
    Shadow,
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
    clouds: BTreeMap<String, Cloud>,
}

#[derive(Deserialize)]
struct Cloud {
    uplinks: BTreeMap<String, Uplink>,
}

#[derive(Deserialize)]
struct Uplink {
    queued: u64,
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
    score: f64,
    anomaly: String,
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
            ("anomalies", ..) => room.anomaly(&payload, at),
            ("alerts", ..) => {
                self.raised.push(serde_json::from_str(&line.payload).context("an alert")?);
                room.alert(&payload, at)
            }
            _ => None,
        };
        if let Some((kind, text)) = event {
            self.alerts += u64::from(kind == Kind::Raised);
            if kind == Kind::Unusual {
                self.unusual.insert(name.to_owned());
            }
            self.tell(Event { at, kind, text: format!("{name:<8} {text}") });
        }
        Ok(())
    }

    /// Takes what `edgewit ps --json` says.
    pub fn status(&mut self, text: &str) -> Result<()> {
        let status: Status = serde_json::from_str(text).with_context(|| text.to_owned())?;
        self.components = status.components;
        self.clouds = status.clouds;
        Ok(())
    }

    /// Of what is not the room's.
    pub fn say(&mut self, at: Duration, kind: Kind, text: &str) {
        self.tell(Event { at, kind, text: text.to_owned() });
    }

    /// Alerts that wait for the way to the cloud, as the gateway counts them. What has arrived since it was asked does not.
    pub fn waiting(&self) -> u64 {
        let queued: u64 =
            self.clouds.values().flat_map(|cloud| cloud.uplinks.values()).map(|uplink| uplink.queued).sum();
        queued.min(self.raised.len().saturating_sub(self.arrived) as u64)
    }

    /// Whether it showed what a person is to see.
    pub fn is_whole(&self) -> Result<()> {
        if self.alerts == 0 {
            bail!("no alert was seen; the scenario raises the first after about eight seconds");
        }
        if !self.unusual.iter().eq([DRIFTS]) {
            bail!(
                "`anomaly` was to say that `{DRIFTS}` drifts, after about ten seconds, and nothing else: {:?}",
                self.unusual
            );
        }
        Ok(())
    }

    pub fn summary(&self) -> String {
        let (messages, alerts, said) = (self.messages, self.alerts, self.raised.len());
        let alerts = if alerts == 1 { "1 alert was".to_owned() } else { format!("{alerts} alerts were") };
        format!(
            "{messages} messages went through its hub, {alerts} raised; all {said} that the alarm said arrived in the \
             cloud, once and in order; {}",
            self.shadow
        )
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

    fn anomaly(&mut self, payload: &Payload, at: Duration) -> Option<(Kind, String)> {
        let (value, score) = (payload.value?, payload.score);
        if payload.anomaly == "raised" {
            self.unusual_since = Some(at);
            return Some((Kind::Unusual, format!("now {value:7.2} °C is no usual course, off by {score:.2}")));
        }
        self.unusual_since = None;
        Some((Kind::Usual, format!("now {value:7.2} °C, the course is as usual again")))
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
