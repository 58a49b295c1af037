//! Shadows: what an update costs by itself, and until it is on disk and its answers are with who listens.
//!
//! One baseline writes what the gateway wrote: as many rows with a document in as many transactions, by the same engine
//! with nothing around it. Several clients are measured against as many that share the same store's commits in the same
//! way, each with a row of that size and nothing else to it: a retained message that nobody hears.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use edgewit_domain::config::LiveFullRule;
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::shadow::{Limits, RequestTopic, Stored, answer};
use edgewit_domain::topic::{Filter, Topic};
use edgewit_gateway::{Bounds, Gateway, Stream};
use edgewit_store::{Batch, Kind};

use crate::bed::Folder;
use crate::figure::{Budget, Figure, median};
use crate::reconcile;
use crate::store::{Bare, Done, again, key, roomy};

const ROUNDS: usize = 41;
const SLICE: Duration = Duration::from_millis(60);
const CLIENTS: usize = 8;
/// Updates of one round, alone.
const PURE: u32 = 2000;
/// What the listener may have waiting: it is emptied after each round.
const HEARD: Bounds = Bounds { messages: 4_000_000, bytes: 16 << 30, full: LiveFullRule::DropNewest };

pub fn run() -> Result<Vec<Figure>> {
    let (small, large) = (pure(2)?, pure(8)?);
    let (sqlite, sled) = (Taken::by(Kind::Sqlite)?, Taken::by(Kind::Sled)?);
    let mut figures = vec![
        Figure::alone("shadow: an update of 2 KB, pure", small, "µs", Budget::Value(30.0)),
        Figure::alone("shadow: an update of 8 KB, pure", large, "µs", Budget::None),
        Figure::beside("shadow: 1 client", "µs", &sqlite.one, Budget::Ratio(1.5)),
        Figure::beside("shadow: 8 clients, of group commits", "updates/s", &sqlite.group, Budget::Share(0.6)),
        Figure::beside("shadow: 8 clients, of the bare engine", "updates/s", &sqlite.many, Budget::None),
        Figure::beside("shadow: sled, 1 client", "µs", &sled.one, Budget::None),
        Figure::beside("shadow: sled, 8 clients", "updates/s", &sled.many, Budget::None),
    ];
    figures.extend(reconcile::run()?);
    Ok(figures)
}

/// A document of about so many KB, a third of it desired, in objects of ten members; and the updates that change one
/// member of it.
pub fn document(kilobytes: usize) -> String {
    let object = |number: usize| {
        let members: Vec<String> = (0..10).map(|member| format!("\"member{member}\":{}", number * member)).collect();
        format!("\"object{number}\":{{{}}}", members.join(","))
    };
    let count = kilobytes * 1024 / object(9).len();
    let section = |range: std::ops::Range<usize>| range.map(object).collect::<Vec<_>>().join(",");
    let (desired, reported) = (section(0..count / 3), section(count / 3..count));
    format!("{{\"state\":{{\"desired\":{{{desired}}},\"reported\":{{{reported}}}}}}}")
}

fn change(number: u64) -> String {
    format!(
        "{{\"state\":{{\"reported\":{{\"object5\":{{\"member5\":{number}}}}}}},\"clientToken\":\"client-{number}\"}}"
    )
}

/// Microseconds of an update: read, merged, compared, and every answer written.
fn pure(kilobytes: usize) -> Result<f64> {
    let topic = Topic::parse("$aws/things/bench/shadow/update")?;
    let topic = RequestTopic::parse(&topic).context("a request's topic")??;
    let limits = Limits { bytes: 16 << 10, ..Limits::default() };
    let first = answer(&topic, document(kilobytes).as_bytes(), None, 1, &limits).stored;
    let mut stored: Stored = first.context("the document is taken")?;
    let mut times = Vec::new();
    for round in 0..ROUNDS as u64 {
        let started = Instant::now();
        for number in 0..u64::from(PURE) {
            let outcome = answer(&topic, change(number).as_bytes(), Some(&stored), round, &limits);
            stored = black_box(outcome).stored.context("the change is taken")?;
        }
        times.push(started.elapsed().as_secs_f64() * 1e6 / f64::from(PURE));
    }
    Ok(median(times.into_iter()))
}

#[derive(Default)]
struct Taken {
    many: Vec<(f64, f64)>,
    group: Vec<(f64, f64)>,
    one: Vec<(f64, f64)>,
}

