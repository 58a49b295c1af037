//! `edgewit cloud` while there is no cloud: what waits, and why.

use crate::gateway::Gateway;
use crate::support::{eventually, folder_with};

const CLOUD: &str = "[cloud.main]\nbroker = \"mqtt://127.0.0.1:1\"\nbackoff = \"1h\"\nbackoff-max = \"1h\"\n\
    [uplink.alerts]\nfilter = \"alerts/#\"\n[downlink.commands]\nfilter = \"cmd/#\"\ntopic = \"commands\"\n";

#[test]
fn a_cloud_that_is_away_is_shown_with_what_waits_for_it_and_why() {
    let gateway = Gateway::start(folder_with(CLOUD));
    for payload in ["one", "two"] {
        gateway.publish("alerts/a", payload).expect(0);
    }
    let status = eventually("the first attempt", || {
        let status = gateway.run(&["cloud", "--json"]).expect(0).json()["main"].clone();
        (status["state"]["state"] == "backoff").then_some(status)
    });
    assert_eq!(status["uplinks"]["alerts"]["queued"], 2, "{status}");
    assert_eq!(status["connections"], 0, "{status}");
    let shown = gateway.run(&["cloud"]).expect(0).out;
    let [first, trouble, ..] = &shown.lines().collect::<Vec<_>>()[..] else { panic!("{shown}") };
    assert!(first.starts_with("main  127.0.0.1:1  again in "), "{shown}");
    assert!(trouble.contains("last trouble: ") && trouble.contains("refused"), "{shown}");
    let row =
        |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>();
    assert_eq!(row("alerts")[..2], ["alerts", "2"], "{shown}");
    assert_eq!(row("commands")[..2], ["commands", "0"], "{shown}");
    assert_eq!(gateway.run(&["queue", "drop", "uplink/alerts"]).expect(0).out, "dropped 2 messages\n");
    assert_eq!(gateway.run(&["cloud", "--json"]).expect(0).json()["main"]["uplinks"]["alerts"]["queued"], 0);
}

#[test]
fn without_a_cloud_it_says_how_to_get_one() {
    let gateway = Gateway::start(folder_with(""));
    let shown = gateway.run(&["cloud"]).expect(0).out;
    assert!(shown.starts_with("no clouds: ") && shown.contains("[cloud.NAME]"), "{shown}");
    assert_eq!(gateway.run(&["cloud", "--json"]).expect(0).json(), serde_json::json!({}));
}
