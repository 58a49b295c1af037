//! A gateway to measure: in this process, or as the binary that ships.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use edgewit_domain::control::{Command as Ask, ComponentState, Reply, Status};
use edgewit_gateway::control::Client;
use edgewit_gateway::{Gateway, Options, WorkerCommand};
use tempfile::TempDir;

/// Artifacts of components that have nothing to do.
const IDLE: [&str; 9] = ["chatty", "circle", "counter", "error", "flood", "hog", "sick", "timers", "trespass"];
/// The others that a measurement needs.
const BUSY: [&str; 3] = ["echo", "infer", "spin"];
const PATIENCE: Duration = Duration::from_secs(60);

pub fn fixture(name: &str) -> PathBuf {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../components/target/wasm32-wasip2/release");
    guests.join(format!("{name}.wasm"))
}

/// The `edgewit` binary that was built together with this one.
pub fn binary() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let edgewit = this.with_file_name("edgewit");
    if !edgewit.exists() {
        bail!("{} is not built; run `cargo xtask bench`", edgewit.display());
    }
    Ok(edgewit)
}

/// A folder with a configuration, gone when the measurement is over.
pub struct Folder {
    dir: TempDir,
}

impl Folder {
    pub fn new(components: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        for name in IDLE.iter().chain(&BUSY) {
            let file = format!("{name}.wasm");
            fs::copy(fixture(name), dir.path().join(&file))
                .with_context(|| format!("{file}; run `cargo xtask guests`"))?;
        }
        let folder = Folder { dir };
        folder.configure(components)?;
        Ok(folder)
    }

    /// For the next start.
    pub fn configure(&self, components: &str) -> Result<()> {
        let data = self.data();
        let mut text = format!("schema = 1\n[gateway]\nthing = \"bench\"\ndata = \"{}\"\n", data.display());
        text.push_str("[log]\nlevel = \"error\"\n");
        text.push_str(components);
        Ok(fs::write(self.config(), text)?)
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("edgewit.toml")
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where the store lies.
    pub fn store(&self) -> PathBuf {
        self.data().join("store")
    }

    pub fn start(&self) -> Result<Gateway> {
        let worker = WorkerCommand { program: binary()?, args: vec!["worker".into()] };
        let gateway = Gateway::start(Options { config: self.config(), dev: true, worker, log: false })?;
        wait_until_running(|| match gateway.command(Ask::Status) {
            Reply::Status(status) => Ok(*status),
            other => bail!("{other:?}"),
        })?;
        Ok(gateway)
    }

    pub fn spawn(&self) -> Result<Process> {
        let mut command = Command::new(binary()?);
        command.arg("run").arg("--dev").arg("--config").arg(self.config());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Process { child, socket: self.data().join("control.sock") })
    }
}

/// A running `edgewit`.
pub struct Process {
    child: Child,
    socket: PathBuf,
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Connects as soon as that is possible.
    pub fn connect(&self) -> Result<Client> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Client::connect(&self.socket) {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    pub fn wait_until_running(&self) -> Result<()> {
        let mut client = self.connect()?;
        wait_until_running(|| match client.ask(&Ask::Status)? {
            Reply::Status(status) => Ok(*status),
            other => bail!("{other:?}"),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is kept that could be lost.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until_running(mut status: impl FnMut() -> Result<Status>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = status()?;
        let waiting: Vec<_> = status.components.iter().filter(|(_, it)| it.state != ComponentState::Running).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("still not running: {waiting:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// `count` idle components of ten different artifacts. The last is `echo`: it hears `in` and answers on `out`.
pub fn components(count: usize) -> Result<String> {
    let mut text = String::new();
    for (number, artifact) in (1..count).zip(IDLE.iter().cycle()).chain((count > 0).then_some((0, &"echo"))) {
        let name = format!("{artifact}-{number}");
        writeln!(text, "[component.{name}]\nartifact = \"{artifact}.wasm\"\nstateless = true")?;
        writeln!(text, "[component.{name}.config]\nto = \"out\"\nhow = \"well\"")?;
        writeln!(text, "[component.{name}.subscribe.in]\ndelivery = \"live\"")?;
        writeln!(text, "filter = \"{}\"", if number == 0 { "in" } else { "nobody/says/this" })?;
        writeln!(text, "queue = {{ messages = 1000000, bytes = \"1GiB\" }}")?;
        writeln!(text, "[component.{name}.grant.publish]\nall = \"#\"")?;
        writeln!(text, "[component.{name}.grant.timer]\npending = 1")?;
    }
    Ok(text)
}
