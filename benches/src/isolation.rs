//! What a good component notices of neighbours that spin and flood.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use edgewit_domain::control::{Command, Reply};
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::{Filter, Topic};
use edgewit_gateway::Gateway;

use crate::bed::{Folder, components};
use crate::dispatch::ROOMY;
use crate::figure::{Budget, Figure, quantile};
use crate::machine;

const ROUNDS: usize = 5;
const MESSAGES: usize = 3_000;
const EVERY: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);

pub fn run() -> Result<Vec<Figure>> {
    let alone = Folder::new(&components(1)?)?;
    let crowded = Folder::new(&format!("{}{NEIGHBOURS}", components(1)?))?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let quiet = undisturbed(&alone, false)?;
        rounds.push((undisturbed(&crowded, true)?, quiet));
    }
    Ok(vec![Figure::beside("isolation: p99, publish to answer", "ms", &rounds, Budget::Above(2.0))])
}

const NEIGHBOURS: &str = r#"
[component.spin]
artifact = "spin.wasm"
stateless = true
[component.spin.subscribe.in]
filter = "bad/spin"
delivery = "live"
[component.spin.grant.publish]
out = "spin/out"
[component.spin.restart]
quarantine = "never"
backoff = "1ms"
backoff-max = "1ms"
[component.flood]
artifact = "flood.wasm"
stateless = true
[component.flood.config]
count = 1000
[component.flood.subscribe.in]
filter = "bad/flood"
delivery = "live"
[component.flood.grant.publish]
out = "flood/out"
"#;

fn undisturbed(folder: &Folder, crowd: bool) -> Result<f64> {
    let gateway = folder.start()?;
    let p99 = machine::undisturbed(|| {
        let p99 = round(&gateway, crowd)?;
        eprintln!("    {}: p99 {p99:.3} ms", if crowd { "crowded" } else { "alone" });
        Ok(p99)
    })?;
    gateway.shutdown();
    Ok(p99)
}

/// Milliseconds from publish to answer at the ninety-ninth percentile, of messages that come one each millisecond.
fn round(gateway: &Gateway, crowd: bool) -> Result<f64> {
    let hub = gateway.hub();
    let answers = hub.subscribe(vec![Filter::parse("out")?], ROOMY);
    let topic = Topic::parse("in")?;
    let origin = Instant::now();
    let mut late = Vec::with_capacity(MESSAGES);
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| -> Result<()> {
            for number in 0..MESSAGES {
                let due = EVERY * number as u32;
                std::thread::sleep(due.saturating_sub(origin.elapsed()));
                if crowd {
                    hub.publish(Message::new(Topic::parse("bad/spin")?, *b"x"), Origin::Operator, None)?;
                    hub.publish(Message::new(Topic::parse("bad/flood")?, *b"x"), Origin::Operator, None)?;
                }
                let now = origin.elapsed().as_nanos() as u64;
                hub.publish(Message::new(topic.clone(), now.to_le_bytes()), Origin::Operator, None)?;
            }
            Ok(())
        });
        let deadline = origin + EVERY * MESSAGES as u32 + PATIENCE;
        while late.len() < MESSAGES && Instant::now() < deadline {
            for answer in answers.wait(64, EVERY * 100) {
                let sent = u64::from_le_bytes(answer.message.payload.as_slice().try_into()?);
                late.push((origin.elapsed().as_nanos() as u64).saturating_sub(sent) as f64 / 1e6);
            }
        }
        publisher.join().map_err(|_| anyhow::anyhow!("the publisher panicked"))?
    })?;
    ensure!(late.len() == MESSAGES, "{} of {MESSAGES} messages came back", late.len());
    if crowd {
        ensure_crowded(gateway)?;
    }
    Ok(quantile(late.into_iter(), 0.99))
}

/// A neighbour that did not misbehave would show nothing.
fn ensure_crowded(gateway: &Gateway) -> Result<()> {
    let Reply::Status(status) = gateway.command(Command::Status) else { bail!("no status") };
    let spin = status.components.get("spin").context("spin")?;
    let flood = status.components.get("flood").context("flood")?;
    ensure!(spin.restarts > 0, "the spinning neighbour did not spin");
    ensure!(flood.published > 10_000, "the flooding neighbour did not flood");
    Ok(())
}
