//! What the bench promises of shadows: that it merges, refuses, undoes and tells as the gateway does.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use edgewit_sdk::shadow::{self, Rejection, ShadowError};
use edgewit_sdk::testing::{Allow, Bench, delta};
use edgewit_sdk::{
    Change, Component, ConfigError, Delivery, Delta, Failure, HandleChanges, HandleDeltas, HandleMessages, component,
    publish,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Reports what it is told to, and what it hears.
struct Lamp;

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<f64>,
}

impl Component for Lamp {
    fn from_config() -> Result<Self, ConfigError> {
        Ok(Self)
    }
}

impl HandleMessages for Lamp {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let own = shadow::own();
        match delivery.text()? {
            "report" => own.report(&State { on: Some(true), level: None }),
            "desire" => own.desire(&State { on: None, level: Some(0.5) }),
            "count" => {
                let level = own.reported::<State>()?.and_then(|state| state.level).unwrap_or(0.0);
                own.report(&State { on: None, level: Some(level + 1.0) })?;
                own.report(&State { on: Some(level > 1.0), level: None })?;
                Ok(publish("level", own.reported::<State>()?.and_then(|it| it.level).unwrap_or(0.0).to_string())?)
            }
            "report, then retry" => {
                own.report(&State { on: Some(true), level: None })?;
                Err(Failure::Retry("as told".into()))
            }
            "delete" => Ok(own.delete()?),
            "list" => Ok(publish("names", shadow::list(None)?.join(" "))?),
            "wrong" => match own.desired::<Vec<String>>() {
                Err(Failure::Reject(reason)) => Ok(publish("wrong", reason)?),
                other => panic!("{other:?}"),
            },
            state => Ok(own.update(state)?),
        }
    }
}

impl HandleDeltas for Lamp {
    fn on_delta(&mut self, delta: Delta) -> Result<(), Failure> {
        let wish: State = delta.state_as()?;
        publish("done", format!("{wish:?}"))?;
        publish("since", delta.metadata.as_str())?;
        delta.shadow.report(&wish)
    }
}

impl HandleChanges for Lamp {
    fn on_change(&mut self, change: Change) -> Result<(), Failure> {
        let before = change.previous.as_ref().map_or(0, |document| document.version);
        Ok(publish("change", format!("{before} {}", change.current.version))?)
    }
}

component!(Lamp: messages, deltas, changes);

fn bench() -> Bench<Lamp> {
    Bench::new().unwrap()
}

#[test]
fn a_handling_reads_its_own_reports_and_they_are_kept_with_it() {
    let mut bench = bench();
    for level in ["1", "2"] {
        assert_eq!(bench.message("in", "count").unwrap().lines(), [("level", level.to_string())]);
    }
    let document = bench.shadow(&shadow::own()).unwrap();
    assert_eq!(
        (document.version, document.reported_as::<State>().unwrap()),
        (4, Some(State { on: Some(false), level: Some(2.0) }))
    );
    assert!(bench.message("in", "report, then retry").is_err());
    assert_eq!(bench.shadow(&shadow::own()).unwrap(), document, "undone");
    let effects = bench.message("in", "report").unwrap();
    assert_eq!(effects.shadows.first().unwrap().state, Some(json!({"reported": {"on": true}})));
    assert_eq!(effects.shadows.first().unwrap().shadow, shadow::of("bench"));
    bench.message("in", "delete").unwrap();
    assert_eq!(bench.shadow(&shadow::own()), None);
    bench.message("in", "report").unwrap();
    assert_eq!(bench.shadow(&shadow::own()).unwrap().version, 6, "the numbers of a deleted shadow go on");
}

