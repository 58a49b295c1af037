//! A folder with fixtures and a configuration, and a gateway that runs in it.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use edgewit_domain::config::LiveFullRule;
use edgewit_domain::control::{Command, ComponentStatus, LogLine, Reply, Status};
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::{Filter, Topic};
use edgewit_gateway::control::Client;
use edgewit_gateway::{Bounds, Gateway, Options, StartError, Stream, WorkerCommand};

/// Longer than anything takes on a machine that does much else besides.
pub const PATIENCE: Duration = Duration::from_secs(60);

const HEAD: &str = "schema = 1\n[gateway]\nthing = \"test\"\ndata = \"data\"\n";

pub struct World {
    dir: tempfile::TempDir,
}

/// A component `NAME` of a fixture, which hears `NAME/in` and may publish to `FIXTURE/#`, with further keys.
pub fn component(name: &str, fixture: &str, further: &str) -> String {
    let topics = fixture.replace('_', "-");
    format!(
        "[component.{name}]\nartifact = \"{fixture}.wasm\"\n\
         subscribe.in.filter = \"{name}/in\"\nsubscribe.in.delivery = \"live\"\n\
         grant.publish.out = \"{topics}/#\"\n{further}\n"
    )
}

/// An echo: answers `NAME/in` at `NAME/out`.
pub fn echo(name: &str, further: &str) -> String {
    component(name, "echo", &format!("config.to = \"{name}/out\"\ngrant.publish.name = \"{name}/out\"\n{further}"))
}

pub fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../components/target/wasm32-wasip2/release");
    let file = folder.join(format!("{name}.wasm"));
    assert!(file.exists(), "{} is missing: run `cargo xtask guests`", file.display());
    file
}

pub fn worker() -> WorkerCommand {
    WorkerCommand { program: env!("CARGO_BIN_EXE_gateway-worker").into(), args: Vec::new() }
}

impl World {
    /// `components`: tables of the configuration, with the fixtures that they name.
    pub fn new(components: &[String]) -> World {
        Self::with("", components)
    }

    /// `head`: further lines of the table `[gateway]`, and tables before the components.
    pub fn with(head: &str, components: &[String]) -> World {
        let world = World { dir: tempfile::tempdir().unwrap() };
        world.configure(head, components);
        world
    }

    pub fn configure(&self, head: &str, components: &[String]) {
        let text = format!("{HEAD}{head}\n{}", components.concat());
        for line in text.lines() {
            let artifact = line.strip_prefix("artifact = \"").and_then(|line| line.strip_suffix(".wasm\""));
            let wanted = |name: &&str| !name.starts_with("missing") && !self.path(&format!("{name}.wasm")).exists();
            if let Some(name) = artifact.filter(wanted) {
                std::fs::copy(fixture(name), self.path(&format!("{name}.wasm"))).unwrap();
            }
        }
        std::fs::write(self.config(), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("edgewit.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.path("data/control.sock")
    }

    pub fn options(&self) -> Options {
        Options { config: self.config(), dev: true, worker: worker(), log: false }
    }

    pub fn try_start(&self) -> Result<Gateway, StartError> {
        Gateway::start(self.options())
    }

    pub fn start(&self) -> Running<'_> {
        Running { gateway: self.try_start().unwrap_or_else(|error| panic!("{error}")), world: self }
    }

    /// Starts and waits until these components run.
    pub fn run(&self, names: &[&str]) -> Running<'_> {
        let running = self.start();
        for name in names {
            running.until(name, |status| status.state.word() == "running");
        }
        running
    }
}

pub struct Running<'a> {
    pub gateway: Gateway,
    pub world: &'a World,
}

impl Running<'_> {
    pub fn publish(&self, topic: &str, payload: &str) {
        let message = Message::new(Topic::parse(topic).unwrap(), payload);
        self.gateway.hub().publish(message, Origin::Operator, None).unwrap();
    }

    pub fn listen(&self, filter: &str) -> Listener {
        let bounds = Bounds { messages: 1_000_000, bytes: u64::MAX / 2, full: LiveFullRule::DropNewest };
        Listener(self.gateway.hub().subscribe(vec![Filter::parse(filter).unwrap()], bounds))
    }

    pub fn command(&self, command: Command) -> Reply {
        self.gateway.command(command)
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.world.socket()).unwrap()
    }

    pub fn status(&self) -> Status {
        match self.command(Command::Status) {
            Reply::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    pub fn component(&self, name: &str) -> ComponentStatus {
        self.status().components.remove(name).unwrap_or_else(|| panic!("no component {name}"))
    }

    /// Waits until a component's status is as it should be.
    pub fn until(&self, name: &str, condition: impl Fn(&ComponentStatus) -> bool) -> ComponentStatus {
        eventually(name, || {
            let status = self.component(name);
            if condition(&status) { Ok(status) } else { Err(Box::new(status)) }
        })
    }

    pub fn log(&self) -> Vec<LogLine> {
        let command = Command::Logs { component: None, lines: usize::MAX, follow: false };
        let replies = self.client().follow(&command).unwrap();
        let lines = replies.map(|reply| match reply.unwrap() {
            Reply::Log(line) => line,
            other => panic!("{other:?}"),
        });
        lines.collect()
    }

    /// Waits until a component's log has a line with this text, be it in the fields.
    pub fn until_logged(&self, name: &str, text: &str) {
        eventually(text, || {
            let log = self.log();
            let of_it = log.iter().filter(|line| line.component.as_deref() == Some(name));
            let found = of_it.flat_map(|line| line.fields.values().chain([&line.text])).any(|it| it.contains(text));
            if found { Ok(()) } else { Err(log) }
        });
    }

    /// The healthy neighbour still answers.
    pub fn assert_good(&self) {
        let answers = self.listen("good/out");
        self.publish("good/in", "ping");
        assert_eq!(answers.next(), "ping");
    }
}

pub struct Listener(Stream);

impl Listener {
    /// The next payload, as text.
    pub fn next(&self) -> String {
        let mut got = self.0.wait(1, PATIENCE);
        let envelope = got.pop().expect("a message was expected and did not come");
        String::from_utf8(envelope.message.payload.clone()).unwrap()
    }

    pub fn take(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next()).collect()
    }

    /// What has come and was not asked for.
    pub fn rest(&self) -> Vec<String> {
        let rest = self.0.take(usize::MAX);
        rest.iter().map(|envelope| String::from_utf8_lossy(&envelope.message.payload).into_owned()).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.take(1).is_empty()
    }
}

/// Publishes one number after another by `publish` until `meanwhile` is over, and says how many there were.
pub fn numbers_until(publish: impl Fn(u64) + Sync, meanwhile: impl FnOnce()) -> u64 {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                publish(count);
                count += 1;
            }
            count
        });
        meanwhile();
        over.store(true, Ordering::Relaxed);
        publisher.join().unwrap()
    })
}

/// Asks again and again until there is an answer; what it was instead is shown where it does not come.
pub fn eventually<T, E: Debug>(what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(instead) => assert!(Instant::now() < deadline, "waited in vain for {what}: {instead:#?}"),
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
