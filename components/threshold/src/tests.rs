//! What `threshold` promises, through the gateway in memory.

use edgewit_sdk::testing::{Bench, delivery};
use edgewit_sdk::{Delivery, Failure, Message, PublishError, Reason};
use serde_json::Value;

use super::*;

fn bench(config: &[(&str, &str)]) -> Bench<Threshold> {
    Bench::with_config(config.iter().copied()).unwrap()
}

/// The edges that a value causes, as `topic alert bound`.
fn edges(bench: &mut Bench<Threshold>, topic: &str, value: &str) -> Vec<String> {
    let effects = bench.message(topic, format!("{{\"value\": {value}}}")).unwrap();
    let line = |message: &Message| {
        let alert: Value = serde_json::from_slice(&message.payload).unwrap();
        format!("{} {} {}", message.topic, alert["alert"].as_str().unwrap(), alert["bound"].as_str().unwrap())
    };
    effects.published.iter().map(line).collect()
}

fn check(config: &[(&str, &str)], steps: &[(&str, &[&str])]) {
    let mut bench = bench(config);
    for (value, expected) in steps {
        assert_eq!(edges(&mut bench, "a/b", value), *expected, "{value} with {config:?}");
    }
}

#[test]
fn only_edges_are_published() {
    let steps: &[(&str, &[&str])] = &[
        ("8", &[]),
        ("8.1", &["alerts/a/b raised above"]),
        ("9", &[]),
        ("8.0001", &[]),
        ("8", &["alerts/a/b cleared above"]),
        ("-100", &[]),
    ];
    check(&[("field", "value"), ("above", "8")], steps);
}

#[test]
fn hysteresis_holds_an_alert_and_never_raises_one() {
    let steps: &[(&str, &[&str])] = &[
        ("7.5", &[]),
        ("8.5", &["alerts/a/b raised above"]),
        ("7.5", &[]),
        ("7.1", &[]),
        ("7", &["alerts/a/b cleared above"]),
        ("7.5", &[]),
    ];
    check(&[("field", "value"), ("above", "8"), ("hysteresis", "1")], steps);
}

#[test]
fn both_bounds_make_a_band() {
    let steps: &[(&str, &[&str])] = &[
        ("5", &[]),
        ("1", &["alerts/a/b raised below"]),
        ("9", &["alerts/a/b cleared below", "alerts/a/b raised above"]),
        ("2.2", &["alerts/a/b cleared above"]),
        ("1.9", &["alerts/a/b raised below"]),
        ("2.4", &[]),
        ("2.5", &["alerts/a/b cleared below"]),
    ];
    check(&[("field", "value"), ("above", "8"), ("below", "2"), ("hysteresis", "0.5")], steps);
}

#[test]
fn sources_are_apart() {
    let mut bench = bench(&[("field", "value"), ("above", "8"), ("output", "alarm/{2}")]);
    assert_eq!(edges(&mut bench, "s/a", "9"), ["alarm/a raised above"]);
    assert_eq!(edges(&mut bench, "s/b", "9"), ["alarm/b raised above"]);
    assert_eq!(edges(&mut bench, "s/a", "1"), ["alarm/a cleared above"]);
    assert_eq!(edges(&mut bench, "s/b", "9"), Vec::<String>::new());
}

#[test]
fn the_longest_silent_source_is_forgotten_first() {
    let mut bench = bench(&[("field", "value"), ("above", "8"), ("sources", "2")]);
    for topic in ["a", "b"] {
        edges(&mut bench, topic, "9");
    }
    edges(&mut bench, "a", "9");
    assert_eq!(edges(&mut bench, "c", "9"), ["alerts/c raised above"]);
    assert!(bench.take_logs()[0].text.contains("`b` is forgotten"));
    assert_eq!(edges(&mut bench, "a", "9"), Vec::<String>::new(), "a is still known");
    assert_eq!(edges(&mut bench, "b", "9"), ["alerts/b raised above"], "repeated, not missed");
}

