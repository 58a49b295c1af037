//! What `anomaly` promises, through the gateway in memory. The model of these tests knows one course: always 4 degrees.

use edgewit_sdk::model::{Error, ErrorCode, Tensor, Tensors};
use edgewit_sdk::testing::{Allow, Bench, Effects, delivery};
use edgewit_sdk::{Delivery, Failure, Message, PublishError, Reason, shadow};
use serde_json::{Value, json};

use super::*;

const FOUR: [(&str, &str); 2] = [("field", "value"), ("window", "4")];

fn always_four(inputs: &Tensors) -> Result<Tensors, Error> {
    let readings = inputs.get("readings")?;
    assert_eq!(readings.dimensions().first(), Some(&1));
    let said = vec![4.0; readings.to_f32()?.len()];
    Ok(Tensors::from([("reconstruction", Tensor::f32(readings.dimensions(), &said))]))
}

fn with_model(config: &[(&str, &str)], infer: fn(&Tensors) -> Result<Tensors, Error>) -> Bench<Anomaly> {
    let bench = Bench::<Anomaly>::with_config(config.iter().copied()).unwrap();
    bench.granting_shadow(&shadow::own(), [Allow::Read, Allow::Report]).with_model("anomaly", infer)
}

fn bench(more: &[(&str, &str)]) -> Bench<Anomaly> {
    with_model(&[&FOUR, more].concat(), always_four)
}

fn reading(bench: &mut Bench<Anomaly>, topic: &str, value: f64) -> Effects {
    bench.message(topic, json!({ "value": value }).to_string()).unwrap()
}

fn edges(effects: &Effects) -> Vec<String> {
    let line = |message: &Message| {
        let event: Value = serde_json::from_slice(&message.payload).unwrap();
        format!("{} {} {}", message.topic, event["anomaly"].as_str().unwrap(), event["score"])
    };
    effects.published.iter().map(line).collect()
}

fn check(bench: &mut Bench<Anomaly>, steps: &[(f64, &[&str])]) {
    for (value, expected) in steps {
        assert_eq!(edges(&reading(bench, "s/a", *value)), *expected, "{value}");
    }
}

#[test]
fn only_edges_are_published_and_only_of_whole_windows() {
    let steps: &[(f64, &[&str])] = &[
        (9.0, &[]),
        (9.0, &[]),
        (9.0, &[]),
        (4.0, &["anomalies/s/a raised 4.3301"]),
        (4.0, &[]),
        (4.0, &[]),
        (4.0, &["anomalies/s/a cleared 0.0"]),
        (4.5, &[]),
        (4.5, &["anomalies/s/a raised 0.3536"]),
        (4.0, &[]),
    ];
    check(&mut bench(&[]), steps);
}

#[test]
fn readings_are_counted_for_each_source_and_what_is_rejected_is_none() {
    let mut bench = bench(&[("window", "1"), ("above", "4")]);
    for topic in ["a", "b", "a", "a"] {
        reading(&mut bench, topic, 4.0);
        assert!(bench.message(topic, "?").is_err());
    }
    bench.restart().unwrap();
    for (topic, expected) in [("a", 4), ("b", 2)] {
        let event: Value = serde_json::from_str(&reading(&mut bench, topic, 9.0).lines()[0].1).unwrap();
        assert_eq!(event["readings"], expected);
    }
}

#[test]
fn sources_are_apart() {
    let mut bench = bench(&[("output", "odd/{2}")]);
    for value in [9.0, 9.0, 9.0] {
        reading(&mut bench, "s/a", value);
        reading(&mut bench, "s/b", 4.0);
    }
    assert_eq!(edges(&reading(&mut bench, "s/a", 9.0)), ["odd/a raised 5.0"]);
    assert!(edges(&reading(&mut bench, "s/b", 4.0)).is_empty());
}

