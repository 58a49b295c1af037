//! `edgewit:shadow` by a guest: what it may read and change, what it sees of its own changes, what leaves with a handling,
//! and how it hears of deltas and documents.

use std::sync::Arc;

use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Delivery, Effects, Outcome};
use edgewit_domain::message::{Message, Qos};
use edgewit_domain::shadow::{Limits, Reply, RequestTopic, ShadowId, ShadowName, Stored, ThingName, Verb, answer};
use edgewit_domain::topic::Topic;
use edgewit_sandbox::{LinkError, MemoryShadows, Shadows, ShadowsError};

use crate::support::{Bed, bed_with, delivery, prepare, publishes};

const PUBLISH: &str = "[component.it.grant.publish]\nall = \"shadows/#\"\n";
const ALL: &str = "own = { allow = [\"read\", \"report\", \"desire\"] }\n\
                   named = { shadow = \"+\", allow = [\"read\", \"report\", \"desire\"] }";

/// A guest with these grants, and its world.
fn granted(shadow: &str) -> (Bed, Arc<MemoryShadows>) {
    let shadows = Arc::new(MemoryShadows::default());
    let bed = bed_with("shadows", &format!("{PUBLISH}[component.it.grant.shadow]\n{shadow}\n"), |services| {
        services.shadows = shadows.clone();
    });
    (bed, shadows)
}

/// The effects of one handling, and its answers.
fn handled(bed: &mut Bed, lines: &str) -> (Effects, Vec<String>) {
    let Ok(Outcome::Done(effects)) = bed.message(lines) else { panic!("{lines} failed") };
    let answers = effects.publishes.last().unwrap();
    let answers = String::from_utf8_lossy(&answers.payload).split('\n').map(str::to_owned).collect();
    (effects, answers)
}

/// What was asked of shadows.
fn asked(effects: &Effects) -> Vec<(String, String)> {
    publishes(effects).into_iter().filter(|(topic, _)| topic.starts_with("$aws/")).collect()
}

fn keep(shadows: &MemoryShadows, effects: &Effects) {
    effects.publishes.iter().for_each(|message| shadows.apply(message, 1_700_000_000));
}

#[test]
fn denied_first_shadows_are_there_by_grant_only() {
    let Err(LinkError::Denied(denied)) = prepare("shadows", PUBLISH) else { panic!("linked without a shadow") };
    assert_eq!(denied[0].cure(), Some("[component.it.grant.shadow]\nown = { allow = [\"read\", \"report\"] }"));
    prepare("shadows", &format!("{PUBLISH}{}", denied[0].cure().unwrap())).unwrap();
}

#[test]
fn denied_first_by_thing_by_name_and_by_what_is_done_each_with_its_line() {
    let (mut bed, _) = granted("own = { allow = [\"read\", \"report\"] }");
    for (lines, line) in [
        ("of other\nget", "other = { thing = \"other\", allow = [\"read\"] }"),
        ("of - lamp\nget", "lamp = { shadow = \"lamp\", allow = [\"read\"] }"),
        ("of - lamp\nupdate {\"reported\":{}}", "lamp = { shadow = \"lamp\", allow = [\"report\"] }"),
        ("of -\nupdate {\"desired\":{}}", "own = { allow = [\"read\", \"report\", \"desire\"] }"),
        ("of -\nexpect - {\"desired\":{}}", "own = { allow = [\"read\", \"report\", \"desire\"] }"),
        ("of -\nupdate null", "own = { allow = [\"read\", \"report\", \"desire\"] }"),
        ("of -\ndelete", "own = { allow = [\"read\", \"report\", \"desire\"] }"),
        ("of -\nlist -", "own-2 = { shadow = \"+\", allow = [\"read\"] }"),
    ] {
        let (effects, answers) = handled(&mut bed, lines);
        assert!(answers[1].starts_with("error: denied: component `it` may not "), "{lines}: {answers:?}");
        assert_eq!(answers.last().unwrap(), line, "{lines}");
        assert_eq!((asked(&effects), effects.shadow_reads.len()), (vec![], 0), "{lines}");
        assert!(bed.instance.refusals()[0].contains(line), "an operator is told as well");
    }
    let (effects, answers) = handled(&mut bed, "get\nupdate {\"reported\":{\"a\":1}}");
    assert_eq!(answers, ["-", "ok"]);
    assert_eq!(
        asked(&effects),
        [("$aws/things/test/shadow/update".to_owned(), "{\"state\":{\"reported\":{\"a\":1}}}".to_owned())]
    );
    assert_eq!(effects.publishes[0].qos, Qos::AtLeastOnce);
}

