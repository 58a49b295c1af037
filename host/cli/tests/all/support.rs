//! Running the binary, and a stand-in for the gateway that gives the answers it is told to.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use edgewit_domain::control::{Command as Asked, Reply};
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, in a folder, with nothing of the caller's taste in its environment.
pub fn edgewit(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgewit"));
    command.current_dir(folder).stdin(Stdio::null());
    for name in ["NO_COLOR", "COLUMNS", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    command
}

/// What a run of the binary came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the binary prints UTF-8");
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ran {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

pub fn run(folder: &Path, arguments: &[&str]) -> Ran {
    edgewit(folder).args(arguments).output().unwrap().into()
}

pub fn run_with_input(folder: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = edgewit(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A binary that ends before it has read everything closes the pipe, and that is for it to decide.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap().into()
}

/// Waits for what a condition gives, and fails with `what` when the time is over.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Answers one connection: each command is noted, and the next list of replies is sent for it.
pub struct StandIn {
    pub folder: TempDir,
    asked: JoinHandle<Vec<Asked>>,
}

impl StandIn {
    pub fn new(replies: Vec<Vec<Reply>>) -> Self {
        Self::raw(replies.iter().map(|replies| replies.iter().map(line).collect()).collect())
    }

    /// Sends these very lines.
    pub fn raw(answers: Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("control.sock")).unwrap();
        let asked = std::thread::Builder::new().name("stand-in".into()).spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut asked = Vec::new();
            for answer in answers {
                let Some(Ok(command)) = lines.next() else { break };
                asked.push(serde_json::from_str(&command).unwrap());
                (&stream).write_all(answer.as_bytes()).unwrap();
            }
            asked
        });
        StandIn { folder, asked: asked.unwrap() }
    }

    /// Runs a verb against it.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let (verb, rest) = arguments.split_first().unwrap();
        let mut all = vec![*verb, "--socket", "control.sock"];
        all.extend(rest);
        run(self.folder.path(), &all)
    }

    pub fn asked(self) -> Vec<Asked> {
        self.asked.join().unwrap()
    }
}

fn line(reply: &Reply) -> String {
    format!("{}\n", serde_json::to_string(reply).unwrap())
}

/// A component that `cargo xtask guests` has built.
pub fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let file = root.join("components/target/wasm32-wasip2/release").join(format!("{name}.wasm"));
    assert!(file.is_file(), "{} is not there; `cargo xtask guests` builds it", file.display());
    file
}

/// A folder with an `edgewit.toml`, a gateway of its own and these lines, and with the fixtures that they name.
pub fn folder_with(lines: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    configure(folder.path(), lines);
    folder
}

/// Writes the `edgewit.toml` of a folder, and copies the fixtures that it names.
pub fn configure(folder: &Path, lines: &str) {
    for name in lines.lines().filter_map(|line| line.strip_prefix("artifact = \"")?.strip_suffix(".wasm\"")) {
        std::fs::copy(fixture(name), folder.join(format!("{name}.wasm"))).unwrap();
    }
    let text = format!("schema = 1\n[gateway]\nthing = \"test\"\ndata = \"data\"\n{lines}\n");
    std::fs::write(folder.join("edgewit.toml"), text).unwrap();
}

/// The configuration of an `echo` that hears `in/#` and says it again on `out`.
pub const ECHO: &str = "[component.echo]\nartifact = \"echo.wasm\"\n[component.echo.config]\nto = \"out\"\n\
    [component.echo.subscribe.all]\nfilter = \"in/#\"\ndelivery = \"live\"\n\
    [component.echo.grant.publish]\nout = \"out\"\n";
