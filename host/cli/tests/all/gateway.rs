//! A real gateway and every verb that speaks to it, as an operator would use them one after another.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{ECHO, Ran, edgewit, eventually, folder_with, run};

/// A running gateway; it is ended with the test, whatever way that ends.
pub struct Gateway {
    pub folder: TempDir,
    child: Child,
}

impl Gateway {
    pub fn start(folder: TempDir) -> Self {
        Self::start_as(folder, "test")
    }

    fn start_as(folder: TempDir, thing: &str) -> Self {
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = edgewit(folder.path()).args(["run", "--dev"]).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut gateway = Gateway { folder, child };
        let stdout = gateway.child.stdout.take().unwrap();
        let started: Vec<String> = BufReader::new(stdout).lines().take(6).map(Result::unwrap).collect();
        assert!(started.len() == 6, "{started:?}\n{}", gateway.log());
        let greeting = format!("runs gateway {thing}");
        assert!(started[0].ends_with(&greeting) && started[5].contains("--dev"), "{started:?}");
        gateway
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(self.folder.path(), arguments)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    fn state(&self, component: &str) -> String {
        let status = self.run(&["ps", "--json"]).expect(0).json();
        status["components"][component]["state"]["state"].as_str().unwrap_or("none").to_owned()
    }

    pub fn await_state(&self, component: &str, state: &str) {
        eventually(&format!("{component} is {state}"), || (self.state(component) == state).then_some(()));
    }
}

impl Gateway {
    /// Ends it in good order, and gives its folder back.
    pub fn end(mut self) -> TempDir {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = eventually("the gateway ends", || self.child.try_wait().unwrap());
        assert_eq!(status.code(), Some(0), "{}", self.log());
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// What waits in a queue.
    pub fn rows(&self, queue: &str) -> Vec<serde_json::Value> {
        let verb = if queue.starts_with("dead/") { "dead" } else { "queue" };
        let rows = self.run(&[verb, "show", "--count", "1000", "--json", queue]).expect(0).json();
        rows.as_array().unwrap().clone()
    }

    /// A queue as it is listed.
    pub fn queue(&self, queue: &str) -> serde_json::Value {
        let verb = if queue.starts_with("dead/") { "dead" } else { "queue" };
        let listed = self.run(&[verb, "ls", "--json"]).expect(0).json();
        let found = listed.as_array().unwrap().iter().find(|listed| listed["queue"] == queue).cloned();
        found.unwrap_or_else(|| panic!("no {queue} in {listed}"))
    }

    /// As a power cut would, but for the disk.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn await_messages(&self, queue: &str, count: u64) {
        eventually(&format!("{count} in {queue}"), || (self.queue(queue)["messages"] == count).then_some(()));
    }

