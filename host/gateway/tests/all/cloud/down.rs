//! [C3] What the cloud says is committed wherever it goes, and never waits for room.

use edgewit_domain::control::{Command, Reply, RowView};

use crate::far::{Far, until, until_connected};
use crate::world::{Running, World, eventually};

const RULES: &str = "[downlink.commands]\nfilter = \"cmd/#\"\ndead-letter = { messages = 3 }\n\
                     [downlink.rest]\nfilter = \"other/#\"\ntopic = \"here\"\n";

/// A component that is off, whose durable queue for `NAME` drops its oldest.
pub fn collector(name: &str, filter: &str, further: &str) -> String {
    format!(
        "[component.{name}]\nartifact = \"echo.wasm\"\nenabled = false\nconfig.to = \"out\"\ngrant.publish.to = \"out\"\n\
         subscribe.in = {{ filter = \"{filter}\", delivery = \"durable\", queue = {{ {further} }} }}\n"
    )
}

pub fn rows(ask: impl Fn(&Command) -> Reply, queue: &str) -> Vec<RowView> {
    let mut all: Vec<RowView> = Vec::new();
    loop {
        let from = all.last().map_or(0, |row| row.sequence + 1);
        match ask(&Command::Rows { queue: queue.into(), from, count: 500 }) {
            Reply::Rows { rows, .. } if rows.is_empty() => return all,
            Reply::Rows { rows, .. } => all.extend(rows),
            other => panic!("{other:?}"),
        }
    }
}

fn payloads(running: &Running<'_>, queue: &str) -> Vec<String> {
    let rows = rows(|command| running.command(command.clone()), queue);
    rows.into_iter().map(|row| String::from_utf8(row.message.payload).unwrap()).collect()
}

fn until_rows(running: &Running<'_>, queue: &str, expected: &[&str]) {
    eventually(queue, || match payloads(running, queue) {
        payloads if payloads == expected => Ok(()),
        payloads => Err(payloads),
    });
}

/// The broker confirms a subscription to the link alone; what comes down shows it to us.
fn until_subscribed(far: &Far, running: &Running<'_>) {
    until_connected(running);
    until(running, "the link is subscribed", |cloud| {
        far.publish("other/probe", "?");
        cloud.downlinks.values().any(|downlink| downlink.received > 0)
    });
}

fn world(far: &Far, head: &str, components: &[String]) -> World {
    far.world(&format!("{head}{RULES}"), components)
}

#[test]
fn c3_what_comes_down_is_kept_for_who_hears_it_and_survives_the_gateway() {
    let far = Far::new();
    let world = world(&far, "", &[collector("b", "cmd/#", "full = \"drop-oldest\"")]);
    let running = world.start();
    until_subscribed(&far, &running);
    let expected: Vec<String> = (0..50).map(|number: u32| number.to_string()).collect();
    expected.iter().for_each(|payload| far.publish("cmd/x", payload));
    let cloud = until(&running, "all has come", |cloud| cloud.downlinks["commands"].received == 50);
    assert_eq!((cloud.downlinks["commands"].bytes, cloud.downlinks["commands"].given_up), (90, 0));
    until_rows(&running, "component/b/in", &expected.iter().map(String::as_str).collect::<Vec<_>>());
    running.gateway.shutdown();

    // The broker keeps for it what is said while it is away, and gives again nothing that was acknowledged.
    far.publish("cmd/x", "meanwhile");
    let running = world.start();
    let expected: Vec<&str> = expected.iter().map(String::as_str).chain(["meanwhile"]).collect();
    until_rows(&running, "component/b/in", &expected);
    let row = rows(|command| running.command(command.clone()), "component/b/in").pop().unwrap();
    assert_eq!((row.message.topic.as_str(), row.message.origin.as_str()), ("cmd/x", "cloud main"));
}

