//! The end: no more intake, then the handlers have their grace, then what is open is closed.

use std::time::{Duration, Instant};

use edgewit_domain::control::{Command, Reply};
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::Topic;
use edgewit_gateway::{Gateway, PublishError};

use crate::world::{Running, World, component, echo, eventually};

/// A guest that would go on for an hour, and a grace time: the gateway ends soon after it.
fn check(fixture: &str, limits: &str) {
    let head = "grace = \"200ms\"\n";
    let world = World::with(head, &[echo("good", ""), component("bad", fixture, limits)]);
    let running = world.run(&["good", "bad"]);
    let out = running.listen(&format!("{fixture}/out"));
    running.publish("bad/in", "publish");
    running.until("bad", |status| status.queued == 0);
    let begun = Instant::now();
    running.gateway.shutdown();
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(200), "it was given its grace, and not just {took:?}");
    assert!(took < Duration::from_secs(30), "it took {took:?}");
    assert!(out.is_empty(), "what was interrupted has no effect");
    assert!(!world.socket().exists());
}

#[test]
fn a_sleeping_guest_is_interrupted_after_the_grace_time() {
    check("sleeper", "limits.wall = \"1h\"\n");
}

#[test]
fn a_spinning_guest_is_interrupted_after_the_grace_time() {
    check("spin", "limits.cpu = \"10m\"\nlimits.wall = \"1h\"\n");
}

#[test]
fn a_handling_that_ends_within_the_grace_time_has_its_effects() {
    let world = World::with("grace = \"30s\"\n", &[component("sleeper", "sleeper", "")]);
    let running = world.run(&["sleeper"]);
    let out = running.listen("sleeper/out");
    running.publish("sleeper/in", "300");
    running.until("sleeper", |status| status.queued == 0);
    running.gateway.shutdown();
    assert_eq!(out.next(), "awake");
}

#[test]
fn stopping_a_component_interrupts_it_after_the_grace_time_and_is_no_fault() {
    let world = World::with("grace = \"100ms\"\n", &[component("bad", "sleeper", "limits.wall = \"1h\"\n")]);
    let running = world.run(&["bad"]);
    running.publish("bad/in", "");
    running.until("bad", |status| status.queued == 0);
    running.command(Command::Stop { component: "bad".into() });
    let status = running.component("bad");
    assert_eq!((status.state.word(), status.last_fault), ("stopped", None));
    running.command(Command::Start { component: "bad".into() });
    running.until("bad", |status| status.state.word() == "running");
    let out = running.listen("sleeper/out");
    running.publish("bad/in", "1");
    assert_eq!(out.next(), "awake", "no interruption is left over");
}

#[test]
fn a_second_gateway_on_the_same_data_is_refused_until_the_first_has_ended() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    let error = world.try_start().err().unwrap();
    assert_eq!(error.exit_code(), 75);
    assert!(error.to_string().contains("another gateway runs on the data directory"), "{error}");
    running.assert_good();
    running.gateway.shutdown();
    world.run(&["good"]).assert_good();
}

#[test]
fn a_compile_under_way_delays_neither_the_others_nor_the_end() {
    let world = World::new(&[echo("good", "")]);
    world.run(&["good"]).gateway.shutdown();
    // From here on every compile hangs, and only what is in the cache can run.
    world.configure("grace = \"100ms\"\n", &[echo("good", ""), component("new", "trap", "")]);
    let mut options = world.options();
    options.worker.program = "/bin/sh".into();
    options.worker.args = vec!["-c".into(), "sleep 60".into()];
    let gateway = Gateway::start(options).unwrap();
    let running = Running { gateway, world: &world };
    running.until("good", |status| status.state.word() == "running");
    running.assert_good();
    assert_eq!(running.component("new").state.word(), "starting");
    let begun = Instant::now();
    running.gateway.shutdown();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn what_is_published_during_the_end_is_refused() {
    let world = World::with("grace = \"30s\"\n", &[component("sleeper", "sleeper", "")]);
    let running = world.run(&["sleeper"]);
    running.publish("sleeper/in", "500");
    running.until("sleeper", |status| status.queued == 0);
    let hub = running.gateway.hub().clone();
    let topic = Topic::parse("a").unwrap();
    let gateway = running.gateway;
    std::thread::scope(|scope| {
        scope.spawn(|| gateway.shutdown());
        eventually("the refusal", || {
            let message = Message::new(topic.clone(), "x");
            let published = hub.publish(message, Origin::Operator, None);
            if published == Err(PublishError::Closed) { Ok(()) } else { Err(published) }
        });
    });
}

/// Whoever waits for what comes of a reload is waited for by nobody.
#[test]
fn an_end_comes_before_what_a_reload_waits_for() {
    let head = "grace = \"1m\"\n";
    let world = World::with(head, &[echo("good", "")]);
    world.run(&["good"]).gateway.shutdown();
    let mut options = world.options();
    options.worker.program = "/bin/sh".into();
    options.worker.args = vec!["-c".into(), "sleep 60".into()];
    let running = Running { gateway: Gateway::start(options).unwrap(), world: &world };
    running.until("good", |status| status.state.word() == "running");
    world.configure(head, &[component("good", "trap", "")]);
    let mut replies = running.client().follow(&Command::Reload).unwrap();
    assert_eq!(replies.next().unwrap().unwrap(), Reply::Reloading { waiting: vec!["good".into()] });
    let begun = Instant::now();
    running.gateway.shutdown();
    assert!(begun.elapsed() < Duration::from_secs(30), "the end took {:?}", begun.elapsed());
    let last = replies.last();
    assert!(matches!(last, None | Some(Err(_) | Ok(Reply::Reloading { .. }))), "{last:?}");
}
