//! What `window` promises, through the gateway in memory.

use std::time::Duration;

use edgewit_sdk::testing::{Bench, tick};
use edgewit_sdk::{PublishError, Reason};
use serde_json::{Value, json};

use super::*;

fn bench(config: &[(&str, &str)]) -> Bench<TumblingWindow> {
    Bench::with_config(config.iter().copied()).unwrap()
}

/// Ends the window: what is published, by topic.
fn end(bench: &mut Bench<TumblingWindow>) -> Vec<(String, Value)> {
    let effects = bench.tick("window").unwrap();
    let parsed = |message: &Message| (message.topic.clone(), serde_json::from_slice(&message.payload).unwrap());
    effects.published.iter().map(parsed).collect()
}

fn counts(bench: &mut Bench<TumblingWindow>) -> Vec<(String, u64)> {
    end(bench).into_iter().map(|(topic, summary)| (topic, summary["count"].as_u64().unwrap())).collect()
}

fn logged(bench: &mut Bench<TumblingWindow>) -> String {
    bench.take_logs().into_iter().map(|line| line.text + "\n").collect()
}

#[test]
fn a_window_is_count_min_max_mean_last() {
    let mut bench = bench(&[("field", "value")]);
    for value in ["4", "1.5", "9", "3.5"] {
        assert!(bench.message("s/a", format!("{{\"value\": {value}}}")).unwrap().is_empty());
    }
    let expected =
        json!({"key": "s/a", "count": 4, "min": 1.5, "max": 9.0, "mean": 4.5, "last": 3.5, "to": bench.now_ms()});
    assert_eq!(end(&mut bench), [("windows/s/a".to_string(), expected)]);
    assert_eq!(end(&mut bench), [], "a window without readings says nothing");
}

#[test]
fn windows_follow_one_another_without_a_gap() {
    let mut bench = bench(&[]);
    let start = bench.now_ms();
    end(&mut bench);
    bench.message("s", "1").unwrap();
    bench.advance(Duration::from_secs(10)).unwrap();
    let summary = end(&mut bench).remove(0).1;
    assert_eq!((summary["from"].as_u64(), summary["to"].as_u64()), (Some(start), Some(start + 10_000)));
}

#[test]
fn keys_are_topics_or_a_field() {
    let mut by_topic = bench(&[("output", "averages/{2}")]);
    for (topic, value) in [("s/a/t", "1"), ("s/b/t", "2"), ("s/a/t", "3")] {
        by_topic.message(topic, value).unwrap();
    }
    assert_eq!(counts(&mut by_topic), [("averages/a".to_string(), 2), ("averages/b".to_string(), 1)]);

    let mut by_field = bench(&[("field", "v"), ("key_field", "device.id")]);
    for (topic, id) in [("s/a", "\"x\""), ("s/b", "\"x\""), ("s/b", "7")] {
        by_field.message(topic, format!("{{\"v\": 1, \"device\": {{\"id\": {id}}}}}")).unwrap();
    }
    assert_eq!(counts(&mut by_field), [("windows/7".to_string(), 1), ("windows/x".to_string(), 2)]);
}

