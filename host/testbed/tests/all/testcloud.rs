//! `edgewit-testcloud` as a person runs it: at a broker that wants a certificate, with each of its faults, and told what to
//! do by words.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewit_testbed::{Authority, Broker, Observer, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_edgewit-testcloud");
const PATIENCE: Duration = Duration::from_secs(30);
const UPDATE: &str = r#"{"state":{"desired":{"a":1}},"clientToken":"mine"}"#;

struct Program {
    child: Child,
    words: ChildStdin,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Program {
    fn start(arguments: &[&str]) -> Program {
        let mut command = Command::new(PROGRAM);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, store) = (BufReader::new(child.stdout.take().unwrap()), lines.clone());
        let reader = move || output.lines().map_while(Result::ok).for_each(|it| store.lock().unwrap().push(it));
        std::thread::Builder::new().name("lines".to_owned()).spawn(reader).unwrap();
        Program { words: child.stdin.take().unwrap(), child, lines }
    }

    /// Behind TLS, with these switches besides.
    async fn at(broker: &Broker, switches: &[&str]) -> Program {
        let place = format!("localhost:{}", broker.tls);
        let file = |name: &str| broker.path().join(name).display().to_string();
        let (ca, certificate, key) = (file("clients.pem"), file("cloud.pem"), file("cloud.key"));
        let mut all = vec!["--broker", &place, "--ca", &ca, "--certificate", &certificate, "--key", &key];
        all.extend(switches);
        let program = Program::start(&all);
        program.says("listens").await;
        program
    }

