//! A model's sessions, the queue before them, and the threads that compute by them.
//!
//! Where a session only waits for another process, whoever asks takes it and waits by itself: two threads less have to be
//! woken. For any other, one of the model's threads computes while whoever asked waits. `asker` is what the one does, `thread`
//! what the other.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use edgewit_domain::model::{ErrorKind, InferenceError, Named};
use edgewit_domain::tensor::Tensor;

use crate::Stats;
use crate::session::Session;

mod asker;
mod thread;

use asker::Asked;
pub(crate) use thread::StartError;

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
    /// All sessions are past their limit and cannot be stopped.
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
    /// What could compute.
    resting: Vec<Place>,
    /// What has to recover, which whoever asked does not wait for.
    spent: Vec<Place>,
    /// What each place computes is to end at.
    until: Vec<Option<Instant>>,
    closed: bool,
    stats: Stats,
}

struct Place {
    index: usize,
    session: Box<dyn Session>,
}

struct Job {
    inputs: Vec<Tensor>,
    answer: SyncSender<Answer>,
    started: Started,
}

/// When it was begun with. Whoever asked holds it, too, as long as it waits.
type Started = Arc<OnceLock<Instant>>;

fn is_given_up(started: &Started) -> bool {
    Arc::strong_count(started) == 1
}

impl Pool {
    pub fn new(rules: Rules) -> Pool {
        Pool { shared: Arc::new(Shared { rules, state: Mutex::default(), wake: Condvar::new() }) }
    }

    /// Waits for an answer, but not past `until` and not long after `given_up` says yes: what is said then nobody reads.
    pub fn run(&self, inputs: Vec<Tensor>, until: Instant, given_up: &dyn Fn() -> bool) -> Answer {
        match self.shared.ask(inputs)? {
            Asked::Taken(place, inputs) => self.shared.compute_here(place, inputs, until, given_up),
            Asked::Queued(answers, started) => self.shared.wait(&answers, &started, until, given_up),
        }
    }

    pub fn stats(&self) -> Stats {
        let state = self.shared.lock();
        Stats { waiting: count(state.waiting.len()), ..state.stats }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
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

    fn compute(&self, place: &mut Place, inputs: Vec<Tensor>, until: Instant, given_up: &dyn Fn() -> bool) -> Answer {
        let start = Instant::now();
        let answer = place.session.run(inputs, until, given_up);
        let stats = &mut self.lock().stats;
        stats.runs = stats.runs.saturating_add(1);
        stats.failures = stats.failures.saturating_add(u64::from(answer.is_err()));
        stats.computing = stats.computing.saturating_add(start.elapsed());
        answer.map_err(|error| self.named(error))
    }

    fn rest(&self, place: Place) {
        let mut state = self.lock();
        state.mark(&place, None);
        state.resting.push(place);
        if !state.waiting.is_empty() {
            self.wake.notify_one();
        }
    }
}

impl State {
    fn mark(&mut self, place: &Place, until: Option<Instant>) {
        if let Some(mark) = self.until.get_mut(place.index) {
            *mark = until;
        }
    }

    /// Whether every place is in a computation that should have ended so long ago.
    fn are_past(&self, now: Instant, by: Duration) -> bool {
        self.until.iter().all(|until| until.and_then(|until| until.checked_add(by)).is_some_and(|until| until < now))
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn ended() -> InferenceError {
    InferenceError::new(ErrorKind::Runtime, "the thread that computed it has ended")
}

#[cfg(test)]
mod tests;
