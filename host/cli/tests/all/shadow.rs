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
