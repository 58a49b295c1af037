//! A model in a child computes as it does here, and parent and child end as they should.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use edgewit_domain::model::{Description, Dimension, ErrorKind};
use edgewit_domain::tensor::Tensor;
use edgewit_inference::session::Loaded;
use edgewit_inference::worker::{Limits, Remote, Work};
use edgewit_worker::Reach;
use rustix::process::Signal;

use crate::asking::{answer, configured, load};
use crate::support::{
    LIMITS, ONNXRUNTIME, TRACT, WORKER, cases, children, cpu_ticks, floats, kill, kit, kit_with_onnxruntime, model,
    open_files, run, session, signal, start, until, until_or, work,
};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_model_in_a_child_says_what_the_reference_says() {
    for case in cases() {
        let remote = start(TRACT, &case.model, LIMITS).unwrap();
        let inputs = remote.description().arrange(case.inputs.clone()).unwrap();
        case.check(&run(session(&remote).as_mut(), inputs, LONG).unwrap());
    }
}

#[test]
fn a_model_in_a_child_says_bit_by_bit_what_it_says_in_the_gateway() {
    let mut asked = 0;
    for case in cases() {
        let remote = start(TRACT, &case.model, LIMITS).unwrap();
        let dimensions = || remote.description().inputs.iter().flat_map(|port| &port.dimensions);
        if dimensions().any(|dimension| matches!(dimension, Dimension::Any(_))) {
            continue;
        }
        let here = answer(&load(&configured(&case.model)).unwrap(), case.inputs.clone()).unwrap();
        let inputs = remote.description().arrange(case.inputs).unwrap();
        assert_eq!(run(session(&remote).as_mut(), inputs, LONG).unwrap(), here, "{}", case.model);
        asked += 1;
    }
    assert!(asked > 10, "{asked}");
}

#[test]
fn every_session_is_a_child_of_its_own_and_ends_with_it() {
    let files = open_files();
    let remote = start(TRACT, "fixtures/batch.onnx", LIMITS).unwrap();
    let sessions = [session(&remote), session(&remote), session(&remote)];
    assert_eq!(children().len(), 3);
    for mut session in sessions {
        // In no time at all it is asked, and not waited for until it has loaded.
        let error = run(session.as_mut(), vec![floats(&[2, 4], 1.0)], Duration::ZERO).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert_ne!(error.text, "it is being loaded");
        run(session.as_mut(), vec![floats(&[2, 4], 1.0)], LONG).unwrap();
    }
    assert!(children().is_empty());
    drop(remote);
    assert_eq!(open_files(), files);
}

#[test]
fn who_only_looks_leaves_no_child() {
    let remote =
        Remote::start(&Work { look_only: true, ..work(TRACT) }, model("fixtures/batch.onnx"), LIMITS, &kit()).unwrap();
    assert_eq!(remote.description().inputs[0].to_string(), "`x`: [batch, 4] of f32");
    assert!(children().is_empty());
}

#[test]
fn a_child_that_is_killed_costs_one_inference() {
    let remote = start(TRACT, "bad/slow-nodes.onnx", LIMITS).unwrap();
    let mut session = session(&remote);
    let pid = children()[0];
    let error = thread::scope(|scope| {
        let asked = scope.spawn(|| run(session.as_mut(), vec![floats(&[1], 1.0)], LONG));
        until("the child to compute", || {
            cpu_ticks(Path::new(&format!("/proc/{pid}"))).filter(|ticks| *ticks > 3).map(drop)
        });
        kill(pid);
        asked.join().unwrap().unwrap_err()
    });
    assert_eq!(
        (error.kind, error.text.as_str()),
        (ErrorKind::Runtime, "its child process ended early (signal: 9 (SIGKILL))",)
    );
    let remote = start(TRACT, "fixtures/batch.onnx", LIMITS).unwrap();
    let mut session = crate::support::session(&remote);
    let pid = *children().iter().max().unwrap();
    kill(pid);
    // Whether it is noticed when it is asked or while it is waited for is chance.
    let _ = run(session.as_mut(), vec![floats(&[1, 4], 1.0)], LONG);
    run(session.as_mut(), vec![floats(&[1, 4], 1.0)], LONG).unwrap();
    assert!(!children().contains(&pid));
}

#[test]
fn a_child_goes_on_loading_while_nobody_waits_for_it() {
    let remote = start(ONNXRUNTIME, "fixtures/batch.onnx", LIMITS).unwrap();
    let mut session = session(&remote);
    let killed = children()[0];
    kill(killed);
    // Whether it is noticed when it is asked or while it is waited for is chance.
    let _ = run(session.as_mut(), vec![floats(&[1, 4], 1.0)], Duration::ZERO);
    let (mut late, mut seen) = (0, BTreeSet::new());
    until("an answer", || {
        let answer = run(session.as_mut(), vec![floats(&[1, 4], 1.0)], Duration::from_millis(2));
        seen.extend(children().into_iter().filter(|pid| *pid != killed));
        match answer {
            Ok(_) => Some(()),
            Err(error) if error.kind == ErrorKind::Timeout => {
                late += 1;
                None
            }
            Err(_) => None,
        }
    });
    assert!(late > 0, "it loaded in no time");
    assert_eq!(seen.len(), 1, "one child was waited for, {late} times in vain: {seen:?}");
}

