//! Durable queues and atomic handling, with a real store and real components.

use edgewit_domain::control::{Command, Reply};
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::topic::Topic;
use edgewit_gateway::PublishError;

use crate::world::{Running, World, eventually};

/// A component `NAME` of a fixture with a durable queue for `NAME/in`.
fn durable(name: &str, fixture: &str, further: &str) -> String {
    let topics = fixture.replace('_', "-");
    format!(
        "[component.{name}]\nartifact = \"{fixture}.wasm\"\n\
         subscribe.in.filter = \"{name}/in\"\nsubscribe.in.delivery = \"durable\"\n\
         grant.publish.out = \"{topics}/#\"\n{further}\n"
    )
}

fn echo(name: &str, to: &str, further: &str) -> String {
    durable(name, "echo", &format!("config.to = \"{to}\"\ngrant.publish.to = \"{to}\"\n{further}"))
}

fn publish(running: &Running<'_>, topic: &str, payload: &str) -> Result<(), PublishError> {
    let message = Message { qos: Qos::AtLeastOnce, ..Message::new(Topic::parse(topic).unwrap(), payload) };
    running.gateway.hub().publish(message, Origin::Operator, None).map(drop)
}

fn stop(running: &Running<'_>, name: &str) {
    running.command(Command::Stop { component: name.into() });
}

