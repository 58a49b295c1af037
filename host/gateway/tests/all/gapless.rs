//! A durable queue collects at every moment: while the gateway starts, while it ends, and while a reload changes who
//! reads the queue and how. Whatever is acknowledged meanwhile is in it once, and in order.

use edgewit_domain::control::{Command, Reply};
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::topic::Topic;
use edgewit_gateway::Gateway;

use crate::world::{Running, World, eventually, numbers_until};

/// An echo with a durable queue for `NAME/in`.
fn durable(name: &str, to: &str, further: &str) -> String {
    format!(
        "[component.{name}]\nartifact = \"echo.wasm\"\nconfig.to = \"{to}\"\ngrant.publish.to = \"{to}\"\n\
         subscribe.in.filter = \"{name}/in\"\nsubscribe.in.delivery = \"durable\"\n{further}\n"
    )
}

fn publish(gateway: &Gateway, topic: &str, number: usize) {
    let message = Message { qos: Qos::AtLeastOnce, ..Message::new(Topic::parse(topic).unwrap(), number.to_string()) };
    gateway.hub().publish(message, Origin::Operator, None).unwrap();
}

/// The payloads of everything in a queue.
fn kept(running: &Running<'_>, queue: &str) -> Vec<String> {
    let mut kept = Vec::new();
    let mut from = 0;
    loop {
        let rows = match running.command(Command::Rows { queue: queue.into(), from, count: 500 }) {
            Reply::Rows { rows, .. } => rows,
            other => panic!("{other:?}"),
        };
        let Some(last) = rows.last() else { return kept };
        from = last.sequence + 1;
        kept.extend(rows.into_iter().map(|row| String::from_utf8(row.message.payload).unwrap()));
    }
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[test]
fn what_the_first_says_at_the_start_is_heard_by_the_last() {
    let off = "enabled = false\n";
    let world = World::new(&[durable("a", "z/in", "")]);
    let running = world.run(&["a"]);
    running.command(Command::Stop { component: "a".into() });
    (0..100).for_each(|number| publish(&running.gateway, "a/in", number));
    drop(running);
    let between = (0..40).map(|number| durable(&format!("m{number}"), "nowhere", off));
    let all = [durable("a", "z/in", "")].into_iter().chain(between).chain([durable("z", "out", off)]);
    world.configure("", &all.collect::<Vec<_>>());
    let running = world.run(&["a"]);
    running.until("a", |status| status.queued == 0 && status.handled == 100);
    assert_eq!(kept(&running, "component/z/in"), numbers(100));
}

#[test]
fn what_is_said_while_the_gateway_ends_is_kept() {
    const EACH: usize = 300;
    const ROUNDS: usize = 8;
    let world = World::new(&[durable("a", "b/in", ""), durable("b", "out", "enabled = false\n")]);
    for round in 0..ROUNDS {
        let running = world.run(&["a"]);
        (0..EACH).for_each(|number| publish(&running.gateway, "a/in", round * EACH + number));
        running.gateway.shutdown();
    }
    let running = world.run(&["a"]);
    running.until("a", |status| status.queued == 0);
    assert_eq!(kept(&running, "component/b/in"), numbers(ROUNDS * EACH));
}

/// Everybody else has ended long before it.
#[test]
fn what_a_handler_says_in_its_grace_is_kept() {
    let sleeper = "[component.s]\nartifact = \"sleeper.wasm\"\nlimits.wall = \"1m\"\ngrant.publish.out = \"sleeper/#\"\n\
                   subscribe.in.filter = \"s/in\"\nsubscribe.in.delivery = \"durable\"\n";
    let hears = durable("b", "out", "enabled = false\n").replace("b/in", "sleeper/out");
    let world = World::new(&[sleeper.to_owned(), hears]);
    let running = world.run(&["s"]);
    eventually("it is in the handler's hand", || {
        publish(&running.gateway, "s/in", 500);
        match running.command(Command::DropRows { queue: "component/s/in".into() }) {
            Reply::Counted { rows: 0, .. } => Ok(()),
            other => Err(other),
        }
    });
    running.gateway.shutdown();
    let running = world.start();
    assert_eq!(kept(&running, "component/b/in"), ["awake"]);
}

#[test]
fn a_subscription_that_changes_misses_nothing_that_both_hear() {
    let with = |filter: &str| {
        let component = durable("a", "out", "enabled = false\nsubscribe.in.queue.bytes = \"256MiB\"\n");
        component.replace("\"a/in\"", &format!("\"{filter}\""))
    };
    let world = World::new(&[with("a/in")]);
    let running = world.start();
    let count = numbers_until(
        |number| publish(&running.gateway, "a/in", number as usize),
        || {
            for round in 0..20 {
                world.configure("", &[with(if round % 2 == 0 { "a/+" } else { "a/in" })]);
                assert!(matches!(running.command(Command::Reload), Reply::Reloaded(_)));
            }
        },
    );
    assert_eq!(kept(&running, "component/a/in"), numbers(count as usize));
}

/// The broker is not there, and need not be.
#[test]
fn an_uplink_whose_link_changes_misses_nothing() {
    let cloud = |keep_alive: u32| {
        format!(
            "[cloud.main]\nbroker = \"mqtt://127.0.0.1:1\"\nkeep-alive = \"{keep_alive}s\"\n\
             [uplink.up]\nfilter = \"a/in\"\nqueue = {{ bytes = \"256MiB\", messages = 1000000, full = \"refuse\" }}\n"
        )
    };
    let world = World::with(&cloud(30), &[]);
    let running = world.start();
    let count = numbers_until(
        |number| publish(&running.gateway, "a/in", number as usize),
        || {
            for round in 0..20 {
                world.configure(&cloud(40 + round), &[]);
                assert!(matches!(running.command(Command::Reload), Reply::Reloaded(_)));
            }
        },
    );
    let status = running.status();
    let queued = status.clouds.get("main").and_then(|cloud| cloud.uplinks.get("up")).map(|uplink| uplink.queued);
    assert_eq!(queued, Some(count));
    assert_eq!(kept(&running, "uplink/up"), numbers(count as usize));
}

#[test]
fn an_uplink_collects_what_is_said_while_the_gateway_starts_and_ends() {
    const EACH: usize = 200;
    const ROUNDS: usize = 6;
    let cloud = "[cloud.main]\nbroker = \"mqtt://127.0.0.1:1\"\n[uplink.up]\nfilter = \"up\"\n";
    let world = World::with(cloud, &[durable("a", "up", "")]);
    for round in 0..ROUNDS {
        let running = world.start();
        (0..EACH).for_each(|number| publish(&running.gateway, "a/in", round * EACH + number));
        running.gateway.shutdown();
    }
    let running = world.run(&["a"]);
    running.until("a", |status| status.queued == 0);
    assert_eq!(kept(&running, "uplink/up"), numbers(ROUNDS * EACH));
}