#[test]
fn a_desire_of_somebody_else_is_told_until_it_is_reported() {
    let mut bench = bench();
    let effects = bench.delta(&shadow::own(), r#"{"desired":{"on":true,"level":2}}"#).unwrap();
    let at = r#"{"timestamp":1750000000}"#;
    let since = format!(r#"{{"level":{at},"on":{at}}}"#);
    assert_eq!(effects.lines(), [("done", "State { on: Some(true), level: Some(2.0) }".to_string()), ("since", since)]);
    assert_eq!(bench.shadow(&shadow::own()).unwrap().delta, None, "2 is 2.0");
    assert!(bench.delta(&shadow::own(), r#"{"desired":{"level":2.0}}"#).unwrap().is_empty());
    let other = shadow::of("other").named("config");
    assert!(bench.deliver_delta(delta(&other, r#"{"on":7}"#)).is_err(), "not as expected");
    bench.deliver_delta(delta(&other, r#"{"on":false}"#)).unwrap();
    assert_eq!(bench.shadow(&other).unwrap().reported.as_deref(), Some(r#"{"on":false}"#));
    let change = bench.change(&shadow::own(), r#"{"desired":null}"#).unwrap();
    assert_eq!(change.lines(), [("change", "3 4".to_string())]);
}

#[test]
fn states_are_merged_and_refused_as_by_the_gateway() {
    let mut bench = bench();
    let mut own = |state: &str| {
        bench.message("in", state).map(|_| ()).map_err(|failure| format!("{failure:?}"))?;
        Ok::<_, String>(bench.shadow(&shadow::own()).unwrap())
    };
    let document = own(r#"{"desired":{"a":{"b":1,"c":[1,{"d":null2}]}}}"#.replace("null2", "2").as_str()).unwrap();
    assert_eq!(document.delta.as_deref(), Some(r#"{"a":{"b":1,"c":[1,{"d":2}]}}"#));
    let metadata: serde_json::Value = serde_json::from_str(&document.metadata).unwrap();
    let at = json!({"timestamp": 1_750_000_000});
    assert_eq!(metadata, json!({"desired": {"a": {"b": at, "c": [at, {"d": at}]}}}));
    let document = own(r#"{"desired":{"a":{"b":null}},"reported":{"a":{"c":[1,{"d":2}]},"x":{"y":null}}}"#).unwrap();
    assert_eq!((document.delta, document.reported.as_deref()), (None, Some(r#"{"a":{"c":[1,{"d":2}]}}"#)));
    let document = own("null").unwrap();
    assert_eq!((document.version, document.desired, document.reported), (3, None, None));
    let deep = format!("{{\"desired\":{}1{}}}", "{\"a\":".repeat(9), "}".repeat(9));
    let large = format!("{{\"desired\":{{\"a\":\"{}\"}}}}", "x".repeat(9000));
    for (state, code) in [
        ("{", 400),
        ("7", 400),
        (r#"{"desired":[]}"#, 400),
        (r#"{"x":{}}"#, 400),
        (r#"{"desired":{"a":{"b":[{"c":null}]}}}"#, 400),
        (&deep, 400),
        (&large, 413),
    ] {
        assert!(own(state).unwrap_err().contains(&format!("{code}: ")), "{state:.50}");
    }
    assert_eq!(own(r#"{"reported":{}}"#).unwrap().version, 4, "nothing of what was refused counts");
}

#[test]
fn what_is_not_granted_is_denied() {
    let mut bench = bench().granting_shadow(&shadow::own(), [Allow::Read, Allow::Report]);
    assert!(bench.message("in", "report").is_ok());
    for refused in ["desire", "delete", "null", "{}", "list"] {
        assert!(
            matches!(bench.message("in", refused), Err(Failure::Reject(told)) if told.contains("grant.shadow")),
            "{refused}"
        );
    }
    let every = shadow::of("+").named("+");
    let mut bench = bench.granting_shadow(&every, [Allow::Read]);
    bench.update_shadow(&shadow::own().named("b"), "{}").unwrap();
    bench.update_shadow(&shadow::own().named("a"), "{}").unwrap();
    assert_eq!(bench.message("in", "list").unwrap().lines(), [("names", "a b".to_string())]);
}

#[test]
fn what_is_not_as_expected_is_rejected_and_what_passes_is_tried_again() {
    let mut bench = bench();
    bench.message("in", "desire").unwrap();
    let told = bench.message("in", "wrong").unwrap();
    assert!(told.lines().first().unwrap().1.contains("the desired state of the shadow is not as expected"), "{told:?}");
    let passing = [ShadowError::NoRoom("q".into()), ShadowError::Unavailable("x".into())];
    assert!(passing.into_iter().all(|error| matches!(Failure::from(error), Failure::Retry(_))));
    for error in [
        ShadowError::Denied("x".into()),
        ShadowError::InvalidName("x".into()),
        ShadowError::Rejected(Rejection { code: 413, message: "x".into() }),
        ShadowError::Conflict(Some(7)),
        ShadowError::Conflict(None),
        ShadowError::Quota("x".into()),
    ] {
        let reason = error.reason();
        assert!(!reason.is_empty() && matches!(Failure::from(error), Failure::Reject(_)), "{reason}");
    }
}
