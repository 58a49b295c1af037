//! Threads for what takes long: at most so many at once, each gone when nothing waits any more.
//!
//! Holds no limit on what waits: whoever asks asks for one thing at a time for each of a bounded number of names. A thread
//! comes back also from a panic underneath.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::panic_words;
use crate::sync::lock;
use crate::threads::Threads;

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// No thread can be started for this, and none runs that would come to it.
pub(crate) struct NoThread {
    pub job: Job,
    pub error: io::Error,
}

#[derive(Clone)]
pub(crate) struct Pool {
    threads: Threads,
    at_once: usize,
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

#[derive(Default)]
struct Shared {
    waiting: VecDeque<Job>,
    running: usize,
    threads: Vec<JoinHandle<()>>,
    closed: bool,
}

impl Pool {
    pub fn new(threads: Threads, at_once: usize) -> Self {
        Pool { threads, at_once, shared: Arc::default() }
    }

    /// Does this as soon as there is a thread for it. Forgets it where the pool is closed.
    pub fn run(&self, job: Job) -> Result<(), NoThread> {
        let mut shared = lock(&self.shared.0);
        if shared.closed {
            return Ok(());
        }
        shared.threads.retain(|thread| !thread.is_finished());
        if shared.running < self.at_once {
            let pool = self.clone();
            match self.threads.spawn("edgewit-load".to_owned(), None, move || pool.work()) {
                Ok(thread) => {
                    shared.threads.push(thread);
                    shared.running += 1;
                }
                Err(error) if shared.running == 0 => return Err(NoThread { job, error }),
                Err(error) => tracing::warn!(%error, "No further thread can be started for loading; it waits its turn"),
            }
        }
        shared.waiting.push_back(job);
        Ok(())
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // What a job shares with the rest is behind locks that hold consistent values at every step.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
                tracing::error!(error = panic_words(&*panic), "Loading failed within the gateway; report it");
            }
        }
    }

    fn next(&self) -> Option<Job> {
        let mut shared = lock(&self.shared.0);
        let job = shared.waiting.pop_front();
        if job.is_none() {
            shared.running -= 1;
            self.shared.1.notify_all();
        }
        job
    }

    /// Starts nothing more, and joins the threads. False if one still works after `patience`.
    pub fn close(&self, patience: Duration) -> bool {
        let mut shared = lock(&self.shared.0);
        shared.closed = true;
        let forgotten = std::mem::take(&mut shared.waiting);
        let waited = self.shared.1.wait_timeout_while(shared, patience, |shared| shared.running > 0);
        let mut shared = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(shared, _)| shared);
        let threads = if shared.running > 0 { None } else { Some(std::mem::take(&mut shared.threads)) };
        drop(shared);
        drop(forgotten);
        threads.is_some_and(|threads| threads.into_iter().all(|thread| thread.join().is_ok()))
    }
}
