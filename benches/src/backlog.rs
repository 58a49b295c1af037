//! What a queue that holds a million messages costs: the next start after a kill, whoever publishes into it, and memory.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use edgewit_domain::control::{Command, Reply};
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::topic::Topic;
use edgewit_store::Kind;

use crate::bed::{Folder, Process};
use crate::figure::{Budget, Figure};
use crate::machine::pss;
use crate::store::{AWAY, ENDLESS, publish, roomy, until, uplink_queued};

const ROUNDS: usize = 7;
const MESSAGES: u64 = 1_000_000;
/// Messages that one handling says.
const EACH: u64 = 1_000;
/// Messages of which the log is full when the gateway is killed.
const LAST: usize = 500;
const SLICE: Duration = Duration::from_millis(400);
const PUBLISHERS: usize = 8;
/// Long enough for whatever a start leaves behind to be given back.
const SETTLED: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(300);

pub fn run() -> Result<Vec<Figure>> {
    let text = format!("{}{AWAY}[uplink.up]\nfilter = \"flood/#\"\nqos0 = true\n{ENDLESS}{FLOOD}", roomy(Kind::Sqlite));
    let (full, empty) = (Folder::new(&text)?, Folder::new(&text)?);
    fill(&full)?;
    start(&full)?;
    start(&empty)?;
    let (mut starts, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (full, empty) = (start(&full)?, start(&empty)?);
        starts.push((full.0, empty.0));
        memory.push((full.1, empty.1));
    }
    let publishing = publishing(&full, &empty)?;
    Ok(vec![
        Figure::beside("backlog: start after a kill, 1,000,000 wait", "ms", &starts, Budget::Above(500.0)),
        Figure::beside("backlog: memory, 1,000,000 wait", "MB", &memory, Budget::Above(5.0)),
        Figure::beside("backlog: publishing, 1,000,000 wait", "µs", &publishing, Budget::Ratio(1.3)),
    ])
}

const FLOOD: &str = r#"
[component.flood]
artifact = "flood.wasm"
config.count = 1000
grant.publish.out = "flood/out"
[component.flood.subscribe.go]
filter = "go"
delivery = "live"
queue = { messages = 1000000 }
"#;

fn fill(folder: &Folder) -> Result<()> {
    let gateway = folder.start()?;
    for _ in 0..MESSAGES / EACH {
        gateway.hub().publish(Message::new(Topic::parse("go")?, *b"x"), Origin::Operator, None)?;
    }
    until(&gateway, PATIENCE, |status| uplink_queued(status) == MESSAGES)?;
    gateway.shutdown();
    Ok(())
}

/// Milliseconds until a gateway that was killed answers again, and the megabytes that it takes.
fn start(folder: &Folder) -> Result<(f64, f64)> {
    let started = Instant::now();
    let process = folder.spawn()?;
    process.wait_until_running()?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    say_something(&process)?;
    std::thread::sleep(SETTLED);
    Ok((took, pss(process.id()) as f64 / 1e6))
}

fn say_something(process: &Process) -> Result<()> {
    let mut client = process.connect()?;
    for _ in 0..LAST {
        let (topic, payload) = ("flood/last".to_owned(), b"x".to_vec());
        match client.ask(&Command::Publish { topic, payload, qos: Qos::AtLeastOnce, retain: false })? {
            Reply::Done => {}
            other => bail!("{other:?}"),
        }
    }
    Ok(())
}

/// Microseconds a message, while as many publishers as share a sync wait for theirs.
fn publishing(full: &Folder, empty: &Folder) -> Result<Vec<(f64, f64)>> {
    let (full, empty) = (full.start()?, empty.start()?);
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let [full, empty] = [&full, &empty].map(|gateway| publish(gateway, "flood/more", PUBLISHERS, SLICE));
        rounds.push((full?.micros_each(), empty?.micros_each()));
    }
    let waiting = |gateway| -> Result<u64> { Ok(uplink_queued(&crate::store::status(gateway)?)) };
    ensure!(waiting(&full)? >= MESSAGES && waiting(&empty)? < MESSAGES / 2, "the queues are not what they should be");
    Ok(rounds)
}
