//! What a model's thread does: it computes what waits, until nobody can ask any more.
//!
//! What was given up meanwhile it skips, or stops. It comes after the threads of components, whose deadlines it would eat,
//! and holds up nobody who drops its pool.

use std::io;
use std::sync::PoisonError;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use edgewit_domain::limits::MODEL_STACK;
use edgewit_domain::model::InferenceError;
use edgewit_domain::tensor::Tensor;

use super::{Job, Place, Pool, Shared, ended, is_given_up};
use crate::session::{LOOK_OUT, Session};

/// Behind components, and before children that compile.
const NICE: i32 = 5;
/// A first inference that ended itself at its limit has said so by then.
const SLACK: Duration = Duration::from_secs(1);

/// Why there is no thread.
#[derive(Debug)]
pub(crate) enum StartError {
    Thread(io::Error),
    First(InferenceError),
}

/// What a thread does next.
enum Task {
    Compute { place: Place, job: Job, until: Instant },
    Recover(Place),
}

impl Pool {
    /// One more place, and one more thread, which computes this so often before it answers anybody. Waits for that.
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
            let mut place = Place { index, session };
            for _ in 0..times {
                let until = shared.until(Instant::now());
                let done = place.session.run(inputs.clone(), until, &|| false).map(drop);
                let failed = done.is_err();
                // Where nobody waits for it any more it was too late.
                if report.send(done).is_err() || failed {
                    return;
                }
            }
            drop(inputs);
            shared.rest(place);
            drop(report);
            shared.work();
        };
        Builder::new()
            .name(name)
            .stack_size(MODEL_STACK)
            .spawn(move || tracing::dispatcher::with_default(&log, body))
            .map_err(StartError::Thread)?;
        let wait = self.shared.rules.time.saturating_add(SLACK);
        let mut left = times;
        loop {
            match reports.recv_timeout(wait) {
                Ok(Ok(())) => left = left.saturating_sub(1),
                Ok(Err(error)) => return Err(StartError::First(self.shared.named(error))),
                Err(RecvTimeoutError::Timeout) => return Err(StartError::First(self.shared.rules.errors.late())),
                Err(RecvTimeoutError::Disconnected) if left == 0 => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(StartError::First(ended())),
            }
        }
    }
}

impl Shared {
    fn work(&self) {
        while let Some(task) = self.next() {
            match task {
                Task::Recover(place) => self.recover(place),
                Task::Compute { mut place, job: Job { inputs, answer, started }, until } => {
                    let computed = self.compute(&mut place, inputs, until, &|| is_given_up(&started));
                    // Whoever asked may have gone.
                    if place.session.has_to_recover() {
                        let _ = answer.send(computed);
                        self.recover(place);
                    } else {
                        // Before the answer, at which the next may be asked.
                        self.rest(place);
                        let _ = answer.send(computed);
                    }
                }
            }
        }
        let ends = self.lock().resting.pop();
        drop(ends);
    }

    /// None when nobody can ask any more.
    fn next(&self) -> Option<Task> {
        let idle_since = Instant::now();
        let mut state = self.lock();
        loop {
            if let Some(place) = state.spent.pop() {
                return Some(Task::Recover(place));
            }
            while let Some(place) = state.resting.pop() {
                let Some(job) = state.waiting.pop_front() else {
                    state.resting.push(place);
                    break;
                };
                if is_given_up(&job.started) {
                    state.resting.push(place);
                    continue;
                }
                let until = self.until(*job.started.get_or_init(Instant::now));
                state.mark(&place, Some(until));
                return Some(Task::Compute { place, job, until });
            }
            if state.closed {
                return None;
            }
            if idle_since.elapsed() < LOOK_OUT {
                drop(state);
                thread::yield_now();
                state = self.lock();
            } else {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn recover(&self, mut place: Place) {
        place.session.recover();
        self.rest(place);
    }
}
