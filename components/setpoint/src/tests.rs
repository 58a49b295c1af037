//! What is desired is done and reported once, or neither.

use edgewit_sdk::testing::{Allow, Bench, Effects};
use edgewit_sdk::{Failure, PublishError, Reason, shadow};
use serde_json::{Value, json};

use super::Setpoint;

fn bench(config: &[(&str, &str)]) -> Bench<Setpoint> {
    let bench = Bench::<Setpoint>::with_config(config.iter().copied()).unwrap();
    bench.granting(["actuators/#"]).granting_shadow(&shadow::own(), [Allow::Read, Allow::Report])
}

fn reported(bench: &Bench<Setpoint>) -> Option<Value> {
    let document = bench.shadow(&shadow::own())?;
    document.reported.map(|text| serde_json::from_str(&text).unwrap())
}

fn commands(effects: &Effects) -> Vec<(&str, String)> {
    effects.lines()
}

#[test]
fn a_wish_is_a_command_and_a_report_and_then_nothing_differs() {
    let mut bench = bench(&[]);
    let effects = bench.delta(&shadow::own(), r#"{"desired":{"setpoint":4.5}}"#).unwrap();
    assert_eq!(commands(&effects), [("actuators/setpoint", "4.5".to_string())]);
    assert_eq!(effects.shadows[0].state, Some(json!({"reported": {"setpoint": 4.5}})));
    let document = bench.shadow(&shadow::own()).unwrap();
    assert_eq!((document.version, document.delta), (2, None));
    assert!(bench.delta(&shadow::own(), r#"{"desired":{"setpoint":4.5}}"#).unwrap().is_empty(), "nothing differs");
}

#[test]
fn what_else_is_desired_is_nothing_to_it() {
    let mut bench = bench(&[]);
    assert!(bench.delta(&shadow::own(), r#"{"desired":{"fan":"on"}}"#).unwrap().is_empty());
    assert_eq!(reported(&bench), None);
}

#[test]
fn a_wish_that_cannot_be_fulfilled_is_rejected_and_not_reported() {
    let mut bench = bench(&[("min", "-2"), ("max", "8")]);
    for (wish, reason) in [("\"warm\"", "has to be a number"), ("8.5", "the most is 8"), ("-3", "the least is -2")] {
        let state = format!(r#"{{"desired":{{"setpoint":{wish}}}}}"#);
        match bench.delta(&shadow::own(), &state) {
            Err(Failure::Reject(told)) => assert!(told.contains(reason), "{told}"),
            other => panic!("{wish}: {other:?}"),
        }
        assert_eq!(reported(&bench), None, "{wish}");
    }
    assert!(bench.delta(&shadow::own(), r#"{"desired":{"setpoint":8}}"#).is_ok());
    assert_eq!(reported(&bench), Some(json!({"setpoint": 8})));
}

#[test]
fn there_is_no_report_without_its_command_nor_a_command_without_its_report() {
    let mut refused = bench(&[]).refusing("actuators/#", PublishError::NoRoom("the valve's queue".into()));
    let outcome = refused.delta(&shadow::own(), r#"{"desired":{"setpoint":4}}"#);
    assert!(matches!(outcome, Err(Failure::Retry(_))), "{outcome:?}");
    assert_eq!(reported(&refused), None);

    let ungranted = Bench::<Setpoint>::new().unwrap().granting_shadow(&shadow::own(), [Allow::Read]);
    let mut ungranted = ungranted;
    let outcome = ungranted.delta(&shadow::own(), r#"{"desired":{"setpoint":4}}"#);
    assert!(matches!(&outcome, Err(Failure::Reject(told)) if told.contains("report")), "{outcome:?}");
}

#[test]
fn what_was_desired_before_it_started_is_done_at_the_start() {
    let mut bench = bench(&[]);
    bench.update_shadow(&shadow::own(), r#"{"desired":{"setpoint":3}}"#).unwrap();
    let effects = bench.init(Reason::First).unwrap();
    assert_eq!(commands(&effects), [("actuators/setpoint", "3".to_string())]);
    assert!(bench.init(Reason::Restart).unwrap().is_empty());
    bench.update_shadow(&shadow::own(), r#"{"desired":{"setpoint":[]}}"#).unwrap();
    assert!(bench.init(Reason::Restart).unwrap().is_empty(), "what cannot be done keeps it from nothing");
    assert!(bench.take_logs()[0].text.contains("has to be a number"));
}

#[test]
fn another_shadow_another_field_and_another_output_can_be_configured() {
    let config = [("thing", "pump"), ("shadow", "config"), ("field", "rpm"), ("output", "pump/rpm")];
    let mut bench = Bench::<Setpoint>::with_config(config).unwrap();
    let pump = shadow::of("pump").named("config");
    bench.update_shadow(&pump, r#"{"desired":{"rpm":1200}}"#).unwrap();
    assert_eq!(commands(&bench.init(Reason::First).unwrap()), [("pump/rpm", "1200".to_string())]);
    assert_eq!(bench.shadow(&pump).unwrap().reported.as_deref(), Some(r#"{"rpm":1200}"#));
    for wrong in [("output", "a/+"), ("min", "x"), ("felid", "x")] {
        assert!(Bench::<Setpoint>::with_config([wrong]).is_err(), "{wrong:?}");
    }
    assert!(Bench::<Setpoint>::with_config([("min", "3"), ("max", "2")]).is_err());
}