#[test]
fn c3_what_finds_no_room_is_a_dead_letter_and_holds_up_nothing() {
    let far = Far::new();
    let components = [
        collector("b", "cmd/#", "bytes = \"4MiB\", full = \"drop-oldest\""),
        collector("hog", "hog", "bytes = \"4MiB\""),
    ];
    let world = world(&far, "[store]\nbytes = \"4MiB\"\n", &components);
    let running = world.start();
    until_subscribed(&far, &running);
    let heard = running.listen("here/#");
    fill(&running);
    for number in 0..5 {
        far.publish("cmd/x", &number.to_string());
        far.publish("other/x", "flows");
    }
    // Before them may come more of what showed that the link is subscribed.
    let flows = std::iter::repeat_with(|| heard.next()).filter(|payload| payload == "flows").take(5);
    assert_eq!(flows.count(), 5);
    let cloud = until(&running, "it is counted", |cloud| cloud.downlinks["commands"].given_up == 5);
    assert_eq!((cloud.downlinks["rest"].given_up, cloud.connections), (0, 1));
    until_rows(&running, "dead/downlink/commands", &["2", "3", "4"]);
    let row = rows(|command| running.command(command.clone()), "dead/downlink/commands").pop().unwrap();
    assert!(row.dead.is_some_and(|dead| dead.reason.contains("the store is full")));

    let dropped = running.command(Command::DropRows { queue: "component/hog/in".into() });
    assert!(matches!(dropped, Reply::Counted { rows: 1.., left: None }), "{dropped:?}");
    far.publish("cmd/x", "5");
    until_rows(&running, "component/b/in", &["5"]);
    // It never waited anywhere: given back, it goes to whoever hears it now.
    let replayed = running.command(Command::Replay { queue: "dead/downlink/commands".into(), sequence: None });
    assert_eq!(replayed, Reply::Counted { rows: 3, left: None });
    until_rows(&running, "component/b/in", &["5", "2", "3", "4"]);
}

/// Breaks a row of a gateway that has ended, by a word in its payload.
pub fn damage(world: &World, word: &str) {
    let file = world.path("data/store/store.sqlite");
    let mut bytes = std::fs::read(&file).unwrap();
    // Wherever it stands: a page that was split keeps what has moved on, and nobody reads that.
    let starts: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(word.as_bytes())).collect();
    assert!(!starts.is_empty(), "it is there");
    starts.into_iter().for_each(|at| bytes[at] ^= 1);
    std::fs::write(&file, bytes).unwrap();
}

fn until_damaged(running: &Running<'_>, name: &str) {
    eventually(name, || match running.command(Command::Queues) {
        Reply::Queues { queues } if queues.iter().any(|queue| queue.queue == name && queue.damaged) => Ok(()),
        other => Err(other),
    });
}

#[test]
fn a_link_that_cannot_keep_what_it_gets_ends_says_why_and_comes_back_when_it_can() {
    let (queue, dead) = ("component/b/in", "dead/downlink/commands");
    let far = Far::new();
    let world = world(&far, "", &[collector("b", "cmd/#", "full = \"drop-oldest\"")]);
    let running = world.start();
    until_subscribed(&far, &running);
    far.publish("cmd/x", "needle one");
    until_rows(&running, queue, &["needle one"]);
    running.gateway.shutdown();
    damage(&world, "needle one");
    let running = world.start();
    until_damaged(&running, queue);
    far.publish("cmd/x", "needle two");
    until_rows(&running, dead, &["needle two"]);
    running.gateway.shutdown();
    damage(&world, "needle two");

    let running = world.start();
    until_damaged(&running, dead);
    far.publish("cmd/x", "three");
    let ended = until(&running, "the link has ended", |cloud| cloud.state.word() == "stopped");
    let trouble = ended.trouble.unwrap();
    assert!(trouble.contains("a message from the cloud could not be written down"), "{trouble}");
    assert!(trouble.contains(&format!("edgewit queue drop {dead}")), "{trouble}");
    let told = running.listen("$edgewit/cloud/main").next();
    assert!(told.contains("\"state\":\"stopped\"") && told.contains("could not be written down"), "{told}");

    running.command(Command::DropRows { queue: dead.into() });
    until_connected(&running);
    until_rows(&running, dead, &["three"]);
}

/// Until nothing more fits into the store.
fn fill(running: &Running<'_>) {
    use edgewit_domain::message::{Message, Origin, Qos};
    use edgewit_domain::topic::Topic;
    for bytes in [200_000, 1000, 10] {
        let payload = vec![b'x'; bytes];
        let message =
            || Message { qos: Qos::AtLeastOnce, ..Message::new(Topic::parse("hog").unwrap(), payload.clone()) };
        while running.gateway.hub().publish(message(), Origin::Operator, None).is_ok() {}
    }
}
