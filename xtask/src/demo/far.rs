//! The cloud of the scenario: a broker behind a way that the demo cuts, again and again.
//!
//! The program `far-side` does all of it; here is when. The way is cut when every alert has arrived, and restored when
//! some wait. What has arrived is compared with what was raised: each once, and in order.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::WAITING;
use super::scene::{Kind, Scene};
use crate::process::root;

/// How many alerts wait before the way is restored.
const WAIT: u64 = 2;

pub struct Far {
    child: Child,
    words: ChildStdin,
    arriving: Receiver<String>,
    pub port: u16,
    /// While the way is cut: how many alerts wait, as it was said last.
    cut: Option<u64>,
    arrived: Vec<Envelope>,
    /// The cloud's document, once there is one.
    pub shadow: Option<Value>,
}

/// What the uplink makes of a message.
#[derive(Deserialize)]
struct Envelope {
    epoch: String,
    sequence: u64,
    payload: Value,
}

impl Far {
    /// Puts the certificates into the folder.
    pub fn start(folder: &Path) -> Result<Far> {
        let mut command = Command::new(root().join("target/debug/far-side"));
        let command = command.arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("far-side")?;
        let words = child.stdin.take().context("its input")?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let first = lines.next().context("the broker did not start")??;
        let port = first.strip_prefix("port ").and_then(|port| port.parse().ok()).with_context(|| first.clone())?;
        let (sender, arriving) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("arrivals".into())
            .spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)))?;
        Ok(Far { child, words, arriving, port, cut: None, arrived: Vec::new(), shadow: None })
    }

    /// Takes what has arrived.
    pub fn collect(&mut self, scene: &mut Scene) -> Result<usize> {
        let before = self.arrived.len();
        while let Ok(line) = self.arriving.try_recv() {
            if let Some(documents) = line.strip_prefix("shadow ") {
                let mut documents: Value = serde_json::from_str(documents).with_context(|| line.clone())?;
                self.shadow = documents.get_mut("current").map(Value::take);
                continue;
            }
            let envelope: Envelope = serde_json::from_str(&line).with_context(|| line.clone())?;
            // The far side drops what it has seen, as every consumer of envelopes does.
            let seen = |old: &Envelope| (&old.epoch, old.sequence) == (&envelope.epoch, envelope.sequence);
            if !self.arrived.iter().any(seen) {
                self.arrived.push(envelope);
            }
        }
        scene.arrived = self.arrived.len();
        Ok(before)
    }

    /// Takes what has arrived, and cuts or restores the way. It is cut only where both sides say the same of the shadow.
    pub fn step(&mut self, scene: &mut Scene, is_agreed: bool, now: Duration) -> Result<()> {
        let before = self.collect(scene)?;
        let news = self.arrived.len() - before;
        if news > 0 {
            scene.say(now, Kind::Cloud, &format!("{} arrived in the cloud", alerts(news as u64)));
        }
        let waiting = scene.waiting();
        match self.cut {
            None if is_agreed && !scene.raised.is_empty() && self.has(&scene.raised) => {
                self.cut = Some(0);
                scene.say(now, Kind::Cloud, "the way there is cut");
                self.tell("cut")
            }
            Some(said) if waiting > said => {
                self.cut = Some(waiting);
                scene.say(now, Kind::Cloud, &format!("{} on disk for the way to be restored", waits(waiting)));
                Ok(())
            }
            Some(_) if waiting >= WAIT => {
                scene.say(now, Kind::Cloud, "the way is restored");
                self.restore()
            }
            _ => Ok(()),
        }
    }

    pub fn restore(&mut self) -> Result<()> {
        self.cut = None;
        self.tell("restore")
    }

    /// The cloud side changes what is desired, whether the way is cut or not.
    pub fn desire(&mut self, desired: &Value) -> Result<()> {
        self.tell(&format!("desire {desired}"))
    }

    fn tell(&mut self, word: &str) -> Result<()> {
        writeln!(self.words, "{word}").context("far-side has ended")
    }

    pub fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Whether everything that was raised has arrived, in order and once.
    pub fn has(&self, raised: &[Value]) -> bool {
        self.arrived.iter().map(|envelope| &envelope.payload).eq(raised)
    }

    pub fn end(mut self) -> Result<()> {
        drop(self.words);
        let ended = self.child.wait()?;
        if !ended.success() {
            bail!("far-side ended with {ended}");
        }
        Ok(())
    }
}

fn alerts(count: u64) -> String {
    if count == 1 { "an alert has".to_owned() } else { format!("{count} alerts have") }
}

fn waits(count: u64) -> String {
    if count == 1 { "an alert waits".to_owned() } else { format!("{count} alerts wait") }
}
