//! A child that a model has taken over: whatever it says or does not say, its parent goes on.

use std::time::{Duration, Instant};

use edgewit_domain::model::ErrorKind;
use edgewit_inference::worker::{Limits, Remote};
use edgewit_inference::{Kit, LoadError};
use edgewit_worker::WorkerCommand;

use crate::support::{LIMITS, TRACT, children, floats, kit, model, open_files, run, session, work};

fn shell(script: &str) -> Kit {
    let worker = WorkerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
    Kit { worker, ..kit() }
}

/// A script in place of a child, and what is said of it.
#[test]
fn what_a_child_says_is_believed_in_nothing() {
    let files = open_files();
    let limits = Limits { load: Duration::from_millis(1500), ..LIMITS };
    // A header that announces more than anybody may say.
    let boundless = r"printf 'edgewit\002\0\0\0\0\0\0\0\0\377\377\377\377\377\377\377\177' >&0; exec sleep 100";
    let unknown = r"printf 'edgewit\002\11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0' >&0; exec sleep 100";
    for (script, said) in [
        ("exit 3", "ended early (exit status: 3)"),
        ("echo it hurts >&2; exit 3", "ended early (exit status: 3: it hurts)"),
        ("kill -SEGV $$", "ended early (signal: 11 (SIGSEGV)"),
        ("echo memory allocation of 7 bytes failed >&2; kill -ABRT $$", "takes more than 67108864 bytes"),
        ("printf 'what is that? it is not for me' >&0; exec sleep 100", "makes no sense"),
        (boundless, "makes no sense"),
        (unknown, "makes no sense"),
        ("exec sleep 100", "longer than 1.5s"),
        ("printf edgewit >&0; exec sleep 100", "longer than 1.5s"),
        ("exec 0<&-; exec sleep 100", "ended early (signal: 9 (SIGKILL))"),
        ("yes >&2", "longer than 1.5s"),
    ] {
        let begun = Instant::now();
        let error = Remote::start(&work(TRACT), model("fixtures/batch.onnx"), limits, &shell(script)).err().unwrap();
        assert!(error.to_string().contains(said), "{script}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{script}: {:?}", begun.elapsed());
        assert!(children().is_empty(), "{script}");
    }
    assert_eq!(open_files(), files);
}

#[test]
fn a_worker_that_is_not_there_is_an_error() {
    let nowhere = WorkerCommand { program: "/nowhere".into(), args: Vec::new() };
    let error = Remote::start(&work(TRACT), model("fixtures/batch.onnx"), LIMITS, &Kit { worker: nowhere, ..kit() });
    assert!(matches!(error.err().unwrap(), LoadError::Worker(_)));
}

/// A frame, as numbers and texts.
fn frame(kind: u64, body: &[&[u8]]) -> String {
    let body = body.concat();
    let header = [u64::from_ne_bytes(*b"edgewit\x02"), kind, body.len() as u64].map(u64::to_ne_bytes);
    let octal = |byte: u8| format!("\\0{byte:03o}");
    format!("printf %b '{}' >&0", header.concat().into_iter().chain(body).map(octal).collect::<String>())
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
}

/// That there is one input and one output, of one float each.
fn described() -> String {
    let name: &[u8] = b"x";
    let (before, port) = (numbers(&[2, 0, 0, 0, 0, 1, 1]), numbers(&[1, 0]));
    frame(0, &[&before, name, &port, &numbers(&[1, 1]), name, &port])
}

#[test]
fn a_result_is_believed_in_nothing() {
    let most = u64::from(u32::MAX);
    for (outputs, said) in [
        (numbers(&[1, 1, 0]), None),
        (numbers(&[0]), Some("makes no sense")),
        (numbers(&[2, 1, 0, 1, 0]), Some("makes no sense")),
        (numbers(&[1, 1, 2, most, most]), Some("makes no sense")),
        (numbers(&[1, 1, 2, most, 1 << 10]), Some("makes no sense")),
        (numbers(&[1, 1, 1, 2]), Some("makes no sense")),
        (numbers(&[1, 7, 0]), Some("makes no sense")),
        (numbers(&[most]), Some("makes no sense")),
    ] {
        // What was handed in is still there: one float.
        let script = format!("{}; {}; exec sleep 100", described(), frame(2, &[&outputs]));
        let remote = Remote::start(&work(TRACT), model("fixtures/batch.onnx"), LIMITS, &shell(&script)).unwrap();
        let mut session = session(&remote);
        let answer = run(session.as_mut(), vec![floats(&[], 1.5)], Duration::from_secs(5));
        match said {
            None => assert_eq!(answer.unwrap()[0].1, floats(&[], 1.5)),
            Some(said) => assert!(answer.unwrap_err().text.contains(said)),
        }
    }
}

/// Whatever it does instead of an answer, whoever asked goes on at its time, and the child is ended afterwards.
#[test]
fn nobody_is_held_up_by_a_child_past_its_time() {
    for (script, said) in [
        ("yes >&2", ErrorKind::Timeout),
        ("exec 0<&-; exec sleep 100", ErrorKind::Runtime),
        ("exec sleep 100", ErrorKind::Timeout),
    ] {
        let script = format!("{}; {script}", described());
        let remote = Remote::start(&work(TRACT), model("fixtures/batch.onnx"), LIMITS, &shell(&script)).unwrap();
        let mut session = session(&remote);
        let begun = Instant::now();
        let error = run(session.as_mut(), vec![floats(&[], 1.0)], Duration::from_millis(100)).unwrap_err();
        assert!(begun.elapsed() < Duration::from_millis(600), "{script}: {:?}", begun.elapsed());
        assert_eq!((error.kind, session.has_to_recover()), (said, true), "{script}: {error}");
        session.recover();
        assert!(children().is_empty(), "{script}");
    }
}

#[test]
fn a_child_that_ends_whenever_it_loads_is_started_less_and_less_often() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let script = format!("test -e {0} && {{ echo >> {0}; exit 3; }}; echo > {0}; {1}", starts.display(), described());
    let remote = Remote::start(&work(TRACT), model("fixtures/batch.onnx"), LIMITS, &shell(&script)).unwrap();
    let mut session = session(&remote);
    let begun = Instant::now();
    let mut said = Vec::new();
    while begun.elapsed() < Duration::from_millis(600) {
        said.push(run(session.as_mut(), vec![floats(&[], 1.0)], Duration::from_secs(5)).unwrap_err().text);
    }
    assert!(said.len() > 100, "{said:?}");
    let started = std::fs::read(starts).unwrap().len();
    assert!((2..=5).contains(&started), "{started}");
    assert!(said[1].contains("it could not be loaded again"), "{}", said[1]);
    assert!(said[2].contains("next tried in"), "{}", said[2]);
    assert!(said[2].contains("exit status: 3"), "{}", said[2]);
}
