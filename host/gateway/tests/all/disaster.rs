//! What the gateway's process lives through: a full disk, a disk that fails, a clock that jumps, and a message that
//! takes the process down with it.

use std::path::{Path, PathBuf};
use std::process::Command as Start;

use edgewit_domain::control::{Command, Reply};

use crate::process::{Process, WORKER};
use crate::world::{World, echo, numbers_until};

/// An echo that answers `NAME/in`, which is durable, at `to`.
fn durable(name: &str, to: &str, further: &str) -> String {
    format!(
        "[component.{name}]\nartifact = \"echo.wasm\"\nconfig.to = \"{to}\"\ngrant.publish.to = \"{to}\"\n\
         subscribe.in.filter = \"{name}/in\"\nsubscribe.in.delivery = \"durable\"\n{further}\n"
    )
}

fn payloads(process: &Process<'_>, queue: &str) -> Vec<String> {
    process.rows(queue).into_iter().map(|row| String::from_utf8(row.message.payload).unwrap()).collect()
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

/// The disk is a tmpfs in a user namespace of the test's own, as in the tests of the store.
#[test]
fn a2_a_full_disk_refuses_what_is_new_and_drains_to_empty_without_help() {
    let world = World::new(&[
        durable("a", "a/out", "enabled = false\nsubscribe.in.queue = { bytes = \"100MiB\", full = \"refuse\" }\n"),
        echo("good", ""),
    ]);
    let store = world.path("data/store");
    std::fs::create_dir_all(&store).unwrap();
    let mut start = Start::new("unshare");
    let script = "mount -t tmpfs -o size=24m tmpfs \"$1\" && shift && exec \"$@\"";
    start.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(store).arg(WORKER);
    let process = Process::start_by(&world, "good", start);
    let large = "x".repeat(200 << 10);
    for round in 0..3 {
        // The small message of the round before is still there.
        let mut kept = usize::from(round > 0);
        let refused = loop {
            match process.publish("a/in", &large).unwrap() {
                Reply::Done => kept += 1,
                Reply::Refused { reason, cure } => break format!("{reason}; {cure}"),
                other => panic!("{other:?}"),
            }
            assert!(kept < 200, "the disk is smaller than that");
        };
        assert!(kept > 10 && refused.contains("disk"), "{kept} were kept, then: {refused}");
        let handled = process.until("good", |_| true).handled;
        process
            .ask(&Command::Publish {
                topic: "good/in".into(),
                payload: b"ping".to_vec(),
                qos: edgewit_domain::message::Qos::AtMostOnce,
                retain: false,
            })
            .unwrap();
        process.until("good", |status| status.handled > handled);
        process.until("a", |status| status.queued == kept as u64);
        assert_eq!(process.ask(&Command::Start { component: "a".into() }), Ok(Reply::Done));
        if round == 0 {
            // Whoever goes on publishing meanwhile gets no room that is needed to drain.
            let publish = |_: u64| drop(process.publish("a/in", &large));
            numbers_until(publish, || drop(process.until("a", |status| status.handled >= 2 * kept as u64)));
        }
        process.until("a", |status| status.queued == 0);
        assert_eq!(process.ask(&Command::Stop { component: "a".into() }), Ok(Reply::Done));
        crate::world::eventually("room again", || match process.publish("a/in", "small") {
            Ok(Reply::Done) => Ok(()),
            other => Err(other),
        });
    }
}

/// The store's sync calls begin to fail under a publisher. What it was told holds, and the last it is told nothing of.
#[test]
fn a2_a_disk_that_fails_ends_the_gateway_with_74_and_what_was_acknowledged_is_there() {
    let world = World::new(&[durable("a", "out", "enabled = false\n"), echo("good", "")]);
    let mut start = Start::new("strace");
    let fault = "inject=fdatasync,fsync:error=EIO:when=100+";
    start.args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", fault, WORKER]);
    let mut process = Process::start_by(&world, "good", start);
    let mut acknowledged = 0;
    while let Ok(reply) = process.publish("a/in", &acknowledged.to_string()) {
        assert_eq!(reply, Reply::Done, "an outcome that nobody knows is told to nobody");
        acknowledged += 1;
        assert!(acknowledged < 1000, "the disk does not fail");
    }
    assert!(acknowledged > 0, "it failed before the first");
    assert_eq!(process.ended(), 74);
    drop(process);
    let process = Process::start(&world, "good");
    let kept = payloads(&process, "component/a/in");
    assert_eq!(kept, numbers(kept.len()), "whole, in order and once");
    assert!((acknowledged..=acknowledged + 1).contains(&kept.len()), "{acknowledged} acknowledged, {}", kept.len());
}

/// A clock that a file moves: the gateway's process is started with it in the place of the C library's.
pub struct WallClock {
    library: PathBuf,
    file: PathBuf,
}

impl WallClock {
    pub fn new(folder: &Path) -> WallClock {
        let (source, library, file) = (folder.join("clock.c"), folder.join("clock.so"), folder.join("clock"));
        std::fs::write(&source, include_str!("clock.c")).unwrap();
        let built = Start::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        assert!(built.expect("a C compiler links Rust, so there is one").success());
        WallClock { library, file }
    }

    /// How far from the real time, and whether the kernel says that it is kept right.
    pub fn set(&self, years: i64, hours: i64, kept_right: bool) {
        let seconds = years * 365 * 24 * 3600 + hours * 3600;
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{seconds} {}", u8::from(kept_right))).unwrap();
        std::fs::rename(next, &self.file).unwrap();
    }

    pub fn start<'a>(&self, world: &'a World, name: &str) -> Process<'a> {
        let mut start = Start::new(WORKER);
        start.env("LD_PRELOAD", &self.library).env("TEST_CLOCK", &self.file);
        Process::start_by(world, name, start)
    }
}

