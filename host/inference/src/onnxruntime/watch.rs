//! Ends computations that take too long.
//!
//! The library computes on the thread that asks it and looks between two steps whether it is to stop. So a second thread
//! waits for the end of the time. It lives as long as its process, which lives as long as its one session.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use ort::session::RunOptions;

#[derive(Clone)]
pub(super) struct Watch(Arc<Shared>);

struct Shared {
    watched: Mutex<Option<(Instant, Arc<RunOptions>)>>,
    changed: Condvar,
}

/// While it lives, it is watched over.
pub(super) struct Watched<'a>(&'a Watch);

impl Watch {
    pub(super) fn start() -> io::Result<Watch> {
        let watch = Watch(Arc::new(Shared { watched: Mutex::new(None), changed: Condvar::new() }));
        let own = watch.clone();
        thread::Builder::new().name("edgewit-watch".into()).spawn(move || own.look())?;
        Ok(watch)
    }

    pub(super) fn over(&self, options: &Arc<RunOptions>, until: Instant) -> Watched<'_> {
        *self.watched() = Some((until, options.clone()));
        self.0.changed.notify_one();
        Watched(self)
    }

    fn watched(&self) -> MutexGuard<'_, Option<(Instant, Arc<RunOptions>)>> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) {
        let mut watched = self.watched();
        loop {
            let Some((until, options)) = watched.as_ref() else {
                watched = self.0.changed.wait(watched).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // Refused, it computes until its process is ended.
                let _ = options.terminate();
                *watched = None;
            } else {
                watched = self.0.changed.wait_timeout(watched, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        *self.0.watched() = None;
    }
}
