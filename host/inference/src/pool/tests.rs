//! With sessions that do as the test says. What real models do is shown in `tests/`.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, Builder, ThreadId};

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

fn pool(name: &str, time: Duration, queue: usize) -> Arc<Pool> {
    Arc::new(Pool::new(Rules { name: name.into(), time, queue, errors: Box::new(Plain) }))
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

/// Whoever asks, on a thread of its own; it gives up when this is dropped.
struct Asked {
    given_up: Arc<AtomicBool>,
    answer: Receiver<Answer>,
}

impl Asked {
    /// Everybody is answered before long.
    fn wait(&self) -> Answer {
        self.answer.recv_timeout(Duration::from_secs(20)).unwrap()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

fn ask(pool: &Arc<Pool>) -> Asked {
    let given_up = Arc::new(AtomicBool::new(false));
    let (tell, answer) = sync_channel(1);
    let (pool, gives_up) = (pool.clone(), given_up.clone());
    let ask = move || {
        let answer = pool.run(Vec::new(), Instant::now() + PATIENCE, &|| gives_up.load(Ordering::Relaxed));
        // The test may have given up.
        let _ = tell.send(answer);
    };
    Builder::new().spawn(ask).unwrap();
    Asked { given_up, answer }
}

fn waiting(pool: &Pool, count: u64) {
    until("so many wait", || pool.stats().waiting == count);
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

/// Of those in the queue.
fn given_up(pool: &Pool) -> usize {
    pool.shared.lock().waiting.iter().filter(|job| is_given_up(&job.started)).count()
}

fn computes(pool: &Pool) -> bool {
    pool.shared.lock().until.iter().any(Option::is_some)
}

/// One computes, until it is released, and one waits.
fn busy(name: &str, time: Duration, queue: usize) -> (Arc<Pool>, SyncSender<()>, [Asked; 2]) {
    let pool = pool(name, time, queue);
    let release = held(&pool);
    let first = ask(&pool);
    until("it computes", || computes(&pool));
    let second = ask(&pool);
    waiting(&pool, 1);
    (pool, release, [first, second])
}

#[test]
fn what_nobody_waits_for_is_not_computed() {
    let (pool, release, [first, second]) = busy("skips", PATIENCE, 4);
    let third = ask(&pool);
    waiting(&pool, 2);
    drop(second);
    until("it has gone", || given_up(&pool) == 1);
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!((first.wait(), third.wait()), (Ok(Vec::new()), Ok(Vec::new())));
    assert_eq!(pool.stats().runs, 2);
}

#[test]
fn the_place_in_the_queue_of_what_was_given_up_is_free() {
    let (pool, release, [first, second]) = busy("places", PATIENCE, 1);
    assert_eq!(ask(&pool).wait().unwrap_err().text, "1 wait");
    drop(second);
    until("it has gone", || given_up(&pool) == 1);
    let third = ask(&pool);
    until("it has its place", || given_up(&pool) == 0);
    (0..2).for_each(|_| release.send(()).unwrap());
    assert_eq!((first.wait(), third.wait()), (Ok(Vec::new()), Ok(Vec::new())));
}

#[test]
fn what_is_computed_for_nobody_can_end() {
    let pool = pool("ends", PATIENCE, 4);
    let session = Fake(|given_up: &dyn Fn() -> bool| {
        until("it is given up", given_up);
        Err(InferenceError::new(ErrorKind::Timeout, "stopped"))
    });
    pool.start(Box::new(session), &[], 0).unwrap();
    let asked = ask(&pool);
    until("it computes", || computes(&pool));
    drop(asked);
    until("it has ended", || pool.stats().failures == 1);
}

#[test]
fn nobody_waits_longer_than_it_said() {
    let pool = pool("until", PATIENCE, 4);
    let _release = held(&pool);
    let until = Instant::now() + Duration::from_millis(20);
    assert_eq!(pool.run(Vec::new(), until, &|| false).unwrap_err().text, "late");
    assert!((until..until + PATIENCE / 2).contains(&Instant::now()));
}

/// Nothing ends what is computed, and everybody is answered: at the limit, soon after it, and at once.
#[test]
fn nobody_waits_for_a_thread_that_is_stuck() {
    let time = Duration::from_millis(500);
    let (pool, release, [first, second]) = busy("stuck", time, 4);
    assert_eq!(first.wait().unwrap_err().text, "late");
    assert_eq!(second.wait().unwrap_err().text, "stuck");
    let start = Instant::now();
    until("it has been stuck for twice its time", || start.elapsed() > time * 2);
    assert_eq!(ask(&pool).wait().unwrap_err().text, "stuck");
    assert_eq!((pool.stats().waiting, pool.stats().refused), (1, 1), "one was given up, and one not even waited with");
    release.send(()).unwrap();
    until("it is free", || pool.stats().runs == 1 && pool.stats().waiting == 0);
    release.send(()).unwrap();
    assert_eq!(ask(&pool).wait(), Ok(Vec::new()));
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
    // None of them waits in the queue of one, since there is a thread for each.
    let asked: Vec<_> = (0..3).map(|_| ask(&pool)).collect();
    asked.into_iter().for_each(|asked| assert_eq!(asked.wait(), Ok(Vec::new())));
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

/// Computes elsewhere, as far as anybody here can tell, and is late where it is told so. It recovers when told to.
struct Elsewhere {
    late: Arc<AtomicBool>,
    threads: Arc<Mutex<Vec<ThreadId>>>,
    recovers: Receiver<()>,
    spent: bool,
}

impl Elsewhere {
    fn start(pool: &Pool) -> (Arc<AtomicBool>, Arc<Mutex<Vec<ThreadId>>>, SyncSender<()>) {
        let (late, threads) = (Arc::default(), Arc::default());
        let (recover, recovers) = sync_channel(8);
        let session = Elsewhere { late: Arc::clone(&late), threads: Arc::clone(&threads), recovers, spent: false };
        pool.start(Box::new(session), &[], 0).unwrap();
        (late, threads, recover)
    }
}

impl Session for Elsewhere {
    fn run(&mut self, _inputs: Vec<Tensor>, _until: Instant, _given_up: &dyn Fn() -> bool) -> Answer {
        self.threads.lock().unwrap().push(thread::current().id());
        self.spent = self.late.load(Ordering::Relaxed);
        match self.spent {
            false => Ok(Vec::new()),
            true => Err(InferenceError::new(ErrorKind::Timeout, "as the backend says it")),
        }
    }

    fn recover(&mut self) {
        self.threads.lock().unwrap().push(thread::current().id());
        self.recovers.recv_timeout(Duration::from_secs(20)).unwrap();
        self.spent = false;
    }

    fn has_to_recover(&self) -> bool {
        self.spent
    }

    fn only_waits(&self) -> bool {
        true
    }
}

#[test]
fn who_asks_waits_by_itself_for_what_another_process_computes() {
    let pool = pool("itself", PATIENCE, 4);
    let (_, threads, _recover) = Elsewhere::start(&pool);
    for _ in 0..2 {
        assert_eq!(pool.run(Vec::new(), Instant::now() + PATIENCE, &|| false), Ok(Vec::new()));
    }
    assert_eq!(*threads.lock().unwrap(), [thread::current().id(); 2]);
    assert_eq!((pool.stats().runs, pool.stats().failures), (2, 0));
}

#[test]
fn who_was_not_answered_in_time_does_not_wait_for_what_has_to_recover_and_the_next_does() {
    let pool = pool("recovers", PATIENCE, 4);
    let (late, threads, recover) = Elsewhere::start(&pool);
    late.store(true, Ordering::Relaxed);
    assert_eq!(pool.run(Vec::new(), Instant::now() + PATIENCE, &|| false).unwrap_err().text, "late");
    until("it is being recovered", || threads.lock().unwrap().len() == 2);
    let next = ask(&pool);
    waiting(&pool, 1);
    recover.send(()).unwrap();
    // The model's own thread is the one that is late now, and it is answered before that recovers.
    assert_eq!(next.wait().unwrap_err().text, "late");
    recover.send(()).unwrap();
    until("it rests", || pool.shared.lock().resting.len() == 1);
    late.store(false, Ordering::Relaxed);
    assert_eq!(pool.run(Vec::new(), Instant::now() + PATIENCE, &|| false), Ok(Vec::new()));
    let seen = threads.lock().unwrap();
    let (mine, its) = (thread::current().id(), seen[1]);
    assert_ne!(mine, its);
    assert_eq!(*seen, [mine, its, its, its, mine]);
}
