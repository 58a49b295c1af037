//! What takes long is answered in time and holds up nobody else, and threads end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use edgewit_domain::model::ErrorKind;
use edgewit_inference::{LoadError, Model};

use crate::asking::{Asked, answer, ask, configured, first, load, one, refused};
use crate::support::{cpu_ticks, until};

const TIME: Duration = Duration::from_millis(100);

fn slow(file: &str, name: &str) -> Model {
    let mut config = configured(file);
    (config.warm_up, config.time, config.memory) = (0, TIME, 1 << 30);
    config.name = name.into();
    load(&config).unwrap()
}

/// Threads of this process whose names begin so.
fn threads(name: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir("/proc/self/task").unwrap().flatten().map(|task| task.path());
    // One may end meanwhile.
    all.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name))).collect()
}

/// Waits until the one thread of this model has computed for a while. The one that loaded it may not be quite gone.
fn computes(model: &str) {
    let named = format!("edgewit-m-{model}");
    until("it is computing", || match threads(&named).as_slice() {
        [thread] => cpu_ticks(thread).filter(|ticks| *ticks > 3).map(drop),
        _ => None,
    });
}

/// Of nodes that nobody can stop, and of many between which one can.
#[test]
fn an_answer_comes_at_the_limit() {
    for file in ["bad/slow-node.onnx", "bad/slow-nodes.onnx"] {
        let model = slow(file, "limit");
        let start = Instant::now();
        let error = answer(&model, one(1.0)).unwrap_err();
        assert_eq!((error.kind, &*error.text), (ErrorKind::Timeout, LATE), "{file}");
        assert!(start.elapsed() < Duration::from_secs(3), "{file}: {:?}", start.elapsed());
    }
}

const LATE: &str = "model `limit` took longer than 100ms; its limit is model.limit.time";

#[test]
fn a_slow_model_holds_up_nobody_else() {
    let mut config = configured("bad/slow-nodes.onnx");
    (config.warm_up, config.memory) = (0, 1 << 30);
    config.name = "slow".into();
    let (slow, other) = (load(&config).unwrap(), load(&configured("fixtures/scalar.onnx")).unwrap());
    let asked = ask(&slow, one(1.0));
    computes("slow");
    assert!(answer(&other, first("fixtures/scalar.onnx")).is_ok());
    assert_eq!(slow.stats().runs, 0, "it should have computed all the time");
    drop(asked);
}

#[test]
fn as_many_wait_as_may() {
    let mut config = configured("bad/slow-nodes.onnx");
    (config.warm_up, config.queue, config.memory) = (0, 2, 1 << 30);
    config.name = "full".into();
    let model = load(&config).unwrap();
    let mut asked = Vec::from([(); 4].map(|()| ask(&model, one(1.0))));
    let refused = until("one is refused", || asked.iter().position(Asked::is_answered));
    let error = asked.swap_remove(refused).wait().unwrap_err();
    assert_eq!((error.kind, model.stats().refused), (ErrorKind::Busy, 1), "{error}");
    assert_eq!(error.text, "2 requests wait for model `full` already; see model.full.queue and instances");
}

/// It would compute for many seconds.
#[test]
fn what_was_given_up_ends_between_nodes() {
    let mut config = configured("bad/slow-nodes.onnx");
    (config.warm_up, config.memory) = (0, 1 << 30);
    config.name = "slow".into();
    let model = load(&config).unwrap();
    let asked = ask(&model, one(1.0));
    computes("slow");
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
fn threads_end_with_the_last_clone() {
    let mut config = configured("fixtures/scalar.onnx");
    (config.instances, config.name) = (3, "ends".into());
    let model = load(&config).unwrap();
    // The one that loaded it may not be quite gone.
    until("there are three", || (threads("edgewit-m-ends").len() == 3).then_some(()));
    let clone = model.clone();
    drop(model);
    assert!(answer(&clone, first("fixtures/scalar.onnx")).is_ok());
    drop(clone);
    until("the threads have ended", || (threads("edgewit-m-ends").is_empty()).then_some(()));
}