#[test]
fn every_call_sees_what_the_handling_did_before_also_by_a_plain_publish() {
    let (mut bed, shadows) = granted(ALL);
    let (effects, answers) = handled(
        &mut bed,
        "update {\"desired\":{\"a\":1,\"b\":{\"c\":2}}}\nget\nupdate {\"reported\":{\"a\":1.0},\"desired\":{\"b\":null}}\nget\n\
         expect 2 {\"reported\":{\"x\":[1]}}\nget\ndelete\nget\nexpect - {\"reported\":{\"y\":1}}\nget",
    );
    assert_eq!(
        answers,
        [
            "ok",
            "v1 {\"a\":1,\"b\":{\"c\":2}} - {\"a\":1,\"b\":{\"c\":2}}",
            "ok",
            "v2 {\"a\":1} {\"a\":1.0} -",
            "ok",
            "v3 {\"a\":1} {\"a\":1.0,\"x\":[1]} -",
            "ok",
            "-",
            "ok",
            "v4 - {\"y\":1} -",
        ]
    );
    assert_eq!(asked(&effects)[2].1, "{\"state\":{\"reported\":{\"x\":[1]}},\"version\":2}");
    assert_eq!(handled(&mut bed, "get").1, ["-"], "nothing is kept by itself");
    keep(&shadows, &effects);
    assert_eq!(handled(&mut bed, "get").1, ["v4 - {\"y\":1} -"], "as it was seen before");

    let tables = "[component.it.grant.publish]\nall = \"shadows/#\"\nraw = \"$aws/things/test/shadow/update\"\n\
                  [component.it.grant.shadow]\nown = { allow = [\"read\"] }\n";
    let mut bed = bed_with("shadows", tables, |_| {});
    let raw = "publish $aws/things/test/shadow/update {\"state\":{\"desired\":{\"raw\":1}}}\nget";
    assert_eq!(handled(&mut bed, raw).1[1], "v1 {\"raw\":1} - {\"raw\":1}");
}

#[test]
fn h1_a_trap_retry_or_rejection_after_an_update_leaves_nothing() {
    let (mut bed, _) = granted(ALL);
    assert!(matches!(bed.message("update {\"reported\":{\"a\":1}}\nretry"), Err(Fault::Retry { .. })));
    assert!(matches!(bed.message("update {\"reported\":{\"a\":1}}\nreject"), Ok(Outcome::Rejected { .. })));
    let (effects, answers) = handled(&mut bed, "get");
    assert_eq!((answers, asked(&effects)), (vec!["-".to_owned()], vec![]));
    assert!(matches!(bed.message("update {\"reported\":{\"a\":1}}\ntrap"), Err(Fault::Trap { .. })));
}

