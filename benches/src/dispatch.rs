//! A message in the hub → a Rust component → its publish back in the hub, while messages are waiting.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use edgewit_domain::config::{LiveFullRule, Profile};
use edgewit_domain::control::Command;
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::{Filter, Topic};
use edgewit_gateway::{Bounds, Gateway, Stream};
use edgewit_sandbox::engine;

use crate::bed::{Folder, components, fixture};
use crate::figure::{Budget, Figure};
use crate::raw::Raw;
use crate::store::tell;

const ROUNDS: usize = 9;
const MESSAGES: usize = 50_000;
const PAYLOAD: &[u8; 64] = &[b'x'; 64];
const PATIENCE: Duration = Duration::from_secs(60);

pub const ROOMY: Bounds = Bounds { messages: 1_000_000, bytes: 1 << 30, full: LiveFullRule::DropOldest };

pub fn run() -> Result<Vec<Figure>> {
    let wasm = fs::read(fixture("echo")).context("the echo fixture; run `cargo xtask guests`")?;
    let raw = Raw::new(&engine::compiler(Profile::Standard)?, &wasm, "in", "out");
    let mut raw = raw.map_err(|error| anyhow!("{error:?}"))?;
    let folder = Folder::new(&components(1)?)?;
    let gateway = folder.start()?;
    let (mut component, mut native) = (Vec::new(), Vec::new());
    bare(&mut raw)?;
    through(&gateway)?;
    for _ in 0..ROUNDS {
        let bare = bare(&mut raw)?;
        component.push((through(&gateway)?, bare));
        native.push((through_closure(&gateway)?, bare));
    }
    gateway.shutdown();
    Ok(vec![
        Figure::beside("dispatch: through a component", "ns", &component, Budget::Ratio(2.0)),
        Figure::beside("dispatch: through a native closure", "ns", &native, Budget::None),
    ])
}

fn bare(raw: &mut Raw) -> Result<f64> {
    let before = raw.published();
    let started = Instant::now();
    for _ in 0..MESSAGES {
        raw.call(PAYLOAD).map_err(|error| anyhow!("{error:?}"))?;
    }
    let each = started.elapsed().as_nanos() as f64 / MESSAGES as f64;
    ensure!(raw.published() - before == MESSAGES as u64, "the component did not publish");
    Ok(each)
}

/// Nanoseconds a message, from the start of a component for which all of them wait to its last answer in a queue.
fn through(gateway: &Gateway) -> Result<f64> {
    let component = || "echo-0".to_owned();
    tell(gateway, Command::Stop { component: component() })?;
    let answers = wait_for_them(gateway, "in", "out")?;
    let delivered = gateway.hub().counts().delivered;
    let started = Instant::now();
    tell(gateway, Command::Start { component: component() })?;
    all_answered(gateway, &answers, delivered, started)
}

/// The same way with a thread of this process in the component's place.
fn through_closure(gateway: &Gateway) -> Result<f64> {
    let hub = gateway.hub();
    let questions = hub.subscribe(vec![Filter::parse("native/in")?], ROOMY);
    let answers = wait_for_them(gateway, "native/in", "native/out")?;
    let delivered = hub.counts().delivered;
    std::thread::scope(|scope| {
        let started = Instant::now();
        let closure = scope.spawn(|| -> Result<()> {
            let back = Topic::parse("native/out")?;
            let mut left = MESSAGES;
            while left > 0 {
                for question in questions.wait(64, PATIENCE) {
                    let answer = Message { topic: back.clone(), ..question.message.clone() };
                    hub.publish(answer, Origin::Service("bench".into()), Some(&question))?;
                    left -= 1;
                }
            }
            Ok(())
        });
        let each = all_answered(gateway, &answers, delivered, started)?;
        closure.join().map_err(|_| anyhow!("the closure panicked"))??;
        Ok(each)
    })
}

/// Publishes all messages, and returns where the answers will be.
fn wait_for_them(gateway: &Gateway, to: &str, back: &str) -> Result<Stream> {
    let answers = gateway.hub().subscribe(vec![Filter::parse(back)?], ROOMY);
    let topic = Topic::parse(to)?;
    for _ in 0..MESSAGES {
        gateway.hub().publish(Message::new(topic.clone(), *PAYLOAD), Origin::Operator, None)?;
    }
    Ok(answers)
}

fn all_answered(gateway: &Gateway, answers: &Stream, before: u64, started: Instant) -> Result<f64> {
    while gateway.hub().counts().delivered < before + MESSAGES as u64 {
        ensure!(started.elapsed() < PATIENCE, "not all messages were answered");
        std::thread::sleep(Duration::from_micros(500));
    }
    let each = started.elapsed().as_nanos() as f64 / MESSAGES as f64;
    ensure!(answers.take(usize::MAX).len() == MESSAGES && answers.dropped() == 0, "answers were dropped");
    Ok(each)
}
