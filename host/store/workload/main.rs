//! A process that commits and says what it was told, for the crash suite to record, to disturb and to cut.
//!
//! Each line on its standard output is one write, and the recording has it in its place among the writes to the disk:
//! `open`, `try N`, then `ok N`, `refused N`, `damaged N` or `unknown N`, and at the end `closed`.
//!
//! ```text
//! store-workload run ENGINE DIR SEED COMMITS     commits, then closes
//! store-workload open ENGINE DIR                 opens what is there and leaves it
//! store-workload look ENGINE DIR                 prints every row, in hexadecimal, and `sound` or `damaged`
//! store-workload full ENGINE DIR                 fills the disk, drains the store to empty, and fills it again
//! ```
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "part of the tests: what goes wrong is to be seen"
)]

use std::error::Error;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edgewit_store::{Batch, CommitError, Disk, Engine, IfAbsent, Kind};

mod full;
mod model;

/// What a commit of sled's may take here.
const PATIENCE: Duration = Duration::from_secs(3);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", engine, dir, seed, commits] => {
            run(kind(engine), Path::new(dir), seed.parse().unwrap(), commits.parse().unwrap());
        }
        ["open", engine, dir] => drop(open(kind(engine), Path::new(dir))),
        ["look", engine, dir] => look(kind(engine), Path::new(dir)),
        ["full", engine, dir] => full::run(kind(engine), Path::new(dir)),
        _ => say("store-workload run|open|look|full ENGINE DIR …"),
    }
}

fn kind(name: &str) -> Kind {
    Kind::ALL.into_iter().find(|kind| kind.name() == name).expect("sqlite or sled")
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn open(kind: Kind, dir: &Path) -> Option<Disk> {
    match Disk::open_within(dir, kind, IfAbsent::Create, PATIENCE) {
        Ok((disk, _)) => {
            say("open");
            Some(disk)
        }
        Err(error) => {
            say(&format!("not opened: {}", chain(&error)));
            None
        }
    }
}

fn run(kind: Kind, dir: &Path, seed: u64, commits: u64) {
    let Some(disk) = open(kind, dir) else { return };
    let engine = disk.engine();
    for number in 1..=commits {
        say(&format!("try {number}"));
        let said = commit(engine.as_ref(), &model::batch(seed, number));
        say(&format!("{said} {number}"));
    }
    let closed = disk.close();
    say(if closed.is_ok() { "closed" } else { "not closed" });
}

fn commit(engine: &dyn Engine, batch: &Batch) -> &'static str {
    match engine.commit(batch) {
        Ok(()) => "ok",
        Err(CommitError::Refused(_)) => "refused",
        Err(CommitError::Damaged { .. }) => "damaged",
        Err(CommitError::Unknown(_)) => "unknown",
    }
}

fn look(kind: Kind, dir: &Path) {
    let Some(disk) = open(kind, dir) else { return };
    let engine = disk.engine();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut rows = Vec::new();
    let scanned = engine.scan(&[], &[0xff; 64], &mut |key, value| {
        rows.push(format!("row {} {}", hex(key), hex(value)));
        ControlFlow::Continue(())
    });
    say(&rows.join("\n"));
    if let Err(error) = scanned {
        say(&format!("not read: {}", chain(&error)));
    }
    match engine.check(&(Arc::new(|_| ControlFlow::Continue(())) as _)) {
        Ok(checked) if checked.complete && checked.findings.is_empty() => say("sound"),
        _ => say("damaged"),
    }
}
