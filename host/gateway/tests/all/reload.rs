//! A reload changes what changed and nothing else, and a file with mistakes changes nothing at all.

use edgewit_domain::control::{Command, NotTaken, Reloaded, Reply};
use edgewit_gateway::Gateway;

use crate::world::{Running, World, component, echo};

fn reload(running: &Running<'_>) -> Reloaded {
    match running.command(Command::Reload) {
        Reply::Reloaded(reloaded) => *reloaded,
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
    let status = running.component("counter");
    assert!(status.digest != old && status.state.word() == "running", "{status:#?}");
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
    for again in ["", "the next reload tries again"] {
        let Reloaded { changed, failed, .. } = reload(&running);
        assert!(changed.is_empty(), "{changed:?} {again}");
        for (name, cause) in [("counter", "is not a component"), ("counter2", "init failed: ")] {
            let NotTaken { reason, old_stays } = &failed[name];
            assert!(reason.contains(cause) && *old_stays, "{reason} {again}");
            let status = running.component(name);
            assert_eq!((status.state.word(), status.older_configuration.as_ref()), ("running", Some(reason)));
        }
        assert_eq!(failed.len(), 2);
    }
    running.publish("counter/in", "x");
    assert_eq!(out.next(), "2");
    world.configure("", &[component("counter", "counter", ""), component("counter2", "counter", "")]);
    assert_eq!(reload(&running), Reloaded::default(), "put back to what really runs");
    assert_eq!(running.component("counter").older_configuration, None);
    running.publish("counter/in", "x");
    assert_eq!(out.next(), "3", "its instance is the one it was");
}

/// A gateway whose compiles do not come to an end, with a component that runs already.
fn slow(world: &World) -> Running<'_> {
    world.run(&["counter"]).gateway.shutdown();
    let mut options = world.options();
    options.worker.program = "/bin/sh".into();
    options.worker.args = vec!["-c".into(), "sleep 60".into()];
    let running = Running { gateway: Gateway::start(options).unwrap(), world };
    running.until("counter", |status| status.state.word() == "running");
    running
}

#[test]
fn a_reload_says_whom_it_waits_for_and_one_that_takes_it_back_does_not_wait() {
    let counter = component("counter", "counter", "");
    let world = World::new(std::slice::from_ref(&counter));
    let running = slow(&world);
    let out = running.listen("counter/out");
    running.publish("counter/in", "x");
    assert_eq!(out.next(), "1");
    world.configure("", &[counter.replace("counter.wasm", "trap.wasm")]);
    let mut replies = running.client().follow(&Command::Reload).unwrap();
    let waiting = Reply::Reloading { waiting: names(&["counter"]) };
    assert_eq!(replies.next().unwrap().unwrap(), waiting);
    let older = running.component("counter").older_configuration;
    assert_eq!(older.as_deref(), Some("the newer one is being put in its place"));
    world.configure("", &[counter]);
    assert_eq!(reload(&running), Reloaded::default());
    assert_eq!(running.component("counter").older_configuration, None);
    let last = replies.map(Result::unwrap).find(|reply| *reply != waiting);
    let Some(Reply::Reloaded(reloaded)) = last else { panic!("{last:?}") };
    let Reloaded { changed, failed, .. } = *reloaded;
    assert!(changed.is_empty() && failed["counter"].reason.contains("a later reload"), "{failed:?}");
    running.publish("counter/in", "x");
    assert_eq!(out.next(), "2", "its instance is the one it was");
}

#[test]
fn a_component_without_an_instance_takes_what_is_new_and_the_reload_says_that_it_does_not_run() {
    let world = World::new(&[echo("held", ""), component("bad", "trap", "restart.quarantine = 1\n")]);
    let running = world.run(&["held", "bad"]);
    running.publish("bad/in", "x");
    running.until("bad", |status| status.state.word() == "quarantined");
    running.command(Command::Stop { component: "held".into() });
    std::fs::write(world.path("missing-code.wasm"), "not a component").unwrap();
    let broken = |name: &str| component(name, "missing-code", "");
    world.configure("", &[broken("held"), broken("bad")]);
    let Reloaded { changed, failed, .. } = reload(&running);
    assert!(changed.is_empty() && failed.len() == 2, "{changed:?} {failed:?}");
    assert!(failed.values().all(|why| why.reason.contains("is not a component") && !why.old_stays), "{failed:?}");
    let states = ["held", "bad"].map(|name| running.component(name).state.word());
    assert_eq!(states, ["stopped", "refused"]);
    running.command(Command::Start { component: "held".into() });
    running.until("held", |status| status.state.word() == "refused");
    std::fs::copy(crate::world::fixture("init_fail"), world.path("missing-code.wasm")).unwrap();
    let failed = reload(&running).failed;
    assert!(failed.values().all(|why| why.reason.contains("init failed: ") && !why.old_stays), "{failed:?}");
    assert_eq!(failed.len(), 2);
}

#[test]
fn a_component_that_is_enabled_with_other_code_runs_that() {
    let world = World::new(&[echo("held", "")]);
    let running = world.run(&["held"]);
    world.configure("", &[echo("held", "enabled = false\n")]);
    assert_eq!(reload(&running).changed, names(&["held"]));
    world.configure("", &[component("held", "counter", "")]);
    assert_eq!(reload(&running).changed, names(&["held"]));
    assert_eq!(running.component("held").state.word(), "running");
    let out = running.listen("counter/out");
    running.publish("held/in", "x");
    assert_eq!(out.next(), "1");
}

#[test]
fn what_was_refused_runs_when_its_cause_is_gone() {
    let world = World::new(&[component("late", "missing", "")]);
    let running = world.start();
    running.until("late", |status| status.state.word() == "refused");
    std::fs::copy(crate::world::fixture("counter"), world.path("missing.wasm")).unwrap();
    assert_eq!(reload(&running).changed, names(&["late"]));
    assert_eq!(running.component("late").state.word(), "running");
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

#[test]
fn a_thing_that_changed_is_named_nowhere_before_the_next_start() {
    let says = |level: &str| {
        let topic = format!("${{thing}}/{level}");
        echo("a", "").replace("a/out", &topic)
    };
    let world = World::new(&[says("one")]);
    let running = world.run(&["a"]);
    let text = std::fs::read_to_string(world.config()).unwrap();
    let other = text.replace("thing = \"test\"", "thing = \"other\"").replace("/one", "/two");
    std::fs::write(world.config(), other).unwrap();
    let reloaded = reload(&running);
    assert_eq!((reloaded.needs_restart, reloaded.changed), (names(&["gateway.thing"]), names(&["a"])));
    let answers = running.listen("+/two");
    let topics = running.listen("test/two");
    running.publish("a/in", "ping");
    assert_eq!((answers.next(), topics.next()), ("ping".to_owned(), "ping".to_owned()));
    drop(running);
    let running = world.run(&["a"]);
    let topics = running.listen("other/two");
    running.publish("a/in", "ping");
    assert_eq!(topics.next(), "ping");
}
