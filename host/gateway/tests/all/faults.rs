//! One fixture for each way to misbehave: the gateway and a healthy neighbour keep going, the fault is named in the
//! status and in the log, and backoff and quarantine follow.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use edgewit_domain::control::ComponentState;
use edgewit_gateway::Gateway;

use crate::world::{Running, World, component, echo, eventually, worker};

/// Quick to fail and quick to be given up.
const STRICT: &str = "limits.cpu = \"50ms\"\nlimits.wall = \"300ms\"\nlimits.memory = \"8MiB\"\n\
                      restart.backoff = \"5ms\"\nrestart.quarantine = 3\n";

/// Runs the fixture beside a healthy neighbour, sends it `payload` until it is quarantined, and looks for the fault.
fn check(fixture: &str, payload: &str, further: &str, fault: &str, logged: &str) {
    let world = World::new(&[echo("good", ""), component("bad", fixture, &format!("{STRICT}{further}"))]);
    let running = world.run(&["good"]);
    let leaked = running.listen(&format!("{}/out", fixture.replace('_', "-")));
    let status = eventually("the quarantine", || {
        let status = running.component("bad");
        if status.state.word() == "running" && status.queued == 0 {
            running.publish("bad/in", payload);
        }
        if status.state.word() == "quarantined" { Ok(status) } else { Err(Box::new(status)) }
    });
    assert_eq!(status.last_fault.as_ref().map(|fault| fault.kind()), Some(fault));
    assert_eq!(status.restarts, 2, "started three times in all, each time after a wait");
    assert_eq!(status.memory, 0, "the instance is gone");
    running.until_logged("bad", logged);
    running.until_logged("bad", "Quarantined; `edgewit restart bad` lifts it");
    running.assert_good();
    let leaked = leaked.rest();
    // Its request may end just before the handling does, and then it tells that in good order.
    let told = |text: &String| fixture == "http_hang" && text.contains("Timeout");
    assert!(leaked.iter().all(told), "what a failed handling asked for is never seen: {leaked:?}");
    running.gateway.shutdown();
}

#[test]
fn a_spinning_component() {
    check("spin", "publish", "", "cpu-deadline", "computed longer than 50ms");
}

#[test]
fn a_hog() {
    check("hog", "all", "", "memory", "needed more than 8192 KiB of memory");
}

#[test]
fn a_trap() {
    check("trap", "", "", "trap", "unreachable");
}

#[test]
fn h1_a_trap_half_way_leaves_no_effect() {
    check("trap_half", "x", "", "trap", "unreachable");
}

#[test]
fn h1_a_retry_leaves_no_effect() {
    check("error", "retry", "", "retry", "retry as told");
}

#[test]
fn endless_recursion() {
    check("recurse", "x", "", "stack", "needed a stack deeper");
}

#[test]
fn h9_a_sleeper_ends_at_its_wall_deadline() {
    check("sleeper", "", "", "wall-deadline", "waited longer than 300ms");
}

#[test]
fn h9_a_server_that_never_answers() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", server.local_addr().unwrap());
    let grant = format!(
        "config.origin = \"{origin}\"\n\
         grant.http.server = {{ origin = \"{origin}\", networks = [\"127.0.0.0/8\"] }}\n"
    );
    check("http_hang", "/", &grant, "wall-deadline", "waited longer than 300ms");
}

#[test]
fn a_component_that_is_not_well() {
    check("sick", "", "config.how = \"error\"\n", "health", "sick as told");
    check("sick", "", "config.how = \"sleep\"\n", "wall-deadline", "waited longer");
    check("sick", "", "config.how = \"spin\"\n", "cpu-deadline", "computed longer");
}

#[test]
fn an_init_that_fails() {
    check("init_fail", "", "", "init", "fails as told");
}

/// Nothing of this is a fault of the instance: it is held to its limits and goes on.
fn check_goes_on(running: &Running<'_>) {
    let status = running.component("bad");
    assert_eq!((status.state.word(), status.failed, status.restarts), ("running", 0, 0), "{status:#?}");
    running.assert_good();
}

