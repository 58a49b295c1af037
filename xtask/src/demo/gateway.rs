//! A gateway as an operator runs one, in a folder of its own, and whoever listens to it. Everything goes through the
//! commands that an operator has.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{FRAME, PATIENCE, WAITING};
use crate::process::root;

pub struct Gateway {
    folder: PathBuf,
    child: Child,
    listener: Option<Child>,
}

impl Gateway {
    /// Of the `edgewit.toml` in the folder.
    pub fn start(folder: &Path) -> Result<Self> {
        let log = fs::File::create(folder.join("gateway.log")).context("the log")?;
        let mut command = edgewit(folder, &["run", "--dev"]);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().context("edgewit run")?;
        Ok(Gateway { folder: folder.to_owned(), child, listener: None })
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("gateway.log")
    }

    pub fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.status()?.is_none() {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                bail!("the gateway ended with {status}:\n{log}");
            }
            if Instant::now() > deadline {
                bail!("the gateway does not answer; its log is {}", self.log().display());
            }
            std::thread::sleep(FRAME / 5);
        }
        Ok(())
    }

    /// Every message of the hub that matches, as lines of JSON.
    pub fn messages(&mut self, filters: &[&str]) -> Result<Receiver<String>> {
        let mut command = edgewit(&self.folder, &[&["sub", "--json"], filters].concat());
        let mut listener = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("edgewit sub")?;
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
    pub fn status(&self) -> Result<Option<String>> {
        let answer = edgewit(&self.folder, &["ps", "--json"]).output()?;
        Ok(answer.status.success().then(|| String::from_utf8_lossy(&answer.stdout).into_owned()))
    }

    /// Goes on by another configuration.
    pub fn configure(&self, configuration: &str) -> Result<()> {
        fs::write(self.folder.join("edgewit.toml"), configuration)?;
        self.tell(&["reload"])
    }

    pub fn tell(&self, words: &[&str]) -> Result<()> {
        let told = edgewit(&self.folder, words).output()?;
        if !told.status.success() {
            let said = [told.stdout, told.stderr].concat();
            bail!("`edgewit {}` says: {}", words.join(" "), String::from_utf8_lossy(&said).trim_end());
        }
        Ok(())
    }

    pub fn end(mut self) -> Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            let process = rustix::process::Pid::from_child(&self.child);
            rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        }
        let ended = self.child.wait()?;
        if let Some(listener) = &mut self.listener {
            listener.wait()?;
        }
        if !ended.success() {
            bail!("the gateway ended with {ended}; its log is {}", self.log().display());
        }
        Ok(ended)
    }
}

pub fn edgewit(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(root().join("target/debug/edgewit"));
    // Ctrl-C is for this program to hear; it ends the gateway in good order.
    command.args(words).stdin(Stdio::null()).process_group(0);
    match words {
        ["run", ..] => command.arg("--config").arg(folder.join("edgewit.toml")),
        // Whoever edits the configuration meanwhile does not lose sight of the gateway.
        _ => command.arg("--socket").arg(folder.join("data/control.sock")),
    };
    command
}