fn start(running: &Running<'_>, name: &str) {
    running.command(Command::Start { component: name.into() });
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn a1_what_was_acknowledged_is_handled_after_a_restart_in_order_and_once() {
    let world = World::new(&[echo("a", "a/out", "")]);
    let running = world.run(&["a"]);
    stop(&running, "a");
    for payload in numbers(0..1000) {
        publish(&running, "a/in", &payload).unwrap();
    }
    assert_eq!(running.component("a").queued, 1000);
    drop(running);
    let running = world.start();
    let out = running.listen("a/out");
    // What was handled before there was a listener is counted, not heard.
    running.until("a", |status| status.handled == 1000 && status.queued == 0);
    let heard = out.rest();
    let expected = numbers(0..1000);
    assert_eq!(heard, expected[1000 - heard.len()..]);
    drop(running);
    let running = world.run(&["a"]);
    assert_eq!(running.component("a").handled, 0, "consumed for good");
}

#[test]
fn h1_a_chain_loses_nothing_and_doubles_nothing() {
    let world = World::new(&[echo("a", "b/in", ""), echo("b", "c/in", ""), echo("c", "out", "")]);
    let running = world.run(&["a", "b", "c"]);
    let out = running.listen("out");
    for payload in numbers(0..500) {
        publish(&running, "a/in", &payload).unwrap();
    }
    assert_eq!(out.take(500), numbers(0..500));
    running.until("c", |status| status.queued == 0 && status.handled == 500);
    assert!(out.is_empty());
}

#[test]
fn h3_a_failing_delivery_is_tried_again_in_its_place_then_given_up_and_the_rest_flows() {
    let world = World::new(&[durable("e", "error", "subscribe.in.attempts = 3\n")]);
    let running = world.run(&["e"]);
    let out = running.listen("error/out");
    let dead = running.listen("$edgewit/dead/e");
    stop(&running, "e");
    for payload in ["fine", "retry", "fine", "reject", "fine"] {
        publish(&running, "e/in", payload).unwrap();
    }
    start(&running, "e");
    assert_eq!(out.take(3), ["attempt 1"; 3]);
    let status = running.until("e", |status| status.queued == 0);
    assert_eq!((status.handled, status.failed, status.rejected), (3, 3, 1));
    assert_eq!(status.state.word(), "running", "the component is as well as it was");
    let told = dead.take(2);
    assert!(told[0].contains("retry as told") && told[0].contains("\"attempts\":3"), "{told:?}");
    assert!(told[1].contains("reject as told") && told[1].contains("\"attempts\":1"), "{told:?}");
    assert!(out.is_empty(), "a failed handling leaves no effect");
}

#[test]
fn h3_in_relaxed_order_the_rest_passes_one_that_fails() {
    let world =
        World::new(&[durable("e", "error", "subscribe.in.order = \"relaxed\"\nsubscribe.in.attempts = 1000\n")]);
    let running = world.run(&["e"]);
    let out = running.listen("error/out");
    stop(&running, "e");
    for payload in ["retry", "fine", "retry", "fine", "fine"] {
        publish(&running, "e/in", payload).unwrap();
    }
    start(&running, "e");
    assert_eq!(out.take(3), ["attempt 1"; 3]);
    let status = running.until("e", |status| status.queued == 2 && status.failed > 4);
    assert_eq!(status.handled, 3, "those that fail are tried again and again, for themselves");
}

#[test]
fn h1_a_trap_half_way_leaves_neither_effect_nor_consumption() {
    let world = World::new(&[durable("t", "trap_half", "subscribe.in.attempts = 2\n")]);
    let running = world.run(&["t"]);
    let out = running.listen("trap-half/out");
    for payload in ["fine", "trap", "fine"] {
        publish(&running, "t/in", payload).unwrap();
    }
    assert_eq!(out.take(2), ["fine", "fine"]);
    let status = running.until("t", |status| status.queued == 0);
    assert_eq!((status.handled, status.failed), (2, 2));
    assert!(out.is_empty());
}

#[test]
fn q3_quality_0_enters_a_durable_queue_only_where_it_may() {
    let world = World::new(&[echo("a", "a/out", ""), echo("b", "b/out", "subscribe.in.qos0 = true\n")]);
    let running = world.run(&["a", "b"]);
    let out = running.listen("+/out");
    running.publish("a/in", "lost");
    running.publish("b/in", "kept");
    publish(&running, "a/in", "one").unwrap();
    let mut heard = out.take(2);
    heard.sort();
    assert_eq!(heard, ["kept", "one"]);
}

#[test]
fn q1_a_queue_that_refuses_says_so_and_takes_again_when_it_has_room() {
    let queue = "subscribe.in.queue = { messages = 2, full = \"refuse\" }\n";
    let world = World::new(&[echo("a", "a/out", queue)]);
    let running = world.run(&["a"]);
    let out = running.listen("a/out");
    stop(&running, "a");
    publish(&running, "a/in", "1").unwrap();
    publish(&running, "a/in", "2").unwrap();
    let refused = publish(&running, "a/in", "3");
    assert!(matches!(&refused, Err(PublishError::NoRoom(text)) if text.contains("component/a/in")), "{refused:?}");
    start(&running, "a");
    assert_eq!(out.take(2), ["1", "2"]);
    eventually("room", || publish(&running, "a/in", "4"));
    assert_eq!(out.next(), "4");
}

#[test]
fn q1_the_oldest_makes_room_where_the_queue_says_so() {
    let queue = "subscribe.in.queue = { messages = 3, full = \"drop-oldest\" }\n";
    let world = World::new(&[echo("a", "a/out", queue)]);
    let running = world.run(&["a"]);
    let out = running.listen("a/out");
    stop(&running, "a");
    for payload in numbers(0..10) {
        publish(&running, "a/in", &payload).unwrap();
    }
    start(&running, "a");
    assert_eq!(out.take(3), ["7", "8", "9"]);
}

#[test]
fn q1_the_last_of_each_topic_stays_where_the_queue_says_so() {
    let queue = "subscribe.in.queue = { messages = 3, full = \"last-per-topic\" }\n";
    let world = World::new(&[echo("a", "a/out", queue).replace("\"a/in\"", "\"a/in/+\"")]);
    let running = world.run(&["a"]);
    let out = running.listen("a/out");
    stop(&running, "a");
    for payload in ["x1", "y1", "x2", "z1", "y2", "x3"] {
        publish(&running, &format!("a/in/{}", payload.chars().next().unwrap()), payload).unwrap();
    }
    start(&running, "a");
    assert_eq!(out.take(3), ["z1", "y2", "x3"]);
    assert!(out.is_empty());
}

#[test]
fn q5_a_handling_without_room_waits_for_it_and_that_is_no_attempt() {
    let full = "subscribe.in.queue = { messages = 1, full = \"refuse\" }\n";
    let world = World::new(&[echo("a", "b/in", "subscribe.in.attempts = 1\n"), echo("b", "out", full)]);
    let running = world.run(&["a", "b"]);
    let out = running.listen("out");
    stop(&running, "b");
    for payload in numbers(0..5) {
        publish(&running, "a/in", &payload).unwrap();
    }
    running.until("a", |status| status.handled == 1 && status.failed > 0);
    start(&running, "b");
    assert_eq!(out.take(5), numbers(0..5));
    running.until("a", |status| status.queued == 0);
}

#[test]
fn q5_what_a_handling_got_over_is_no_excuse_for_the_next_one() {
    let full = "[component.full]\nartifact = \"echo.wasm\"\nconfig.to = \"full/out\"\n\
                grant.publish.to = \"full/out\"\nsubscribe.in.filter = \"error/out\"\n\
                subscribe.in.delivery = \"durable\"\nsubscribe.in.queue = { messages = 1, full = \"refuse\" }\n";
    let world = World::new(&[durable("e", "error", "subscribe.in.attempts = 2\n"), full.to_owned()]);
    let running = world.run(&["e", "full"]);
    let dead = running.listen("$edgewit/dead/e");
    stop(&running, "full");
    for payload in ["careless", "careless", "retry at once"] {
        publish(&running, "e/in", payload).unwrap();
    }
    let told = dead.next();
    assert!(told.contains("retry at once as told") && told.contains("\"attempts\":2"), "{told}");
    assert_eq!(running.component("e").handled, 2);
}

#[test]
fn q5_room_is_waited_for_until_it_is_enough() {
    let full = "subscribe.in.queue = { bytes = \"1MiB\", full = \"refuse\" }\n";
    let world = World::new(&[echo("a", "b/in", ""), echo("b", "out", full), echo("good", "good/out", "")]);
    let running = world.run(&["a", "b", "good"]);
    stop(&running, "b");
    let large = "x".repeat(250 << 10);
    (0..5).for_each(|_| publish(&running, "a/in", &large).unwrap());
    running.until("a", |status| status.handled == 4 && status.failed == 1);
    let good = running.listen("good/out");
    for payload in numbers(0..100) {
        publish(&running, "good/in", &payload).unwrap();
        assert_eq!(good.next(), payload);
    }
    assert_eq!(running.component("a").failed, 1, "there is room, and not for this");
    start(&running, "b");
    running.until("b", |status| status.handled == 5);
}

#[test]
fn q5_a_circle_of_full_queues_is_broken_at_its_oldest_message_and_named() {
    let one = "subscribe.in.queue = { messages = 1, full = \"refuse\" }\n";
    let world = World::new(&[echo("a", "b/in", one), echo("b", "a/in", one)]);
    let running = world.run(&["a", "b"]);
    stop(&running, "a");
    stop(&running, "b");
    publish(&running, "b/in", "older").unwrap();
    publish(&running, "a/in", "younger").unwrap();
    let dead = running.listen("$edgewit/dead/#");
    start(&running, "a");
    start(&running, "b");
    let circle = "component/b/in → component/a/in → component/b/in";
    let told = dead.next();
    assert!(told.contains("\"component\":\"b\"") && told.contains(circle), "{told}");
    running.until("b", |status| status.handled > 0);
    let rows = match running.command(Command::Rows { queue: "dead/component/b".into(), from: 0, count: 9 }) {
        Reply::Rows { rows, .. } => rows,
        other => panic!("{other:?}"),
    };
    assert_eq!(rows.iter().map(|row| &*row.message.payload).collect::<Vec<_>>(), [b"older"]);
}

#[test]
fn q6_a_dead_letter_says_where_in_the_guest_it_failed() {
    let world = World::new(&[durable("t", "trap", "subscribe.in.attempts = 1\n")]);
    let running = world.run(&["t"]);
    let told = running.listen("$edgewit/dead/t");
    publish(&running, "t/in", "panic").unwrap();
    told.next();
    let rows = match running.command(Command::Rows { queue: "dead/component/t".into(), from: 0, count: 9 }) {
        Reply::Rows { rows, .. } => rows,
        other => panic!("{other:?}"),
    };
    let dead = rows.first().and_then(|row| row.dead.as_ref()).unwrap();
    assert!(dead.reason.contains("panicked as told") && dead.backtrace.contains("on_message"), "{dead:?}");
}

#[test]
fn q6_a_full_dead_letter_queue_stops_its_component_and_nobody_else() {
    let dead = "subscribe.in.attempts = 1\ndead-letter = { messages = 1 }\n";
    let world = World::new(&[durable("e", "error", dead), echo("good", "good/out", "")]);
    let running = world.run(&["e", "good"]);
    // All in one batch.
    stop(&running, "e");
    for payload in ["reject", "reject", "fine"] {
        publish(&running, "e/in", payload).unwrap();
    }
    start(&running, "e");
    let status = running.until("e", |status| status.state.word() == "blocked" && status.queued < 3);
    assert_eq!((status.queued, status.handled), (2, 0), "what cannot be buried waits, and what is behind it");
    let out = running.listen("good/out");
    publish(&running, "good/in", "ping").unwrap();
    assert_eq!(out.next(), "ping");
}

#[test]
fn m4_retained_messages_come_at_every_start_and_once_into_a_durable_queue() {
    let retain = |running: &Running<'_>, payload: &str| {
        let message = Message { retain: true, ..Message::new(Topic::parse("a/in").unwrap(), payload) };
        running.gateway.hub().publish(message, Origin::Operator, None).unwrap();
    };
    let world = World::new(&[]);
    let running = world.start();
    retain(&running, "old");
    retain(&running, "new");
    drop(running);
    let live = echo("l", "l/out", "").replace("\"l/in\"", "\"a/in\"").replace("durable", "live");
    world.configure("", &[echo("a", "a/out", ""), live]);
    let running = world.start();
    running.until("a", |status| status.handled == 1);
    running.until("l", |status| status.handled == 1);
    running.command(Command::Restart { component: "l".into() });
    running.until("l", |status| status.handled == 2);
    assert_eq!(running.listen("a/in").next(), "new", "whoever subscribes hears the last one");
    drop(running);
    let running = world.run(&["a", "l"]);
    running.until("l", |status| status.handled == 1);
    assert_eq!(running.component("a").handled, 0, "only when the queue is first made");
    retain(&running, "");
    running.until("l", |status| status.handled == 2);
    assert!(running.listen("a/in").is_empty(), "an empty payload clears");
}

