//! With sessions that do as the test says. What real models do is shown in `tests/`.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

struct Fake<F>(F);

impl<F: FnMut(&dyn Fn() -> bool) -> Answer + Send> Session for Fake<F> {
    fn run(&mut self, _inputs: Vec<Tensor>, _until: Instant, given_up: &dyn Fn() -> bool) -> Answer {
        (self.0)(given_up)
    }
}

struct Plain;

impl Errors for Plain {
    fn late(&self) -> InferenceError {
        InferenceError::new(ErrorKind::Timeout, "late")
    }

    fn busy(&self, waiting: u64) -> InferenceError {
        InferenceError::new(ErrorKind::Busy, format!("{waiting} wait"))
    }

    fn stuck(&self) -> InferenceError {
        InferenceError::new(ErrorKind::Busy, "stuck")
    }
}

fn pool(name: &str, time: Duration, queue: usize) -> Pool {
    Pool::new(Rules { name: name.into(), time, queue, errors: Box::new(Plain) })
}

/// Ends each computation when told to.
fn held(pool: &Pool) -> SyncSender<()> {
    let (release, released): (SyncSender<()>, Receiver<()>) = sync_channel(8);
    let session = Fake(move |_: &dyn Fn() -> bool| {
        released.recv().map_err(|_| InferenceError::new(ErrorKind::Runtime, "the test has ended"))?;
        Ok(Vec::new())
    });
    pool.start(Box::new(session), &[], 0).unwrap();
    release
}

/// Everybody is answered before long.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), future).await }).unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

#[test]
fn what_nobody_waits_for_is_not_computed() {
    let pool = pool("skips", PATIENCE, 4);
    let release = held(&pool);
    let first = pool.run(Vec::new());
    until("it computes", || pool.stats().waiting == 0);
    let (second, third) = (pool.run(Vec::new()), pool.run(Vec::new()));
    drop(second);
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!((wait(first), wait(third)), (Ok(Vec::new()), Ok(Vec::new())));
    assert_eq!(pool.stats().runs, 2);
}

#[test]
fn what_is_computed_for_nobody_can_end() {
    let pool = pool("ends", PATIENCE, 4);
    let session = Fake(|given_up: &dyn Fn() -> bool| {
        until("it is given up", given_up);
        Err(InferenceError::new(ErrorKind::Timeout, "stopped"))
    });
    pool.start(Box::new(session), &[], 0).unwrap();
    let asked = pool.run(Vec::new());
    until("it computes", || pool.stats().waiting == 0);
    drop(asked);
    until("it has ended", || pool.stats().failures == 1);
}

/// Nothing ends what is computed, and everybody is answered: at the limit, soon after it, and at once.
#[test]
fn nobody_waits_for_a_thread_that_is_stuck() {
    let time = Duration::from_millis(20);
    let pool = pool("stuck", time, 4);
    let release = held(&pool);
    let (first, second) = (pool.run(Vec::new()), pool.run(Vec::new()));
    assert_eq!(wait(first).unwrap_err().text, "late");
    assert_eq!(wait(second).unwrap_err().text, "stuck");
    let start = Instant::now();
    until("it has been stuck for twice its time", || start.elapsed() > time * 2);
    assert_eq!(wait(pool.run(Vec::new())).unwrap_err().text, "stuck");
    assert_eq!((pool.stats().waiting, pool.stats().refused), (1, 1), "one was given up, and one not even waited with");
    release.send(()).unwrap();
    until("it is free", || pool.stats().runs == 1 && pool.stats().waiting == 0);
    release.send(()).unwrap();
    assert_eq!(wait(pool.run(Vec::new())), Ok(Vec::new()));
}

/// Three threads meet, which one or two cannot.
#[test]
fn as_many_compute_at_once_as_there_are_threads() {
    let pool = pool("three", PATIENCE, 1);
    let (meeting, most) = (Arc::new(Barrier::new(3)), Arc::new(AtomicU64::new(0)));
    for _ in 0..3 {
        let (meeting, most) = (meeting.clone(), most.clone());
        let session = Fake(move |_: &dyn Fn() -> bool| {
            meeting.wait();
            most.fetch_add(1, Ordering::Relaxed);
            Ok(Vec::new())
        });
        pool.start(Box::new(session), &[], 0).unwrap();
    }
    until("they are idle", || pool.shared.lock().idle == 3);
    // None of them waits in the queue of one, since there is a thread for each.
    let asked: Vec<_> = (0..3).map(|_| pool.run(Vec::new())).collect();
    asked.into_iter().for_each(|asked| assert_eq!(wait(asked), Ok(Vec::new())));
    assert_eq!(most.load(Ordering::Relaxed), 3);
}

#[test]
fn first_inferences_are_waited_for_and_believed() {
    let pool = pool("first", Duration::from_millis(20), 1);
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let session = Fake(move |_: &dyn Fn() -> bool| match counted.fetch_add(1, Ordering::Relaxed) {
        0..4 => Ok(Vec::new()),
        _ => Err(InferenceError::new(ErrorKind::Timeout, "as the backend says it")),
    });
    match pool.start(Box::new(session), &[], 6) {
        Err(StartError::First(error)) => assert_eq!(error.text, "late"),
        other => panic!("{other:?}"),
    }
    assert_eq!(runs.load(Ordering::Relaxed), 5);
}
