//! `check`: everything that is wrong at once, and nothing started.

use edgewit_gateway::check::check;

use crate::world::{World, component, echo, worker};

#[test]
fn a_good_configuration_is_good() {
    let world = World::new(&[echo("good", ""), component("counter", "counter", "")]);
    let report = check(&world.config(), &worker());
    assert!(report.is_good(), "{report}");
    let counter = report.components.get("counter").unwrap();
    assert_eq!(counter.exports, ["message", "start", "state"]);
    assert_eq!(counter.digest.len(), 64);
    assert!(!world.path("data").exists(), "nothing was written");
    assert!(serde_json::to_string(&report).unwrap().contains("\"findings\":[]"));
}

#[test]
fn mistakes_of_the_file_come_with_line_key_and_cure() {
    let world = World::new(&[echo("good", "limits.memroy = \"1MiB\"\nlimits.cpu = \"1h\"\n")]);
    let report = check(&world.config(), &worker());
    let paths: Vec<&str> = report.findings.iter().map(|finding| finding.path.as_str()).collect();
    assert_eq!(paths, ["component.good.limits.memroy", "component.good.limits.cpu"], "{report}");
    assert!(report.findings.iter().all(|finding| finding.line.is_some() && !finding.cure.is_empty()), "{report}");
}

#[test]
fn every_component_is_looked_at_whatever_is_wrong_with_the_others() {
    let world = World::new(&[
        component("greedy", "importer", ""),
        component("gone", "missing", ""),
        component("silent", "echo", "timer.beat.every = \"1s\"\n"),
        component("nowhere", "files", "grant.dir.tables.path = \"no-such-folder\"\n"),
        echo("good", ""),
    ]);
    let report = check(&world.config(), &worker());
    let said = report.to_string();
    for expected in [
        "[component.greedy.grant.timer]",
        "artifact missing.wasm cannot be read",
        "does not export edgewit:timer/handler",
        "grant.dir.tables",
        "component.good: good",
        "4 mistakes",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    assert_eq!(report.findings.len(), 4);
}

#[test]
fn what_looks_like_a_slip_is_a_warning_and_no_mistake() {
    let forgetful = echo("forgetful", "recycle.calls = 10\n");
    let report = check(&World::new(&[forgetful]).config(), &worker());
    assert!(report.is_good(), "{report}");
    assert!(report.to_string().contains("warning: component.forgetful.recycle: recycle has no effect"), "{report}");
}

#[test]
fn a_file_that_is_not_there_is_a_finding() {
    let world = World::new(&[]);
    let report = check(&world.path("nowhere.toml"), &worker());
    assert!(!report.is_good());
    assert!(report.to_string().contains("nowhere.toml"), "{report}");
}
