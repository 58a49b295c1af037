//! `cargo xtask demo`: the cold-room scenario, from nothing to an alert that a person sees, and that arrives in the cloud
//! although the way there is cut. Before that, how much sooner than a threshold a model sees a sensor drift.
//!
//! It builds what is missing, runs the gateway as an operator would, and watches it from outside through the same
//! commands that an operator has. On a terminal it draws what happens; elsewhere it says it in lines.

mod drift;
mod far;
mod gateway;
mod lead;
mod scene;
mod shadow;
mod view;

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, root, run, say};
use crate::{guests, setup};
use far::Far;
use gateway::Gateway;
use scene::Scene;
use shadow::Shadow;
use view::View;

/// How often the picture is drawn, and how often the gateway is asked how it is.
const FRAME: Duration = Duration::from_millis(250);
const STATUS_EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages that may wait to be drawn.
const WAITING: usize = 1024;

pub fn run_verb(arguments: &[String]) -> Result<()> {
    let end = match arguments {
        [] => None,
        [flag, seconds] if flag == "--seconds" => Some(Duration::from_secs(seconds.parse().context("--seconds N")?)),
        _ => bail!("`demo` takes nothing or --seconds N"),
    };
    setup::mosquitto()?;
    let guests = guests::build()?;
    run(cargo().args(["build", "--workspace", "--bins"]).current_dir(root()))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let Some(lead) = drift::measure(&guests, &stop)? else { return Ok(()) };
    fs::create_dir_all(folder())?;
    let mut far = Far::start(&folder())?;
    stage(&guests, far.port)?;
    say("starting the gateway, which compiles its components");
    let mut gateway = Gateway::start(&folder())?;
    let shown = show(&mut gateway, &mut far, end, &stop);
    let ended = gateway.end()?;
    far.end()?;
    let scene = shown?;
    say(format!("the gateway ended in good order ({ended}); {}", scene.summary()));
    say(lead);
    if end.is_some() { scene.is_whole() } else { Ok(()) }
}

/// Until the time is over or somebody ends it.
fn show(gateway: &mut Gateway, far: &mut Far, end: Option<Duration>, stop: &AtomicBool) -> Result<Scene> {
    gateway.wait_until_it_answers()?;
    let messages = gateway.messages(&["#"])?;
    let mut view = View::new(std::io::stdout().is_terminal());
    let started = Instant::now();
    let (mut scene, mut shadow) = (Scene::default(), Shadow::default());
    let mut asked = None;
    while !stop.load(Ordering::Relaxed) && end.is_none_or(|end| started.elapsed() < end) {
        let next_frame = Instant::now() + FRAME;
        while let Some(left) = next_frame.checked_duration_since(Instant::now()) {
            match messages.recv_timeout(left) {
                Ok(line) => scene.message(&line, started.elapsed())?,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) if stop.load(Ordering::Relaxed) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("the gateway hung up; its log is {}", gateway.log().display())
                }
            }
        }
        if asked.is_none_or(|at: Instant| at.elapsed() >= STATUS_EVERY) {
            asked = Some(Instant::now());
            if let Some(status) = gateway.status()? {
                scene.status(&status)?;
            }
            shadow.look()?;
        }
        far.step(&mut scene, shadow.is_agreed(), started.elapsed())?;
        shadow.step(far, &mut scene, started.elapsed())?;
        scene.is_cut = far.is_cut();
        view.draw(&mut scene, started.elapsed())?;
    }
    drop(view);
    arrive(far, &mut scene, &messages, started)?;
    scene.shadow = agree(far, &mut scene, &mut shadow, started)?;
    Ok(scene)
}

/// The last that were raised arrive as well.
fn arrive(far: &mut Far, scene: &mut Scene, messages: &Receiver<String>, started: Instant) -> Result<()> {
    far.restore()?;
    let deadline = Instant::now() + PATIENCE;
    while !far.has(&scene.raised) {
        if Instant::now() > deadline {
            bail!("{} alerts were raised and {} arrived, or not in this order", scene.raised.len(), scene.arrived);
        }
        if let Ok(line) = messages.recv_timeout(FRAME / 5) {
            scene.message(&line, started.elapsed())?;
        }
        far.collect(scene)?;
    }
    Ok(())
}

/// Both sides come to say the same of the setpoint.
fn agree(far: &mut Far, scene: &mut Scene, shadow: &mut Shadow, started: Instant) -> Result<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        far.collect(scene)?;
        shadow.look()?;
        shadow.step(far, scene, started.elapsed())?;
        if shadow.is_agreed() {
            return Ok(shadow.summary());
        }
        if Instant::now() > deadline {
            bail!("the shadow here and the cloud's do not come to say the same: {}", shadow.summary());
        }
        std::thread::sleep(FRAME);
    }
}

/// Where the scenario runs: a gateway reads nothing from outside its configuration's folder.
fn folder() -> PathBuf {
    root().join("target/cold-room")
}

fn stage(guests: &Path, broker: u16) -> Result<()> {
    let scenario = fs::read_to_string(examples().join("edgewit.toml")).context("the scenario")?;
    let scenario = scenario.replace("localhost:8883", &format!("localhost:{broker}"));
    let components = ["sensors.wasm", "window.wasm", "threshold.wasm", "anomaly.wasm", "setpoint.wasm"];
    put(&folder(), &scenario, guests, &components)
}

fn examples() -> PathBuf {
    root().join("examples/cold-room")
}

/// A configuration and what it names, and nothing else: readings of an earlier show would be among the first of this one.
fn put(folder: &Path, configuration: &str, guests: &Path, names: &[&str]) -> Result<()> {
    let data = folder.join("data");
    if data.exists() {
        fs::remove_dir_all(data)?;
    }
    let (components, models) = (folder.join("components"), folder.join("models"));
    for place in [&components, &models] {
        fs::create_dir_all(place)?;
    }
    fs::write(folder.join("edgewit.toml"), configuration)?;
    for name in names {
        fs::copy(guests.join(name), components.join(name)).with_context(|| (*name).to_owned())?;
    }
    let model = "anomaly.onnx";
    fs::copy(root().join("models").join(model), models.join(model)).context(model)?;
    Ok(())
}

fn edgewit(words: &[&str]) -> Command {
    gateway::edgewit(&folder(), words)
}