#[test]
fn h2_what_was_seen_leaves_with_the_effects_and_a_patch_has_seen_nothing() {
    let (mut bed, shadows) = granted(ALL);
    let (effects, _) = handled(&mut bed, "update {\"reported\":{\"a\":1}}\ndelete\nupdate {\"desired\":{\"a\":1}}");
    assert_eq!(effects.shadow_reads, [], "what is merged without looking depends on nothing");
    keep(&shadows, &effects);
    let seen = |effects: &Effects| -> Vec<(String, Option<u64>)> {
        effects.shadow_reads.iter().map(|read| (read.id.to_string(), read.version)).collect()
    };
    let (effects, _) = handled(&mut bed, "update {\"reported\":{\"a\":2}}\nget\nof - lamp\nget\nof - other\nlist -");
    assert_eq!(seen(&effects), [("test".into(), Some(2)), ("test~lamp".into(), None)], "as it was before the handling");
    let (effects, answers) = handled(&mut bed, "expect 7 {\"reported\":{}}\nof - lamp\nexpect 1 {\"reported\":{}}");
    assert_eq!(answers, ["error: the shadow has version 2 by now", "ok", "error: there is no such shadow"]);
    assert_eq!((seen(&effects).len(), asked(&effects).len()), (2, 0), "that it conflicts is something seen, too");
    let (_, answers) =
        handled(&mut bed, "expect - {\"reported\":{}}\nexpect 2 {\"reported\":{}}\nexpect 2 {\"reported\":{}}");
    assert_eq!(
        answers,
        ["error: the shadow has version 2 by now", "ok", "error: the shadow has version 3 by now"],
        "its own update counts"
    );
}

#[test]
fn hostile_json_is_told_at_the_call_and_never_becomes_more_than_a_state() {
    let (mut bed, _) = granted(ALL);
    let deep = format!("{{\"reported\":{}1{}}}", "{\"a\":".repeat(9), "}".repeat(9));
    let large = format!("{{\"reported\":{{\"a\":\"{}\"}}}}", "x".repeat(8 * 1024));
    let huge = format!("{{\"reported\":{{\"a\":\"{}\"}}}}", "x".repeat(130_000));
    for (state, expected) in [
        ("", "400: Invalid JSON"),
        ("{} ,\"version\":7", "400: Invalid JSON"),
        ("{}},{\"state\":{}", "400: Invalid JSON"),
        ("{\"desired\":{}}garbage", "400: Invalid JSON"),
        ("[]", "400: State node must be an object"),
        ("{\"desired\":7}", "400: Desired node must be an object"),
        ("{\"reported\":{\"a\":[null]}}", "400: State contains an invalid node: 'a'"),
        ("{\"version\":7}", "400: State contains an invalid node: 'version'"),
        (&deep, "400: JSON contains too many levels of nesting; maximum is 8"),
        (&large, "413: The payload exceeds the maximum size allowed"),
        (&huge, "413: The payload exceeds the maximum size allowed"),
    ] {
        for line in [format!("update {state}"), format!("expect - {state}")] {
            let (effects, answers) = handled(&mut bed, &line);
            assert_eq!((answers, asked(&effects)), (vec![format!("error: {expected}")], vec![]), "{state:.80}");
        }
    }
    let half = format!("{{\"reported\":{{\"K\":\"{}\"}}}}", "x".repeat(5 * 1024));
    let (one, two) = (half.replace('K', "a"), half.replace('K', "b"));
    let answers = handled(&mut bed, &format!("update {one}\nupdate {two}\nupdate {one}")).1;
    assert_eq!(answers, ["ok", "error: 413: The payload exceeds the maximum size allowed", "ok"]);
    for name in ["of no/thing", "of - no/name", "of + +", "of #"] {
        let answers = handled(&mut bed, &format!("{name}\nget\nupdate {{}}\ndelete")).1;
        assert!(answers[1..].iter().all(|answer| answer.contains("the name of the ")), "{answers:?}");
    }
}

#[test]
fn a_list_is_in_order_bounded_and_shows_what_the_handling_did() {
    let (mut bed, shadows) = granted(ALL);
    for number in 0..300 {
        let topic = Topic::parse(format!("$aws/things/test/shadow/name/n{number:03}/update")).unwrap();
        shadows.apply(&Message::new(topic, "{\"state\":{\"reported\":{}}}"), 1);
    }
    let answers = handled(&mut bed, "list -\nlist n255\nlist n299\ncount").1;
    let names: Vec<&str> = answers[0].split(' ').collect();
    assert_eq!((names.len(), names[0], names[255]), (256, "n000", "n255"));
    assert_eq!((answers[1].split(' ').count(), &*answers[2], &*answers[3]), (44, "", "300"));
    let lines = "of - n000\ndelete\nof - a\nupdate {\"reported\":{}}\nof - z\nupdate {\"reported\":{}}\ncount\nlist n298\nlist -";
    let (effects, answers) = handled(&mut bed, lines);
    assert_eq!(answers[6..8], ["301", "n299 z"]);
    assert!(answers[8].starts_with("a n001 ") && answers[8].split(' ').count() == 256, "{answers:?}");
    assert_eq!(effects.shadow_reads, [], "a list is not noted");
    assert!(handled(&mut bed, "list no/name").1[0].contains("the name of the shadow"));
}

