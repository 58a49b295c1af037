//! How large the store's files get while many messages go through a queue that holds few.
//!
//! A component says them faster than the other handles them, so that the queue is full throughout: what is handled is
//! deleted one way, what is dropped the other.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::Topic;
use edgewit_gateway::Gateway;
use edgewit_store::Kind;

use crate::bed::Folder;
use crate::figure::{Budget, Figure};
use crate::store::{roomy, status, until};

const MESSAGES: u64 = 2_000_000;
/// sled's log outgrows the budget long before, and goes on growing.
const MESSAGES_SLED: u64 = 200_000;
/// Messages that one handling says, and handlings that are asked for at once.
const EACH: u64 = 50;
const AT_ONCE: u64 = 8;
const LOOK_EVERY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run() -> Result<Vec<Figure>> {
    let sqlite = largest(Kind::Sqlite, MESSAGES)?;
    let sled = largest(Kind::Sled, MESSAGES_SLED)?;
    Ok(vec![
        Figure::alone("churn: files, 2,000,000 through 1,000", sqlite, "MB", Budget::Value(16.0)),
        Figure::alone("churn: sled, 200,000 through 1,000", sled, "MB", Budget::None),
    ])
}

const COMPONENTS: &str = r#"
[component.says]
artifact = "flood.wasm"
config.count = 50
grant.publish.out = "flood/out"
[component.says.subscribe.go]
filter = "go"
delivery = "live"
[component.handles]
artifact = "counter.wasm"
grant.publish.out = "counter/out"
[component.handles.subscribe.in]
filter = "flood/out"
delivery = "durable"
qos0 = true
queue = { messages = 1000, full = "drop-oldest" }
"#;

/// Megabytes of all files of the store together, at any time, the space held back included.
fn largest(kind: Kind, messages: u64) -> Result<f64> {
    let folder = Folder::new(&format!("{}{COMPONENTS}", roomy(kind)))?;
    let gateway = folder.start()?;
    let over = AtomicBool::new(false);
    let (store, started) = (folder.store(), Instant::now());
    let (most, said) = std::thread::scope(|scope| {
        let look = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(bytes(&store));
                std::thread::sleep(LOOK_EVERY);
            }
            most
        });
        let said = say(&gateway, messages);
        over.store(true, Ordering::Relaxed);
        (look.join().unwrap_or(u64::MAX), said)
    });
    said?;
    let handled = status(&gateway)?.components.get("handles").map_or(0, |handles| handles.handled);
    ensure!(handled > 0, "nothing of it was handled");
    let took = started.elapsed().as_secs_f64();
    eprintln!(
        "    {kind}: {messages} messages in {took:.1} s, {handled} handled and the rest dropped; {:.1} MB at the end",
        bytes(&store) as f64 / 1e6
    );
    gateway.shutdown();
    Ok(most as f64 / 1e6)
}

fn say(gateway: &Gateway, messages: u64) -> Result<()> {
    let go = Topic::parse("go")?;
    let mut asked = 0;
    while asked * EACH < messages {
        for _ in 0..AT_ONCE {
            gateway.hub().publish(Message::new(go.clone(), *b"x"), Origin::Operator, None)?;
        }
        asked += AT_ONCE;
        until(gateway, PATIENCE, |status| {
            status.components.get("says").is_some_and(|says| says.handled == asked && says.queued == 0)
        })?;
    }
    Ok(())
}

/// A file may go while it is looked at.
fn bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}
