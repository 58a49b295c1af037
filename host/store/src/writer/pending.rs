//! What waits for the writer.
//!
//! Nobody submits a second time before the first was answered, and so what waits here is bounded by who there is:
//! components, connections and rules.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edgewit_domain::ledger::{Refusal, Unit};

use super::{Outcome, Turn};

/// Tells what became of it.
type Done = Box<dyn FnOnce(Outcome) + Send>;
pub(crate) type Answer = Box<dyn FnOnce(Result<(), Refusal>) + Send>;
pub(crate) type Work = Box<dyn FnOnce(&mut Turn<'_>) -> (Result<(), Refusal>, Answer) + Send>;

/// Units to be committed one after another: when one is refused, those behind it are not tried.
pub(crate) struct Submission {
    pub units: Vec<Unit>,
    pub done: Done,
}

/// Rows by their keys; `None` deletes.
pub(crate) type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

pub(crate) enum Request {
    Units(Submission),
    /// What the ledger has nothing to say about.
    Rows(Changes, Answer),
    Turn(Work),
}

#[derive(Default)]
pub(crate) struct Pending {
    inner: Mutex<Inner>,
    came: Condvar,
}

#[derive(Default)]
struct Inner {
    requests: Vec<Request>,
    /// The writer's thread waits for something to come.
    asleep: bool,
    closed: bool,
}

impl Pending {
    /// Gives the request back where there is no writer any more.
    pub fn push(&self, request: Request) -> Result<(), Request> {
        let mut inner = self.lock();
        if inner.closed {
            return Err(request);
        }
        inner.requests.push(request);
        drop(inner);
        self.came.notify_one();
        Ok(())
    }

    /// Waits for requests, at most so long. False when it is closed and empty.
    pub fn wait(&self, time: Duration) -> bool {
        let mut inner = self.lock();
        let waits = |inner: &mut Inner| {
            inner.asleep = inner.requests.is_empty() && !inner.closed;
            inner.asleep
        };
        (inner, _) = self.came.wait_timeout_while(inner, time, waits).unwrap_or_else(PoisonError::into_inner);
        inner.asleep = false;
        !(inner.closed && inner.requests.is_empty())
    }

    /// Takes all there are.
    pub fn take(&self, into: &mut Vec<Request>) {
        std::mem::swap(&mut self.lock().requests, into);
    }

    /// Whether nothing waits, and the writer's thread does not do anything.
    pub fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.asleep && inner.requests.is_empty()
    }

    /// Takes nothing more; what waits is still done.
    pub fn close(&self) {
        self.lock().closed = true;
        self.came.notify_one();
    }

    /// Takes nothing more, and what waits is not done.
    pub fn abandon(&self) {
        let waited = {
            let mut inner = self.lock();
            inner.closed = true;
            std::mem::take(&mut inner.requests)
        };
        drop(waited);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
