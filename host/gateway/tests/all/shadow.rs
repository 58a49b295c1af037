//! Shadows as devices and components meet them: requests on topics, answers as the cloud gives them, and all of it in
//! the transaction of whatever asked.

use edgewit_domain::config::LiveFullRule;
use edgewit_domain::control::{Command, Reply, ShadowView};
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::shadow::Verb;
use edgewit_domain::topic::{Filter, Topic};
use edgewit_gateway::{Bounds, Stream};

use crate::world::{PATIENCE, Running, World, eventually};

const UPDATE: &str = "$aws/things/test/shadow/update";

/// An echo whose answers go to a topic of shadows: what it hears is what it asks for.
fn asks(name: &str, filter: &str, to: &str, delivery: &str) -> String {
    format!(
        "[component.{name}]\nartifact = \"echo.wasm\"\nconfig.to = \"{to}\"\ngrant.publish.to = \"{to}\"\n\
         subscribe.in.filter = \"{filter}\"\nsubscribe.in.delivery = \"{delivery}\"\n"
    )
}

fn hear(running: &Running<'_>, filter: &str) -> Stream {
    let bounds = Bounds { messages: 10_000, bytes: u64::MAX / 2, full: LiveFullRule::DropNewest };
    running.gateway.hub().subscribe(vec![Filter::parse(filter).unwrap()], bounds)
}

/// The next message: the end of its topic, and its payload.
fn next(stream: &Stream) -> (String, serde_json::Value) {
    let envelope = stream.wait(1, PATIENCE).pop().expect("a message was expected and did not come");
    let topic = envelope.message.topic.as_str().rsplit_once("/shadow/").unwrap().1.to_owned();
    (topic, serde_json::from_slice(&envelope.message.payload).unwrap_or_default())
}

fn ask(running: &Running<'_>, name: Option<&str>, verb: Verb, document: &str) -> Reply {
    let (name, document) = (name.map(str::to_owned), document.as_bytes().to_vec());
    running.command(Command::Shadow { thing: None, name, verb, document })
}

