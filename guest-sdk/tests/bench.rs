//! What the bench promises: it undoes, refuses, times and replaces as the gateway does.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use edgewit_sdk::testing::{Bench, ChangedValue, LogLine, SetTimer, delivery, tick};
use edgewit_sdk::{
    CarryState, CheckHealth, Component, ConfigError, Delivery, Failure, HandleMessages, HandleTicks, Message,
    PublishError, Qos, Reason, Start, Tick, component, config, kv, log, publish, timer,
};

/// Does what the payload says, and counts the messages it heard.
struct Obedient {
    topic: String,
    heard: u32,
}

impl Component for Obedient {
    fn from_config() -> Result<Self, ConfigError> {
        config::only(&["topic", "start"])?;
        Ok(Self { topic: config::required("topic")?, heard: config::or("start", 0)? })
    }
}

impl HandleMessages for Obedient {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        self.heard += 1;
        match delivery.text()? {
            "publish" => Ok(publish(&self.topic, self.heard.to_string())?),
            "publish, then retry" => {
                publish(&self.topic, "never seen")?;
                timer::set("late", Duration::from_secs(1), b"")?;
                log::warn("about to fail");
                Err(Failure::Retry("as told".into()))
            }
            "reject" => Err(Failure::Reject("as told".into())),
            "debounce" => Ok(timer::set("quiet", Duration::from_secs(5), delivery.payload())?),
            "cancel" => publish(&self.topic, timer::cancel("quiet").to_string()).map_err(Failure::from),
            "answer" => match delivery.answer("42") {
                Some(answer) => Ok(answer.publish()?),
                None => Err(Failure::Reject("no answer is expected".into())),
            },
            other => Err(Failure::Reject(format!("what is `{other}`?"))),
        }
    }
}

impl HandleTicks for Obedient {
    fn on_tick(&mut self, tick: Tick) -> Result<(), Failure> {
        if tick.name == "fail" {
            return Err(Failure::Retry("as told".into()));
        }
        Ok(publish(format!("{}/{}", self.topic, tick.name), tick.payload)?)
    }
}

impl Start for Obedient {}

impl CheckHealth for Obedient {
    fn check(&mut self) -> Result<(), String> {
        publish(&self.topic, "from health").map_err(|error| error.reason())?;
        if self.heard < 3 { Ok(()) } else { Err("has heard enough".into()) }
    }
}

impl CarryState for Obedient {
    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.heard.to_le_bytes().to_vec())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let bytes = state.try_into().map_err(|_| "four bytes are expected".to_string())?;
        self.heard = u32::from_le_bytes(bytes);
        Ok(())
    }
}

component!(Obedient: messages, ticks, init, health, state);

fn bench() -> Bench<Obedient> {
    Bench::with_config([("topic", "out")]).unwrap()
}

#[test]
fn a_good_handling_returns_what_it_asked_for() {
    let mut bench = bench();
    let effects = bench.message("in", "publish").unwrap();
    assert_eq!(effects.lines(), [("out", "1".to_string())]);
    assert_eq!(effects.published[0].qos, Qos::AtLeastOnce);
    assert!(!effects.is_empty());
}

#[test]
fn a_retry_undoes_everything_and_replaces_the_instance() {
    let mut bench = bench();
    bench.message("in", "publish").unwrap();
    assert_eq!(bench.message("in", "publish, then retry"), Err(Failure::Retry("as told".into())));
    assert_eq!(bench.component().heard, 0);
    assert_eq!(bench.pending_timers(), []);
    assert_eq!(bench.take_logs().len(), 1, "logging is no effect");
    assert_eq!(bench.message("in", "publish").unwrap().lines(), [("out", "1".to_string())]);
}

#[test]
fn a_rejection_keeps_the_instance() {
    let mut bench = bench();
    assert_eq!(bench.message("in", "reject"), Err(Failure::Reject("as told".into())));
    assert_eq!(bench.component().heard, 1);
    assert!(matches!(bench.message("in", b"\xff".to_vec()), Err(Failure::Reject(reason)) if reason.contains("UTF-8")));
}

#[test]
fn what_is_not_granted_is_denied_with_the_line_that_would_permit_it() {
    let mut bench = bench().granting(["other/#"]);
    let Err(Failure::Reject(reason)) = bench.message("in", "publish") else { panic!("not rejected") };
    assert!(reason.ends_with("[component.NAME.grant.publish]\nname = \"out\""), "{reason}");
    let mut permitted = Bench::<Obedient>::with_config([("topic", "out")]).unwrap().granting(["o/#", "out"]);
    assert_eq!(permitted.message("in", "publish").unwrap().published.len(), 1);
}

