//! `edgewit queue` and `edgewit dead` against a real gateway: what an operator sees of what waits and of what was given
//! up, and what becomes of it.

use expect_test::expect;

use crate::gateway::Gateway;
use crate::support::{Ran, configure, folder_with, run, run_with_input};

/// A component with a durable queue for `NAME/in`, that may say anything on `FIXTURE/out`.
fn durable(name: &str, fixture: &str, further: &str) -> String {
    format!(
        "[component.{name}]\nartifact = \"{fixture}.wasm\"\nsubscribe.in.filter = \"{name}/in\"\n\
         subscribe.in.delivery = \"durable\"\ngrant.publish.out = \"{fixture}/#\"\n{further}\n"
    )
}

fn stopped(lines: &str, name: &str) -> Gateway {
    let gateway = Gateway::start(folder_with(lines));
    gateway.run(&["stop", name]).expect(0);
    gateway
}

/// Ages and ids are what they are.
fn lines(ran: Ran) -> Vec<String> {
    let ran = ran.expect(0);
    let words = |line: &str| match line.split("  ").collect::<Vec<_>>().as_slice() {
        [sequence, _, rest @ ..] if !sequence.is_empty() => format!("{sequence} {}", rest.join(" ")),
        _ => line.to_owned(),
    };
    ran.out.lines().map(words).collect()
}

#[test]
fn what_waits_is_listed_shown_page_by_page_and_dropped() {
    let gateway = stopped(&durable("a", "counter", ""), "a");
    for payload in ["one", "two", "\u{1b}[2J"] {
        gateway.publish("a/in", payload).expect(0);
    }
    run_with_input(gateway.folder.path(), &["pub", "--qos", "1", "a/in", "-"], &[0xff, 0x01]).expect(0);
    run_with_input(gateway.folder.path(), &["pub", "--qos", "1", "a/in", "-"], &[b'x'; 2000]).expect(0);

    let listing = gateway.run(&["queue", "ls"]).expect(0).out;
    assert!(listing.lines().next().unwrap().starts_with("QUEUE"), "{listing}");
    assert!(listing.contains("component/a/in") && !listing.contains("dead/"), "{listing}");
    let queue = gateway.queue("component/a/in");
    assert_eq!((queue["messages"].as_u64(), queue["read"].as_bool()), (Some(5), Some(true)), "{queue}");
    assert!(queue["oldest_ms"].is_u64() && queue["damaged"] == false, "{queue}");

    let show = |more: &[&str]| gateway.run(&[&["queue", "show", "component/a/in"], more].concat());
    let first = show(&["--count", "2"]);
    assert_eq!(first.err, "there is more: --from 3\n");
    assert_eq!(lines(first), ["1 a/in one", "2 a/in two"]);
    let second = show(&["--from", "3", "--count", "2"]);
    assert_eq!(second.err, "there is more: --from 5\n");
    assert_eq!(lines(second), ["3 a/in \\u{1b}[2J", "4 a/in \\xff\\u{1}"]);
    let last = show(&["--from", "5"]);
    assert_eq!(last.err, "");
    let [line] = &lines(last)[..] else { panic!() };
    assert!(line.ends_with("xxx… (2.0 KiB)") && line.len() < 600, "{line}");
    let behind = show(&["--from", "6"]).expect(0);
    assert_eq!((behind.out.as_str(), behind.err.as_str()), ("", "nothing waits there any further\n"));

    let rows = gateway.rows("component/a/in");
    let row = |place: usize, key: &str| rows[place][key].clone();
    assert_eq!((row(0, "sequence"), row(0, "payload"), row(0, "qos")), (1.into(), "one".into(), 1.into()));
    assert_eq!((row(3, "payload_hex"), row(3, "payload")), ("ff01".into(), serde_json::Value::Null));
    assert_eq!(
        (row(0, "origin"), row(0, "failed"), row(0, "dead")),
        ("operator".into(), 0.into(), serde_json::Value::Null)
    );
    assert_eq!(row(4, "payload").as_str().unwrap().len(), 2000, "programs get all of it");

    assert_eq!(gateway.run(&["queue", "drop", "component/a/in"]).expect(0).out, "dropped 5 messages\n");
    assert_eq!(gateway.run(&["queue", "drop", "component/a/in"]).expect(0).out, "dropped 0 messages\n");
    assert_eq!(show(&[]).expect(0).err, "nothing waits there\n");
    let queue = gateway.queue("component/a/in");
    assert_eq!((queue["messages"].as_u64(), queue["dropped"].as_u64()), (Some(0), Some(5)), "{queue}");
    gateway.publish("a/in", "later").expect(0);
    assert_eq!(lines(show(&[])), ["6 a/in later"], "a number is never used twice");
}