    pub fn publish(&self, topic: &str, payload: &str) -> Ran {
        self.run(&["pub", "--qos", "1", topic, payload])
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_operator_watches_speaks_and_listens() {
    let gateway = Gateway::start(folder_with(ECHO));
    gateway.await_state("echo", "running");
    let mut listening =
        edgewit(gateway.folder.path()).args(["sub", "-n", "1", "out"]).stdout(Stdio::piped()).spawn().unwrap();
    // Whether the subscription stands already, nobody can see from outside: so speak until it hears.
    eventually("the answer is heard", || {
        gateway.run(&["pub", "in/a", "9.5"]).expect(0);
        listening.try_wait().unwrap()
    });
    let heard = Ran::from(listening.wait_with_output().unwrap()).expect(0);
    assert_eq!(heard.out, "out 9.5\n");
    let listing = gateway.run(&["ps"]).expect(0).out;
    assert!(listing.contains("--dev") && listing.contains("echo") && listing.contains("running"), "{listing}");
    assert!(gateway.run(&["top", "--once"]).expect(0).out.contains("echo"));
    gateway.run(&["logs", "-n", "5"]).expect(0);
}

#[test]
fn an_operator_stops_starts_and_reloads() {
    let gateway = Gateway::start(folder_with(ECHO));
    gateway.await_state("echo", "running");
    gateway.run(&["stop", "echo"]).expect(0);
    gateway.await_state("echo", "stopped");
    gateway.run(&["start", "echo"]).expect(0);
    gateway.await_state("echo", "running");
    gateway.run(&["restart", "echo"]).expect(0);
    gateway.await_state("echo", "running");
    let unknown = gateway.run(&["restart", "nobody"]).expect(1);
    assert!(unknown.err.contains("nobody"), "{unknown:?}");
    assert_eq!(gateway.run(&["reload"]).expect(0).out, "nothing changed\n");
}

#[test]
fn a_gateway_whose_configuration_got_mistakes_still_answers() {
    let gateway = Gateway::start(folder_with(""));
    let file = gateway.folder.path().join("edgewit.toml");
    let broken = std::fs::read_to_string(&file).unwrap() + "\n[colour]\n";
    std::fs::write(&file, broken).unwrap();
    gateway.run(&["ps"]).expect(0);
    let refused = gateway.run(&["reload"]).expect(1);
    assert!(refused.err.contains("colour"), "{refused:?}");
}

#[test]
fn a_second_gateway_is_refused_and_the_first_ends_well() {
    let mut gateway = Gateway::start(folder_with(""));
    let second = gateway.run(&["run", "--dev"]);
    assert_eq!(second.code, 75, "{second:?}");
    let pid = Pid::from_child(&gateway.child);
    kill_process(pid, Signal::TERM).unwrap();
    let status = eventually("the gateway ends", || gateway.child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0), "{}", gateway.log());
    gateway.run(&["ps"]).expect(69);
}

#[test]
fn check_accepts_what_runs_and_shows_the_grant_that_is_missing() {
    let good = folder_with(ECHO);
    run(good.path(), &["check"]).expect(0);
    assert_eq!(run(good.path(), &["check", "--json"]).expect(0).json()["findings"].as_array().map(Vec::len), Some(0));
    let (without, _) = ECHO.split_once("[component.echo.grant").unwrap();
    let ran = run(folder_with(without).path(), &["check"]).expect(64);
    assert!(ran.out.contains("[component.echo.grant.publish]"), "{ran:?}");
}

/// The scenario of the README: a door is left open, an alert says so, and another says that it is over. A sensor drifts, and
/// a model says so, of this one alone.
#[test]
fn the_cold_room_raises_its_alert_and_clears_it() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let scenario = repository.join("examples/cold-room/edgewit.toml");
    std::fs::copy(scenario, folder.path().join("edgewit.toml")).unwrap();
    std::fs::create_dir(folder.path().join("components")).unwrap();
    for name in ["sensors.wasm", "window.wasm", "threshold.wasm", "anomaly.wasm", "setpoint.wasm"] {
        let guest = repository.join("components/target/wasm32-wasip2/release").join(name);
        let copied = std::fs::copy(guest, folder.path().join("components").join(name));
        copied.unwrap_or_else(|error| panic!("{name}: {error}; run `cargo xtask guests`"));
    }
    std::fs::create_dir(folder.path().join("models")).unwrap();
    std::fs::copy(repository.join("models/anomaly.onnx"), folder.path().join("models/anomaly.onnx")).unwrap();
    run(folder.path(), &["check"]).expect(0);
    let gateway = Gateway::start_as(folder, "cold-room");
    let said = gateway.run(&["sub", "-n", "3", "alerts/#", "anomalies/#"]).expect(0).out;
    let (alerts, events): (Vec<_>, Vec<_>) = said.lines().partition(|line| line.starts_with("alerts/"));
    let ([raised, cleared], [unusual]) = (&alerts[..], &events[..]) else { panic!("{said}") };
    assert!(raised.starts_with("alerts/cellar") && raised.contains("\"raised\""), "{said}");
    assert!(cleared.starts_with("alerts/cellar") && cleared.contains("\"cleared\""), "{said}");
    assert!(unusual.starts_with("anomalies/pantry") && unusual.contains("\"raised\""), "{said}");
}
