//! A gateway as a process: its threads, its signals, and what a thousand restarts leave behind.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command as Start, Stdio};
use std::time::{Duration, Instant};

use edgewit_domain::control::{Command, ComponentStatus, Reply, RowView, Status};
use edgewit_domain::message::Qos;
use edgewit_gateway::control::Client;
use rustix::process::{Pid, Signal, kill_process};

use crate::onnx::adds;
use crate::world::{World, component, echo, eventually};

pub const WORKER: &str = env!("CARGO_BIN_EXE_gateway-worker");

pub struct Process<'a> {
    child: Child,
    world: &'a World,
}

impl Process<'_> {
    /// Starts and waits until this component runs.
    pub fn start<'a>(world: &'a World, name: &str) -> Process<'a> {
        Self::start_by(world, name, Start::new(WORKER))
    }

    /// `start` begins the command line of the worker.
    pub fn start_by<'a>(world: &'a World, name: &str, mut start: Start) -> Process<'a> {
        let child = start.arg("run").arg(world.config()).stderr(Stdio::null()).spawn().unwrap();
        let process = Process { child, world };
        process.until_running(name);
        process
    }

    pub fn ask(&self, command: &Command) -> Result<Reply, String> {
        let client = Client::connect(&self.world.socket());
        client.and_then(|mut client| client.ask(command)).map_err(|error| error.to_string())
    }

    pub fn status(&self) -> Result<Status, String> {
        match self.ask(&Command::Status)? {
            Reply::Status(status) => Ok(*status),
            other => Err(format!("{other:?}")),
        }
    }

    pub fn until_running(&self, name: &str) {
        eventually(name, || {
            let status = self.status()?;
            let runs = status.components.get(name).is_some_and(|component| component.state.word() == "running");
            if runs { Ok(()) } else { Err(format!("{status:?}")) }
        });
    }

    /// A message that has to be on disk.
    pub fn publish(&self, topic: &str, payload: &str) -> Result<Reply, String> {
        let (topic, payload) = (topic.to_owned(), payload.as_bytes().to_vec());
        self.ask(&Command::Publish { topic, payload, qos: Qos::AtLeastOnce, retain: false })
    }

    /// Everything in a queue.
    pub fn rows(&self, queue: &str) -> Vec<RowView> {
        let mut all: Vec<RowView> = Vec::new();
        loop {
            let from = all.last().map_or(0, |row| row.sequence + 1);
            match self.ask(&Command::Rows { queue: queue.into(), from, count: 500 }).unwrap() {
                Reply::Rows { rows, .. } if rows.is_empty() => return all,
                Reply::Rows { rows, .. } => all.extend(rows),
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn until(&self, name: &str, condition: impl Fn(&ComponentStatus) -> bool) -> ComponentStatus {
        eventually(name, || match self.status()?.components.remove(name) {
            Some(status) if condition(&status) => Ok(status),
            other => Err(format!("{other:?}")),
        })
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn ended(&mut self) -> i32 {
        let status = eventually("the end", || self.child.try_wait().unwrap().ok_or("it still runs"));
        status.code().unwrap_or(-1)
    }

    fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
        names.sort();
        names
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// A connection that was just closed here may be open there for another moment.
    fn until_descriptors_are_no_more_than(&self, most: usize) {
        eventually("the descriptors", || match self.descriptors() {
            count if count <= most => Ok(()),
            more => Err(more),
        });
    }

    fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_process_has_the_threads_that_it_should() {
    let model = "[model.anomaly]\nfile = \"anomaly.onnx\"\ninstances = 2\n";
    let world = World::with(model, &[echo("one", ""), echo("second-one", ""), echo("off", "enabled = false\n")]);
    fs::write(world.path("anomaly.onnx"), adds(1.0)).unwrap();
    let process = Process::start(&world, "one");
    process.until_running("second-one");
    let expected = [
        "edgewit-c-off",
        "edgewit-c-one",
        "edgewit-c-secon",
        "edgewit-check",
        "edgewit-epoch",
        "edgewit-io",
        "edgewit-log",
        "edgewit-m-anoma",
        "edgewit-m-anoma",
        "edgewit-store",
        "gateway-worker",
    ];
    // Threads that load end when they have loaded.
    eventually("exactly these threads", || {
        let threads = process.threads();
        if threads == expected { Ok(()) } else { Err(threads) }
    });
}

#[test]
fn with_sled_the_process_has_sled_s_threads_as_well_and_no_others() {
    let world = World::with("[store]\nengine = \"sled\"", &[echo("one", "")]);
    let process = Process::start(&world, "one");
    let expected = [
        "edgewit-c-one",
        "edgewit-check",
        "edgewit-epoch",
        "edgewit-io",
        "edgewit-log",
        "edgewit-sled",
        "edgewit-store",
        "gateway-worker",
    ];
    eventually("exactly these threads", || {
        let (sled, others): (Vec<_>, Vec<_>) =
            process.threads().into_iter().partition(|name| name.starts_with("sled-io-"));
        if others == expected && (1..=128).contains(&sled.len()) { Ok(()) } else { Err((sled, others)) }
    });
}

#[test]
fn a_thousand_restarts_leave_memory_and_descriptors_where_they_were() {
    let world = World::new(&[component("counter", "counter", "")]);
    let process = Process::start(&world, "counter");
    let mut client = Client::connect(&world.socket()).unwrap();
    let mut restart = |times: u64| {
        for _ in 0..times {
            assert_eq!(client.ask(&Command::Restart { component: "counter".into() }).unwrap(), Reply::Done);
        }
    };
    restart(200);
    let (memory, descriptors) = (process.resident_kib(), process.descriptors());
    restart(1000);
    let status = process.status().unwrap();
    let counter = status.components.get("counter").unwrap();
    assert_eq!((counter.state.word(), counter.restarts), ("running", 0));
    process.until_descriptors_are_no_more_than(descriptors);
    let grown = process.resident_kib().saturating_sub(memory);
    assert!(grown < 4096, "{grown} KiB more than the {memory} KiB before");
}

#[test]
fn a_thousand_faults_leave_memory_and_descriptors_where_they_were() {
    let further = "restart.backoff = \"1ms\"\nrestart.backoff-max = \"1ms\"\nrestart.quarantine = \"never\"\n\
                   subscribe.in.queue.messages = 2000\n";
    let world = World::new(&[component("bad", "trap", further)]);
    let process = Process::start(&world, "bad");
    let mut client = Client::connect(&world.socket()).unwrap();
    let mut fail = |times: u64, total: u64| {
        for _ in 0..times {
            let (topic, qos) = ("bad/in".to_owned(), Default::default());
            client.ask(&Command::Publish { topic, payload: b"x".into(), qos, retain: false }).unwrap();
        }
        eventually("all faults", || {
            let status = process.status().unwrap();
            let bad = status.components.get("bad").unwrap();
            if bad.failed == total && bad.state.word() == "running" { Ok(()) } else { Err(Box::new(bad.clone())) }
        });
    };
    fail(200, 200);
    let (memory, descriptors) = (process.resident_kib(), process.descriptors());
    fail(1000, 1200);
    process.until_descriptors_are_no_more_than(descriptors);
    let grown = process.resident_kib().saturating_sub(memory);
    assert!(grown < 4096, "{grown} KiB more than the {memory} KiB before");
}

#[test]
fn sigterm_and_sigint_end_it_and_sighup_reloads() {
    for signal in [Signal::TERM, Signal::INT] {
        let world = World::new(&[echo("good", "")]);
        let mut process = Process::start(&world, "good");
        world.configure("", &[echo("good", ""), echo("new", "")]);
        process.signal(Signal::HUP);
        process.until_running("new");
        process.signal(signal);
        assert_eq!(process.ended(), 0);
        assert!(!world.socket().exists());
    }
}

#[test]
fn a_second_signal_takes_all_grace_away() {
    let limits = "limits.cpu = \"10m\"\nlimits.wall = \"1h\"\n";
    let world = World::with("grace = \"10m\"\n", &[component("bad", "spin", limits)]);
    let mut process = Process::start(&world, "bad");
    let (topic, qos) = ("bad/in".to_owned(), Default::default());
    process.ask(&Command::Publish { topic, payload: Vec::new(), qos, retain: false }).unwrap();
    process.signal(Signal::TERM);
    eventually("the end of the intake", || if world.socket().exists() { Err("it is still there") } else { Ok(()) });
    assert!(process.child.try_wait().unwrap().is_none(), "it waits for the guest");
    let begun = Instant::now();
    process.signal(Signal::TERM);
    assert_eq!(process.ended(), 0);
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// A reload that waits for a guest to let go does not make the gateway deaf.
#[test]
fn sigterm_is_heard_while_a_reload_waits() {
    let limits = "limits.wall = \"1h\"\n";
    let world = World::with("grace = \"10m\"\n", &[echo("good", ""), component("bad", "sleeper", limits)]);
    let mut process = Process::start(&world, "bad");
    let (topic, qos) = ("bad/in".to_owned(), Default::default());
    process.ask(&Command::Publish { topic, payload: Vec::new(), qos, retain: false }).unwrap();
    world.configure("grace = \"10m\"\n", &[echo("good", "")]);
    process.signal(Signal::HUP);
    let removed = |reply: Reply| match reply {
        Reply::Status(status) if !status.components.contains_key("bad") => Ok(()),
        other => Err(other),
    };
    eventually("the reload has begun", || removed(process.ask(&Command::Status).unwrap()));
    process.signal(Signal::TERM);
    // The first is heard once the second finds somebody who listens for it.
    eventually("the end", || {
        process.signal(Signal::TERM);
        process.child.try_wait().unwrap().ok_or("it goes on")
    });
}

#[test]
fn the_shutdown_command_is_answered_and_ends_the_process() {
    let world = World::new(&[echo("good", "")]);
    let mut process = Process::start(&world, "good");
    assert_eq!(process.ask(&Command::Shutdown), Ok(Reply::Done));
    assert_eq!(process.ended(), 0);
}

#[test]
fn a_gateway_that_was_killed_leaves_nothing_in_the_way() {
    let world = World::new(&[echo("good", "")]);
    let mut process = Process::start(&world, "good");
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    assert!(world.socket().exists(), "its socket is stale");
    world.run(&["good"]).assert_good();
}

#[test]
fn a_broken_configuration_ends_with_64_and_says_everything() {
    let world = World::new(&[]);
    fs::write(world.config(), "schema = 1\n[gateway]\nthing = \"a b\"\n[component.x]\nartefact = 1\n").unwrap();
    let output = Start::new(env!("CARGO_BIN_EXE_gateway-worker")).arg("run").arg(world.config()).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    let expected: BTreeSet<&str> = ["gateway.thing", "data", "did you mean `artifact`?"].into();
    assert!(expected.iter().all(|part| said.contains(part)), "{said}");
    assert!(!world.path("data").exists(), "nothing was started");
}

/// [A1] [H1] Each round publishes another number of messages, and ends the process by SIGKILL while a component works
/// them off.
#[test]
fn a1_a_gateway_killed_again_and_again_loses_nothing_doubles_nothing_and_keeps_the_order() {
    let durable = |name: &str, to: &str, further: &str| {
        format!(
            "[component.{name}]\nartifact = \"echo.wasm\"\nconfig.to = \"{to}\"\ngrant.publish.to = \"{to}\"\n\
             subscribe.in = {{ filter = \"{name}/in\", delivery = \"durable\" }}\n{further}\n"
        )
    };
    let world = World::new(&[durable("a", "b/in", ""), durable("b", "c", "enabled = false")]);
    let mut acknowledged = 0;
    for round in 0..12 {
        let process = Process::start(&world, "a");
        let mut client = Client::connect(&world.socket()).unwrap();
        for _ in 0..20 + 67 * round % 150 {
            let payload = acknowledged.to_string().into_bytes();
            let publish = Command::Publish { topic: "a/in".into(), payload, qos: Qos::AtLeastOnce, retain: false };
            assert_eq!(client.ask(&publish).unwrap(), Reply::Done);
            acknowledged += 1;
        }
        drop(process);
    }
    let process = Process::start(&world, "a");
    process.until("a", |status| status.queued == 0);
    let kept: Vec<_> = process.rows("component/b/in").into_iter().map(|row| row.message.payload).collect();
    assert_eq!(kept, (0..acknowledged).map(|number| number.to_string().into_bytes()).collect::<Vec<_>>());
}
