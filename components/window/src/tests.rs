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
        assert_eq!(bench.message("s/a", format!("{{\"value\": {value}}}")).unwrap().published, []);
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
        assert_eq!(bench.message("s/a", payload).unwrap().published, []);
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
    let window = bench.component().state.as_ref().unwrap().window();
    assert_eq!(window.keys["full"].count, 2);
    assert_eq!(window.from, None, "it still begins where it began");
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

/// What is published and logged over many windows, with the instance gone before every call or never.
fn life(loses_its_memory: bool) -> Vec<String> {
    let config = [("field", "v"), ("key_field", "k"), ("time_field", "t"), ("keys", "3"), ("output", "out/{key}")];
    let mut bench = bench(&config).refusing("out/1", PublishError::NoRoom("uplink".into())).granting(["out/#"]);
    let mut said = Vec::new();
    // Any numbers will do; these look arbitrary and are the same each time.
    let mut number = 1_u64;
    for round in 0..600_u64 {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if loses_its_memory {
            bench.restart().unwrap();
        }
        // The key without room comes late, since from then on the window has no new beginning.
        let key = if round < 300 { 2 + (number >> 40) % 4 } else { (number >> 40) % 6 };
        let value = (number >> 11) as f64 / 1e13 - 300.0;
        let effects = match number >> 60 {
            0 => {
                bench.advance(Duration::from_secs(1)).unwrap();
                bench.tick("window").unwrap()
            }
            1 => bench.message("s", "no JSON").unwrap(),
            late_or_not => {
                let at = bench.now_ms() - late_or_not / 15 * 60_000;
                bench.message(&format!("s/{round}"), format!("{{\"v\": {value}, \"k\": {key}, \"t\": {at}}}")).unwrap()
            }
        };
        said.extend(effects.lines().into_iter().map(|(topic, line)| format!("{topic} {line}")));
        said.push(logged(&mut bench));
    }
    said
}

#[test]
fn h5_without_its_memory_it_says_the_same_byte_for_byte() {
    let uninterrupted = life(false);
    assert!(uninterrupted.iter().filter(|line| line.starts_with("out/")).count() > 30);
    for word in ["could not be read", "older than the window", "a key too many", "until the next tick"] {
        assert!(uninterrupted.iter().any(|line| line.contains(word)), "the life has no case of `{word}`");
    }
    assert_eq!(life(true), uninterrupted);
}

#[test]
fn without_its_bucket_it_does_not_start_and_says_which_line_it_needs() {
    let mut bench = bench(&[]).granting_buckets(["other"]);
    let reason = bench.init(Reason::First).unwrap_err();
    assert!(reason.ends_with("[component.NAME.grant.kv]\nstate = \"own\""), "{reason}");
    let mut foreign = self::bench(&[]).with_value("state", "key/s", "no aggregate");
    assert!(foreign.init(Reason::First).unwrap_err().contains("`key/s`"));
}

#[test]
fn a_reading_that_the_bucket_has_no_room_for_is_rejected_and_the_window_goes_on() {
    let mut bench = bench(&[]).with_bucket_quota(120);
    bench.message("a", "1").unwrap();
    assert!(matches!(bench.message("b", "1"), Err(Failure::Reject(reason)) if reason.contains("may hold 120")));
    assert_eq!(counts(&mut bench), [("windows/a".to_string(), 1)]);
    assert_eq!(bench.values("state").into_keys().collect::<Vec<_>>(), ["window"], "what has ended is gone");
}

#[test]
fn a_broken_configuration_says_how_to_mend_it() {
    let cases: [(&[(&str, &str)], &str); 7] = [
        (&[("keys", "0")], "at least one key"),
        (&[("keys", "4001")], "at most 4000 keys"),
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
