//! The compiling child by itself: it shuts itself in before it sees a component, and never outlives its parent.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use edgewit_worker::WorkerCommand;

use crate::artifact::WORKER;

/// A real child that has been told what comes, and has got none of it yet.
fn waiting_child(parent: u32) -> Child {
    let mut child = Command::new(WORKER).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let header = [u64::from_ne_bytes(*b"edgewit\x01"), 0, 1 << 30, 7, u64::from(parent), 1000];
    let bytes: Vec<u8> = header.iter().flat_map(|number| number.to_ne_bytes()).collect();
    child.stdin.as_mut().unwrap().write_all(&bytes).unwrap();
    child
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match look() {
            Some(found) => return found,
            None if Instant::now() > deadline => panic!("waited in vain for: {what}"),
            None => thread::yield_now(),
        }
    }
}

fn shut_in(pid: u32) -> String {
    until("the child's last limit", || {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        limits
            .lines()
            .any(|line| line.starts_with("Max address space") && line.contains("1073741824"))
            .then_some(limits)
    })
}

#[test]
fn the_child_shuts_itself_in_before_it_sees_the_component() {
    let mut child = waiting_child(std::process::id());
    let limits = shut_in(child.id());
    for (name, value) in
        [("Max open files", "0"), ("Max file size", "0"), ("Max core file size", "0"), ("Max cpu time", "7")]
    {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let found: Vec<&str> = line.trim_start_matches(name).split_whitespace().take(2).collect();
        assert_eq!(found, [value, value], "{name}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Threads:\t1"), "a thread that started earlier would not be restricted");
    drop(child.stdin.take());
    assert!(!child.wait().unwrap().success(), "it compiled half of a component");
}

#[test]
fn the_child_ends_with_whoever_waits_for_it() {
    let mut child = thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let child = waiting_child(std::process::id());
            shut_in(child.id());
            child
        });
        waits.join().unwrap()
    });
    until("the end of the child", || child.try_wait().unwrap());
}

#[test]
fn the_child_refuses_to_work_for_a_parent_that_is_gone() {
    let mut child = waiting_child(1);
    until("the end of the child", || child.try_wait().unwrap());
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    assert_eq!(said, b"");
}

#[test]
fn the_child_never_needs_the_path_it_was_started_from() {
    // The command that the gateway uses must hold when its file has been replaced by an update.
    assert_eq!(WorkerCommand::this_binary().program, Path::new("/proc/self/exe"));
}
