//! A model's own threads, and the queue before them.
//!
//! Whoever asks gets a future and nothing else: it says `timeout` when the time has passed whether or not the thread has
//! noticed, for a backend may be deep in a node that nobody can stop. What a future that was dropped had asked is skipped
//! or stopped. The threads come after those of components, whose deadlines they would eat. When the pool is dropped they
//! finish what somebody still waits for, and end; whoever dropped it is not held up by that.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use edgewit_domain::limits::MODEL_STACK;
use edgewit_domain::model::{ErrorKind, InferenceError, Named};
use edgewit_domain::tensor::Tensor;
use tokio::sync::oneshot;

use crate::Stats;
use crate::session::Session;

/// Behind components, and before children that compile.
const NICE: i32 = 5;
/// How long a thread that has answered looks out for what is asked next: to sleep and be woken takes longer than a small
/// model, and who asks often does so at once.
const LOOK_OUT: Duration = Duration::from_micros(200);
/// A first inference that ended itself at its limit has said so by then.
const SLACK: Duration = Duration::from_secs(1);

type Answer = Result<Named, InferenceError>;

/// How a pool is kept.
pub(crate) struct Rules {
    pub name: Arc<str>,
    pub time: Duration,
    pub queue: usize,
    pub errors: Box<dyn Errors>,
}

/// What whoever asked is told, by the keys that its model's limits have.
pub(crate) trait Errors: Send + Sync {
    fn late(&self) -> InferenceError;
    fn busy(&self, waiting: u64) -> InferenceError;
    /// All threads are past their limit and cannot be stopped.
    fn stuck(&self) -> InferenceError;
}

pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    rules: Rules,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Threads that have nothing to do, whether or not they have been woken.
    idle: usize,
    /// What each thread computes is to end at.
    until: Vec<Option<Instant>>,
    closed: bool,
    stats: Stats,
}

struct Job {
    inputs: Vec<Tensor>,
    answer: oneshot::Sender<Answer>,
    started: Arc<OnceLock<Instant>>,
}

impl Pool {
    pub fn new(rules: Rules) -> Pool {
        Pool { shared: Arc::new(Shared { rules, state: Mutex::default(), wake: Condvar::new() }) }
    }

    /// One more thread, which computes this so often before it answers anybody. Waits for that.
    pub fn start(&self, session: Box<dyn Session>, inputs: &[Tensor], times: u64) -> Result<(), StartError> {
        let shared = self.shared.clone();
        let index = {
            let mut state = shared.lock();
            state.until.push(None);
            state.until.len().saturating_sub(1)
        };
        let (report, reports) = sync_channel(1);
        let (name, inputs) = (format!("edgewit-m-{}", shared.rules.name), inputs.to_vec());
        let log = tracing::dispatcher::get_default(Clone::clone);
        let body = move || {
            // Being refused this is no reason not to work.
            let _ = rustix::process::nice(NICE);
            let mut worker = Worker { shared, index, session };
            for _ in 0..times {
                let until = worker.shared.until(Instant::now());
                let done = worker.session.run(inputs.clone(), until, &|| false).map(drop);
                let failed = done.is_err();
                // Where nobody waits for it any more it was too late.
                if report.send(done).is_err() || failed {
                    return;
                }
            }
            drop((report, inputs));
            worker.work();
        };
        Builder::new()
            .name(name)
            .stack_size(MODEL_STACK)
            .spawn(move || tracing::dispatcher::with_default(&log, body))
            .map_err(StartError::Thread)?;
        let wait = self.shared.rules.time.saturating_add(SLACK);
        for _ in 0..times {
            match reports.recv_timeout(wait) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(StartError::First(self.shared.named(error))),
                Err(RecvTimeoutError::Timeout) => return Err(StartError::First(self.shared.rules.errors.late())),
                Err(RecvTimeoutError::Disconnected) => return Err(StartError::First(ended())),
            }
        }
        Ok(())
    }

    /// Asks at once; the future only waits. It needs a tokio with time where it is polled.
    pub fn run(&self, inputs: Vec<Tensor>) -> impl Future<Output = Answer> + Send + 'static {
        let asked = self.shared.ask(inputs);
        let shared = self.shared.clone();
        async move {
            let (answer, started) = asked?;
            shared.wait(answer, started).await
        }
    }

    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        Stats { waiting: count(state.waiting.len()), ..state.stats }
    }
}