#[test]
fn what_cannot_be_read_is_counted_and_said_once_a_window() {
    let mut bench = bench(&[("field", "value")]);
    let deep = "[".repeat(100_000);
    for payload in ["", "{", "9", r#"{"value": "9"}"#, r#"{"value": 1e999}"#, &deep, r#"{"value": null}"#] {
        assert!(bench.message("s/a", payload).unwrap().is_empty());
    }
    bench.message("s/a", r#"{"value": 5}"#).unwrap();
    assert_eq!(logged(&mut bench), "");
    assert_eq!(counts(&mut bench), [("windows/s/a".to_string(), 1)]);
    assert_eq!(logged(&mut bench), "7 messages could not be read, the last: `s/a`: `value` is not a number\n");
    end(&mut bench);
    assert_eq!(logged(&mut bench), "", "said once");
}

#[test]
fn late_readings_are_counted_and_left_out() {
    let mut bench = bench(&[("field", "v"), ("time_field", "t")]);
    let reading = |at: u64| format!("{{\"v\": 1, \"t\": {at}}}");
    let start = bench.now_ms();
    bench.message("s", reading(start - 60_000)).unwrap();
    assert_eq!(counts(&mut bench).len(), 1, "the first window has no beginning to be late for");
    bench.message("s", reading(start - 1)).unwrap();
    bench.message("s", reading(start)).unwrap();
    bench.message("s", r#"{"v": 1}"#).unwrap();
    assert_eq!(counts(&mut bench), [("windows/s".to_string(), 1)]);
    let said = logged(&mut bench);
    assert!(said.contains("1 readings were older") && said.contains("there is no `t`"), "{said}");
}

#[test]
fn keys_are_bounded_and_known_ones_go_on() {
    let mut bench = bench(&[("keys", "2")]);
    for topic in ["a", "b", "c", "d", "a"] {
        bench.message(topic, "1").unwrap();
    }
    assert_eq!(counts(&mut bench), [("windows/a".to_string(), 2), ("windows/b".to_string(), 1)]);
    assert!(logged(&mut bench).contains("2 readings had a key too many"));
    bench.message("c", "1").unwrap();
    assert_eq!(counts(&mut bench), [("windows/c".to_string(), 1)], "the next window has room again");
}

#[test]
fn an_aggregate_without_room_goes_on_growing() {
    let mut bench = bench(&[]).refusing("windows/full", PublishError::NoRoom("uplink".into()));
    for _ in 0..2 {
        bench.message("full", "1").unwrap();
        bench.message("free", "1").unwrap();
        assert_eq!(counts(&mut bench), [("windows/free".to_string(), 1)]);
    }
    assert_eq!(bench.component().window.keys["full"].count, 2);
    assert_eq!(bench.component().window.from, None, "it still begins where it began");
    assert!(logged(&mut bench).contains("goes on until the next tick"));
}

#[test]
fn what_is_refused_for_good_is_lost_with_its_reason_and_alone() {
    let mut bench = bench(&[("output", "out/{2}")]).granting(["out/a"]);
    for topic in ["s/a", "s/b", "nothing"] {
        bench.message(topic, "1").unwrap();
    }
    assert_eq!(counts(&mut bench), [("out/a".to_string(), 1)]);
    let said = logged(&mut bench);
    assert!(said.contains("the window of `s/b` is lost: denied"), "{said}");
    assert!(said.contains("`nothing` does not fill the output topic `out/{2}`"), "{said}");
}

#[test]
fn a_key_is_never_a_way_out_of_the_output_topic() {
    let mut bench = bench(&[("field", "v"), ("key_field", "k")]);
    bench.message("s", r##"{"v": 1, "k": "#"}"##).unwrap();
    assert_eq!(counts(&mut bench), []);
}

#[test]
fn another_timer_ends_no_window() {
    let mut bench = bench(&[("timer", "minute")]);
    bench.message("s", "1").unwrap();
    assert!(bench.tick("window").unwrap().is_empty());
    assert!(logged(&mut bench).contains("`minute`"));
    assert_eq!(bench.tick("minute").unwrap().published.len(), 1);
}

#[test]
fn an_unset_clock_is_not_quoted() {
    let mut bench = bench(&[]);
    bench.message("s", "1").unwrap();
    let effects = bench.deliver_tick(Tick { clock_trusted: false, ..tick("window") }).unwrap();
    assert_eq!(effects.lines()[0].1, r#"{"key":"s","count":1,"min":1.0,"max":1.0,"mean":1.0,"last":1.0}"#);
}

#[test]
fn a_planned_renewal_keeps_the_window() {
    let mut bench = bench(&[("retain", "true")]);
    bench.init(Reason::First).unwrap();
    bench.message("s", "0.1").unwrap();
    bench.message("s", "{").unwrap();
    bench.recycle().unwrap();
    bench.message("s", "2").unwrap();
    let effects = bench.tick("window").unwrap();
    assert!(effects.lines()[0].1.contains(r#""count":2,"min":0.1,"max":2.0"#) && effects.published[0].retain);
    assert!(logged(&mut bench).contains("1 messages could not be read"));
    assert!(bench.restore(b"no state").is_err());
}

#[test]
fn a_broken_configuration_says_how_to_mend_it() {
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("keys", "0")], "at least one key"),
        (&[("keys", "-1")], "`keys = \"-1\"`"),
        (&[("output", "averages/{room}")], "`{room}` stands for nothing"),
        (&[("field", ".")], "joined by single dots"),
        (&[("every", "10s")], "[component.NAME.timer.window]"),
        (&[("evry", "10s")], "`evry` is not known"),
    ];
    for (config, expected) in cases {
        let Err(error) = Bench::<TumblingWindow>::with_config(config.iter().copied()) else { panic!("{config:?}") };
        assert!(error.to_string().contains(expected), "{error}");
    }
}
