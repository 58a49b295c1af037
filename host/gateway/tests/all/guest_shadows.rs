//! Shadows as components use them: read and changed in a handling, told of in their own words, and all of it atomic with
//! what was handled.

use edgewit_domain::control::{Command, Reply};
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::shadow::Verb;
use edgewit_domain::topic::Topic;
use edgewit_gateway::check::check;

use crate::world::{Running, World, worker};

const UPDATE: &str = "$aws/things/test/shadow/update";

/// The fixture that does with shadows what it is told to at `NAME/in`, durable.
fn shadows(name: &str, further: &str) -> String {
    format!(
        "[component.{name}]\nartifact = \"shadows.wasm\"\ngrant.publish.out = \"shadows/#\"\n\
         grant.shadow.own.allow = [\"read\", \"report\", \"desire\"]\n\
         grant.shadow.named = {{ shadow = \"+\", allow = [\"read\", \"report\", \"desire\"] }}\n\
         subscribe.in = {{ filter = \"{name}/in\", delivery = \"durable\", attempts = 2 }}\n{further}\n"
    )
}

fn tell(running: &Running<'_>, topic: &str, lines: &str) {
    let message = Message { qos: Qos::AtLeastOnce, ..Message::new(Topic::parse(topic).unwrap(), lines) };
    running.gateway.hub().publish(message, Origin::Operator, None).unwrap();
}