/// Why there is no thread.
#[derive(Debug)]
pub(crate) enum StartError {
    Thread(io::Error),
    First(InferenceError),
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn ended() -> InferenceError {
    InferenceError::new(ErrorKind::Runtime, "the thread that computed it has ended")
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self, start: Instant) -> Instant {
        start.checked_add(self.rules.time).unwrap_or(start)
    }

    /// A backend does not know what its limit is called.
    fn named(&self, error: InferenceError) -> InferenceError {
        if error.kind == ErrorKind::Timeout { self.rules.errors.late() } else { error }
    }

    fn ask(&self, inputs: Vec<Tensor>) -> Result<(oneshot::Receiver<Answer>, Arc<OnceLock<Instant>>), InferenceError> {
        let (answer, receiver) = oneshot::channel();
        let started = Arc::new(OnceLock::new());
        let mut state = self.lock();
        // What an idle thread is about to take does not wait.
        let places = self.rules.queue.saturating_add(state.idle);
        if state.waiting.len() >= places {
            state.waiting.retain(|job| !job.answer.is_closed());
        }
        let refused = if state.waiting.len() >= places {
            Some(self.rules.errors.busy(count(state.waiting.len().saturating_sub(state.idle))))
        } else {
            // Shortly after its limit a backend may still be about to stop.
            state.are_past(Instant::now(), self.rules.time).then(|| self.rules.errors.stuck())
        };
        if let Some(error) = refused {
            state.stats.refused = state.stats.refused.saturating_add(1);
            return Err(error);
        }
        state.waiting.push_back(Job { inputs, answer, started: started.clone() });
        drop(state);
        self.wake.notify_one();
        Ok((receiver, started))
    }

    async fn wait(&self, mut answer: oneshot::Receiver<Answer>, started: Arc<OnceLock<Instant>>) -> Answer {
        let mut wait = self.rules.time;
        loop {
            match tokio::time::timeout(wait, &mut answer).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(_)) => return Err(ended()),
                Err(_) => {}
            }
            let now = Instant::now();
            wait = match started.get() {
                Some(start) => self.until(*start).saturating_duration_since(now),
                // Whatever was computed when this was asked has had its time.
                None if self.lock().are_past(now, Duration::ZERO) => return Err(self.rules.errors.stuck()),
                None => self.rules.time,
            };
            if wait.is_zero() {
                return Err(self.rules.errors.late());
            }
        }
    }
}

impl State {
    /// Whether every thread is in a computation that should have ended so long ago.
    fn are_past(&self, now: Instant, by: Duration) -> bool {
        self.until.iter().all(|until| until.and_then(|until| until.checked_add(by)).is_some_and(|until| until < now))
    }
}

struct Worker {
    shared: Arc<Shared>,
    index: usize,
    session: Box<dyn Session>,
}

impl Worker {
    fn work(mut self) {
        while let Some((job, until)) = self.next() {
            let Job { inputs, answer, started } = job;
            let start = *started.get_or_init(Instant::now);
            let result = self.session.run(inputs, until, &|| answer.is_closed());
            let result = result.map_err(|error| self.shared.named(error));
            self.count(start.elapsed(), result.is_err());
            // Whoever asked may have gone.
            let _ = answer.send(result);
        }
    }

    fn count(&self, computing: Duration, failed: bool) {
        let stats = &mut self.shared.lock().stats;
        stats.runs = stats.runs.saturating_add(1);
        stats.failures = stats.failures.saturating_add(u64::from(failed));
        stats.computing = stats.computing.saturating_add(computing);
    }

    /// The next that somebody waits for; none when nobody can ask any more.
    fn next(&self) -> Option<(Job, Instant)> {
        let idle_since = Instant::now();
        let mut state = self.shared.lock();
        self.busy(&mut state, None);
        loop {
            while let Some(job) = state.waiting.pop_front() {
                if !job.answer.is_closed() {
                    let until = self.shared.until(Instant::now());
                    self.busy(&mut state, Some(until));
                    return Some((job, until));
                }
            }
            if state.closed {
                return None;
            }
            state.idle = state.idle.saturating_add(1);
            if idle_since.elapsed() < LOOK_OUT {
                drop(state);
                thread::yield_now();
                state = self.shared.lock();
            } else {
                state = self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.idle = state.idle.saturating_sub(1);
        }
    }

    fn busy(&self, state: &mut State, until: Option<Instant>) {
        if let Some(mine) = state.until.get_mut(self.index) {
            *mine = until;
        }
    }
}

#[cfg(test)]
mod tests;