    fn said(&self, part: &str) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(part)).cloned().collect()
    }

    async fn says(&self, part: &str) {
        let what = format!("{part:?} among the lines of the test cloud");
        until(&what, PATIENCE, async || !self.said(part).is_empty()).await;
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.words, "{word}").unwrap();
    }

    /// What it says to a word. Each is another.
    async fn answers(&mut self, word: &str, part: &str) {
        self.tell(word);
        self.says(part).await;
    }

    async fn ends(mut self) {
        self.tell("quit");
        until("the end", PATIENCE, async || self.child.try_wait().unwrap().is_some()).await;
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn broker() -> Broker {
    let authority = Authority::new("test");
    let broker = Broker::start(&authority, &authority.server("localhost")).await;
    authority.client("cloud").write(broker.path(), "cloud");
    broker
}

/// The answers about a shadow of `t`, by the ends of their topics, when there are so many.
async fn heard(observer: &Observer, shadow: &str, count: usize) -> Vec<(String, String)> {
    let answers = || -> Vec<(String, String)> {
        let arrived = observer.arrived().into_iter().filter_map(|(topic, payload)| {
            let end = topic.strip_prefix(&format!("$aws/things/t/shadow/name/{shadow}/"))?.to_owned();
            end.contains('/').then(|| (end, String::from_utf8(payload).unwrap()))
        });
        arrived.collect()
    };
    until(shadow, PATIENCE, async || answers().len() >= count).await;
    answers()
}

fn ends(answers: &[(String, String)]) -> Vec<&str> {
    answers.iter().map(|(end, _)| end.as_str()).collect()
}

/// The seconds before a line.
fn second(line: &str) -> f64 {
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_program_answers_behind_tls_and_fails_by_every_switch() {
    let broker = broker().await;
    let observer = Observer::hearing(broker.plain, "$aws/#").await;
    let all: &[&str] = &["update/delta", "update/documents", "update/accepted"];
    let twice: Vec<&str> = all.iter().flat_map(|end| [*end, *end]).collect();
    let reversed: Vec<&str> = all.iter().rev().copied().collect();
    let rejected: &[&str] = &["update/rejected"];
    let cases: [(&[&str], &[&str], &str); 9] = [
        (&[], all, "\"version\":1"),
        (&["--delay", "300ms"], all, "\"version\":1"),
        (&["--drop"], &[], ""),
        (&["--duplicate"], &twice, "\"version\":1"),
        (&["--reorder"], &reversed, "\"version\":1"),
        (&["--reject", "409"], rejected, "{\"code\":409,"),
        (&["--reject", "429"], rejected, "{\"code\":429,"),
        (&["--reject", "500"], rejected, "{\"code\":500,"),
        (&["--forget"], all, "\"version\":1"),
    ];
    for (case, (switches, expected, part)) in cases.into_iter().enumerate() {
        let program = Program::at(&broker, switches).await;
        let shadow = format!("case-{case}");
        let topic = format!("$aws/things/t/shadow/name/{shadow}");
        observer.publish(&format!("{topic}/update"), UPDATE).await;
        program.says(&format!("asked     {topic}/update {UPDATE}")).await;
        let answers = heard(&observer, &shadow, expected.len()).await;
        assert_eq!(ends(&answers), expected, "{switches:?}");
        assert!(
            answers.iter().all(|(_, body)| body.contains(part) && body.contains("mine")),
            "{switches:?} {answers:?}"
        );
        let told = if switches == ["--drop"] { "lost" } else { "answered" };
        let last = expected.last().unwrap_or(&"update/accepted");
        program.says(&format!("{told:8}  {topic}/{last} {{")).await;
        if switches == ["--delay", "300ms"] {
            let (asked, answered) = (program.said("asked"), program.said("answered"));
            assert!(second(&answered[0]) - second(&asked[0]) >= 0.3, "{asked:?} {answered:?}");
        }
        if switches == ["--forget"] {
            observer.publish(&format!("{topic}/get"), "").await;
            let answers = heard(&observer, &shadow, 4).await;
            assert!(answers[3].0 == "get/rejected" && answers[3].1.contains("\"code\":404"), "{answers:?}");
        }
        // What was lost never comes.
        assert_eq!(heard(&observer, &shadow, 0).await.len(), if switches == ["--forget"] { 4 } else { expected.len() });
        program.ends().await;
    }
}

#[tokio::test]
async fn by_words_a_person_plays_the_cloud() {
    let broker = broker().await;
    let observer = Observer::hearing(broker.plain, "$aws/#").await;
    let mut cloud = Program::at(&broker, &["--thing", "t"]).await;
    cloud.answers("ls", "no shadow is there").await;
    cloud.answers("get t/door", "t/door rejected {\"code\":404").await;
    cloud.answers("desire t/door {\"open\": true}", "t/door accepted {\"state\":{\"desired\":{\"open\":true}}").await;
    let all = ["update/delta", "update/documents", "update/accepted"];
    assert_eq!(ends(&heard(&observer, "door", 3).await), all);
    cloud.answers("get t/door", "t/door accepted {\"state\":{\"desired\":{\"open\":true},\"delta\"").await;
    cloud.answers("ls", "t/door version 1").await;
    cloud.answers("delete t/door", "t/door accepted {\"version\":1,").await;
    assert_eq!(ends(&heard(&observer, "door", 4).await)[3], "delete/accepted");
    cloud.answers("ls", "t/door deleted at version 1").await;

    // What somebody in the cloud does is carried out, whatever devices are told; and the classic shadow is one, too.
    cloud.answers("fault reject 429", "faults: reject 429").await;
    cloud.answers("fault delay 10ms", "faults: delay 10ms, reject 429").await;
    cloud.answers("desire t {\"on\": 1}", "t accepted {\"state\":{\"desired\":{\"on\":1}}").await;
    observer.publish("$aws/things/t/shadow/name/door/get", "").await;
    assert!(heard(&observer, "door", 5).await[4].1.contains("\"code\":429"));
    cloud.answers("fault none", "faults: none").await;

    // Of another thing nothing is heard.
    observer.publish("$aws/things/u/shadow/get", "").await;
    observer.publish("$aws/things/t/shadow/get", "").await;
    cloud.says("asked     $aws/things/t/shadow/get").await;
    assert_eq!(cloud.said("$aws/things/u/"), Vec::<String>::new());

    cloud.answers("forget", "every shadow is forgotten").await;
    cloud.answers("get t", "t rejected {\"code\":404").await;
    cloud.answers("desire t open", "\"open\" is no JSON").await;
    cloud.answers("desire t/d:o.or 1", "say THING, or THING/SHADOW").await;
    cloud.answers("fault reject 418", "the codes are 409, 429 and 500").await;
    cloud.answers("fault rain", "a fault is delay TIME").await;
    cloud.answers("dance", "there is no word \"dance\"; the words are desire").await;
    cloud.ends().await;
}

/// Files that are none are refused before anything begins; a broker that is not there, or not believed, is named and
/// looked for on and on.
#[tokio::test]
async fn a_broker_that_cannot_be_had_is_named() {
    let mut broker = broker().await;
    let refused = |switches: &[&str], part: &str| {
        let ran = Command::new(PROGRAM).args(switches).stdin(Stdio::null()).output().unwrap();
        let words = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && words.contains(part), "{switches:?}: {words}");
    };
    refused(&["--broker", "localhost"], "a broker is HOST:PORT");
    refused(&["--broker", "localhost:1", "--ca", "/nowhere.pem"], "cannot read /nowhere.pem");
    refused(&["--broker", "localhost:1", "--reject", "418"], "the codes are 409, 429 and 500");
    refused(&["--broker", "localhost:1", "--key", "k.pem"], "--certificate");

    let (own, foreign) = (broker.path().join("clients.pem"), broker.path().join("foreign.pem"));
    std::fs::write(&foreign, Authority::new("another").pem()).unwrap();
    let place = format!("localhost:{}", broker.tls);
    let with = |ca: &std::path::Path| Program::start(&["--broker", &place, "--ca", ca.to_str().unwrap()]);
    with(&foreign).says("no broker: invalid peer certificate").await;
    with(&own).says("no broker: received fatal alert").await;

    broker.end();
    let plain = format!("localhost:{}", broker.plain);
    let program = Program::start(&["--broker", &plain]);
    program.says("no broker: ").await;
    broker.begin().await;
    program.says("listens").await;
    program.ends().await;
}