#[test]
fn every_refusal_can_be_played() {
    let cases = [
        (PublishError::NoRoom("uplink".into()), true),
        (PublishError::Quota("publishes".into()), false),
        (PublishError::TooLarge(4), false),
        (PublishError::InvalidTopic("because".into()), false),
        (PublishError::Denied("because".into()), false),
    ];
    for (error, retried) in cases {
        let mut bench = bench().refusing("out", error.clone());
        let failure = bench.message("in", "publish").unwrap_err();
        assert_eq!(matches!(failure, Failure::Retry(_)), retried, "{error:?}");
    }
    let mut small = bench().with_payload_limit(0);
    assert!(small.message("in", "publish").is_err());
    let mut wild = Bench::<Obedient>::with_config([("topic", "out/#")]).unwrap();
    assert!(wild.message("in", "publish").is_err());
}

#[test]
fn a_timer_is_set_replaced_and_due() {
    let mut bench = bench();
    let effects = bench.message("in", "debounce").unwrap();
    let expected = SetTimer { name: "quiet".into(), after_ms: 5_000, payload: b"debounce".to_vec() };
    assert_eq!(effects.timers_set, [expected]);
    assert!(bench.advance(Duration::from_secs(4)).unwrap().is_empty());
    bench.message("in", "debounce").unwrap();
    assert!(bench.advance(Duration::from_secs(4)).unwrap().is_empty());
    assert_eq!(bench.pending_timers(), [("quiet", 1_000)]);
    assert_eq!(bench.advance(Duration::from_secs(1)).unwrap().lines(), [("out/quiet", "debounce".to_string())]);
    assert!(bench.advance(Duration::from_secs(60)).unwrap().is_empty());
}

#[test]
fn a_timer_is_cancelled_once_and_limited_in_number() {
    let mut bench = bench();
    bench.message("in", "debounce").unwrap();
    let effects = bench.message("in", "cancel").unwrap();
    assert_eq!((effects.timers_cancelled, effects.published.len()), (vec!["quiet".to_string()], 1));
    assert_eq!(bench.message("in", "cancel").unwrap().lines(), [("out", "false".to_string())]);
    let mut none = Bench::<Obedient>::with_config([("topic", "out")]).unwrap().with_timer_limit(0);
    assert!(matches!(none.message("in", "debounce"), Err(Failure::Reject(_))));
}

#[test]
fn declared_ticks_come_as_they_are_given() {
    let mut bench = bench();
    assert_eq!(bench.tick("sample").unwrap().lines(), [("out/sample", String::new())]);
    assert!(matches!(bench.tick("fail"), Err(Failure::Retry(_))));
    let with_payload = Tick { payload: b"x".to_vec(), missed: 3, ..tick("late") };
    assert_eq!(bench.deliver_tick(with_payload).unwrap().lines(), [("out/late", "x".to_string())]);
}

#[test]
fn a_planned_renewal_carries_state_and_a_fault_does_not() {
    let mut bench = bench();
    bench.init(Reason::First).unwrap();
    bench.message("in", "publish").unwrap();
    bench.recycle().unwrap();
    assert_eq!(bench.component().heard, 1);
    assert!(bench.restore(b"too long").is_err());
    assert_eq!(bench.component().heard, 1, "the old instance stays");
    bench.restart().unwrap();
    assert_eq!(bench.component().heard, 0);
}

#[test]
fn a_health_check_has_no_effects() {
    let mut bench = Bench::<Obedient>::with_config([("topic", "out"), ("start", "2")]).unwrap();
    assert_eq!(bench.check(), Ok(()));
    assert_eq!(bench.message("in", "publish").unwrap().published.len(), 1);
    assert_eq!(bench.check(), Err("has heard enough".into()));
}

/// Does with the bucket `state` what the payload says.
struct Keeper;

impl Component for Keeper {
    fn from_config() -> Result<Self, ConfigError> {
        Ok(Self)
    }
}

impl HandleMessages for Keeper {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let state = kv::open("state")?;
        match delivery.text()? {
            "count" => Ok(publish("out", state.increment("count", 1)?.to_string())?),
            "count, then retry" => {
                state.increment("count", 1)?;
                Err(Failure::Retry("as told".into()))
            }
            "claim" => Ok(publish("out", state.swap("claimed", None, Some(b"yes"))?.to_string())?),
            "give up" => Ok(publish("out", state.swap("claimed", Some(b"yes"), None)?.to_string())?),
            "json" => {
                state.set_json("list", &[1, 2])?;
                let list: Option<Vec<u32>> = state.get_json("list")?;
                Ok(publish("out", format!("{list:?} {:?}", state.get_json::<u32>("absent")?))?)
            }
            "many" => {
                let keys = ["a", "b", "c"].map(String::from);
                state.set_many(&[("a".into(), b"1".to_vec()), ("c".into(), b"3".to_vec())])?;
                let there: Vec<bool> = state.get_many(&keys)?.iter().map(Option::is_some).collect();
                state.delete_many(&keys)?;
                Ok(publish("out", format!("{there:?} {} {:?}", state.exists("a")?, state.keys()?))?)
            }
            "wrong" => Ok(state.get_json::<u32>("list").map(drop)?),
            _ => Ok(state.set("", b"")?),
        }
    }
}

