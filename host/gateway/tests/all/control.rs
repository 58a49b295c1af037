//! The control socket: whom it lets in, what it makes of garbage, and what it answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process;
use std::time::Duration;

use edgewit_domain::control::{Command, Reply};
use edgewit_domain::limits::{CONTROL_CONNECTIONS, CONTROL_LINE_BYTES};
use edgewit_domain::message::Qos;
use edgewit_gateway::control::{Client, ClientError};

use crate::world::{Running, World, component, echo, eventually};

fn raw(running: &Running<'_>) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(running.world.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    BufReader::new(stream)
}

fn answer(stream: &mut BufReader<UnixStream>) -> Option<Reply> {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
}

fn refusal(reply: Option<Reply>) -> String {
    match reply {
        Some(Reply::Refused { reason, cure }) => format!("{reason}; {cure}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_socket_is_closed_to_other_users() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    assert_eq!(world.socket().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let open = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    };
    let asker = world.path("asker");
    std::fs::copy(env!("CARGO_BIN_EXE_gateway-worker"), &asker).unwrap();
    let ask_as_nobody = || {
        let output =
            process::Command::new(&asker).arg("ask").arg(world.socket()).uid(65534).gid(65534).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for path in [asker.parent().unwrap(), &asker, &world.path("data")] {
        open(path);
    }
    let said = ask_as_nobody();
    assert!(said.contains("belongs to another user"), "refused by the mode: {said}");
    open(&world.socket());
    let said = ask_as_nobody();
    assert!(said.contains("for the gateway's own user and root"), "refused by the peer's user: {said}");
    running.assert_good();
}

#[test]
fn garbage_gets_an_answer_and_the_connection_stays() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    let mut stream = raw(&running);
    let garbage: [&[u8]; 6] =
        [b"\n", b"hello\n", b"{\"command\":\"dance\"}\n", b"\xff\xfe\0\n", b"[[[[[[\n", b"{\"command\":\"publish\"}\n"];
    for line in garbage {
        stream.get_mut().write_all(line).unwrap();
        let said = refusal(answer(&mut stream));
        assert!(said.contains("not a command") && said.contains("one command as JSON"), "{said}");
    }
    let nested = format!("{}\n", "[".repeat(100_000));
    stream.get_mut().write_all(nested.as_bytes()).unwrap();
    refusal(answer(&mut stream));
    stream.get_mut().write_all(b"{\"command\":\"status\"}\n").unwrap();
    assert!(matches!(answer(&mut stream), Some(Reply::Status(_))));
    running.assert_good();
}

#[test]
fn a_line_without_end_is_cut_off() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    let mut stream = raw(&running);
    let mut sending = stream.get_ref().try_clone().unwrap();
    std::thread::scope(|scope| {
        // The other side stops reading before all of it is sent.
        scope.spawn(|| sending.write_all(&vec![b' '; CONTROL_LINE_BYTES * 2]).is_ok());
        assert!(refusal(answer(&mut stream)).contains("send a smaller payload"));
        let mut rest = Vec::new();
        // Hung up in good order, or reset because of what was not read.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    });
    running.assert_good();
}

#[test]
fn connections_are_bounded_and_come_free_again() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    let ask = |client: &mut Client| client.ask(&Command::Status);
    let mut held: Vec<Client> = (0..CONTROL_CONNECTIONS).map(|_| running.client()).collect();
    for client in &mut held {
        ask(client).unwrap();
    }
    let mut stream = raw(&running);
    assert!(refusal(answer(&mut stream)).contains("are open already"));
    assert!(answer(&mut stream).is_none(), "and it hangs up");
    held.clear();
    eventually("room for another", || match running.client().ask(&Command::Status) {
        Ok(Reply::Status(_)) => Ok(()),
        other => Err(format!("{:?}", other.err())),
    });
    for _ in 0..500 {
        drop(raw(&running));
    }
    running.assert_good();
}

#[test]
fn commands_are_carried_out_and_refusals_say_what_to_do() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    let out = running.listen("good/out");
    let mut client = running.client();
    let publish = |topic: &str, payload: Vec<u8>| Command::Publish {
        topic: topic.into(),
        payload,
        qos: Qos::AtLeastOnce,
        retain: false,
    };
    assert_eq!(client.ask(&publish("good/in", b"x".into())).unwrap(), Reply::Done);
    assert_eq!(out.next(), "x");
    let cases = [
        (publish("a/#", Vec::new()), "wildcard"),
        (publish("$edgewit/x", Vec::new()), "services only"),
        (publish("a", vec![0; 300_000]), "are the limit"),
        (Command::Restart { component: "nobody".into() }, "`edgewit ps` lists"),
        (Command::Subscribe { filters: vec!["a/#/b".into()] }, "`a/#/b` is no filter"),
    ];
    for (command, expected) in cases {
        let said = refusal(running.client().ask(&command).ok());
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(client.ask(&Command::Stop { component: "good".into() }).unwrap(), Reply::Done);
    assert_eq!(running.component("good").state.word(), "stopped");
    assert_eq!(client.ask(&Command::Start { component: "good".into() }).unwrap(), Reply::Done);
    assert_eq!(client.ask(&Command::Restart { component: "good".into() }).unwrap(), Reply::Done);
    running.until("good", |status| status.state.word() == "running");
    running.assert_good();
}

#[test]
fn what_is_followed_comes_from_the_moment_of_the_answer() {
    let world = World::new(&[echo("good", "")]);
    let running = world.run(&["good"]);
    let mut follow = running.client().follow(&Command::Subscribe { filters: vec!["good/#".into()] }).unwrap();
    running.publish("good/in", "x");
    let mut next = || match follow.next().unwrap().unwrap() {
        Reply::Message(message) => message,
        other => panic!("{other:?}"),
    };
    let (first, second) = (next(), next());
    assert_eq!((first.topic.as_str(), first.origin.as_str(), first.hops), ("good/in", "operator", 0));
    assert_eq!((second.topic.as_str(), second.origin.as_str(), second.hops), ("good/out", "component good", 1));
    assert_ne!(first.id, second.id);
}

#[test]
fn the_log_is_looked_back_on_and_followed() {
    let world = World::new(&[echo("good", ""), component("chatty", "chatty", "")]);
    let running = world.run(&["good", "chatty"]);
    let command = Command::Logs { component: Some("chatty".into()), lines: 1, follow: true };
    let mut follow = running.client().follow(&command).unwrap();
    let mut next = || match follow.next().unwrap().unwrap() {
        Reply::Log(line) => line,
        other => panic!("{other:?}"),
    };
    assert_eq!(next().text, "Running");
    running.publish("chatty/in", "3");
    let lines = [next(), next(), next()];
    assert_eq!(lines.each_ref().map(|line| line.text.as_str()), ["log 0", "out 1", "err 2"]);
    assert!(lines.iter().all(|line| line.component.as_deref() == Some("chatty")));
}

#[test]
fn a_client_without_a_gateway_says_what_to_do() {
    let world = World::new(&[]);
    let error = Client::connect(&world.socket()).err().unwrap();
    assert!(matches!(error, ClientError::NotRunning { .. }));
    assert!(error.to_string().contains("start it with `edgewit run --dev`"), "{error}");
}

#[test]
fn how_long_it_has_been_running_begins_anew_with_each_start() {
    let world = World::new(&[]);
    let running = world.start();
    eventually("it has been running for a while", || match running.status().uptime_ms {
        500.. => Ok(()),
        time => Err(time),
    });
    running.gateway.shutdown();
    let since = std::time::Instant::now();
    let running = world.start();
    assert!(u128::from(running.status().uptime_ms) <= since.elapsed().as_millis());
}
