//! `edgewit top`: the figures as they move. A picture on a terminal, plain lines elsewhere.
//!
//! The gateway counts; what is a rate here is the difference of two counts. A thread of its own asks, so that a
//! gateway that does not answer never keeps the terminal.

mod screen;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use edgewit_domain::control::{Command, ComponentStatus, Reply, Status};
use edgewit_gateway::control::Client;
use serde::Serialize;
use tokio::sync::mpsc::{Receiver, channel};

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Look};
use crate::table::Align::{Left, Right};
use crate::table::{Cell, Table};
use crate::{status, units};

/// Watch the components: rates, handling times, CPU, memory, queues
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit top
  edgewit top --once --json

On a terminal `q` or Ctrl-C ends it. Handling times (p50, p99) are since the start of the gateway, rates over the \
last interval.")]
pub struct Args {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    format: Format,
    /// Measure over one interval, print it, and end
    #[arg(long)]
    once: bool,
    /// Seconds between two pictures
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

/// The gateway at one moment.
struct Sample {
    at: Instant,
    status: Status,
}

/// What happened between two samples, for programs.
#[derive(Serialize)]
struct Frame<'a> {
    thing: &'a str,
    uptime_ms: u64,
    messages_per_second: f64,
    components: BTreeMap<&'a str, Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    state: &'static str,
    messages_per_second: f64,
    cpu_percent: f64,
    #[serde(skip)]
    now: &'a ComponentStatus,
    p50_us: u64,
    p99_us: u64,
    memory: u64,
    queued: u64,
    restarts: u64,
}

pub fn top(args: &Args) -> Outcome {
    let mut samples = sample(args.gateway.connect()?, Duration::from_secs(args.interval))?;
    let mut before = next(samples.blocking_recv())?;
    if std::io::stdout().is_terminal() && !args.once && !args.format.json {
        return screen::show(samples, before);
    }
    loop {
        let now = next(samples.blocking_recv())?;
        let frame = Frame::between(&before, &now);
        match (args.format.json, args.once) {
            (true, true) => output::document(&frame)?,
            (true, false) => output::json_line(&frame)?,
            (false, true) => output::print(&frame.render(&now.status, Look::of_stdout()))?,
            (false, false) => output::line(&frame.render(&now.status, Look::of_stdout()))?,
        }
        if args.once {
            return Ok(Exit::Ok);
        }
        before = now;
    }
}

/// Asks the gateway at intervals until nobody listens.
fn sample(mut client: Client, interval: Duration) -> anyhow::Result<Receiver<anyhow::Result<Sample>>> {
    let (sender, receiver) = channel(1);
    std::thread::Builder::new().name("sampler".into()).spawn(move || {
        loop {
            let status = match connect::ask(&mut client, &Command::Status) {
                Ok(Reply::Status(status)) => Ok(Sample { at: Instant::now(), status: *status }),
                Ok(other) => Err(connect::unexpected(&other)),
                Err(error) => Err(error),
            };
            let over = status.is_err();
            if sender.blocking_send(status).is_err() || over {
                return;
            }
            std::thread::sleep(interval);
        }
    })?;
    Ok(receiver)
}

fn next(sample: Option<anyhow::Result<Sample>>) -> anyhow::Result<Sample> {
    sample.unwrap_or_else(|| Err(Failure::new(Exit::Unavailable, "the gateway is no longer asked", "").into()))
}

impl<'a> Frame<'a> {
    fn between(before: &Sample, now: &'a Sample) -> Self {
        let seconds = now.at.duration_since(before.at).as_secs_f64().max(1e-3);
        let row = |(name, component): (&'a String, &'a ComponentStatus)| {
            (name.as_str(), Row::between(before.status.components.get(name), component, seconds))
        };
        Frame {
            thing: &now.status.thing,
            uptime_ms: now.status.uptime_ms,
            messages_per_second: per_second(before.status.messages, now.status.messages, seconds),
            components: now.status.components.iter().map(row).collect(),
        }
    }