#[test]
fn a_handling_ends_at_its_quotas() {
    let tables = format!("{PUBLISH}[component.it.limits]\npublishes = 2\n[component.it.grant.shadow]\n{ALL}\n");
    let mut bed = bed_with("shadows", &tables, |_| {});
    let answers =
        match bed.message("update {\"reported\":{}}\nupdate {\"reported\":{}}\nupdate {\"reported\":{}}\nretry") {
            Err(Fault::Retry { .. }) => bed.instance.refusals(),
            other => panic!("{other:?}"),
        };
    assert_eq!(answers, ["one handling may publish 2 messages (limits.publishes)"]);
}

#[test]
fn a_handling_uses_no_more_shadows_and_bytes_than_it_may() {
    // A document of it is eight bytes longer than its text.
    const FULL: usize = 1024 * 1024 / 8008;
    let every = "all = { thing = \"+\", allow = [\"read\", \"report\", \"desire\"] }";
    let (mut bed, shadows) = granted(every);
    let filled = format!("{{\"state\":{{\"reported\":{{\"a\":\"{}\"}}}}}}", "x".repeat(8000));
    for number in 0..=FULL {
        let topic = Topic::parse(format!("$aws/things/full{number}/shadow/update")).unwrap();
        shadows.apply(&Message::new(topic, filled.as_str()), 1);
    }
    let mut refused = |line: &str, name: &str, count: usize| -> Vec<String> {
        let lines: String = (0..count).map(|number| format!("of {name}{number}\n{line}\n")).collect();
        let answers = handled(&mut bed, &lines).1.into_iter();
        answers
            .filter_map(|answer| answer.strip_prefix("error: more than one handling may ask for: ").map(str::to_owned))
            .collect()
    };
    assert_eq!(refused("get", "none", 1024), Vec::<String>::new());
    assert_eq!(refused("get", "none", 1025), ["one handling may use 1024 shadows"]);
    // It conflicts with all of them, and so has looked at them.
    let told = "one handling may use shadows of 1048576 bytes together";
    assert_eq!(refused("expect - {}", "full", FULL), Vec::<String>::new());
    assert_eq!(refused("expect - {}", "full", FULL + 1), [told]);
}

/// A store whose disk is broken.
struct Broken;

impl Shadows for Broken {
    fn get(&self, _: &ShadowId) -> Result<Option<Stored>, ShadowsError> {
        Err(ShadowsError("the row is damaged".into()))
    }

    fn names(&self, _: &ThingName, _: Option<&ShadowName>, _: usize) -> Result<Vec<ShadowName>, ShadowsError> {
        Err(ShadowsError("the row is damaged".into()))
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }
}

#[test]
fn a_document_that_cannot_be_read_is_told_as_that() {
    let tables = format!("{PUBLISH}[component.it.grant.shadow]\n{ALL}\n");
    let mut bed = bed_with("shadows", &tables, |services| services.shadows = Arc::new(Broken));
    for line in ["get", "update {\"reported\":{}}", "expect 1 {\"reported\":{}}", "list -"] {
        let (effects, answers) = handled(&mut bed, line);
        assert_eq!(answers, ["error: it cannot be read: the row is damaged"], "{line}");
        assert_eq!(effects.shadow_reads, [], "{line}");
    }
}