#[test]
fn a_flood_is_held_to_its_quota() {
    let world = World::new(&[echo("good", ""), component("bad", "flood", "limits.publishes = 100\n")]);
    let running = world.run(&["good", "bad"]);
    let flood = running.listen("flood/out");
    running.publish("bad/in", "1000");
    running.until_logged("bad", "900 of 1000 refused");
    running.until("bad", |status| status.handled == 1);
    assert_eq!(flood.take(100).last().map(String::as_str), Some("99"));
    assert!(flood.is_empty());
    check_goes_on(&running);
}

#[test]
fn a_trespasser_is_refused_with_the_line_that_would_permit() {
    let world = World::new(&[echo("good", ""), component("bad", "trespass", "")]);
    let running = world.run(&["good", "bad"]);
    let (beyond, told) = (running.listen("forbidden/#"), running.listen("trespass/out"));
    running.publish("bad/in", "x");
    let report = told.next();
    assert!(report.contains("[component.bad.grant.publish]"), "{report}");
    running.until_logged("bad", "grant.publish");
    assert!(beyond.is_empty());
    check_goes_on(&running);
}

#[test]
fn m2_no_grant_reaches_a_reserved_topic() {
    let further = "config.beyond = \"$edgewit/dead/good\"\ngrant.publish.all = \"#\"\n";
    let world = World::new(&[echo("good", ""), component("bad", "trespass", further)]);
    let running = world.run(&["good", "bad"]);
    let (events, told) = (running.listen("$edgewit/#"), running.listen("trespass/out"));
    running.publish("bad/in", "x");
    let report = told.next();
    assert!(report.contains("only the gateway's services do"), "{report}");
    assert!(events.is_empty());
    check_goes_on(&running);
}

#[test]
fn m3_a_circle_ends_is_counted_and_named() {
    let circle = |name: &str, to: &str| {
        component(name, "circle", &format!("config.topic = \"{to}/in\"\ngrant.publish.to = \"{to}/in\"\n"))
    };
    let world = World::new(&[echo("good", ""), circle("ping", "pong"), circle("pong", "ping")]);
    let running = world.run(&["good", "ping", "pong"]);
    running.publish("ping/in", "x");
    eventually("the end of the circle", || {
        let status = running.status();
        if status.circles == 1 { Ok(()) } else { Err(Box::new(status)) }
    });
    let log = running.log();
    let named = log.iter().find_map(|line| line.fields.get("circle")).expect("the circle is named");
    assert!(named.contains("ping → pong → ping") || named.contains("pong → ping → pong"), "{named}");
    let handled = running.component("ping").handled + running.component("pong").handled;
    assert_eq!(handled, u64::from(edgewit_domain::limits::HOPS) + 1);
    running.assert_good();
}

#[test]
fn m3_a_component_hears_itself_only_if_it_says_so() {
    let itself = |further: &str| {
        let further = format!("config.topic = \"bad/in\"\ngrant.publish.to = \"bad/in\"\n{further}");
        World::new(&[echo("good", ""), component("bad", "circle", &further)])
    };
    let deaf = itself("");
    let running = deaf.run(&["good", "bad"]);
    running.publish("bad/in", "x");
    running.until("bad", |status| status.handled == 1 && status.queued == 0);
    running.assert_good();
    assert_eq!((running.component("bad").handled, running.status().circles), (1, 0));
    let hearing = itself("subscribe.in.own = true\n");
    let running = hearing.run(&["good", "bad"]);
    running.publish("bad/in", "x");
    eventually("the end of the circle", || {
        let status = running.status();
        if status.circles == 1 { Ok(()) } else { Err(Box::new(status)) }
    });
}