/// The gateway's own classic shadow, as an operator gets it.
fn own(running: &Running<'_>) -> Option<serde_json::Value> {
    match running.command(Command::Shadow { thing: None, name: None, verb: Verb::Get, document: Vec::new() }) {
        Reply::Shadow { body } => serde_json::from_str(&body).ok(),
        Reply::Refused { reason, .. } if reason.starts_with("404") => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn denied_first_check_says_the_lines_that_are_missing() {
    let component = |further: &str| {
        format!("[component.it]\nartifact = \"shadows.wasm\"\ngrant.publish.out = \"shadows/#\"\n{further}")
    };
    let world = World::new(&[component("")]);
    let said = check(&world.config(), &worker()).to_string();
    assert!(said.contains("[component.it.grant.shadow]\n    own = { allow = [\"read\", \"report\"] }"), "{said}");
    world.configure("", &[component("[component.it.grant.shadow]\nown = { allow = [\"read\", \"report\"] }\n")]);
    let said = check(&world.config(), &worker()).to_string();
    assert!(said.contains("the gateway can call message, delta, change"), "{said}");
}

#[test]
fn h1_an_update_happens_with_its_handling_or_not_at_all() {
    let world = World::new(&[shadows("a", "")]);
    let running = world.run(&["a"]);
    let (dead, out) = (running.listen("$edgewit/dead/a"), running.listen("shadows/out"));
    for end in ["trap", "retry", "reject"] {
        tell(&running, "a/in", &format!("update {{\"reported\":{{\"{end}\":1}}}}\n{end}"));
        dead.next();
        assert_eq!(own(&running), None, "{end}");
    }
    tell(&running, "a/in", "update {\"reported\":{\"n\":1}}\nget");
    assert_eq!(out.next(), "ok\nv1 - {\"n\":1} -");
    assert_eq!(own(&running).unwrap()["state"]["reported"]["n"], 1);
    drop(running);
    let running = world.run(&["a"]);
    assert_eq!(own(&running).unwrap()["version"], 1, "and it is on disk");
}

/// Two components count in one document, and every count is had once: none was made of a document that another one had
/// changed.
#[test]
fn h2_two_components_that_read_and_report_lose_no_report() {
    const EACH: usize = 150;
    let world = World::new(&[shadows("a", ""), shadows("b", "")]);
    let running = world.run(&["a", "b"]);
    let (out, dead) = (running.listen("shadows/out"), running.listen("$edgewit/dead/#"));
    std::thread::scope(|scope| {
        for topic in ["a/in", "b/in"] {
            let running = &running;
            scope.spawn(move || (0..EACH).for_each(|_| tell(running, topic, "increment n")));
        }
    });
    let mut counts: Vec<usize> = out.take(2 * EACH).iter().map(|answer| answer.parse().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=2 * EACH).collect::<Vec<_>>());
    let version = own(&running).unwrap()["version"].clone();
    assert_eq!((version, dead.rest()), (serde_json::json!(2 * EACH), vec![]), "uncounted, however often");
}

/// What is merged without looking conflicts with nobody: nothing is ever done twice for it.
#[test]
fn h2_two_components_that_report_without_reading_never_undo_each_other() {
    const EACH: usize = 200;
    let world = World::new(&[shadows("a", ""), shadows("b", "")]);
    let running = world.run(&["a", "b"]);
    let out = running.listen("shadows/out");
    std::thread::scope(|scope| {
        for (topic, name) in [("a/in", "a"), ("b/in", "b")] {
            let running = &running;
            scope.spawn(move || {
                for number in 0..EACH {
                    tell(running, topic, &format!("update {{\"reported\":{{\"{name}\":{number}}}}}"));
                }
            });
        }
    });
    assert!(out.take(2 * EACH).iter().all(|answer| answer == "ok"));
    for name in ["a", "b"] {
        let status = running.until(name, |status| status.queued == 0);
        assert_eq!((status.handled, status.failed), (EACH as u64, 0), "each was handled once");
    }
    let document = own(&running).unwrap();
    assert_eq!(document["version"], 2 * EACH);
    assert_eq!((&document["state"]["reported"]["a"], &document["state"]["reported"]["b"]), (&199.into(), &199.into()));
}

#[test]
fn an_update_that_expects_another_version_is_a_conflict_and_changes_nothing() {
    let world = World::new(&[shadows("a", "")]);
    let running = world.run(&["a"]);
    let out = running.listen("shadows/out");
    running.publish(UPDATE, r#"{"state":{"desired":{"x":1}}}"#);
    running.publish(UPDATE, r#"{"state":{"desired":{"x":2}}}"#);
    tell(&running, "a/in", "expect 1 {\"reported\":{\"x\":1}}\nexpect - {\"reported\":{\"x\":1}}");
    let told = "error: the shadow has version 2 by now";
    assert_eq!(out.next(), format!("{told}\n{told}"));
    tell(&running, "a/in", "expect 2 {\"reported\":{\"x\":2}}\nget");
    assert_eq!(out.next(), "ok\nv3 {\"x\":2} {\"x\":2} -");
    assert_eq!(own(&running).unwrap()["version"], 3);
}

/// Handlings that share a commit see one another's changes, as if each had been committed by itself.
#[test]
fn a_handling_sees_what_those_before_it_did_though_nothing_is_committed_yet() {
    let world = World::new(&[shadows("a", "")]);
    let running = world.run(&["a"]);
    running.command(Command::Stop { component: "a".into() });
    let out = running.listen("shadows/out");
    let at = |name: &str, line: &str| format!("of - {name}\n{line}");
    tell(&running, "a/in", &at("lamp", "update {\"reported\":{\"n\":1}}"));
    tell(&running, "a/in", &at("lamp", "update {\"reported\":{\"m\":2}}"));
    tell(&running, "a/in", &at("lamp", "get\nlist -"));
    tell(&running, "a/in", &at("lamp", "delete"));
    tell(&running, "a/in", &at("lamp", "get\nlist -"));
    running.command(Command::Start { component: "a".into() });
    let answers = out.take(5);
    assert_eq!(answers[2], "ok\nv2 - {\"m\":2,\"n\":1} -\nlamp");
    assert_eq!(answers[4], "ok\n-\n");
    assert_eq!(running.component("a").failed, 0, "and none of it had to be done again");
}

#[test]
fn deltas_and_documents_come_in_their_own_words_live_and_durable_and_over_a_restart() {
    let hears = "subscribe.wishes = { filter = \"$aws/things/+/shadow/update/delta\", delivery = \"durable\", \
                 queue = { full = \"drop-oldest\" } }\n\
                 subscribe.documents = { filter = \"$aws/things/+/shadow/update/documents\", delivery = \"live\" }\n\
                 subscribe.rest = { filter = \"$aws/things/+/shadow/update/accepted\", delivery = \"live\" }\n";
    let world = World::new(&[shadows("a", hears)]);
    let running = world.run(&["a"]);
    let (deltas, changes) = (running.listen("shadows/delta"), running.listen("shadows/change"));
    running.publish(UPDATE, r#"{"state":{"desired":{"x":4}},"clientToken":"mine"}"#);
    assert_eq!(deltas.next(), "test~ v1 {\"x\":4} attempt 1 sequence true hops 0 token mine");
    assert_eq!(changes.next(), "test~ - -> v1 {\"x\":4} - {\"x\":4}");
    running.publish(UPDATE, r#"{"state":{"reported":{"x":4}}}"#);
    assert_eq!(changes.next(), "test~ v1 {\"x\":4} - {\"x\":4} -> v2 {\"x\":4} {\"x\":4} -");
    assert!(deltas.is_empty(), "nothing differs");
    running.command(Command::Stop { component: "a".into() });
    running.publish("$aws/things/pump/shadow/update", r#"{"state":{"desired":{"x":5}}}"#);
    drop(running);
    let running = world.start();
    let deltas = running.listen("shadows/delta");
    let status = running.until("a", |status| status.handled > 0 && status.queued == 0);
    assert_eq!(status.failed, 0);
    let heard = deltas.rest();
    assert!(heard.iter().all(|delta| delta.starts_with("pump~ v1 {\"x\":5} attempt ")), "{heard:?}");
}

/// A delta that its handler traps on is a delivery like any other.
#[test]
fn a_delta_that_cannot_be_handled_comes_again_and_is_given_up_in_the_end() {
    let hears = "subscribe.wishes = { filter = \"$aws/things/+/shadow/update/delta\", delivery = \"durable\", \
                 queue = { full = \"drop-oldest\" }, attempts = 2 }\n";
    let world = World::new(&[shadows("a", hears)]);
    let running = world.run(&["a"]);
    let (dead, deltas) = (running.listen("$edgewit/dead/a"), running.listen("shadows/delta"));
    running.publish(UPDATE, r#"{"state":{"desired":{"x":"trap"}}}"#);
    let told = dead.next();
    assert!(told.contains("\"attempts\":2") && told.contains("/update/delta"), "{told}");
    assert!(deltas.is_empty(), "what it published was undone");
}

/// The shipped component: what is desired becomes a command and a report, also what was desired before it was there.
#[test]
fn setpoint_does_what_is_desired_and_reports_it() {
    let setpoint = "[component.valve]\nartifact = \"setpoint.wasm\"\nstateless = true\n\
                    grant.publish.out = \"actuators/setpoint\"\ngrant.shadow.own.allow = [\"read\", \"report\"]\n\
                    subscribe.wishes = { filter = \"$aws/things/${thing}/shadow/update/delta\", delivery = \"durable\", \
                    queue = { full = \"last-per-topic\" } }\n";
    let world = World::new(&[]);
    let running = world.start();
    running.publish(UPDATE, r#"{"state":{"desired":{"setpoint":3.5}}}"#);
    drop(running);
    world.configure("", &[setpoint.to_owned()]);
    let running = world.run(&["valve"]);
    let commands = running.listen("actuators/setpoint");
    assert_eq!(own(&running).unwrap()["state"]["reported"]["setpoint"], 3.5);
    running.publish(UPDATE, r#"{"state":{"desired":{"setpoint":4}}}"#);
    assert_eq!(commands.next(), "4");
    let document = own(&running).unwrap();
    assert_eq!(
        (&document["state"]["reported"]["setpoint"], &document["state"]["delta"]),
        (&4.into(), &serde_json::Value::Null)
    );
    assert_eq!(document["version"], 4);
    running.publish(UPDATE, r#"{"state":{"desired":{"setpoint":"warm"}}}"#);
    let dead = running.until("valve", |status| status.rejected == 1);
    assert_eq!(dead.failed, 0);
    assert_eq!(own(&running).unwrap()["state"]["delta"]["setpoint"], "warm");
}
