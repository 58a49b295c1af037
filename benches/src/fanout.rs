//! One publish to many readers, and one publish among many filters.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, ensure};
use edgewit_domain::message::{Envelope, Message, MessageId, Origin, WallTime};
use edgewit_domain::routing::{Plan, ReaderId, Route, RoutingTable};
use edgewit_domain::topic::{Filter, Topic};

use crate::bed::Folder;
use crate::dispatch::ROOMY;
use crate::figure::{Budget, Figure};

const ROUNDS: usize = 9;
const READERS: usize = 1_000;
const PUBLISHES: usize = 200;

pub fn run() -> Result<Vec<Figure>> {
    Ok(vec![readers()?, filters()?])
}

/// Against a bare loop that puts a shared pointer into as many locked queues.
fn readers() -> Result<Figure> {
    let folder = Folder::new("")?;
    let gateway = folder.start()?;
    let hub = gateway.hub();
    let streams = (0..READERS).map(|_| Ok(hub.subscribe(vec![Filter::parse("fan/out")?], ROOMY)));
    let streams = streams.collect::<Result<Vec<_>>>()?;
    let bare: Vec<Mutex<VecDeque<Arc<Message>>>> = (0..READERS).map(|_| Mutex::default()).collect();
    let topic = Topic::parse("fan/out")?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..PUBLISHES {
            hub.publish(Message::new(topic.clone(), *b"payload"), Origin::Operator, None)?;
        }
        let through_hub = started.elapsed();
        let started = Instant::now();
        for _ in 0..PUBLISHES {
            let message = Arc::new(Message::new(topic.clone(), *b"payload"));
            for queue in &bare {
                queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(message.clone());
            }
        }
        let pushes = (PUBLISHES * READERS) as f64;
        rounds.push((through_hub.as_nanos() as f64 / pushes, started.elapsed().as_nanos() as f64 / pushes));
        let taken: usize = streams.iter().map(|stream| stream.take(usize::MAX).len()).sum();
        ensure!(taken == PUBLISHES * READERS, "{taken} deliveries");
        bare.iter().for_each(|queue| queue.lock().unwrap_or_else(PoisonError::into_inner).clear());
    }
    drop(streams);
    gateway.shutdown();
    Ok(Figure::beside("fan-out: each of 1,000 readers", "ns", &rounds, Budget::None))
}

fn filters() -> Result<Figure> {
    let (few, many) = (table(1_000)?, table(100_000)?);
    let messages: Vec<Envelope> =
        (0..1_000).map(|n| envelope(&format!("plant/{n}/sensor/{}", n % 7))).collect::<Result<_>>()?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push((plan_all(&many, &messages)?, plan_all(&few, &messages)?));
    }
    Ok(Figure::beside("fan-out: routing, 100,000 filters", "ns", &rounds, Budget::Ratio(2.0)))
}

/// Every topic of `plant/0…999/sensor/0…6` is matched by one filter of its own plant and one for all.
fn table(size: u32) -> Result<RoutingTable> {
    let mut table = RoutingTable::new();
    let mut add = |number: u32, filter: String| -> Result<()> {
        let filter = Filter::parse(filter)?;
        table.insert(Route {
            reader: ReaderId::Live { place: number, turn: 0 },
            filter,
            owner: None,
            own: true,
            qos0: true,
        });
        Ok(())
    };
    add(size, "plant/+/sensor/#".into())?;
    for number in 0..size {
        match number {
            0..1_000 => add(number, format!("plant/{number}/sensor/+"))?,
            _ => add(number, format!("plant/{}/valve/{}/state", number % 5_000, number))?,
        }
    }
    Ok(table)
}

fn envelope(topic: &str) -> Result<Envelope> {
    Ok(Envelope::new(
        Message::new(Topic::parse(topic)?, *b"payload"),
        MessageId { epoch: 0, number: 0 },
        Origin::Operator,
        WallTime { unix_ms: 0, trusted: true },
    ))
}

fn plan_all(table: &RoutingTable, messages: &[Envelope]) -> Result<f64> {
    let started = Instant::now();
    let mut matches = 0;
    for _ in 0..20 {
        for message in messages {
            match black_box(table.plan(message)) {
                Plan::Readers(readers) => matches += readers.len(),
                Plan::Circle(_) => {}
            }
        }
    }
    let plans = (20 * messages.len()) as f64;
    ensure!(matches as f64 == plans * 2.0, "{matches} matches");
    Ok(started.elapsed().as_nanos() as f64 / plans)
}