#[test]
fn configured_shapes_are_what_a_child_describes_whatever_computes() {
    let shapes = |shape: &[u32]| BTreeMap::from([("x".into(), shape.to_vec())]);
    for backend in [TRACT, ONNXRUNTIME] {
        let described = |shapes| {
            let work = Work { shapes, ..work(backend) };
            Remote::start(&work, model("fixtures/batch.onnx"), LIMITS, &kit_with_onnxruntime())
        };
        let remote = described(shapes(&[7, 4])).unwrap();
        assert_eq!(remote.description().inputs[0].to_string(), "`x`: [7, 4] of f32");
        assert_eq!(remote.description().outputs[0].dimensions[0], Dimension::Fixed(7));
        for (wrong, said) in [
            (shapes(&[7, 5]), "`shapes` has [7, 5] for the input `x`: [batch, 4] of f32"),
            (shapes(&[7]), "`shapes` has [7] for the input `x`: [batch, 4] of f32"),
            (BTreeMap::from([("z".into(), vec![1])]), "`shapes` names `z`, and its inputs are `x`: [batch, 4] of f32"),
        ] {
            assert_eq!(described(wrong).err().unwrap().to_string(), said, "{backend:?}");
        }
    }
}

#[test]
fn both_backends_describe_a_model_alike() {
    let files: BTreeSet<String> = cases().into_iter().map(|case| case.model).collect();
    for file in files {
        let told = |backend| {
            let remote = start(backend, &file, LIMITS).unwrap();
            let Description { inputs, outputs, parameters, .. } = remote.description().clone();
            // What they make of the dimensions of outputs is their own.
            (inputs, outputs.into_iter().map(|port| (port.name, port.ty)).collect::<Vec<_>>(), parameters)
        };
        assert_eq!(told(TRACT), told(ONNXRUNTIME), "{file}");
    }
}

#[test]
fn an_inference_that_takes_too_long_ends_in_time_and_the_same_child_answers_the_next() {
    let remote = start(TRACT, "bad/slow-nodes.onnx", LIMITS).unwrap();
    let mut session = session(&remote);
    let child = children();
    for (until, given_up) in [(Duration::from_millis(50), false), (LONG, true)] {
        let begun = Instant::now();
        let asked = Instant::now() + until;
        let error = session.run(vec![floats(&[1], 1.0)], asked, &|| given_up).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    let again = run(session.as_mut(), vec![floats(&[1], 1.0)], Duration::from_secs(120)).unwrap();
    assert_eq!(again[0].1.dimensions(), [1]);
    assert_eq!(children(), child);
}

#[test]
fn a_child_outlives_the_thread_that_asked_for_it() {
    let (_remote, mut session) = thread::scope(|scope| {
        let asks = scope.spawn(|| {
            let remote = start(TRACT, "fixtures/batch.onnx", LIMITS).unwrap();
            let session = session(&remote);
            (remote, session)
        });
        asks.join().unwrap()
    });
    let pids = children();
    // The kernel tells children of a thread's end before the thread can be joined.
    for _ in 0..10 {
        run(session.as_mut(), vec![floats(&[1, 4], 1.0)], LONG).unwrap();
    }
    assert_eq!(children(), pids);
}

/// Not a test by itself: the process that the next test ends.
#[test]
fn the_parent_that_is_killed() {
    if std::env::var_os("EDGEWIT_TEST_PARENT").is_none() {
        return;
    }
    let remote = start(TRACT, "bad/slow-nodes.onnx", LIMITS).unwrap();
    let (_idle, mut computing) = (session(&remote), session(&remote));
    println!("\nchildren {:?}", children());
    let _ = run(computing.as_mut(), vec![floats(&[1], 1.0)], Duration::from_secs(600));
    thread::park();
}

#[test]
fn children_end_with_their_parent_whatever_they_are_doing() {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent_and_child::the_parent_that_is_killed", "--nocapture"])
        .env("EDGEWIT_TEST_PARENT", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with("children ")).unwrap();
    let pids: Vec<u32> = serde_json::from_str(line.trim_start_matches("children ")).unwrap();
    // Whoever has been stopped cannot notice by itself that nobody is at the other end.
    pids.iter().for_each(|pid| signal(*pid, Signal::STOP));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let ended = until_or("the end of the children", || pids.iter().all(|pid| !is_worker(*pid)).then_some(()));
    pids.iter().filter(|pid| is_worker(**pid)).for_each(|pid| kill(*pid));
    ended.unwrap();
    assert_eq!(pids.len(), 2);
}

/// A number may belong to somebody else by now, but not to this program.
fn is_worker(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(WORKER))
}

#[test]
fn the_child_shuts_itself_in_before_it_sees_the_model() {
    let remote = start(TRACT, "fixtures/batch.onnx", LIMITS).unwrap();
    let pid = children()[0];
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let limit = |name: &str| -> String {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line.trim_start_matches(name).split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!((limit("Max open files").as_str(), limit("Max core file size").as_str()), ("0", "0"));
    assert_eq!(limit("Max file size"), LIMITS.memory.to_string());
    let address_space: u64 = limit("Max address space").parse().unwrap();
    // The binary and its stacks, and never so much that the limit means nothing.
    let base = address_space - LIMITS.memory;
    assert!((1 << 20..256 << 20).contains(&base), "{base}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let possible =
        thread::scope(|scope| scope.spawn(|| edgewit_worker::close(Reach::Nothing).unwrap()).join().unwrap());
    assert_eq!(remote.confinement(), possible, "a thread of this process can be shut in so far");
}

#[test]
fn inputs_and_outputs_beyond_the_memory_are_refused_and_the_child_goes_on() {
    let limits = Limits { memory: 16 << 20, ..LIMITS };
    let remote = start(TRACT, "fixtures/batch.onnx", limits).unwrap();
    let mut session = session(&remote);
    let pid = children();
    let large: Tensor = floats(&[2 << 20, 4], 1.0);
    let error = run(session.as_mut(), vec![large], LONG).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
    run(session.as_mut(), vec![floats(&[1, 4], 1.0)], LONG).unwrap();
    assert_eq!(children(), pid);
}