#[test]
fn an_event_says_all_there_is_to_know() {
    let mut bench = bench(&[("window", "1"), ("retain", "true"), ("scores", "scores/{topic}")]);
    let effects = reading(&mut bench, "s", 5.5);
    let at = bench.now_ms();
    let event =
        format!(r#"{{"anomaly":"raised","source":"s","score":1.5,"limit":0.3,"value":5.5,"readings":1,"at":{at}}}"#);
    let lines = [("scores/s", r#"{"score":1.5,"limit":0.3}"#.to_string()), ("anomalies/s", event)];
    assert_eq!(effects.lines(), lines);
    assert_eq!(effects.published.iter().map(|message| message.retain).collect::<Vec<_>>(), [false, true]);
    let untimed = Delivery { clock_trusted: false, ..delivery(Message::new("t", r#"{"value": 9}"#)) };
    assert!(!bench.delivery(untimed).unwrap().lines()[1].1.contains("\"at\""));
}

#[test]
fn what_cannot_be_read_is_rejected_and_is_in_no_window() {
    let mut bench = bench(&[]);
    for value in [9.0, 9.0] {
        reading(&mut bench, "s/a", value);
    }
    for payload in ["", "{", "9", "{}", r#"{"value": "9"}"#, r#"{"value": 1e300}"#] {
        assert!(matches!(bench.message("s/a", payload), Err(Failure::Reject(_))), "{payload}");
    }
    check(&mut bench, &[(9.0, &[]), (9.0, &["anomalies/s/a raised 5.0"])]);
}

#[test]
fn without_an_answer_of_the_model_nothing_passes_for_usual() {
    fn busy(_: &Tensors) -> Result<Tensors, Error> {
        Err(Error::new(ErrorCode::Timeout, "busy"))
    }
    fn wrong(_: &Tensors) -> Result<Tensors, Error> {
        Err(Error::new(ErrorCode::InvalidArgument, "it wants 16"))
    }
    fn short(_: &Tensors) -> Result<Tensors, Error> {
        Ok(Tensors::from([("reconstruction", Tensor::f32(&[1, 2], &[4.0, 4.0]))]))
    }
    fn other(_: &Tensors) -> Result<Tensors, Error> {
        Ok(Tensors::from([("y", Tensor::f32(&[1, 1], &[4.0]))]))
    }
    let one = [("window", "1")];
    assert!(matches!(with_model(&one, busy).message("s", "4"), Err(Failure::Retry(_))));
    for (infer, word) in [(wrong as fn(&Tensors) -> _, "it wants 16"), (short, "`window`"), (other, "but `y`")] {
        match with_model(&one, infer).message("s", "4") {
            Err(Failure::Reject(reason)) => assert!(reason.contains(word), "{reason}"),
            outcome => panic!("{word}: {outcome:?}"),
        }
    }
}

#[test]
fn another_limit_is_taken_up_from_the_shadow_and_reported() {
    let mut bench = bench(&[("window", "1")]);
    let limit = |bench: &mut Bench<Anomaly>| {
        let event: Value = serde_json::from_str(&reading(bench, "t", 9.0).lines()[0].1).unwrap();
        reading(bench, "t", 4.0);
        event["limit"].as_f64().unwrap()
    };
    assert_eq!(limit(&mut bench), 0.3);
    bench.delta(&shadow::own(), r#"{"desired":{"anomaly_above":0.5,"fan":"on"}}"#).unwrap();
    assert_eq!(bench.shadow(&shadow::own()).unwrap().reported.as_deref(), Some(r#"{"anomaly_above":0.5}"#));
    assert_eq!(limit(&mut bench), 0.5);
    bench.restart().unwrap();
    assert_eq!(limit(&mut bench), 0.5, "what is reported is what counts");
    for wish in ["\"low\"", "0.05", "-1"] {
        let state = format!(r#"{{"desired":{{"anomaly_above":{wish}}}}}"#);
        assert!(matches!(bench.delta(&shadow::own(), &state), Err(Failure::Reject(_))), "{wish}");
        assert_eq!(limit(&mut bench), 0.5, "{wish}");
    }
}

#[test]
fn what_was_desired_before_it_started_is_done_at_the_start() {
    let mut bench = bench(&[("window", "1")]);
    bench.update_shadow(&shadow::own(), r#"{"desired":{"anomaly_above":2}}"#).unwrap();
    bench.init(Reason::First).unwrap();
    assert!(edges(&reading(&mut bench, "s", 5.5)).is_empty());
    bench.update_shadow(&shadow::own(), r#"{"desired":{"anomaly_above":[]}}"#).unwrap();
    bench.init(Reason::Restart).unwrap();
    assert!(bench.take_logs()[0].text.contains("has to be a number"));
}

#[test]
fn it_does_not_start_without_its_model_or_its_bucket() {
    let ungranted = Bench::<Anomaly>::with_config(FOUR).unwrap();
    let reason = ungranted.granting_shadow(&shadow::own(), [Allow::Read]).init(Reason::First).unwrap_err();
    assert!(reason.contains("grant.model]\nanomaly = \"anomaly\""), "{reason}");
    let reason = bench(&[]).granting_buckets(["other"]).init(Reason::First).unwrap_err();
    assert!(reason.ends_with("[component.NAME.grant.kv]\nstate = \"own\""), "{reason}");
}

#[test]
fn the_longest_silent_source_is_forgotten_first() {
    let mut bench = bench(&[("window", "1"), ("sources", "2")]);
    for topic in ["a", "b", "a"] {
        reading(&mut bench, topic, 9.0);
    }
    assert_eq!(edges(&reading(&mut bench, "c", 9.0)), ["anomalies/c raised 5.0"]);
    assert!(bench.take_logs()[0].text.contains("`b` is forgotten"));
    assert!(edges(&reading(&mut bench, "a", 9.0)).is_empty(), "a is still known");
}

#[test]
fn a_refused_event_is_raised_again() {
    let mut refusing = bench(&[("window", "1")]).refusing("anomalies/#", PublishError::NoRoom("uplink".into()));
    for _ in 0..2 {
        assert!(matches!(refusing.message("s", r#"{"value": 9}"#), Err(Failure::Retry(_))));
    }
    let mut nowhere = bench(&[("window", "1"), ("output", "odd/{3}")]);
    assert!(
        matches!(nowhere.message("s", r#"{"value": 9}"#), Err(Failure::Reject(reason)) if reason.contains("odd/{3}"))
    );
}

/// What is published, rejected and logged, with the instance gone before every message or never.
fn life(loses_its_memory: bool) -> Vec<String> {
    let mut bench = bench(&[("sources", "3"), ("scores", "scores/{topic}")]);
    let mut said = Vec::new();
    // Any numbers will do; these look arbitrary and are the same each time.
    let mut number = 1_u64;
    for _ in 0..600 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if loses_its_memory {
            bench.restart().unwrap();
        }
        let (source, value) = (format!("s/{}", (number >> 40) % 4), 3.0 + ((number >> 32) % 16) as f64 / 8.0);
        let outcome = match number >> 59 {
            0 => bench.message(&source, "?"),
            1 => bench.delta(&shadow::own(), &json!({"desired": {"anomaly_above": value / 8.0}}).to_string()),
            _ => bench.message(&source, json!({ "value": value }).to_string()),
        };
        match outcome {
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
    for word in ["raised", "cleared", "is forgotten", "Reject", "\"limit\":0.4"] {
        assert!(uninterrupted.iter().any(|line| line.contains(word)), "the life has no case of `{word}`");
    }
    assert_eq!(life(true), uninterrupted);
}

#[test]
fn a_broken_configuration_says_how_to_mend_it() {
    let cases: [(&[(&str, &str)], &str); 8] = [
        (&[("window", "0")], "1 to 1024"),
        (&[("window", "1025")], "1 to 1024"),
        (&[("above", "inf")], "expected a finite number"),
        (&[("above", "0.05")], "could not clear"),
        (&[("hysteresis", "-1")], "not less than 0"),
        (&[("sources", "0")], "at least one source"),
        (&[("scores", "a/#")], "no wildcards"),
        (&[("abvoe", "8")], "`abvoe` is not known"),
    ];
    for (config, expected) in cases {
        let Err(error) = Bench::<Anomaly>::with_config(config.iter().copied()) else { panic!("{config:?}") };
        assert!(error.to_string().contains(expected), "{error}");
    }
}
