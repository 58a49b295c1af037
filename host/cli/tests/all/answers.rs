//! What each verb asks the gateway, and how it shows the answer, to people and to programs.

use edgewit_domain::control::{Command, LogLine, MessageView, NotTaken, Reloaded, Reply, Status};
use edgewit_domain::message::Qos;

use crate::support::{StandIn, run_with_input};

fn status(messages: u64) -> Reply {
    let status = Status { version: "0.1.0".into(), thing: "gw".into(), messages, ..Status::default() };
    Reply::Status(Box::new(status))
}

fn message(topic: &str, payload: &[u8], dropped: u64) -> Reply {
    Reply::Message(MessageView {
        topic: topic.into(),
        payload: payload.to_vec(),
        qos: Qos::AtMostOnce,
        id: "1".into(),
        origin: "operator".into(),
        hops: 0,
        received_ms: 0,
        dropped,
    })
}

#[test]
fn ps_shows_the_status_and_gives_it_to_programs_as_it_is() {
    let gateway = StandIn::new(vec![vec![status(5)]]);
    assert!(gateway.run(&["ps"]).expect(0).out.starts_with("gw  edgewit 0.1.0  up 0 ms  5 messages\n"));
    assert_eq!(gateway.asked(), [Command::Status]);
    let gateway = StandIn::new(vec![vec![status(5)]]);
    assert_eq!(gateway.run(&["ps", "--json"]).expect(0).json()["messages"], 5);
}

#[test]
fn top_asks_twice_for_one_picture() {
    let gateway = StandIn::new(vec![vec![status(0)], vec![status(1000)]]);
    let frame = gateway.run(&["top", "--once", "--json"]).expect(0).json();
    let rate = frame["messages_per_second"].as_f64().unwrap();
    assert!((100.0..=1000.0).contains(&rate), "{rate}");
    assert_eq!(gateway.asked(), [Command::Status, Command::Status]);
}

