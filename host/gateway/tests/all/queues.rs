//! [Q1]: a live queue is bounded, drops by its rule, and counts every drop; it goes on collecting while its component
//! does not run.

use edgewit_domain::control::Command;
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::Topic;

use crate::world::{World, echo, eventually};

fn check(queue: &str, sent: usize, left: &[&str]) {
    let world = World::new(&[echo("good", &format!("subscribe.in.queue = {{ {queue} }}\n"))]);
    let running = world.run(&["good"]);
    running.command(Command::Stop { component: "good".into() });
    let out = running.listen("good/out");
    for number in 0..sent {
        running.publish("good/in", &number.to_string());
    }
    let status = running.component("good");
    assert_eq!((status.state.word(), status.queued), ("stopped", left.len() as u64));
    assert_eq!(status.dropped, (sent - left.len()) as u64, "every drop is counted");
    running.command(Command::Start { component: "good".into() });
    assert_eq!(out.take(left.len()), left);
    running.until("good", |status| status.handled == left.len() as u64 && status.queued == 0);
}

#[test]
fn q1_a_stopped_components_queue_drops_its_oldest() {
    check("messages = 3", 10, &["7", "8", "9"]);
}

#[test]
fn q1_or_its_newest_where_the_subscription_says_so() {
    check("messages = 3, full = \"drop-newest\"", 10, &["0", "1", "2"]);
}

#[test]
fn q1_bytes_are_a_bound_as_well() {
    // A kibibyte holds 128 messages of seven bytes of topic and one of payload.
    let left: Vec<String> = (0..9).map(|number| number.to_string()).collect();
    check("messages = 1000, bytes = \"1KiB\"", 9, &left.iter().map(String::as_str).collect::<Vec<_>>());
    let world = World::new(&[echo("good", "subscribe.in.queue = { bytes = \"1KiB\" }\n")]);
    let running = world.run(&["good"]);
    running.command(Command::Stop { component: "good".into() });
    for _ in 0..200 {
        running.publish("good/in", "x");
    }
    let status = running.component("good");
    assert_eq!((status.queued, status.dropped), (128, 72));
}

#[test]
fn q1_a_slow_reader_of_the_hub_is_told_what_it_missed() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    let (mut client, command) = (running.client(), Command::Subscribe { filters: vec!["flood".into()] });
    assert!(client.ask(&Command::Status).is_ok());
    let mut follow = client.follow(&command).unwrap();
    let sent = 200_000;
    let payload = "x".repeat(1000);
    for _ in 0..sent {
        running.publish("flood", &payload);
    }
    running.publish("flood", "last");
    let (mut got, mut dropped) = (0, 0);
    loop {
        let edgewit_domain::control::Reply::Message(message) = follow.next().unwrap().unwrap() else { panic!() };
        got += 1;
        dropped += message.dropped;
        if message.payload == b"last" {
            break;
        }
    }
    assert_eq!(got + dropped, sent + 1, "nothing is lost without being counted");
    assert!(dropped > 0);
}

#[test]
fn m1_a_message_whose_expiry_passed_is_not_handed_over_and_counted() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    running.command(Command::Stop { component: "good".into() });
    let out = running.listen("good/out");
    for (payload, expiry) in [("late", Some(1)), ("for an hour", Some(3600)), ("for ever", None)] {
        let message = Message { expiry, ..Message::new(Topic::parse("good/in").unwrap(), payload) };
        running.gateway.hub().publish(message, Origin::Operator, None).unwrap();
    }
    let published = running.status().uptime_ms;
    eventually("a second has passed", || match running.status().uptime_ms {
        now if now > published + 1000 => Ok(()),
        now => Err(now),
    });
    running.command(Command::Start { component: "good".into() });
    assert_eq!(out.take(2), ["for an hour", "for ever"]);
    assert_eq!(running.component("good").expired, 1);
}
