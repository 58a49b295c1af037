//! A reload changes what changed and nothing else, and a file with mistakes changes nothing at all.

use edgewit_domain::control::{Command, Reloaded, Reply};

use crate::world::{Running, World, component, echo};

fn reload(running: &Running<'_>) -> Reloaded {
    match running.command(Command::Reload) {
        Reply::Reloaded(reloaded) => reloaded,
        other => panic!("{other:?}"),
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The same component in another file: an empty custom section more.
fn rebuild(world: &World, file: &str) {
    let mut wasm = std::fs::read(world.path(file)).unwrap();
    wasm.extend([0, 2, 1, b'x']);
    std::fs::write(world.path(file), wasm).unwrap();
}

#[test]
fn only_what_changed_is_changed() {
    let counter = component("counter", "counter", "");
    let world = World::new(&[counter.clone(), echo("good", ""), echo("old", ""), echo("held", "")]);
    let running = world.run(&["counter", "good", "old", "held"]);
    let (counts, out) = (running.listen("counter/out"), running.listen("held/out"));
    running.publish("counter/in", "x");
    assert_eq!(counts.next(), "1");
    running.command(Command::Stop { component: "held".into() });
    running.publish("held/in", "waits");
    let digest = running.component("good").digest;

    let good = component("good", "echo", "config.to = \"new/out\"\ngrant.publish.new = \"new/out\"\n");
    let held = echo("held", "subscribe.in.queue.messages = 10\n");
    world.configure("", &[counter, good, held, echo("new", "")]);
    let reloaded = reload(&running);
    assert_eq!(reloaded.added, names(&["new"]));
    assert_eq!(reloaded.removed, names(&["old"]));
    assert_eq!(reloaded.changed, names(&["good", "held"]));
    assert!(reloaded.needs_restart.is_empty());

    running.publish("counter/in", "x");
    assert_eq!(counts.next(), "2", "an unchanged component keeps its instance");
    assert_eq!(running.component("counter").restarts, 0);
    assert_eq!(running.component("held").queued, 1, "a queue keeps what waits in it");
    running.command(Command::Start { component: "held".into() });
    assert_eq!(out.next(), "waits");
    assert!(!running.status().components.contains_key("old"));
    running.until("new", |status| status.state.word() == "running");
    let renamed = running.listen("new/out");
    running.until_logged("good", "Replaced");
    running.publish("good/in", "x");
    assert_eq!(renamed.next(), "x");
    assert_eq!(running.component("good").digest, digest);
    assert_eq!(reload(&running), Reloaded::default(), "the second time there is nothing to do");
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_all_of_them_are_said() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    world.configure("grace = \"long\"\n", &[echo("new", "limits.memroy = 1\n")]);
    let Reply::Refused { reason, cure } = running.command(Command::Reload) else { panic!() };
    assert!(reason.contains("gateway.grace") && reason.contains("memroy"), "{reason}");
    assert!(cure.contains("nothing was changed"), "{cure}");
    assert_eq!(running.status().components.len(), 1);
    running.assert_good();
}

#[test]
fn a_new_artifact_is_swapped_in_with_the_state_of_the_old() {
    let world = World::new(&[component("counter", "counter", "")]);
    let running = world.run(&["counter"]);
    let out = running.listen("counter/out");
    running.publish("counter/in", "x");
    assert_eq!(out.next(), "1");
    let old = running.component("counter").digest;
    rebuild(&world, "counter.wasm");
    assert_eq!(reload(&running).changed, names(&["counter"]));
    running.until("counter", |status| status.digest != old && status.state.word() == "running");
    running.until_logged("counter", "started with 1: Reason::Swap");
    running.publish("counter/in", "x");
    assert_eq!(out.next(), "2");
}

#[test]
fn the_old_instance_stays_where_the_new_one_cannot_run() {
    let world = World::new(&[component("counter", "counter", ""), component("counter2", "counter", "")]);
    let running = world.run(&["counter", "counter2"]);
    let out = running.listen("counter/out");
    running.publish("counter/in", "x");
    assert_eq!(out.next(), "1");
    std::fs::write(world.path("broken.wasm"), "not a component").unwrap();
    std::fs::copy(crate::world::fixture("init_fail"), world.path("fails.wasm")).unwrap();
    let replaced = |name: &str, file: &str| component(name, "counter", "").replace("counter.wasm", file);
    world.configure("", &[replaced("counter", "broken.wasm"), replaced("counter2", "fails.wasm")]);
    assert_eq!(reload(&running).changed, names(&["counter", "counter2"]));
    for name in ["counter", "counter2"] {
        running.until_logged(name, "The new instance did not start; the old one stays");
        let status = running.component(name);
        assert_eq!((status.state.word(), status.restarts), ("running", 0));
    }
    running.publish("counter/in", "x");
    assert_eq!(out.next(), "2");
    assert_eq!(reload(&running).changed, names(&["counter", "counter2"]), "the next reload tries again");
}

#[test]
fn what_was_refused_runs_when_its_cause_is_gone() {
    let world = World::new(&[component("late", "missing", "")]);
    let running = world.start();
    running.until("late", |status| status.state.word() == "refused");
    std::fs::copy(crate::world::fixture("counter"), world.path("missing.wasm")).unwrap();
    assert_eq!(reload(&running).changed, names(&["late"]));
    running.until("late", |status| status.state.word() == "running");
}

#[test]
fn a_changed_policy_lifts_a_quarantine_and_leaves_a_running_instance_alone() {
    let world =
        World::new(&[component("bad", "trap", "restart.quarantine = 1\n"), component("counter", "counter", "")]);
    let running = world.run(&["bad", "counter"]);
    let out = running.listen("counter/out");
    running.publish("counter/in", "x");
    running.publish("bad/in", "x");
    running.until("bad", |status| status.state.word() == "quarantined");
    let counter = component("counter", "counter", "restart.quarantine = 7\n");
    world.configure("", &[component("bad", "trap", "restart.quarantine = 9\n"), counter]);
    reload(&running);
    let status = running.until("bad", |status| status.state.word() == "running");
    assert_eq!(status.restarts, 1, "its fault is not forgotten: it waited, and was started after it");
    running.publish("counter/in", "x");
    assert_eq!(out.take(2), ["1", "2"]);
    let replaced = running.log().into_iter().any(|line| line.text.contains("Swap") || line.text == "Replaced");
    assert!(!replaced, "its instance is the one it was");
}

#[test]
fn disabling_stops_and_enabling_starts() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    world.configure("", &[echo("good", "enabled = false\n")]);
    reload(&running);
    running.until("good", |status| status.state.word() == "stopped");
    world.configure("", &[echo("good", "")]);
    reload(&running);
    running.until("good", |status| status.state.word() == "running");
    running.assert_good();
}

#[test]
fn keys_of_the_gateway_take_effect_at_once_or_are_named() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    world.configure("grace = \"1s\"\nprofile = \"small\"\n[log]\nlevel = \"debug\"\n", &[echo("good", "")]);
    assert_eq!(reload(&running).needs_restart, names(&["gateway.profile"]));
    assert_eq!(running.gateway.config().gateway.grace.as_secs(), 1);
    running.command(Command::Restart { component: "good".into() });
    running.until_logged("good", "Starting");
    assert_eq!(reload(&running).needs_restart, names(&["gateway.profile"]), "still true");
}
