//! What whoever asks does: it takes a place or queues for one, and waits.
//!
//! It hears `timeout` when the time has passed whether or not a thread has noticed, for a backend may be deep in a node that
//! nobody can stop. It never waits for what has to recover: that is left to a thread of the model's.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use edgewit_domain::model::InferenceError;
use edgewit_domain::tensor::Tensor;

use super::{Answer, Job, Place, Shared, Started, count, ended, is_given_up};
use crate::session::LOOK;

/// How long it looks out for the answer: what it costs to sleep and to be woken, or a little less.
const LOOK_OUT: Duration = Duration::from_micros(20);

/// What comes of asking.
pub(super) enum Asked {
    /// A place to compute at, and what to compute.
    Taken(Place, Vec<Tensor>),
    Queued(Receiver<Answer>, Started),
}

impl Shared {
    pub(super) fn ask(&self, inputs: Vec<Tensor>) -> Result<Asked, InferenceError> {
        let mut state = self.lock();
        // The one that computed last may still look out.
        let at = state.resting.iter().rposition(|place| place.session.only_waits());
        if let Some(at) = at.filter(|_| state.waiting.is_empty()) {
            let place = state.resting.swap_remove(at);
            state.mark(&place, Some(self.until(Instant::now())));
            return Ok(Asked::Taken(place, inputs));
        }
        // What is about to be computed does not wait.
        let places = self.rules.queue.saturating_add(state.resting.len());
        if state.waiting.len() >= places {
            state.waiting.retain(|job| !is_given_up(&job.started));
        }
        let refused = if state.waiting.len() >= places {
            Some(self.rules.errors.busy(count(state.waiting.len().saturating_sub(state.resting.len()))))
        } else {
            // Shortly after its limit a backend may still be about to stop.
            state.are_past(Instant::now(), self.rules.time).then(|| self.rules.errors.stuck())
        };
        if let Some(error) = refused {
            state.stats.refused = state.stats.refused.saturating_add(1);
            return Err(error);
        }
        let (answer, answers) = sync_channel(1);
        let started = Started::default();
        state.waiting.push_back(Job { inputs, answer, started: started.clone() });
        drop(state);
        self.wake.notify_one();
        Ok(Asked::Queued(answers, started))
    }

    pub(super) fn wait(
        &self,
        answers: &Receiver<Answer>,
        started: &Started,
        until: Instant,
        given_up: &dyn Fn() -> bool,
    ) -> Answer {
        let asked = Instant::now();
        let mut limit = self.until(asked);
        loop {
            match answers.try_recv() {
                Ok(answer) => return answer,
                Err(TryRecvError::Disconnected) => return Err(ended()),
                Err(TryRecvError::Empty) => {}
            }
            let now = Instant::now();
            if now >= limit {
                limit = match started.get() {
                    Some(start) => self.until(*start),
                    // Whatever was computed when this was asked has had its time.
                    None if self.lock().are_past(now, Duration::ZERO) => return Err(self.rules.errors.stuck()),
                    None => self.until(now),
                };
            }
            let left = limit.min(until).saturating_duration_since(now);
            if left.is_zero() || given_up() {
                return Err(self.rules.errors.late());
            }
            if now.duration_since(asked) < LOOK_OUT {
                thread::yield_now();
                continue;
            }
            match answers.recv_timeout(left.min(LOOK)) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    pub(super) fn compute_here(
        &self,
        mut place: Place,
        inputs: Vec<Tensor>,
        until: Instant,
        given_up: &dyn Fn() -> bool,
    ) -> Answer {
        let answer = self.compute(&mut place, inputs, self.until(Instant::now()).min(until), given_up);
        if place.session.has_to_recover() {
            self.lock().spent.push(place);
            self.wake.notify_one();
        } else {
            self.rest(place);
        }
        answer
    }
}