fn keeper() -> Bench<Keeper> {
    Bench::new().unwrap()
}

fn said(bench: &mut Bench<Keeper>, payload: &str) -> String {
    bench.message("in", payload).unwrap().lines().remove(0).1
}

#[test]
fn values_outlast_the_instance_and_a_failed_handling_leaves_none() {
    let mut bench = keeper();
    assert_eq!(said(&mut bench, "count"), "1");
    assert!(matches!(bench.message("in", "count, then retry"), Err(Failure::Retry(_))));
    bench.restart().unwrap();
    let effects = bench.message("in", "count").unwrap();
    let expected = ChangedValue { bucket: "state".into(), key: "count".into(), value: Some(b"2".to_vec()) };
    assert_eq!(effects.values, [expected]);
    assert_eq!(bench.values("state")["count"], b"2");
}

#[test]
fn a_handling_sees_its_own_changes_in_a_bucket() {
    let mut bench = keeper().with_value("state", "there", "1");
    assert_eq!((said(&mut bench, "claim"), said(&mut bench, "claim")), ("true".to_string(), "false".to_string()));
    assert_eq!((said(&mut bench, "give up"), said(&mut bench, "give up")), ("true".to_string(), "false".to_string()));
    assert_eq!(said(&mut bench, "json"), "Some([1, 2]) None");
    assert_eq!(said(&mut bench, "many"), r#"[true, false, true] false ["list", "there"]"#);
    assert!(matches!(bench.message("in", "wrong"), Err(Failure::Reject(reason)) if reason.contains("`list`")));
    assert!(matches!(bench.message("in", "empty key"), Err(Failure::Reject(_))));
}

#[test]
fn a_bucket_ends_at_its_grant_and_its_quota() {
    let reason = |mut bench: Bench<Keeper>| match bench.message("in", "count") {
        Err(Failure::Reject(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(keeper().granting_buckets(["other"])).ends_with("[component.NAME.grant.kv]\nstate = \"own\""));
    assert!(reason(keeper().granting_to_read(["state"])).contains("[component.NAME.grant.kv]"));
    assert!(reason(keeper().with_bucket_quota(5)).contains("may hold 5"));
    assert!(reason(keeper().with_value("state", "count", "x")).contains("not a number"));
    assert!(reason(keeper().with_value("state", "count", u64::MAX.to_string())).contains("more than a number"));
    assert_eq!(said(&mut keeper().granting_buckets(["state"]).with_bucket_quota(6), "count"), "1");
}

#[test]
fn an_answer_repeats_what_identifies_the_question() {
    let mut bench = bench();
    let question = Message::new("in", "answer").expecting_answer("me/answers", b"7".to_vec());
    let effects = bench.delivery(delivery(question)).unwrap();
    assert_eq!(effects.lines(), [("me/answers", "42".to_string())]);
    assert_eq!(effects.published[0].correlation_data.as_deref(), Some(&b"7"[..]));
    assert!(matches!(bench.message("in", "answer"), Err(Failure::Reject(_))));
}

#[test]
fn a_broken_configuration_names_key_and_cure() {
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[], "config `topic` is missing"),
        (&[("topic", "a"), ("start", "many")], "config `start = \"many\"` does not do: invalid digit"),
        (&[("topic", "a"), ("strat", "1")], "config `strat` is not known"),
    ];
    for (pairs, expected) in cases {
        let Err(error) = Bench::<Obedient>::with_config(pairs.iter().copied()) else { panic!("{expected}") };
        let text = error.to_string();
        assert!(text.starts_with(expected) && text.contains("[component.NAME.config]"), "{text}");
    }
}

#[test]
fn outside_of_a_bench_imports_refuse() {
    assert!(matches!(publish("out", "x"), Err(PublishError::Denied(_))));
    assert!(timer::set("a", Duration::ZERO, b"").is_err() && !timer::cancel("a"));
    assert!(config::required::<String>("topic").is_err());
    assert!(kv::open("state").is_err());
    log::info("goes nowhere");
}

#[test]
fn lines_are_logged_with_their_level() {
    let mut bench = bench();
    let _ = bench.message("in", "publish, then retry");
    let expected = LogLine { level: log::Level::Warn, text: "about to fail".into() };
    assert_eq!(bench.take_logs(), [expected]);
    assert_eq!(bench.take_logs(), []);
}