#[test]
fn an_alert_says_all_there_is_to_know() {
    let mut bench = bench(&[("field", "a.0.b"), ("above", "8"), ("retain", "true")]);
    let effects = bench.message("s/a", r#"{"a": [{"b": 9.5}]}"#).unwrap();
    let at = bench.now_ms();
    let expected = format!(r#"{{"alert":"raised","source":"s/a","bound":"above","limit":8.0,"value":9.5,"at":{at}}}"#);
    assert_eq!(effects.lines(), [("alerts/s/a", expected)]);
    assert!(effects.published[0].retain);
    assert_eq!(effects.published[0].content_type.as_deref(), Some("application/json"));
}

#[test]
fn an_unset_clock_is_not_quoted() {
    let mut bench = bench(&[("above", "8")]);
    let untimed = Delivery { clock_trusted: false, ..delivery(Message::new("s", "9")) };
    let effects = bench.delivery(untimed).unwrap();
    assert!(!effects.lines()[0].1.contains("\"at\""));
}

#[test]
fn what_cannot_be_read_is_rejected_and_changes_nothing() {
    let mut bench = bench(&[("field", "value"), ("above", "8")]);
    edges(&mut bench, "s", "9");
    let deep = "[".repeat(100_000);
    for payload in ["", "{", "null", "9", "{}", r#"{"value": "9"}"#, r#"{"value": 1e999}"#, &deep] {
        assert!(matches!(bench.message("s", payload), Err(Failure::Reject(_))), "{payload:.20}");
    }
    assert_eq!(edges(&mut bench, "s", "1"), ["alerts/s cleared above"]);
}

#[test]
fn a_source_that_does_not_fill_the_topic_is_rejected() {
    let mut bench = bench(&[("above", "8"), ("output", "alerts/{3}")]);
    let Err(Failure::Reject(reason)) = bench.message("a/b", "9") else { panic!("not rejected") };
    assert!(reason.contains("`a/b`") && reason.contains("`alerts/{3}`"), "{reason}");
}

#[test]
fn a_refused_alert_is_raised_again() {
    let full = PublishError::NoRoom("uplink".into());
    let mut refusing = bench(&[("above", "8")]).refusing("alerts/#", full);
    assert!(matches!(refusing.message("s", "9"), Err(Failure::Retry(_))));
    let mut denying = bench(&[("above", "8")]).granting(["other/#"]);
    for _ in 0..2 {
        assert!(matches!(denying.message("s", "9"), Err(Failure::Reject(_))), "not taken for published");
    }
}

/// What is published, rejected and logged, with the instance gone before every message or never.
fn life(loses_its_memory: bool) -> Vec<String> {
    let config = [("above", "8"), ("below", "2"), ("hysteresis", "1"), ("sources", "3")];
    let mut bench = bench(&config);
    let mut said = Vec::new();
    // Any numbers will do; these look arbitrary and are the same each time.
    let mut number = 1_u64;
    for _ in 0..600 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if loses_its_memory {
            bench.restart().unwrap();
        }
        let source = format!("s/{}", (number >> 40) % 6);
        let payload = if number >> 60 == 0 { "?".to_string() } else { ((number >> 32) % 11).to_string() };
        match bench.message(&source, payload) {
            Ok(effects) => said.extend(effects.lines().into_iter().map(|(topic, line)| format!("{topic} {line}"))),
            Err(failure) => said.push(format!("{failure:?}")),
        }
        said.extend(bench.take_logs().into_iter().map(|line| line.text));
    }
    said
}

#[test]
fn h5_without_its_memory_it_says_the_same_byte_for_byte() {
    let uninterrupted = life(false);
    for word in ["raised", "cleared", "is forgotten", "Reject"] {
        assert!(uninterrupted.iter().any(|line| line.contains(word)), "the life has no case of `{word}`");
    }
    assert_eq!(life(true), uninterrupted);
}

#[test]
fn without_its_bucket_it_does_not_start_and_says_which_line_it_needs() {
    let mut bench = bench(&[("above", "8")]).granting_buckets(["other"]);
    let reason = bench.init(Reason::First).unwrap_err();
    assert!(reason.ends_with("[component.NAME.grant.kv]\nstate = \"own\""), "{reason}");
    let mut foreign = self::bench(&[("above", "8")]).with_value("state", "raised/s", "no source");
    assert!(foreign.init(Reason::First).unwrap_err().contains("`raised/s`"));
}

#[test]
fn an_alert_that_the_bucket_has_no_room_for_is_rejected_and_said_again() {
    let mut bench = bench(&[("above", "8")]).with_bucket_quota(20);
    for _ in 0..2 {
        assert!(matches!(bench.message("s", "9"), Err(Failure::Reject(reason)) if reason.contains("may hold 20")));
    }
}

#[test]
fn an_alert_of_a_bound_that_is_gone_clears() {
    let mut old = bench(&[("field", "value"), ("below", "2"), ("above", "8")]);
    edges(&mut old, "s", "1");
    let mut new = bench(&[("field", "value"), ("above", "8")]);
    for (key, value) in old.values("state") {
        new = new.with_value("state", &key, value);
    }
    assert_eq!(edges(&mut new, "s", "1"), ["alerts/s cleared below"]);
}

#[test]
fn a_broken_configuration_says_how_to_mend_it() {
    let cases: [(&[(&str, &str)], &str); 10] = [
        (&[], "at least one of them is needed"),
        (&[("above", "warm")], "`above = \"warm\"`"),
        (&[("above", "inf")], "expected a finite number"),
        (&[("above", "8"), ("hysteresis", "-1")], "not less than 0"),
        (&[("above", "2"), ("below", "8")], "could not clear"),
        (&[("above", "8"), ("below", "7"), ("hysteresis", "0.6")], "could not clear"),
        (&[("above", "8"), ("sources", "0")], "at least one source"),
        (&[("above", "8"), ("output", "alerts/#")], "no wildcards"),
        (&[("above", "8"), ("field", "a..b")], "joined by single dots"),
        (&[("above", "8"), ("abvoe", "8")], "`abvoe` is not known"),
    ];
    for (config, expected) in cases {
        let Err(error) = Bench::<Threshold>::with_config(config.iter().copied()) else { panic!("{config:?}") };
        assert!(error.to_string().contains(expected), "{error}");
    }
}
