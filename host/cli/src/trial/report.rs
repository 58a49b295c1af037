//! What goes into a trial and what comes out of it, as lines and as JSON.

use std::time::Duration;

use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Effects, TimerChange};
use edgewit_domain::ledger::{BucketId, ValueChange};
use edgewit_domain::message::{Message, Qos};
use edgewit_gateway::trial::{Beside, TrialOutcome};
use serde::Serialize;

use crate::output::{self, Payload, safe, safe_bytes, safe_lines};
use crate::units;

/// One thing that a component is asked to handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    Start,
    Tick(String),
    #[serde(untagged)]
    Message {
        topic: String,
        #[serde(skip)]
        payload: Vec<u8>,
    },
}

impl Input {
    /// Reads a line; `None` where it asks for nothing.
    pub fn parse(line: &[u8]) -> Result<Option<Input>, String> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (word, rest) = match line.iter().position(|byte| *byte == b' ') {
            Some(space) => line.split_at(space),
            None => (line, &[][..]),
        };
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        match word {
            [] | [b'#', ..] => Ok(None),
            b"!tick" if !rest.is_empty() => Ok(Some(Input::Tick(String::from_utf8_lossy(rest).trim().to_owned()))),
            b"!tick" => Err("`!tick` needs the name of a timer: `!tick NAME`".into()),
            [b'!', ..] => Err(format!("`{}` is not known; there is `!tick NAME`", safe_bytes(word))),
            _ => match std::str::from_utf8(word) {
                Ok(topic) => Ok(Some(Input::Message { topic: topic.to_owned(), payload: rest.to_vec() })),
                Err(_) => Err(format!("`{}` is not a topic: it is not UTF-8", safe_bytes(word))),
            },
        }
    }

    fn words(&self) -> String {
        match self {
            Input::Start => "start".to_owned(),
            Input::Tick(name) => format!("!tick {}", safe(name)),
            Input::Message { topic, .. } => safe(topic),
        }
    }
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Report {
    input: Input,
    #[serde(flatten)]
    result: Ending,
    wall_us: u64,
    cpu_us: u64,
    memory: u64,
    /// What it asked for and did not get, whatever it made of that.
    refused: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum Ending {
    Done { publishes: Vec<Published>, timers: Vec<Timer>, values: Vec<Value> },
    Rejected { reason: String },
    Failed { reason: String, fault: Fault },
    NotAsked { reason: String },
}

#[derive(Debug, Serialize)]
struct Published {
    topic: String,
    #[serde(flatten)]
    payload: Payload,
    qos: u8,
    retain: bool,
    #[serde(skip)]
    line: String,
}

#[derive(Debug, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
enum Timer {
    Set {
        name: String,
        after_ms: u64,
        #[serde(flatten)]
        payload: Payload,
    },
    Cancel {
        name: String,
    },
}

#[derive(Debug, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
enum Value {
    Set {
        bucket: String,
        key: String,
        bytes: usize,
        #[serde(flatten)]
        payload: Payload,
    },
    Delete {
        bucket: String,
        key: String,
    },
}

impl Report {
    pub fn new(input: Input, outcome: TrialOutcome, wall: Duration, beside: Beside) -> Self {
        let result = match outcome {
            TrialOutcome::Done(Effects { publishes, timers, values, .. }) => Ending::Done {
                publishes: publishes.into_iter().map(Published::from).collect(),
                timers: timers.into_iter().map(Timer::from).collect(),
                values: values.into_iter().map(Value::from).collect(),
            },
            TrialOutcome::Rejected { reason } => Ending::Rejected { reason },
            TrialOutcome::Failed(fault) => Ending::Failed { reason: fault.to_string(), fault },
            TrialOutcome::NotAsked { reason } => Ending::NotAsked { reason },
        };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let Beside { cpu, memory, refused } = beside;
        Report { input, result, wall_us: micros(wall), cpu_us: micros(cpu), memory, refused }
    }

    /// Whether nothing went wrong. A component that exports no `init` is not asked to start, and that is well.
    pub fn is_good(&self) -> bool {
        match self.result {
            Ending::Done { .. } => true,
            Ending::NotAsked { .. } => self.input == Input::Start,
            Ending::Rejected { .. } | Ending::Failed { .. } => false,
        }
    }

    /// Effects to standard output, the rest to standard error.
    pub fn print(&self) -> anyhow::Result<()> {
        if let Ending::Done { publishes, timers, values } = &self.result {
            for published in publishes {
                output::line(&published.line)?;
            }
            for timer in timers {
                output::line(&timer.line())?;
            }
            for value in values {
                output::line(&value.line())?;
            }
        }
        let remark = self.remark();
        for refused in self.swallowed() {
            output::note(&format!("{}: refused: {}", self.input.words(), safe_lines(refused)));
        }
        if let Some(remark) = remark {
            output::note(&remark);
        }
        Ok(())
    }

    /// Refusals that the component did not give for its reason.
    fn swallowed(&self) -> impl Iterator<Item = &String> {
        let reason = match &self.result {
            Ending::Rejected { reason } | Ending::Failed { reason, .. } => reason.as_str(),
            Ending::Done { .. } | Ending::NotAsked { .. } => "",
        };
        self.refused.iter().filter(move |refused| !reason.contains(*refused))
    }

    fn remark(&self) -> Option<String> {
        let words = self.input.words();
        let (wall, cpu) = (units::microseconds(self.wall_us), units::microseconds(self.cpu_us));
        let times = format!("{wall}, CPU {cpu}, memory {}", units::bytes(self.memory));
        let because = |word: &str, reason: &str| Some(format!("{words}: {word} ({times}): {}", safe_lines(reason)));
        match &self.result {
            Ending::Done { .. } => Some(format!("{words}: done ({times})")),
            Ending::Rejected { reason } => because("rejected", reason),
            Ending::Failed { reason, .. } => because("failed", reason),
            Ending::NotAsked { .. } if self.input == Input::Start => None,
            Ending::NotAsked { reason } => because("not asked", reason),
        }
    }
}

impl From<Message> for Published {
    fn from(message: Message) -> Self {
        let topic = message.topic.as_str().to_owned();
        Published {
            line: format!("{} {}", safe(&topic), safe_bytes(&message.payload)),
            topic,
            payload: message.payload.into(),
            qos: match message.qos {
                Qos::AtMostOnce => 0,
                Qos::AtLeastOnce => 1,
            },
            retain: message.retain,
        }
    }
}

impl From<TimerChange> for Timer {
    fn from(change: TimerChange) -> Self {
        match change {
            TimerChange::Set { name, after, payload } => {
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                Timer::Set { name, after_ms, payload: payload.into() }
            }
            TimerChange::Cancel { name } => Timer::Cancel { name },
        }
    }
}

impl Timer {
    /// A line that another trial skips.
    fn line(&self) -> String {
        match self {
            Timer::Set { name, after_ms, .. } => {
                format!("# timer {} is set, due in {}", safe(name), units::milliseconds(*after_ms))
            }
            Timer::Cancel { name } => format!("# timer {} is cancelled", safe(name)),
        }
    }
}

impl From<ValueChange> for Value {
    fn from(change: ValueChange) -> Self {
        let (BucketId::Own { name: bucket, .. } | BucketId::Shared(bucket)) = &change.bucket.id;
        let (bucket, key) = (bucket.to_string(), change.key);
        match change.value {
            Some(value) => Value::Set { bucket, key, bytes: value.len(), payload: value.to_vec().into() },
            None => Value::Delete { bucket, key },
        }
    }
}

impl Value {
    /// A line that another trial skips. What is no text is shown by its size.
    fn line(&self) -> String {
        match self {
            Value::Set { bucket, key, payload: Payload::Payload(text), .. } => {
                format!("# value {bucket}/{} = {}", safe(key), safe(text))
            }
            Value::Set { bucket, key, bytes, .. } => {
                format!("# value {bucket}/{} is set, {bytes} bytes that are no text", safe(key))
            }
            Value::Delete { bucket, key } => format!("# value {bucket}/{} is deleted", safe(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use edgewit_domain::ledger::Bucket;
    use edgewit_domain::topic::Topic;
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_line_is_a_topic_and_a_payload() {
        let message =
            |topic: &str, payload: &[u8]| Ok(Some(Input::Message { topic: topic.into(), payload: payload.to_vec() }));
        let cases = [
            (&b"a/b {\"x\": 1}"[..], message("a/b", b"{\"x\": 1}")),
            (b"a/b", message("a/b", b"")),
            (b"a/b  two spaces\r", message("a/b", b" two spaces")),
            (b"a \xff\x00", message("a", b"\xff\x00")),
            (b"", Ok(None)),
            (b"# a remark", Ok(None)),
            (b"!tick flush", Ok(Some(Input::Tick("flush".into())))),
        ];
        for (line, expected) in cases {
            assert_eq!(Input::parse(line), expected, "{line:?}");
        }
        for line in [&b"!tick"[..], b"!tick ", b"!tock x", b"\xff x"] {
            assert!(Input::parse(line).is_err(), "{line:?}");
        }
    }

    fn beside(cpu_us: u64) -> Beside {
        Beside { cpu: Duration::from_micros(cpu_us), memory: 1 << 20, refused: vec!["too much".into()] }
    }

    fn value((key, value): (&str, Option<&[u8]>)) -> ValueChange {
        let id = BucketId::Own { component: "it".into(), name: "state".into() };
        ValueChange { bucket: Arc::new(Bucket { id, quota: 1 }), key: key.into(), value: value.map(Arc::from) }
    }

    fn done() -> Report {
        let topic = Topic::parse("alerts/heat").unwrap();
        let effects = Effects {
            publishes: vec![Message::new(topic, "9 °C\x1b[2J")],
            timers: vec![
                TimerChange::Set { name: "quiet".into(), after: Duration::from_secs(5), payload: b"x".to_vec() },
                TimerChange::Cancel { name: "loud".into() },
            ],
            values: [("last", Some(&b"12\x1b"[..])), ("blob", Some(b"\xff\x00")), ("gone", None)].map(value).to_vec(),
            ..Effects::default()
        };
        let input = Input::Message { topic: "sensors/a".into(), payload: Vec::new() };
        Report::new(input, TrialOutcome::Done(effects), Duration::from_micros(1200), beside(900))
    }

    #[test]
    fn programs_get_every_effect() {
        expect![[r#"
            {
              "input": {
                "topic": "sensors/a"
              },
              "outcome": "done",
              "publishes": [
                {
                  "topic": "alerts/heat",
                  "payload": "9 °C\u001b[2J",
                  "qos": 0,
                  "retain": false
                }
              ],
              "timers": [
                {
                  "change": "set",
                  "name": "quiet",
                  "after_ms": 5000,
                  "payload": "x"
                },
                {
                  "change": "cancel",
                  "name": "loud"
                }
              ],
              "values": [
                {
                  "change": "set",
                  "bucket": "state",
                  "key": "last",
                  "bytes": 3,
                  "payload": "12\u001b"
                },
                {
                  "change": "set",
                  "bucket": "state",
                  "key": "blob",
                  "bytes": 2,
                  "payload_hex": "ff00"
                },
                {
                  "change": "delete",
                  "bucket": "state",
                  "key": "gone"
                }
              ],
              "wall_us": 1200,
              "cpu_us": 900,
              "memory": 1048576,
              "refused": [
                "too much"
              ]
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&done()).unwrap());
    }

    #[test]
    fn a_changed_value_is_a_line_that_another_trial_skips() {
        let Ending::Done { values, .. } = done().result else { panic!("not done") };
        let lines: Vec<String> = values.iter().map(Value::line).collect();
        let expected = [
            "# value state/last = 12\\u{1b}",
            "# value state/blob is set, 2 bytes that are no text",
            "# value state/gone is deleted",
        ];
        assert_eq!(lines, expected);
        assert!(lines.iter().all(|line| Input::parse(line.as_bytes()) == Ok(None)));
    }

    #[test]
    fn a_failure_is_named_with_its_figures() {
        let fault = Fault::CpuDeadline { limit: Duration::from_millis(50) };
        let report = Report::new(
            Input::Tick("flush".into()),
            TrialOutcome::Failed(fault),
            Duration::from_millis(52),
            beside(50_100),
        );
        assert!(!report.is_good());
        expect!["!tick flush: failed (52.0 ms, CPU 50.1 ms, memory 1.0 MiB): computed longer than 50ms in one handling; raise limits.cpu or do less at once"].assert_eq(&report.remark().unwrap());
        assert_eq!(done().remark().unwrap(), "sensors/a: done (1.2 ms, CPU 900 µs, memory 1.0 MiB)");
    }
}