#[test]
fn top_goes_on_in_plain_lines_until_the_gateway_ends() {
    let gateway = StandIn::new(vec![vec![status(0)], vec![status(1)], vec![status(2)]]);
    let ran = gateway.run(&["top"]).expect(69);
    assert_eq!(ran.out.matches("gw  edgewit").count(), 2, "{ran:?}");
    assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn logs_are_lines() {
    let line = |text: &str| {
        Reply::Log(LogLine {
            at_ms: 0,
            level: "warn".into(),
            component: Some("a".into()),
            text: text.into(),
            fields: Default::default(),
        })
    };
    let gateway = StandIn::new(vec![vec![line("one"), line("two \u{1b}[2J"), Reply::Done]]);
    let out = gateway.run(&["logs", "-n", "7", "a"]).expect(0).out;
    assert_eq!(out, "1970-01-01T00:00:00.000Z  WARN a: one\n1970-01-01T00:00:00.000Z  WARN a: two \\u{1b}[2J\n");
    assert_eq!(gateway.asked(), [Command::Logs { component: Some("a".into()), lines: 7, follow: false }]);
    let gateway = StandIn::new(vec![vec![line("one"), Reply::Done]]);
    assert_eq!(gateway.run(&["logs", "--json"]).expect(0).json()["text"], "one");
}

#[test]
fn a_log_that_is_followed_ends_with_the_gateway() {
    let gateway = StandIn::new(vec![vec![Reply::Log(LogLine {
        at_ms: 0,
        level: "info".into(),
        component: None,
        text: "bye".into(),
        fields: Default::default(),
    })]]);
    let ran = gateway.run(&["logs", "-f"]).expect(69);
    assert!(ran.out.ends_with("bye\n"), "{ran:?}");
}

#[test]
fn a_payload_is_published_as_it_is() {
    let gateway = StandIn::new(vec![vec![Reply::Done]]);
    assert_eq!(gateway.run(&["pub", "--qos", "1", "--retain", "a/b", "-5 °C"]).expect(0).out, "");
    let payload = "-5 °C".as_bytes().to_vec();
    assert_eq!(
        gateway.asked(),
        [Command::Publish { topic: "a/b".into(), payload, qos: Qos::AtLeastOnce, retain: true }]
    );
}

#[test]
fn a_payload_is_read_from_standard_input() {
    let gateway = StandIn::new(vec![vec![Reply::Done]]);
    let bytes = b"\x00\xff two\nlines\n";
    run_with_input(gateway.folder.path(), &["pub", "--socket", "control.sock", "a", "-"], bytes).expect(0);
    let topic = "a".to_owned();
    let expected = Command::Publish { topic, payload: bytes.to_vec(), qos: Qos::AtMostOnce, retain: false };
    assert_eq!(gateway.asked(), [expected]);
    let large = vec![b'x'; 300 * 1024];
    let nobody = tempfile::tempdir().unwrap();
    let ran = run_with_input(nobody.path(), &["pub", "--socket", "none", "a", "-"], &large).expect(1);
    assert!(ran.err.contains("larger than a message"), "{ran:?}");
}

#[test]
fn sub_prints_topic_and_payload_and_ends_at_its_count() {
    let messages =
        vec![Reply::Done, message("a/b", b"9.5", 0), message("a/c", b"\x1b[31m\xff", 3), message("a/d", b"", 0)];
    let gateway = StandIn::new(vec![messages.clone()]);
    let ran = gateway.run(&["sub", "-n", "2", "a/#", "b"]).expect(0);
    assert_eq!(ran.out, "a/b 9.5\na/c \\u{1b}[31m\\xff\n");
    assert_eq!(ran.err, "edgewit: 3 messages were dropped here, because they were not read in time\n");
    assert_eq!(gateway.asked(), [Command::Subscribe { filters: vec!["a/#".into(), "b".into()] }]);
    let gateway = StandIn::new(vec![messages]);
    let out = gateway.run(&["sub", "--json", "a/#"]).expect(69).out;
    let last = |line: usize| serde_json::from_str::<serde_json::Value>(out.lines().nth(line).unwrap()).unwrap();
    assert_eq!((last(0)["payload"].as_str(), last(1)["payload_hex"].as_str()), (Some("9.5"), Some("1b5b33316dff")));
}

#[test]
fn a_component_is_restarted_stopped_and_started() {
    let component = || "average".to_owned();
    let cases = [
        ("restart", "restarted average\n", Command::Restart { component: component() }),
        ("stop", "stopped average\n", Command::Stop { component: component() }),
        ("start", "started average\n", Command::Start { component: component() }),
    ];
    for (verb, printed, command) in cases {
        let gateway = StandIn::new(vec![vec![Reply::Done]]);
        assert_eq!(gateway.run(&[verb, "average"]).expect(0).out, printed);
        assert_eq!(gateway.asked(), [command]);
    }
}

#[test]
fn reload_names_what_changed() {
    let reloaded = Reply::Reloaded(Box::new(Reloaded { changed: vec!["average".into()], ..Reloaded::default() }));
    let gateway = StandIn::new(vec![vec![reloaded.clone()]]);
    assert_eq!(gateway.run(&["reload"]).expect(0).out, "changed average\n");
    let waits = Reply::Reloading { waiting: vec!["average".into()] };
    let gateway = StandIn::new(vec![vec![waits, reloaded]]);
    let ran = gateway.run(&["reload", "--json"]).expect(0);
    assert_eq!((ran.json()["changed"][0].as_str(), ran.err.as_str()), (Some("average"), "waits for average\n"));
}

#[test]
fn reload_ends_with_1_where_something_was_not_taken() {
    let why = NotTaken { reason: "init failed: no".into(), old_stays: true };
    let failed = [("average".to_owned(), why)].into();
    let reloaded = Reply::Reloaded(Box::new(Reloaded { failed, ..Reloaded::default() }));
    let gateway = StandIn::new(vec![vec![reloaded.clone()]]);
    let ran = gateway.run(&["reload"]).expect(1);
    assert_eq!(
        (ran.out.as_str(), ran.err.as_str()),
        ("not changed: average (the old one stays): init failed: no\n", "")
    );
    let gateway = StandIn::new(vec![vec![reloaded]]);
    let failed = &gateway.run(&["reload", "--json"]).expect(1).json()["failed"]["average"];
    assert_eq!((failed["reason"].as_str(), failed["old_stays"].as_bool()), (Some("init failed: no"), Some(true)));
    let gateway = StandIn::new(vec![vec![Reply::Reloading { waiting: vec!["average".into()] }]]);
    assert!(gateway.run(&["reload"]).expect(69).err.contains("ended before the reload did"));
}
