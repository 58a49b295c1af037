//! What waits for the writer.
//!
//! Nobody submits a second time before the first was answered, and so what waits here is bounded by who there is:
//! components, connections and rules.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// How long the writer looks out for more before it sleeps: whoever was answered often asks again at once, and waking a
/// thread takes longer than that.
const LINGER: Duration = Duration::from_micros(50);

#[derive(Default)]
pub(crate) struct Pending {
    inner: Mutex<Inner>,
    /// Whether there is anything to take, to be seen without the lock.
    any: AtomicBool,
    came: Condvar,
}

#[derive(Default)]
struct Inner {
    requests: Vec<Request>,
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
        self.any.store(true, Ordering::Release);
        drop(inner);
        self.came.notify_one();
        Ok(())
    }

    /// Waits for requests, at most so long, and takes all there are. False when it is closed and empty.
    pub fn take(&self, into: &mut Vec<Request>, time: Duration) -> bool {
        self.linger();
        let inner = self.lock();
        let waits = |inner: &mut Inner| inner.requests.is_empty() && !inner.closed;
        let (mut inner, _) = self.came.wait_timeout_while(inner, time, waits).unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut inner.requests, into);
        self.any.store(false, Ordering::Relaxed);
        !(inner.closed && into.is_empty())
    }

    /// Takes nothing more; what waits is still done.
    pub fn close(&self) {
        self.lock().closed = true;
        self.any.store(true, Ordering::Release);
        self.came.notify_one();
    }

    fn linger(&self) {
        let until = Instant::now() + LINGER;
        while !self.any.load(Ordering::Acquire) && Instant::now() < until {
            // Where there is one core alone, it is theirs.
            std::thread::yield_now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
