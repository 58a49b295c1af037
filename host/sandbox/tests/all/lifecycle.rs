//! `edgewit:lifecycle`: starting, health, and state carried from one instance to the next.

use edgewit_domain::fault::Fault;
use edgewit_domain::handling::StartReason;
use edgewit_sandbox::{Exports, LinkError};

use crate::support::{bed, prepare};

const PUBLISH: &str = "[component.it.grant.publish]\nall = \"#\"\n";

#[test]
fn a_component_exports_what_it_uses_and_nothing_else() {
    let none =
        Exports { message: false, tick: false, delta: false, change: false, start: false, health: false, state: false };
    for (fixture, tables, expected) in [
        ("trap", "", Exports { message: true, ..none }),
        ("counter", PUBLISH, Exports { message: true, start: true, state: true, ..none }),
        ("sick", PUBLISH, Exports { message: true, health: true, ..none }),
    ] {
        assert_eq!(prepare(fixture, tables).unwrap().exports(), expected, "{fixture}");
    }
}

#[test]
fn what_the_configuration_needs_and_the_component_lacks_is_refused_at_load() {
    let error = prepare("echo", &format!("{PUBLISH}[component.it.timer.t]\nevery = \"1s\"\n")).err().unwrap();
    assert!(matches!(error, LinkError::NotExported { interface: "edgewit:timer/handler", .. }), "{error}");
}

#[test]
fn a_snapshot_carries_the_state_into_a_new_instance() {
    let mut old = bed("counter", PUBLISH);
    old.instance.start(StartReason::First).unwrap();
    assert_eq!(old.published("x")[0].1, "1");
    assert_eq!(old.published("x")[0].1, "2");
    let state = old.instance.snapshot().unwrap().unwrap();
    let mut new = bed("counter", PUBLISH);
    new.instance.restore(&state).unwrap();
    new.instance.start(StartReason::Recycle).unwrap();
    assert_eq!(new.published("x")[0].1, "3");
}

#[test]
fn a_state_that_is_refused_either_way_is_a_fault_that_says_why() {
    let mut bed = bed("counter", PUBLISH);
    assert_eq!(bed.instance.restore(b"rubbish"), Err(Fault::State { reason: "a count has eight bytes".into() }));
    bed.published("quit");
    assert_eq!(bed.instance.snapshot(), Err(Fault::State { reason: "quits as told".into() }));
}

#[test]
fn an_init_that_fails_is_a_fault_and_leaves_no_effect() {
    let mut bed = bed("init-fail", PUBLISH);
    assert_eq!(bed.instance.start(StartReason::First), Err(Fault::Init { reason: "fails as told".into() }));
    assert_eq!(bed.published("x"), [("init-fail/out".into(), "never reached".into())]);
}

#[test]
fn health_is_answered_in_time_or_is_a_fault() {
    let limits = "[component.it.limits]\ncpu = \"50ms\"\nwall = \"100ms\"\n";
    for (how, expected) in [
        ("well", None),
        ("error", Some("health")),
        ("spin", Some("cpu-deadline")),
        ("sleep", Some("wall-deadline")),
        ("trap", Some("trap")),
    ] {
        let mut bed = bed("sick", &format!("{PUBLISH}{limits}[component.it.config]\nhow = \"{how}\"\n"));
        let fault = bed.instance.health().err();
        assert_eq!(fault.as_ref().map(Fault::kind), expected, "{how}: {fault:?}");
    }
}