/// Pages are bounded by what a reply may take, and go on where they ended.
#[test]
fn large_messages_come_in_smaller_pages() {
    let gateway = stopped(&durable("a", "counter", ""), "a");
    let large = vec![b'y'; 200 << 10];
    for _ in 0..5 {
        run_with_input(gateway.folder.path(), &["pub", "--qos", "1", "a/in", "-"], &large).expect(0);
    }
    let (mut from, mut seen) = (0, Vec::new());
    loop {
        let page = gateway.run(&["queue", "show", "component/a/in", "--json", "--from", &from.to_string()]).expect(0);
        let page = page.json();
        let Some(last) = page.as_array().unwrap().last() else { break };
        seen.extend(page.as_array().unwrap().iter().map(|row| row["sequence"].as_u64().unwrap()));
        from = last["sequence"].as_u64().unwrap() + 1;
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
}

fn given_up(attempts: u32, payloads: &[&str]) -> Gateway {
    let failing = durable("e", "error", &format!("config.always = \"retry\"\nsubscribe.in.attempts = {attempts}\n"));
    let gateway = Gateway::start(folder_with(&(failing + &sink())));
    gateway.run(&["stop", "sink"]).expect(0);
    for payload in payloads {
        gateway.publish("e/in", payload).expect(0);
    }
    gateway.await_messages("dead/component/e", payloads.len() as u64);
    gateway
}

/// Keeps what `e` says.
fn sink() -> String {
    durable("sink", "counter", "").replace("sink/in", "error/out")
}

fn payloads(rows: &[serde_json::Value]) -> Vec<(u64, &str)> {
    rows.iter().map(|row| (row["sequence"].as_u64().unwrap(), row["payload"].as_str().unwrap())).collect()
}

#[test]
fn q6_a_dead_letter_is_replayed_at_the_tail_with_its_id_and_its_first_attempt_before_it() {
    let gateway = given_up(2, &["x1", "x2", "x3"]);
    let listing = gateway.run(&["dead", "ls"]).expect(0).out;
    assert!(listing.contains("dead/component/e") && !listing.contains("\ncomponent/"), "{listing}");
    let dead = gateway.rows("dead/component/e");
    assert_eq!(payloads(&dead), [(1, "x1"), (2, "x2"), (3, "x3")]);
    let note = &dead[1]["dead"];
    assert_eq!((note["queue"].as_str(), note["attempts"].as_u64()), (Some("component/e/in"), Some(2)), "{note}");
    assert!(note["reason"].as_str().unwrap().contains("retry as told") && note["at_ms"].as_u64() > Some(0), "{note}");
    let shown = lines(gateway.run(&["dead", "show", "dead/component/e", "--count", "1"]));
    assert_eq!(shown[0], "1 e/in x1");
    assert!(
        shown[1].starts_with("    from component/e/in, after 2 attempts: ") && shown[1].contains("retry as told"),
        "{shown:?}"
    );

    configure(gateway.folder.path(), &(durable("e", "error", "") + &sink()));
    gateway.run(&["reload"]).expect(0);
    gateway.run(&["stop", "e"]).expect(0);
    gateway.publish("e/in", "new").expect(0);
    let replay = |more: &[&str]| gateway.run(&[&["dead", "replay", "dead/component/e"], more].concat()).expect(0).out;
    assert_eq!(replay(&["--sequence", "2"]), "replayed 1 message\n");
    let rows = gateway.rows("component/e/in");
    assert_eq!(payloads(&rows), [(4, "new"), (5, "x2")]);
    assert_eq!((&rows[1]["id"], rows[1]["failed"].as_u64()), (&dead[1]["id"], Some(0)), "{rows:?}");
    assert_eq!(rows[1]["dead"], serde_json::Value::Null);
    assert_eq!(replay(&[]), "replayed 2 messages\n");
    assert_eq!(payloads(&gateway.rows("component/e/in")), [(4, "new"), (5, "x2"), (6, "x1"), (7, "x3")]);
    assert_eq!(gateway.queue("dead/component/e")["messages"], 0);
    assert_eq!(replay(&[]), "replayed 0 messages\n");

    gateway.run(&["start", "e"]).expect(0);
    gateway.await_messages("component/sink/in", 4);
    let said = gateway.rows("component/sink/in");
    assert!(said.iter().all(|row| row["payload"] == "attempt 1"), "{said:?}");
}

/// What is replayed may be given up again at once; the replay ends all the same.
#[test]
fn q6_a_replay_takes_each_letter_once_and_a_drop_takes_them_all() {
    let gateway = given_up(1, &["x1", "x2", "x3"]);
    assert_eq!(gateway.run(&["dead", "replay", "dead/component/e"]).expect(0).out, "replayed 3 messages\n");
    gateway.await_messages("dead/component/e", 3);
    assert_eq!(payloads(&gateway.rows("dead/component/e")), [(4, "x1"), (5, "x2"), (6, "x3")]);
    assert_eq!(gateway.run(&["dead", "drop", "dead/component/e"]).expect(0).out, "dropped 3 messages\n");
    assert_eq!(gateway.queue("dead/component/e")["messages"], 0);
}

/// A component that stopped because its dead letters have no room goes on when they have.
#[test]
fn q6_a_blocked_component_goes_on_when_its_dead_letters_are_dropped_or_replayed() {
    let dead = "config.always = \"reject\"\ndead-letter = { messages = 1 }\n";
    let gateway = Gateway::start(folder_with(&durable("e", "error", dead)));
    for payload in ["x1", "x2", "x3"] {
        gateway.publish("e/in", payload).expect(0);
    }
    gateway.await_state("e", "blocked");
    assert_eq!(gateway.run(&["dead", "drop", "dead/component/e"]).expect(0).out, "dropped 1 message\n");
    gateway.await_messages("component/e/in", 1);
    gateway.await_state("e", "blocked");
    assert_eq!(payloads(&gateway.rows("dead/component/e")), [(2, "x2")]);
}

/// What was retained in its time does not take the place of what came later.
#[test]
fn m4_a_replay_retains_nothing_again() {
    let failing = durable("e", "error", "config.always = \"reject\"\n");
    let gateway = Gateway::start(folder_with(&failing));
    gateway.run(&["pub", "--qos", "1", "--retain", "e/in", "old"]).expect(0);
    gateway.await_messages("dead/component/e", 1);
    gateway.run(&["stop", "e"]).expect(0);
    gateway.run(&["pub", "--qos", "1", "--retain", "e/in", "new"]).expect(0);
    gateway.run(&["dead", "replay", "dead/component/e"]).expect(0);
    assert_eq!(gateway.run(&["sub", "-n", "1", "e/in"]).expect(0).out, "e/in new\n");
}

#[test]
fn what_cannot_go_back_stays_and_says_why() {
    let gateway = given_up(1, &["x1", "x2"]);
    let queue = "subscribe.in.queue = { messages = 1, full = \"refuse\" }\n";
    configure(gateway.folder.path(), &(durable("e", "error", queue) + &sink()));
    gateway.run(&["reload"]).expect(0);
    gateway.run(&["stop", "e"]).expect(0);
    let replay = || gateway.run(&["dead", "replay", "dead/component/e"]).expect(1);
    let partly = replay();
    assert_eq!(partly.out, "replayed 1 message\n");
    expect![[r#"
        edgewit: 1 message stays: row 2: queue component/e/in has no room
          replay again when its reader has caught up; `edgewit queue ls` shows what waits
    "#]]
    .assert_eq(&partly.err);
    configure(gateway.folder.path(), &sink());
    gateway.run(&["reload"]).expect(0);
    expect![[r#"
        edgewit: row 2 waited in component/e/in, which nobody reads any more
          configure its subscription or rule again and reload, or drop it
    "#]]
    .assert_eq(&replay().err);
    assert_eq!(payloads(&gateway.rows("dead/component/e")), [(2, "x2")]);
    let left = gateway.run(&["queue", "ls"]).expect(0).out;
    assert!(left.contains("nobody reads it; dropped after store.keep"), "{left}");
}

#[test]
fn what_cannot_be_done_is_refused_with_its_cure() {
    let gateway = stopped(&durable("a", "counter", ""), "a");
    gateway.publish("a/in", "kept").expect(0);
    let refused = |arguments: &[&str]| gateway.run(arguments).expect(1).err;
    expect![[r#"
        edgewit: there is no queue component/none/in
          `edgewit queue ls` lists them
    "#]]
    .assert_eq(&refused(&["queue", "show", "component/none/in"]));
    for verb in [&["queue", "drop", "uplink/none"][..], &["dead", "replay", "dead/component/none"]] {
        assert!(refused(verb).contains("there is no queue"), "{verb:?}");
    }
    let nonsense = refused(&["queue", "show", "a"]);
    assert!(nonsense.contains("write component/NAME/SUBSCRIPTION") && nonsense.contains("queue ls"), "{nonsense}");
    for verb in ["show", "replay", "drop"] {
        let text = refused(&["dead", verb, "component/a/in"]);
        assert_eq!(text, "edgewit: component/a/in holds no dead letters\n  `edgewit dead ls` lists those that do\n");
    }
    assert!(refused(&["dead", "replay", "dead/component/a", "--sequence", "9"]).contains("no such row"));
    assert_eq!(gateway.queue("component/a/in")["messages"], 1, "nothing of it was dropped");
}

#[test]
fn where_there_is_nothing_to_list_it_says_what_would_be() {
    let gateway = Gateway::start(folder_with(""));
    let listing = gateway.run(&["queue", "ls"]).expect(0).out;
    assert!(listing.starts_with("none: ") && listing.contains("delivery = \"durable\""), "{listing}");
    assert!(gateway.run(&["dead", "ls"]).expect(0).out.starts_with("none: "));
    assert_eq!(gateway.run(&["queue", "ls", "--json"]).expect(0).json(), serde_json::json!([]));
}

#[test]
fn without_a_gateway_each_of_them_is_69() {
    let folder = folder_with("");
    let verbs: [&[&str]; 8] = [
        &["queue", "ls"],
        &["queue", "show", "uplink/a"],
        &["queue", "drop", "uplink/a"],
        &["dead", "ls"],
        &["dead", "show", "dead/uplink/a"],
        &["dead", "replay", "dead/uplink/a"],
        &["dead", "drop", "dead/uplink/a"],
        &["cloud"],
    ];
    for verb in verbs {
        let ran = run(folder.path(), verb).expect(69);
        assert!(ran.err.contains("no gateway answers") && ran.err.contains("edgewit run"), "{ran:?}");
    }
}