fn got(running: &Running<'_>, name: Option<&str>) -> serde_json::Value {
    match ask(running, name, Verb::Get, "") {
        Reply::Shadow { body } => serde_json::from_str(&body).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_answered_as_the_cloud_does_and_in_its_order() {
    let world = World::new(&[]);
    let running = world.start();
    let heard = hear(&running, "$aws/things/test/shadow/#");
    running.publish(UPDATE, r#"{"state":{"desired":{"setpoint":4}},"clientToken":"mine"}"#);
    let (topics, bodies): (Vec<_>, Vec<_>) = (0..4).map(|_| next(&heard)).unzip();
    assert_eq!(topics, ["update", "update/delta", "update/documents", "update/accepted"]);
    assert_eq!(bodies[1]["state"], serde_json::json!({"setpoint": 4}));
    assert_eq!((&bodies[2]["previous"], &bodies[2]["current"]["version"]), (&serde_json::Value::Null, &1.into()));
    assert!(bodies[1..].iter().all(|body| body["clientToken"] == "mine"), "{bodies:?}");
    running.publish("$aws/things/test/shadow/name/other/get", "");
    let (topic, body) = (next(&heard).0, next(&heard));
    assert_eq!((&*topic, &*body.0, &body.1["code"]), ("name/other/get", "name/other/get/rejected", &404.into()));
}

#[test]
fn what_a_shadow_says_waits_for_a_component_over_a_restart() {
    let durable = "durable\"\nsubscribe.in.queue = { full = \"drop-oldest\" }\n#\"";
    let world = World::new(&[asks("a", "$aws/things/test/shadow/update/delta", "heard", durable)]);
    let running = world.run(&["a"]);
    running.command(Command::Stop { component: "a".into() });
    for number in 1..=3 {
        running.publish(UPDATE, &format!("{{\"state\":{{\"desired\":{{\"n\":{number}}}}}}}"));
    }
    assert_eq!(running.component("a").queued, 3);
    drop(running);
    let running = world.start();
    let heard = running.listen("heard");
    running.until("a", |status| status.handled == 3 && status.queued == 0);
    let heard = heard.rest();
    assert!(heard.last().is_none_or(|last| last.contains("\"state\":{\"n\":3}")), "{heard:?}");
    assert_eq!(got(&running, None)["version"], 3);
}

#[test]
fn h1_what_a_component_asks_of_a_shadow_happens_once_for_each_message_that_it_handled() {
    let world = World::new(&[asks("a", "a/in", UPDATE, "durable")]);
    let running = world.run(&["a"]);
    let accepted = hear(&running, "$aws/things/test/shadow/update/accepted");
    for number in 1..=200 {
        let document = format!("{{\"state\":{{\"reported\":{{\"n\":{number}}}}}}}");
        let message = Message { qos: Qos::AtLeastOnce, ..Message::new(Topic::parse("a/in").unwrap(), document) };
        running.gateway.hub().publish(message, Origin::Operator, None).unwrap();
    }
    for number in 1..=200 {
        let (_, body) = next(&accepted);
        assert_eq!((&body["state"]["reported"]["n"], &body["version"]), (&number.into(), &number.into()));
    }
    running.until("a", |status| status.queued == 0 && status.handled == 200);
    assert_eq!(got(&running, None)["state"]["reported"]["n"], 200);
}

#[test]
fn m3_a_circle_that_leads_through_a_shadow_ends() {
    let accepted = "$aws/things/test/shadow/update/accepted";
    let world = World::new(&[asks("a", accepted, UPDATE, "live")]);
    let running = world.run(&["a"]);
    running.publish(UPDATE, r#"{"state":{"reported":{"n":1}}}"#);
    let ended = eventually("the circle ends", || match running.status().circles {
        0 => Err(()),
        circles => Ok(circles),
    });
    assert_eq!(ended, 1);
    let version = got(&running, None)["version"].as_u64().unwrap();
    assert!(version > 1, "it did go round: {version}");
}

#[test]
fn an_operator_gets_changes_lists_and_deletes_and_is_told_the_cloud_s_refusals() {
    let world = World::with("[shadow]\ndepth = 2\n", &[]);
    let running = world.start();
    let document = r#"{"state":{"desired":{"a":1,"big":123456789012345678901234567890}},"clientToken":"theirs"}"#;
    let Reply::Shadow { body } = ask(&running, Some("config"), Verb::Update, document) else { panic!() };
    assert!(body.contains("\"big\":123456789012345678901234567890") && !body.contains("clientToken"), "{body}");
    let stale = r#"{"state":{"desired":{"a":2}},"version":9}"#;
    let refusals = [
        (ask(&running, Some("config"), Verb::Update, stale), "409: Version conflict"),
        (ask(&running, None, Verb::Get, ""), "404: No shadow exists with name: 'test'"),
        (ask(&running, None, Verb::Update, "{"), "400: Invalid JSON"),
        (ask(&running, None, Verb::Update, r#"{"state":{"desired":{"a":{"b":{}}}}}"#), "maximum is 2"),
        (ask(&running, Some("no/name"), Verb::Get, ""), "has a '/' in it"),
    ];
    for (reply, expected) in refusals {
        assert!(matches!(&reply, Reply::Refused { reason, .. } if reason.contains(expected)), "{expected}: {reply:?}");
    }
    let list = |after| match running.command(Command::Shadows { thing: None, after }) {
        Reply::Shadows { shadows, more: false } => shadows,
        other => panic!("{other:?}"),
    };
    let listed = list(None);
    let [ShadowView { thing, name: Some(name), version: 1, differs: true, .. }] = &listed[..] else {
        panic!("{listed:?}")
    };
    assert_eq!((&**thing, &**name), ("test", "config"));
    assert_eq!(list(Some(listed[0].clone())), []);
    assert!(matches!(ask(&running, Some("config"), Verb::Delete, ""), Reply::Shadow { .. }));
    assert_eq!(list(None), []);
}