#[test]
fn q2_rows_outlive_their_subscription_for_a_while() {
    let world = World::new(&[echo("a", "a/out", "")]);
    let running = world.run(&["a"]);
    stop(&running, "a");
    publish(&running, "a/in", "kept").unwrap();
    world.configure("", &[]);
    running.command(Command::Reload);
    assert!(running.status().components.is_empty());
    publish(&running, "a/in", "nobody hears this").unwrap();
    world.configure("", &[echo("a", "a/out", "")]);
    let out = running.listen("a/out");
    running.command(Command::Reload);
    assert_eq!(out.next(), "kept");
    running.until("a", |status| status.queued == 0 && status.handled == 1);
}

#[test]
fn q1_a_reader_whose_rows_were_all_dropped_gets_those_that_came_instead() {
    let says = crate::world::component("says", "flood", "config.count = 50\n");
    let hears = "[component.hears]\nartifact = \"counter.wasm\"\ngrant.publish.out = \"counter/out\"\n\
                 [component.hears.subscribe.in]\nfilter = \"flood/out\"\ndelivery = \"durable\"\nqos0 = true\n\
                 queue = { messages = 400, full = \"drop-oldest\" }\n";
    let world = World::new(&[says, hears.into()]);
    let running = world.run(&["says", "hears"]);
    for round in 1..=300 {
        (0..8).for_each(|_| running.publish("says/in", "x"));
        running.until("says", |status| status.handled == round * 8);
    }
    // What was said last is not dropped by anything, and is all there is.
    running.until("hears", |status| status.queued == 0 && status.handled >= 400);
}
