//! `edgewit shadow` against a real gateway, as an operator uses it.

use std::process::Stdio;

use expect_test::expect;

use crate::gateway::Gateway;
use crate::support::{edgewit, eventually, folder_with};

#[test]
fn a_shadow_is_made_shown_listed_and_deleted() {
    let gateway = Gateway::start(folder_with(""));
    expect![[r#"
        no shadows: `edgewit shadow update --desired '{…}'` makes one
    "#]]
    .assert_eq(&gateway.run(&["shadow", "ls"]).expect(0).out);
    let update = |more: &[&str]| gateway.run(&[&["shadow", "update"], more].concat());
    update(&["config", "--desired", "{\"setpoint\": 4, \"big\": 123456789012345678901}"]).expect(0);
    update(&["--thing", "door", "--reported", "{\"open\": true}", "--json"]).expect(0);
    let got = gateway.run(&["shadow", "get", "config"]).expect(0).out;
    let state: Vec<&str> = got.lines().take(9).collect();
    assert_eq!(
        state,
        [
            "{",
            "  \"state\": {",
            "    \"desired\": {",
            "      \"big\": 123456789012345678901,",
            "      \"setpoint\": 4",
            "    },",
            "    \"delta\": {",
            "      \"big\": 123456789012345678901,",
            "      \"setpoint\": 4",
        ]
    );
    expect![[r#"
        THING  SHADOW     VERSION  BYTES  STATE
        door   (classic)        1   13 B  as desired
        test   config           1   42 B  differs

        2 shadows of 2 things
    "#]]
    .assert_eq(&gateway.run(&["shadow", "ls"]).expect(0).out);
    let listed = gateway.run(&["shadow", "ls", "--thing", "test", "--json"]).expect(0).json();
    assert_eq!((&listed[0]["name"], listed.as_array().unwrap().len()), (&"config".into(), 1));

    let stale = update(&["config", "--reported", "{\"setpoint\": 4}", "--version", "9"]).expect(1);
    assert!(stale.err.contains("409: Version conflict") && stale.err.contains("get it, and update"), "{}", stale.err);
    let wrong = update(&["config", "--reported", "{setpoint: 4}"]).expect(1);
    assert!(wrong.err.contains("what is reported is no JSON") && wrong.err.contains("quote it"), "{}", wrong.err);
    gateway.run(&["shadow", "delete", "config"]).expect(0);
    let gone = gateway.run(&["shadow", "get", "config"]).expect(1);
    assert!(gone.err.contains("404: No shadow exists with name: 'test~config'"), "{}", gone.err);
}

#[test]
fn what_differs_is_shown_as_it_comes() {
    let gateway = Gateway::start(folder_with(""));
    let watch =
        edgewit(gateway.folder.path()).args(["shadow", "watch", "-n", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut watch = Some(watch);
    let shown = eventually("a difference is shown", || {
        gateway.run(&["shadow", "update", "config", "--desired", "{\"setpoint\": 4}"]).expect(0);
        let ended = watch.as_mut().and_then(|watch| watch.try_wait().unwrap()).is_some();
        ended.then(|| watch.take().unwrap().wait_with_output().unwrap())
    });
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.starts_with("config  version ") && shown.ends_with("  {\"setpoint\":4}\n"), "{shown}");
}

#[test]
fn how_shadows_stand_against_a_cloud_that_is_away_is_shown() {
    let cloud = "[cloud.main]\nbroker = \"mqtt://127.0.0.1:1\"\nbackoff = \"1h\"\nbackoff-max = \"1h\"\n\
        [shadow.sync.own]\n[shadow.sync.lamps]\nthing = \"lamp-7\"\nshadow = \"+\"\n";
    let gateway = Gateway::start(folder_with(cloud));
    gateway.run(&["shadow", "update", "--thing", "lamp-7", "settings", "--desired", "{\"on\": true}"]).expect(0);
    let shadows = eventually("both are seen", || {
        let shadows = gateway.run(&["shadow", "sync", "--json"]).expect(0).json();
        (shadows.as_array().unwrap().len() == 2).then_some(shadows)
    });
    assert_eq!(
        (&shadows[0]["thing"], &shadows[0]["name"], &shadows[0]["local"]),
        (&"lamp-7".into(), &"settings".into(), &1.into())
    );
    assert_eq!(
        (&shadows[1]["thing"], &shadows[1]["local"], &shadows[1]["dirty_ms"]),
        (&"test".into(), &().into(), &().into())
    );
    assert!(shadows[0]["dirty_ms"].is_u64() && shadows[0]["remote"].is_null(), "{shadows}");
    let shown = gateway.run(&["shadow", "sync"]).expect(0).out;
    let words = |line: &str| line.split_whitespace().take(5).map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = shown.lines().map(words).collect();
    assert_eq!(lines[1], ["lamp-7", "settings", "1", "–", "offline"], "{shown}");
    assert_eq!(lines[2], ["test", "(classic)", "–", "–", "offline"], "{shown}");
    assert!(shown.ends_with("\n0 of 2 shadows in sync\n"), "{shown}");
    let one = gateway.run(&["shadow", "sync", "--thing", "lamp-7", "--json"]).expect(0).json();
    assert_eq!(one.as_array().unwrap().len(), 1);
    let cloud = gateway.run(&["cloud"]).expect(0).out;
    assert!(cloud.contains("\nshadows: 2 offline; 0 requests\n"), "{cloud}");
}

#[test]
fn without_a_rule_it_says_how_to_get_one() {
    let gateway = Gateway::start(folder_with(""));
    let shown = gateway.run(&["shadow", "sync"]).expect(0).out;
    assert!(shown.starts_with("no shadow is kept the same") && shown.contains("[shadow.sync.NAME]"), "{shown}");
}