#[test]
fn a_chatterbox_is_cut_short_and_counted() {
    let world = World::new(&[echo("good", ""), component("bad", "chatty", "limits.log-lines = 5\n")]);
    let running = world.run(&["good", "bad"]);
    running.publish("bad/in", "3000");
    let status = running.until("bad", |status| status.handled == 1);
    assert!(status.log_lines_dropped >= 2500, "{status:#?}");
    running.until_logged("bad", "log 0");
    check_goes_on(&running);
}

#[test]
fn what_imports_more_than_it_was_granted_is_refused_with_the_lines_and_others_run() {
    let world = World::new(&[echo("good", ""), component("bad", "importer", "")]);
    let running = world.run(&["good"]);
    let status = running.until("bad", |status| status.state.word() == "refused");
    assert!(format!("{:?}", status.state).contains("[component.bad.grant.timer]"), "{:?}", status.state);
    running.until_logged("bad", "Cannot run as it is");
    running.assert_good();
}

#[test]
fn a_file_that_is_missing_or_no_component_is_refused_and_others_run() {
    let bad =
        [component("gone", "missing", ""), component("text", "missing-too", ""), component("pipe", "missing-pipe", "")];
    let world = World::new(&[&[echo("good", "")], &bad[..]].concat());
    fs::write(world.path("missing-too.wasm"), "not a component").unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(world.path("missing-pipe.wasm")).status().unwrap();
    assert!(pipe.success());
    let running = world.run(&["good"]);
    for (name, reason) in [("gone", "put it there"), ("text", "is not a component"), ("pipe", "not a file")] {
        let status = running.until(name, |status| status.state.word() == "refused");
        assert!(format!("{:?}", status.state).contains(reason), "{:?}", status.state);
    }
    running.assert_good();
}

/// A compiler that dies is no fault of the component: it is tried again more often than faults are forgiven, and
/// the component runs as soon as the compiler does.
#[test]
fn what_may_pass_by_itself_is_tried_until_it_has_passed() {
    let quick = "restart.backoff = \"1ms\"\nrestart.backoff-max = \"1ms\"\nrestart.quarantine = 1\n";
    let world = World::new(&[component("late", "echo", quick)]);
    let compiler = world.path("compiler");
    let install = |lines: &str| {
        let new = world.path("compiler.new");
        fs::write(&new, format!("#!/bin/sh\n{lines}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&new, &compiler).unwrap();
    };
    install("echo >> \"$0.tries\"; exit 1");
    let mut options = world.options();
    options.worker.program = compiler.clone();
    let running = Running { gateway: Gateway::start(options).unwrap(), world: &world };
    eventually("enough tries", || {
        let tries = fs::read(world.path("compiler.tries")).map_or(0, |tries| tries.len());
        if tries >= 20 { Ok(()) } else { Err(Box::new(running.component("late"))) }
    });
    let status = running.until("late", |status| status.state.word() == "refused");
    let ComponentState::Refused { reason, retry_in_ms: Some(_) } = &status.state else { panic!("{status:#?}") };
    assert!(reason.contains("the compiling child failed"), "{reason}");
    assert_eq!((status.restarts, status.last_fault), (0, None));
    install(&format!("exec '{}' \"$@\"", worker().program.display()));
    running.until("late", |status| status.state.word() == "running");
}

#[test]
fn an_artifact_outside_the_configuration_folder_is_not_read() {
    let elsewhere = tempfile::tempdir().unwrap();
    let outside = elsewhere.path().join("echo.wasm");
    fs::copy(crate::world::fixture("echo"), &outside).unwrap();
    let world = World::new(&[component("absolute", "missing", ""), component("link", "missing-link", "")]);
    let text = fs::read_to_string(world.config()).unwrap();
    fs::write(world.config(), text.replace("missing.wasm", outside.to_str().unwrap())).unwrap();
    std::os::unix::fs::symlink(&outside, world.path("missing-link.wasm")).unwrap();
    let running = world.start();
    for name in ["absolute", "link"] {
        running.until(name, |status| status.state.word() == "refused");
    }
}