impl Taken {
    fn by(kind: Kind) -> Result<Taken> {
        let folder = Folder::new(&roomy(kind))?;
        let gateway = folder.start()?;
        let topics: Result<Vec<Topic>> = (0..CLIENTS)
            .map(|client| Ok(Topic::parse(format!("$aws/things/bench/shadow/name/client{client}/update"))?))
            .collect();
        let topics = topics?;
        topics.iter().try_for_each(|topic| ask(&gateway, topic, document(2)))?;
        let heard = gateway.hub().subscribe(vec![Filter::parse("$aws/things/bench/shadow/#")?], HEARD);
        let row = row(&gateway)?;
        let mut bare = Loop { row, bare: Bare::new(kind)?, written: 0 };
        let (mut taken, mut batches) = (Taken::default(), Vec::new());
        for _ in 0..ROUNDS {
            let many = update(&gateway, &topics, &heard)?;
            batches.push(many.messages as f64 / many.commits as f64);
            taken.many.push((many.per_second(), bare.all(many)?.per_second()));
            taken.group.push((many.per_second(), keep(&gateway, &bare.row)?.per_second()));
            let one = update(&gateway, topics.get(..1).unwrap_or_default(), &heard)?;
            taken.one.push((one.micros_each(), bare.all(one)?.micros_each()));
        }
        drop(heard);
        gateway.shutdown();
        eprintln!("    {kind}: {:.1} updates of 8 clients in a transaction", median(batches.into_iter()));
        Ok(taken)
    }
}

fn ask(gateway: &Gateway, topic: &Topic, payload: String) -> Result<()> {
    let message = Message { qos: Qos::AtLeastOnce, ..Message::new(topic.clone(), payload) };
    gateway.hub().publish(message, Origin::Operator, None)?;
    Ok(())
}

/// A client for each topic, which asks when what it asked before is on disk and was delivered. Every answer has come
/// when it returns.
fn update(gateway: &Gateway, topics: &[Topic], heard: &Stream) -> Result<Done> {
    let (asked, commits) = (AtomicU64::new(0), gateway.hub().counts().commits);
    let started = Instant::now();
    let client = |topic: &Topic| -> Result<()> {
        while started.elapsed() < SLICE {
            ask(gateway, topic, change(asked.fetch_add(1, Ordering::Relaxed)))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = topics.iter().map(|topic| scope.spawn(|| client(topic))).collect();
        clients.into_iter().try_for_each(|client| client.join().unwrap_or_else(|_| bail!("a client panicked")))
    })?;
    let took = started.elapsed();
    let (messages, commits) = (asked.into_inner(), gateway.hub().counts().commits - commits);
    // The request itself, what differs, the documents, and that it was accepted.
    let came = heard.take(usize::MAX).len() as u64;
    if came < 4 * messages {
        bail!("{came} messages came of {messages} updates");
    }
    Ok(Done { messages, commits, took })
}

/// As many clients, each of which keeps a row when the one before is on disk.
fn keep(gateway: &Gateway, row: &[u8]) -> Result<Done> {
    let (kept, commits) = (AtomicU64::new(0), gateway.hub().counts().commits);
    let started = Instant::now();
    let client = |client: usize| -> Result<()> {
        let topic = Topic::parse(format!("bench/kept/{client}"))?;
        while started.elapsed() < SLICE {
            let number = kept.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            // What does not change would not be written.
            let payload = [number.as_slice(), row.get(number.len()..).unwrap_or_default()].concat();
            let message = Message { retain: true, ..Message::new(topic.clone(), payload) };
            gateway.hub().publish(message, Origin::Operator, None)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().try_for_each(|client| client.join().unwrap_or_else(|_| bail!("a client panicked")))
    })?;
    let (messages, took) = (kept.load(Ordering::Relaxed), started.elapsed());
    Ok(Done { messages, commits: gateway.hub().counts().commits - commits, took })
}

/// A document as it lies in the gateway's store.
fn row(gateway: &Gateway) -> Result<Vec<u8>> {
    let topic = Topic::parse("$aws/things/bench/shadow/name/client0/get")?;
    let answers =
        gateway.hub().subscribe(vec![Filter::parse("$aws/things/bench/shadow/name/client0/get/accepted")?], HEARD);
    ask(gateway, &topic, String::new())?;
    let answer = answers.take(1).pop().context("the document")?;
    // With its metadata and what differs it is longer than what is stored: the state alone is what is written.
    Ok(vec![b'x'; answer.message.payload.len() / 3])
}

/// As many rows in as many transactions, without a gateway.
struct Loop {
    row: Vec<u8>,
    bare: Bare,
    written: u64,
}

impl Loop {
    fn all(&mut self, like: Done) -> Result<Done> {
        let put = |batch: &mut Batch| {
            self.written += 1;
            // What does not change would not be written.
            self.row.splice(..8, self.written.to_be_bytes());
            batch.put(&key(1, self.written % CLIENTS as u64), &self.row);
        };
        again(like, put, |batch| Ok(self.bare.engine.commit(batch)?))
    }
}
