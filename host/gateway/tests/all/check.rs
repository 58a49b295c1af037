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
        component(
            "nowhere",
            "files",
            "grant.dir.tables.path = \"no-such-folder\"\ngrant.dir.more.path = \"nor-this\"\n",
        ),
        echo("good", ""),
    ]);
    let report = check(&world.config(), &worker());
    let said = report.to_string();
    for expected in [
        "[component.greedy.grant.timer]",
        "missing.wasm cannot be read",
        "does not export edgewit:timer/handler",
        "grant.dir.tables",
        "component.good: good",
        "grant.dir.more",
        "5 mistakes",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    let text = std::fs::read_to_string(world.config()).unwrap();
    for finding in &report.findings {
        let line = text.lines().nth(finding.line.unwrap() - 1).unwrap();
        let key = finding.path.rsplit('.').next().unwrap();
        assert!(line.contains(key), "{finding:?} is not in line {line}");
    }
}

#[test]
fn an_artifact_elsewhere_is_named_and_how_it_comes_here() {
    let world = World::new(&[component("above", "missing", ""), component("link", "missing-link", "")]);
    let text = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), text.replace("missing.wasm", "../elsewhere.wasm")).unwrap();
    std::os::unix::fs::symlink("/", world.path("missing-link.wasm")).unwrap();
    let report = check(&world.config(), &worker());
    for (finding, looked_at) in report.findings.iter().zip(["../elsewhere.wasm", "missing-link.wasm"]) {
        let expected =
            format!("artifact {} lies outside the configuration's folder; copy it in", world.path(looked_at).display());
        assert_eq!(finding.problem, expected);
    }
    assert_eq!(report.findings.len(), 2, "{report}");
}

#[test]
fn a_configuration_with_nothing_to_run_gets_a_warning() {
    let report = check(&World::new(&[]).config(), &worker());
    assert!(report.is_good(), "{report}");
    assert!(report.to_string().contains("warning: component: there is none"), "{report}");
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