const AGEING: &str = "enabled = false\nsubscribe.in.queue.age = \"1h\"\n";

#[test]
fn t1_a_clock_that_jumps_neither_expires_nor_reorders_anything_also_over_restarts() {
    for (kept_right, starts) in [(false, &[0, 10, -10, 0][..]), (true, &[0])] {
        let world = World::new(&[durable("a", "out", AGEING), echo("good", "")]);
        let clock = WallClock::new(&world.path(""));
        let mut count = 0;
        for years in starts.iter().copied() {
            // It jumps while the gateway is off, too.
            clock.set(years, 0, kept_right);
            let process = clock.start(&world, "good");
            let mut publish = || {
                assert_eq!(process.publish("a/in", &count.to_string()), Ok(Reply::Done));
                count += 1;
            };
            publish();
            // While it runs it may jump as it likes.
            for jump in [10, -10, years] {
                clock.set(jump, 0, kept_right);
                publish();
            }
            assert_eq!(payloads(&process, "component/a/in"), numbers(count));
            let oldest = process.rows("component/a/in").first().map(|row| row.age_ms).unwrap();
            assert!(oldest < 30 * 60 * 1000, "{oldest} ms, after a jump by {years} years");
            drop(process);
        }
    }
}

#[test]
fn t1_time_switched_off_counts_where_the_clock_is_kept_right_at_both_ends() {
    for (kept_right, left) in [(true, 0), (false, 1)] {
        let world = World::new(&[durable("a", "out", AGEING), echo("good", "")]);
        let clock = WallClock::new(&world.path(""));
        clock.set(0, 0, true);
        let process = clock.start(&world, "good");
        assert_eq!(process.publish("a/in", "0"), Ok(Reply::Done));
        assert_eq!(process.ask(&Command::Shutdown), Ok(Reply::Done));
        drop(process);
        clock.set(0, 2, kept_right);
        let process = clock.start(&world, "good");
        process.until("a", |status| status.queued == left);
    }
}

#[test]
fn h4_a_message_that_takes_the_gateway_down_is_counted_and_given_up_and_the_rest_flows() {
    let waits = "[component.s]\nartifact = \"sleeper.wasm\"\nlimits.wall = \"1h\"\ngrant.publish.out = \"sleeper/#\"\n\
                 subscribe.in = { filter = \"s/in\", delivery = \"durable\", attempts = 2 }\n";
    let world = World::new(&[
        waits.to_owned(),
        durable("out", "nowhere", "enabled = false\n").replace("out/in", "sleeper/out"),
    ]);
    let process = Process::start(&world, "s");
    assert_eq!(process.publish("s/in", "for ever"), Ok(Reply::Done));
    assert_eq!(process.publish("s/in", "1"), Ok(Reply::Done));
    drop(process);
    for attempt in 1..=2 {
        let process = Process::start(&world, "s");
        crate::world::eventually("the attempt on disk, before it ends", || {
            let failed = process.rows("component/s/in").first().map(|row| row.failed);
            if failed == Some(attempt) { Ok(()) } else { Err(failed) }
        });
    }
    let process = Process::start(&world, "s");
    process.until("s", |status| status.queued == 0);
    assert_eq!(payloads(&process, "component/out/in"), ["awake"]);
    let dead = process.rows("dead/component/s");
    let [dead] = &dead[..] else { panic!("{dead:?}") };
    assert_eq!(dead.message.payload, b"for ever");
    assert_eq!(dead.dead.as_ref().map(|note| note.attempts), Some(2), "{dead:?}");
}
