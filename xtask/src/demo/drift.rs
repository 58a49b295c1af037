//! How much sooner than `threshold` does `anomaly` see a sensor drift? Measured on a gateway of its own, by what the
//! components say and nothing else.
//!
//! No outcome hangs on how fast this machine is: readings wait on disk, each component takes them in their order, and when
//! something was said is told in readings that its speaker had taken.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::gateway::Gateway;
use super::lead::Rooms;
use super::{FRAME, PATIENCE, STATUS_EVERY, examples, put};
use crate::process::{root, say};

/// Readings of each room.
const SAMPLES: u64 = 600;
/// Deliveries that a component may have handled and the gateway not yet committed.
const BATCH: u64 = 64;
/// A message that no room sends: what comes before it was published before it.
const MARK: &str = "demo/end";

/// The sentence that says it; none when somebody ends it. An outcome that is not good enough is an error.
pub fn measure(guests: &Path, stop: &AtomicBool) -> Result<Option<String>> {
    let folder = root().join("target/cold-room-drift");
    let configuration = fs::read_to_string(examples().join("drift.toml")).context("the scenario")?;
    let mut rooms = Rooms::of(&configuration)?;
    put(&folder, &asleep(&configuration)?, guests, &["sensors.wasm", "window.wasm", "threshold.wasm", "anomaly.wasm"])?;
    say(format!("how soon is a drift seen? {}, {SAMPLES} samples of each", rooms.described()));
    let mut gateway = Gateway::start(&folder)?;
    let seen = follow(&mut gateway, &mut rooms, &configuration, stop);
    let log = gateway.log();
    gateway.end()?;
    if !seen.with_context(|| format!("the gateway's log is {}", log.display()))? {
        return Ok(None);
    }
    rooms.lead()?.sentence().map(Some)
}

/// With sensors that sleep: the readings that nobody listens to yet would be the first, and nobody would have counted them.
fn asleep(configuration: &str) -> Result<String> {
    let (awake, asleep) = ("every = \"20ms\"", "every = \"1h\"");
    if !configuration.contains(awake) {
        bail!("the scenario's sensors have no `{awake}`");
    }
    Ok(configuration.replace(awake, asleep))
}

/// Until every room has had its samples; false when somebody ended it before.
fn follow(gateway: &mut Gateway, rooms: &mut Rooms, configuration: &str, stop: &AtomicBool) -> Result<bool> {
    gateway.wait_until_it_answers()?;
    let messages = gateway.messages(&["averages/+", "anomalies/+", "alerts/+", MARK])?;
    listens(gateway, &messages, rooms)?;
    gateway.configure(configuration)?;
    let (mut handled, mut asked, mut got_on) = (0, Instant::now(), Instant::now());
    let mut told = Instant::now();
    let everything = rooms.count() * SAMPLES;
    while handled < everything + BATCH || !rooms.has_all_alerts() {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        take(&messages, rooms)?;
        if asked.elapsed() < STATUS_EVERY / 4 {
            continue;
        }
        asked = Instant::now();
        if let Some(now) = handled_by_watch(gateway)?
            && now > handled
        {
            (handled, got_on) = (now, Instant::now());
        }
        if got_on.elapsed() > PATIENCE {
            bail!("`watch` has taken {handled} readings of {everything}, and none for a while");
        }
        if told.elapsed() > 2 * STATUS_EVERY {
            told = Instant::now();
            say(rooms.progress(handled / rooms.count(), SAMPLES));
        }
    }
    listens(gateway, &messages, rooms)?;
    Ok(true)
}

/// Returns when everything that the gateway has published until now was taken.
fn listens(gateway: &Gateway, messages: &Receiver<String>, rooms: &mut Rooms) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // The listener may be too young to have heard the one before.
        gateway.tell(&["pub", MARK, ""])?;
        if take(messages, rooms)? {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("what is published does not come");
        }
    }
}

/// A few messages, or a while without; true when it was the last.
fn take(messages: &Receiver<String>, rooms: &mut Rooms) -> Result<bool> {
    #[derive(Deserialize)]
    struct Line {
        topic: String,
        payload: String,
        dropped: u64,
    }
    for _ in 0..100 {
        let line = match messages.recv_timeout(FRAME / 5) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            Err(RecvTimeoutError::Disconnected) => bail!("the gateway hung up"),
        };
        let Line { topic, payload, dropped } = serde_json::from_str(&line).with_context(|| line.clone())?;
        if dropped > 0 {
            bail!("{dropped} messages were not read in time, and what they said is not known; try again");
        }
        if topic == MARK {
            return Ok(true);
        }
        rooms.message(&topic, &payload)?;
    }
    Ok(false)
}

/// None while the gateway is too busy to say.
fn handled_by_watch(gateway: &Gateway) -> Result<Option<u64>> {
    #[derive(Deserialize)]
    struct Status {
        components: BTreeMap<String, Component>,
    }
    #[derive(Deserialize)]
    struct Component {
        handled: u64,
        rejected: u64,
    }
    let Some(text) = gateway.status()? else { return Ok(None) };
    let status: Status = serde_json::from_str(&text).with_context(|| text.clone())?;
    if let Some((name, component)) = status.components.iter().find(|(_, component)| component.rejected > 0) {
        bail!("`{name}` rejects what it is to handle, {} so far", component.rejected);
    }
    Ok(status.components.get("watch").map(|watch| watch.handled))
}