/// What is told of an update, as the deliveries that come of it.
fn told(request: &str) -> Vec<(Reply, Delivery)> {
    let id = ShadowId::named(ThingName::parse("lamp").unwrap(), ShadowName::parse("config").unwrap());
    let topic = RequestTopic { id, verb: Verb::Update };
    let outcome = answer(&topic, request.as_bytes(), None, 10, &Limits::default());
    let told = outcome.answers.into_iter();
    told.map(|(reply, body)| (reply, delivery(topic.reply(reply).unwrap().as_str(), &body))).collect()
}

#[test]
fn deltas_and_documents_come_in_their_own_words_where_there_is_an_ear_for_them() {
    let answers = told(r#"{"state":{"desired":{"a":[1,{"b":2}]}},"clientToken":"t\u0041"}"#);
    let (mut bed, _) = granted(ALL);
    let mut heard = Vec::new();
    for (_, delivery) in &answers {
        match bed.instance.deliver(delivery) {
            Ok(Outcome::Done(effects)) => heard.extend(publishes(&effects)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        heard[..2],
        [
            (
                "shadows/delta".to_owned(),
                "lamp~config v1 {\"a\":[1,{\"b\":2}]} attempt 1 sequence false hops 0 token tA".to_owned()
            ),
            (
                "shadows/change".to_owned(),
                "lamp~config - -> v1 {\"a\":[1,{\"b\":2}]} - {\"a\":[1,{\"b\":2}]}".to_owned()
            ),
        ]
    );
    assert_eq!((heard.len(), &*heard[2].0), (3, "shadows/out"), "the answer to who asked is a message");

    let mut echo = bed_with("echo", "config.to = \"out\"\ngrant.publish.out = \"out\"\n", |_| {});
    let Ok(Outcome::Done(effects)) = echo.instance.deliver(&answers[0].1) else { panic!("no message") };
    assert_eq!(effects.publishes[0].payload, answers[0].1.envelope.message.payload, "as it is");

    let tables = "grant.publish.all = \"actuators/#\"\ngrant.shadow.own.allow = [\"read\", \"report\"]\n";
    let mut setpoint = bed_with("setpoint", tables, |_| {});
    for (_, other) in &answers[1..] {
        let rejected = setpoint.instance.deliver(other).unwrap();
        assert!(
            matches!(&rejected, Outcome::Rejected { reason } if reason.contains("nothing that the component exports"))
        );
    }

    let damaged = delivery("$aws/things/lamp/shadow/update/delta", b"{\"state\":7}");
    let rejected = bed.instance.deliver(&damaged).unwrap();
    assert!(matches!(&rejected, Outcome::Rejected { reason } if reason.contains("cannot be read")), "{rejected:?}");
}

#[test]
fn a_subscription_that_nothing_takes_is_refused_at_load() {
    let grants = "grant.publish.all = \"actuators/#\"\ngrant.shadow.own.allow = [\"read\", \"report\"]\n";
    let hears = |filter: &str| {
        prepare("setpoint", &format!("{grants}subscribe.a = {{ filter = \"{filter}\", delivery = \"live\" }}\n"))
    };
    for (filter, expected) in [
        ("$aws/things/+/shadow/update/documents", Err("edgewit:shadow/observer")),
        ("$aws/things/+/shadow/update/accepted", Err("edgewit:pubsub/handler")),
        ("$aws/things/+/shadow/update/+", Err("edgewit:pubsub/handler")),
        ("alerts/#", Err("edgewit:pubsub/handler")),
        ("$aws/things/+/shadow/update/delta", Ok(())),
        ("$aws/things/test/shadow/name/+/update/delta", Ok(())),
    ] {
        match (hears(filter), expected) {
            (Ok(_), Ok(())) => {}
            (Err(error @ LinkError::NotExported { .. }), Err(interface)) => {
                assert!(error.to_string().contains(interface), "{filter}: {error}");
            }
            (found, _) => panic!("{filter}: {:?}", found.map(|it| it.exports())),
        }
    }
    let error = prepare(
        "echo",
        "config.to = \"out\"\ngrant.publish.out = \"out\"\n\
        subscribe.a = { filter = \"$aws/things/+/shadow/update/delta\", delivery = \"live\" }\n",
    );
    assert!(error.is_ok(), "a message handler hears everything");
}
