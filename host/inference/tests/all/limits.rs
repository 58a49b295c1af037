//! What takes long is answered in time and holds up nobody else, and threads end.

use std::time::{Duration, Instant};

use edgewit_domain::model::ErrorKind;
use edgewit_inference::{LoadError, Model};

use crate::asking::{configured, first, load, one, refused, wait};
use crate::support::until;

const TIME: Duration = Duration::from_millis(100);

fn slow(file: &str, name: &str) -> Model {
    let mut config = configured(file);
    (config.warm_up, config.time, config.memory) = (0, TIME, 1 << 30);
    config.name = name.into();
    load(&config).unwrap()
}

/// Threads of this process whose names begin so.
fn threads(name: &str) -> usize {
    let all = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    // One may end meanwhile.
    let names = all.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|comm| comm.starts_with(name)).count()
}

/// Of nodes that nobody can stop, and of many between which one can.
#[test]
fn an_answer_comes_at_the_limit() {
    for file in ["bad/slow-node.onnx", "bad/slow-nodes.onnx"] {
        let model = slow(file, "limit");
        let start = Instant::now();
        let error = wait(model.run(one(1.0))).unwrap_err();
        assert_eq!((error.kind, &*error.text), (ErrorKind::Timeout, LATE), "{file}");
        assert!(start.elapsed() < Duration::from_secs(3), "{file}: {:?}", start.elapsed());
    }
}

const LATE: &str = "model `limit` took longer than 100ms; its limit is model.limit.time";

#[test]
fn a_slow_model_holds_up_nobody_else() {
    let mut config = configured("bad/slow-nodes.onnx");
    (config.warm_up, config.memory) = (0, 1 << 30);
    let (slow, other) = (load(&config).unwrap(), load(&configured("fixtures/scalar.onnx")).unwrap());
    let asked = slow.run(one(1.0));
    until("it is computing", || (slow.stats().waiting == 0).then_some(()));
    assert!(wait(other.run(first("fixtures/scalar.onnx"))).is_ok());
    assert_eq!(slow.stats().runs, 0, "it should have computed all the time");
    drop(asked);
}

#[test]
fn as_many_wait_as_may() {
    let mut config = configured("bad/slow-nodes.onnx");
    (config.warm_up, config.queue, config.memory) = (0, 2, 1 << 30);
    config.name = "full".into();
    let model = load(&config).unwrap();
    let computing = model.run(one(1.0));
    until("it is computing", || (model.stats().waiting == 0).then_some(()));
    let waiting = [model.run(one(1.0)), model.run(one(1.0))];
    let error = wait(model.run(one(1.0))).unwrap_err();
    assert_eq!((error.kind, model.stats().refused), (ErrorKind::Busy, 1), "{error}");
    assert_eq!(error.text, "2 requests wait for model `full` already; see model.full.queue and instances");
    // The place of one that was given up is free.
    drop(waiting);
    let again = model.run(one(1.0));
    assert_eq!(model.stats().waiting, 1);
    drop((computing, again));
}

/// It would compute for many seconds.
#[test]
fn what_was_given_up_ends_between_nodes() {
    let mut config = configured("bad/slow-nodes.onnx");
    (config.warm_up, config.memory) = (0, 1 << 30);
    let model = load(&config).unwrap();
    let asked = model.run(one(1.0));
    until("it is computing", || (model.stats().waiting == 0).then_some(()));
    drop(asked);
    until("its thread is free", || (model.stats().runs == 1).then_some(()));
    assert_eq!(model.stats().failures, 1, "it went on to the end: {:?}", model.stats());
}

#[test]
fn a_first_inference_has_to_be_in_time() {
    for file in ["bad/slow-node.onnx", "bad/slow-nodes.onnx"] {
        let mut config = configured(file);
        (config.time, config.memory) = (TIME, 1 << 30);
        match refused(&config) {
            LoadError::WarmUp(error) => assert_eq!(error.kind, ErrorKind::Timeout, "{file}"),
            other => panic!("{file}: {other}"),
        }
    }
}

#[test]
fn threads_end_with_the_last_clone_and_what_was_asked_is_answered() {
    let mut config = configured("fixtures/scalar.onnx");
    (config.instances, config.name) = (3, "ends".into());
    let model = load(&config).unwrap();
    // The one that loaded it may not be quite gone.
    until("there are three", || (threads("edgewit-m-ends") == 3).then_some(()));
    let clone = model.clone();
    drop(model);
    let inputs = || first("fixtures/scalar.onnx");
    let asked: Vec<_> = (0..8).map(|_| clone.run(inputs())).collect();
    drop(clone);
    asked.into_iter().for_each(|asked| assert!(wait(asked).is_ok()));
    until("the threads have ended", || (threads("edgewit-m-ends") == 0).then_some(()));
}
