//! What the benches of the store share: publishers that wait for the disk, and the engine and a file without a gateway.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use edgewit_domain::control::{Command, Reply, Status};
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::topic::Topic;
use edgewit_gateway::Gateway;
use edgewit_store::{Batch, Disk, Engine, IfAbsent, Kind};
use tempfile::TempDir;

pub static PAYLOAD: [u8; 256] = [b'x'; 256];
/// Publishers that fill a queue: as many share a sync.
const FILLERS: usize = 256;
/// Bytes of a file that is written in place, as an engine's log is.
const FILE: u64 = 4 << 20;

/// Room for whatever a bench puts in.
pub fn roomy(kind: Kind) -> String {
    format!("[store]\nengine = \"{kind}\"\nbytes = \"64GiB\"\n")
}

/// `queue` of a subscription or rule that takes whatever comes.
pub const ENDLESS: &str = "queue = { messages = 100000000, bytes = \"64GiB\" }\n";

/// A cloud at which nobody listens.
pub const AWAY: &str = "[cloud.away]\nbroker = \"mqtt://127.0.0.1:1\"\n";

/// What publishers got done.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    pub messages: u64,
    pub commits: u64,
    pub took: Duration,
}

impl Done {
    pub fn per_second(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    pub fn micros_each(&self) -> f64 {
        self.took.as_secs_f64() * 1e6 / self.messages as f64
    }
}

/// Publishers that say one message after the other, each when the one before is on disk, for at least so long.
pub fn publish(gateway: &Gateway, topic: &str, publishers: usize, time: Duration) -> Result<Done> {
    say(gateway, topic, publishers, |_, started| started.elapsed() < time)
}

/// Publishes so many, and returns when they are on disk.
pub fn fill(gateway: &Gateway, topic: &str, count: u64) -> Result<()> {
    say(gateway, topic, FILLERS, |number, _| number < count).map(drop)
}

fn say(
    gateway: &Gateway,
    topic: &str,
    publishers: usize,
    goes_on: impl Fn(u64, Instant) -> bool + Sync,
) -> Result<Done> {
    let (hub, topic) = (gateway.hub(), Topic::parse(topic)?);
    let (said, commits) = (AtomicU64::new(0), hub.counts().commits);
    let started = Instant::now();
    let publisher = || -> Result<()> {
        while goes_on(said.fetch_add(1, Ordering::Relaxed), started) {
            let message = Message { qos: Qos::AtLeastOnce, ..Message::new(topic.clone(), PAYLOAD) };
            hub.publish(message, Origin::Operator, None)?;
        }
        said.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..publishers).map(|_| scope.spawn(publisher)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a publisher panicked")))
    })?;
    let took = started.elapsed();
    Ok(Done { messages: said.into_inner(), commits: hub.counts().commits - commits, took })
}

pub fn tell(gateway: &Gateway, command: Command) -> Result<()> {
    match gateway.command(command) {
        Reply::Done => Ok(()),
        other => bail!("{other:?}"),
    }
}

pub fn status(gateway: &Gateway) -> Result<Status> {
    match gateway.command(Command::Status) {
        Reply::Status(status) => Ok(*status),
        other => bail!("{other:?}"),
    }
}

/// Waits until a figure of the status says so, and returns when.
pub fn until(gateway: &Gateway, patience: Duration, holds: impl Fn(&Status) -> bool) -> Result<Instant> {
    let deadline = Instant::now() + patience;
    loop {
        let status = status(gateway)?;
        let now = Instant::now();
        if holds(&status) {
            return Ok(now);
        }
        if now > deadline {
            bail!("waited in vain: {status:?}");
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// So many messages wait in the only uplink.
pub fn uplink_queued(status: &Status) -> u64 {
    status.clouds.values().flat_map(|cloud| cloud.uplinks.values()).map(|uplink| uplink.queued).sum()
}

/// The value of one message's row, as it lies in this store, which nobody has open.
pub fn row_of_a_message(store: &Path, kind: Kind) -> Result<Vec<u8>> {
    let (disk, _reserve) = Disk::open(store, kind, IfAbsent::Refuse)?;
    let mut found = None;
    disk.engine().scan(b"r", b"s", &mut |_, value| {
        found = Some(value.to_vec());
        ControlFlow::Break(())
    })?;
    disk.close()?;
    found.context("there is no row of a message")
}

/// The engine that the gateway has, in a folder of its own.
pub struct Bare {
    _folder: TempDir,
    pub engine: Arc<dyn Engine>,
    _disk: Disk,
}

impl Bare {
    pub fn new(kind: Kind) -> Result<Bare> {
        let folder = tempfile::tempdir()?;
        let (disk, _reserve) = Disk::open(folder.path(), kind, IfAbsent::Create)?;
        Ok(Bare { engine: disk.engine(), _folder: folder, _disk: disk })
    }
}

/// The key of a row, shaped as the gateway's.
pub fn key(queue: u32, number: u64) -> [u8; 13] {
    let mut key = [b'r'; 13];
    key[1..5].copy_from_slice(&queue.to_be_bytes());
    key[5..].copy_from_slice(&number.to_be_bytes());
    key
}

/// As many rows in as many transactions, without a gateway: `put` adds a row.
pub fn again(
    like: Done,
    mut put: impl FnMut(&mut Batch),
    mut commit: impl FnMut(&Batch) -> Result<()>,
) -> Result<Done> {
    let mut batch = Batch::new();
    let started = Instant::now();
    for part in parts(like.messages, like.commits) {
        batch.clear();
        part.for_each(|_| put(&mut batch));
        commit(&batch)?;
    }
    Ok(Done { took: started.elapsed(), ..like })
}

/// So many in so many parts, as equal as they can be.
pub fn parts(whole: u64, parts: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..parts).map(move |part| whole * part / parts..whole * (part + 1) / parts)
}

/// A file that is written in place, and synced after each write.
pub struct BareFile {
    file: File,
    _folder: TempDir,
    at: u64,
}

impl BareFile {
    pub fn new() -> Result<BareFile> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("log");
        fs::write(&path, vec![1; FILE as usize])?;
        let file = File::options().write(true).open(path)?;
        file.sync_all()?;
        Ok(BareFile { file, _folder: folder, at: 0 })
    }

    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        let bytes = vec![2; batch.bytes()];
        if self.at + bytes.len() as u64 > FILE {
            self.at = 0;
        }
        self.file.write_all_at(&bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(self.file.sync_data()?)
    }
}