    fn render(&self, status: &Status, look: Look) -> String {
        let mut table = Table::new(&[
            ("COMPONENT", Left),
            ("STATE", Left),
            ("MSG/S", Right),
            ("P50", Right),
            ("P99", Right),
            ("CPU %", Right),
            ("MEMORY", Right),
            ("QUEUED", Right),
            ("RESTARTS", Right),
        ]);
        for (name, row) in &self.components {
            table.row([
                Cell::from(name),
                status::state(row.now),
                units::rate(row.messages_per_second).into(),
                units::microseconds(row.p50_us).into(),
                units::microseconds(row.p99_us).into(),
                units::rate(row.cpu_percent).into(),
                units::bytes(row.memory).into(),
                units::count(row.queued).into(),
                units::count(row.restarts).into(),
            ]);
        }
        let headline = status::headline(status, Some(self.messages_per_second), look);
        format!("{headline}\n\n{}", table.render(look))
    }
}

impl<'a> Row<'a> {
    /// A component that was not there before has counted from nothing.
    fn between(before: Option<&ComponentStatus>, now: &'a ComponentStatus, seconds: f64) -> Self {
        let calls = |status: &ComponentStatus| status.handled + status.failed + status.rejected;
        let cpu_ms = per_second(before.map_or(0, |before| before.cpu_ms), now.cpu_ms, seconds);
        Row {
            state: now.state.word(),
            messages_per_second: per_second(before.map_or(0, calls), calls(now), seconds),
            cpu_percent: cpu_ms / 10.0,
            now,
            p50_us: now.p50_us,
            p99_us: now.p99_us,
            memory: now.memory,
            queued: now.queued,
            restarts: now.restarts,
        }
    }
}

fn per_second(before: u64, now: u64, seconds: f64) -> f64 {
    now.saturating_sub(before) as f64 / seconds
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn two_samples() -> (Sample, Sample) {
        let at = Instant::now();
        let before = Sample { at, status: status::sample() };
        let mut status = status::sample();
        status.messages += 2_500;
        for component in status.components.values_mut().filter(|component| component.handled > 0) {
            component.handled += 2_000;
            component.cpu_ms += 250;
        }
        (before, Sample { at: at + Duration::from_secs(2), status })
    }

    #[test]
    fn rates_are_differences_over_the_interval() {
        let (before, now) = two_samples();
        let frame = Frame::between(&before, &now);
        expect![[r#"
            gw-cellar-7  edgewit 0.1.0  up 2h 03m  101,265 messages, 1,250/s  --dev: unsigned components run

            COMPONENT  STATE        MSG/S    P50     P99  CPU %   MEMORY  QUEUED  RESTARTS
            alarm      backoff        0.0   0 µs    0 µs    0.0      0 B       0         1
            average    running      1,000  42 µs  1.9 ms   12.5  1.2 MiB       3         1
            export     refused        0.0   0 µs    0 µs    0.0      0 B       0         1
            full       refused        0.0   0 µs    0 µs    0.0      0 B       0         1
            spin       quarantined    0.0   0 µs    0 µs    0.0      0 B       0         1
            swap       running        0.0   0 µs    0 µs    0.0      0 B       0         1
            valve      stopped        0.0   0 µs    0 µs    0.0      0 B       0         1
        "#]]
        .assert_eq(&frame.render(&now.status, Look::default()));
    }

    #[test]
    fn programs_get_bare_numbers() {
        let (before, mut now) = two_samples();
        now.status.components.retain(|name, _| name == "average");
        let frame = Frame::between(&before, &now);
        expect![[r#"
            {
              "thing": "gw-cellar-7",
              "uptime_ms": 7384000,
              "messages_per_second": 1250.0,
              "components": {
                "average": {
                  "state": "running",
                  "messages_per_second": 1000.0,
                  "cpu_percent": 12.5,
                  "p50_us": 42,
                  "p99_us": 1900,
                  "memory": 1310720,
                  "queued": 3,
                  "restarts": 1
                }
              }
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&frame).unwrap());
    }

    #[test]
    fn a_gateway_that_was_restarted_in_between_has_no_negative_rates() {
        let (now, before) = two_samples();
        let now = Sample { at: before.at + Duration::from_secs(1), ..now };
        assert_eq!(Frame::between(&before, &now).messages_per_second, 0.0);
    }
}
