//! `cargo xtask demo`: the cold-room scenario, from nothing to an alert that a person sees, and that arrives in the cloud
//! although the way there is cut.
//!
//! It builds what is missing, runs the gateway as an operator would, and watches it from outside through the same
//! commands that an operator has. On a terminal it draws what happens; elsewhere it says it in lines.

mod far;
mod scene;
mod shadow;
mod view;

use std::fs;
use std::io::{BufRead, BufReader, IsTerminal};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, root, run, say};
use crate::{guests, setup};
use far::Far;
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
    fs::create_dir_all(folder())?;
    let mut far = Far::start(&folder())?;
    stage(&guests, far.port)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let mut gateway = Gateway::start()?;
    let shown = show(&mut gateway, &mut far, end, &stop);
    let ended = gateway.end()?;
    far.end()?;
    let scene = shown?;
    say(format!("the gateway ended in good order ({ended}); {}", scene.summary()));
    if end.is_some() && scene.alerts() == 0 {
        bail!(
            "no alert was seen; the scenario raises the first after about eight seconds, and the second after twenty"
        );
    }
    Ok(())
}

/// Until the time is over or somebody ends it.
fn show(gateway: &mut Gateway, far: &mut Far, end: Option<Duration>, stop: &AtomicBool) -> Result<Scene> {
    gateway.wait_until_it_answers()?;
    let messages = gateway.messages()?;
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
                Err(RecvTimeoutError::Disconnected) => bail!("the gateway hung up; its log is {}", log().display()),
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

fn config() -> PathBuf {
    folder().join("edgewit.toml")
}

fn log() -> PathBuf {
    folder().join("gateway.log")
}

fn stage(guests: &Path, broker: u16) -> Result<()> {
    let components = folder().join("components");
    fs::create_dir_all(&components)?;
    let scenario = fs::read_to_string(root().join("examples/cold-room/edgewit.toml")).context("the scenario")?;
    fs::write(config(), scenario.replace("localhost:8883", &format!("localhost:{broker}")))?;
    for name in ["sensors.wasm", "window.wasm", "threshold.wasm", "setpoint.wasm"] {
        fs::copy(guests.join(name), components.join(name)).with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// The gateway of the scenario, and whoever listens to it.
struct Gateway {
    child: Child,
    listener: Option<Child>,
}

impl Gateway {
    fn start() -> Result<Self> {
        let log = fs::File::create(log()).context("the log")?;
        let child = edgewit(&["run", "--dev"]).stdout(Stdio::null()).stderr(log).spawn().context("edgewit run")?;
        Ok(Gateway { child, listener: None })
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        say("starting the gateway; the first start compiles its components");
        let deadline = Instant::now() + PATIENCE;
        while edgewit(&["ps", "--json"]).output()?.status.code() != Some(0) {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(log()).unwrap_or_default();
                bail!("the gateway ended with {status}:\n{log}");
            }
            if Instant::now() > deadline {
                bail!("the gateway does not answer; its log is {}", log().display());
            }
            std::thread::sleep(FRAME / 5);
        }
        Ok(())
    }

    /// Every message of the hub, as lines of JSON.
    fn messages(&mut self) -> Result<Receiver<String>> {
        let mut listener = edgewit(&["sub", "--json", "#"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("edgewit sub")?;
        let lines = BufReader::new(listener.stdout.take().context("the listener's output")?).lines();
        self.listener = Some(listener);
        let (sender, receiver) = sync_channel(WAITING);
        std::thread::Builder::new().name("messages".into()).spawn(move || {
            // Ends with the listener, or with whoever draws.
            let _ = lines.map_while(Result::ok).try_for_each(|line| sender.send(line));
        })?;
        Ok(receiver)
    }

    /// None while it is too busy to say.
    fn status(&self) -> Result<Option<String>> {
        let answer = edgewit(&["ps", "--json"]).output()?;
        Ok(answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned()))
    }

    fn end(mut self) -> Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            let process = rustix::process::Pid::from_child(&self.child);
            rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        }
        let ended = self.child.wait()?;
        if let Some(mut listener) = self.listener {
            listener.wait()?;
        }
        if !ended.success() {
            bail!("the gateway ended with {ended}; its log is {}", log().display());
        }
        Ok(ended)
    }
}

fn edgewit(words: &[&str]) -> Command {
    let mut command = Command::new(root().join("target/debug/edgewit"));
    // Ctrl-C is for this program to hear; it ends the gateway in good order.
    command.args(words).stdin(Stdio::null()).process_group(0);
    match words {
        ["run", ..] => command.arg("--config").arg(config()),
        // Whoever edits the configuration meanwhile does not lose sight of the gateway.
        _ => command.arg("--socket").arg(folder().join("data/control.sock")),
    };
    command
}
