//! What waits in a durable queue goes through two components into an uplink's queue, on disk at each step.
//!
//! The baseline writes and deletes the same rows in as many transactions, by the same engine with nothing around it:
//! each message leaves the first queue and enters the second in one transaction, and leaves the second and enters the
//! third in the next.

use std::iter::once;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use edgewit_domain::control::Command;
use edgewit_store::{Batch, Kind};

use crate::bed::Folder;
use crate::figure::{Budget, Figure, median};
use crate::store::{AWAY, Bare, Done, ENDLESS, fill, key, parts, roomy, row_of_a_message, tell, until, uplink_queued};

/// Many short ones: a disk that others use is another one every second.
const ROUNDS: usize = 21;
const MESSAGES: u64 = 5_000;
const PATIENCE: Duration = Duration::from_secs(300);

pub fn run() -> Result<Vec<Figure>> {
    let (sqlite, sled) = (rounds(Kind::Sqlite)?, rounds(Kind::Sled)?);
    Ok(vec![
        Figure::beside("chain: two components, durable", "msg/s", &sqlite, Budget::Share(0.6)),
        Figure::beside("chain: sled, two components, durable", "msg/s", &sled, Budget::None),
    ])
}

fn rounds(kind: Kind) -> Result<Vec<(f64, f64)>> {
    let text = format!(
        "{}{AWAY}[uplink.up]\nfilter = \"up\"\n{ENDLESS}{}{}",
        roomy(kind),
        link("first", "in", "middle"),
        link("second", "middle", "up")
    );
    let folder = Folder::new(&text)?;
    let gateway = folder.start()?;
    tell(&gateway, Command::Stop { component: "first".into() })?;
    fill(&gateway, "in", 1)?;
    gateway.shutdown();
    let row = row_of_a_message(&folder.store(), kind)?;
    let gateway = folder.start()?;
    let mut bare = Loop { row, bare: Bare::new(kind)?, through: 0 };
    let mut through = 1;
    until(&gateway, PATIENCE, |status| uplink_queued(status) == through)?;
    let (mut rounds, mut handled) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        tell(&gateway, Command::Stop { component: "first".into() })?;
        fill(&gateway, "in", MESSAGES)?;
        through += MESSAGES;
        let commits = gateway.hub().counts().commits;
        let started = Instant::now();
        tell(&gateway, Command::Start { component: "first".into() })?;
        let took = until(&gateway, PATIENCE, |status| uplink_queued(status) == through)? - started;
        let done = Done { messages: MESSAGES, commits: gateway.hub().counts().commits - commits, took };
        ensure!(done.commits > 1, "it was all one transaction");
        handled.push(2.0 * MESSAGES as f64 / done.commits as f64);
        rounds.push((done.per_second(), bare.run(done)?.per_second()));
    }
    gateway.shutdown();
    eprintln!("    {kind}: {:.1} handlings in a transaction", median(handled.into_iter()));
    Ok(rounds)
}

fn link(name: &str, from: &str, to: &str) -> String {
    format!(
        "[component.{name}]\nartifact = \"echo.wasm\"\nconfig.to = \"{to}\"\ngrant.publish.to = \"{to}\"\n\
         [component.{name}.subscribe.in]\nfilter = \"{from}\"\ndelivery = \"durable\"\n{ENDLESS}"
    )
}

struct Loop {
    row: Vec<u8>,
    bare: Bare,
    through: u64,
}

impl Loop {
    fn run(&mut self, like: Done) -> Result<Done> {
        let (first, mut batch) = (self.through, Batch::new());
        let put = |batch: &mut Batch, queue, number| batch.put(&key(queue, first + number), &self.row);
        for part in parts(like.messages, like.messages.div_ceil(256)) {
            batch.clear();
            part.for_each(|number| put(&mut batch, 1, number));
            self.bare.engine.commit(&batch)?;
        }
        let started = Instant::now();
        let mut in_the_middle = 0..0;
        for part in parts(like.messages, like.commits - 1).chain(once(0..0)) {
            batch.clear();
            for number in part.clone() {
                batch.delete(&key(1, first + number));
                put(&mut batch, 2, number);
            }
            for number in in_the_middle {
                batch.delete(&key(2, first + number));
                put(&mut batch, 3, number);
            }
            in_the_middle = part;
            self.bare.engine.commit(&batch)?;
        }
        let took = started.elapsed();
        self.through += like.messages;
        Ok(Done { took, ..like })
    }
}
