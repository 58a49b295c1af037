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
    state: Mutex<State>,
    earlier: Condvar,
}

#[derive(Default)]
struct State {
    watched: Option<(Instant, Arc<RunOptions>)>,
    /// When the thread looks next; it sleeps for good where there is none.
    look: Option<Instant>,
}

/// While it lives, it is watched over.
pub(super) struct Watched<'a>(&'a Watch);

impl Watch {
    pub(super) fn start() -> io::Result<Watch> {
        let watch = Watch(Arc::new(Shared { state: Mutex::default(), earlier: Condvar::new() }));
        let own = watch.clone();
        thread::Builder::new().name("edgewit-watch".into()).spawn(move || own.look())?;
        Ok(watch)
    }

    /// Wakes the thread only where it would look too late: it may look for what is over already.
    pub(super) fn over(&self, options: &Arc<RunOptions>, until: Instant) -> Watched<'_> {
        let mut state = self.state();
        state.watched = Some((until, options.clone()));
        if state.look.is_none_or(|look| look > until) {
            self.0.earlier.notify_one();
        }
        drop(state);
        Watched(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            if let Some((_, options)) = state.watched.take_if(|(until, _)| *until <= now) {
                // Refused, it computes until its process is ended.
                let _ = options.terminate();
            }
            state.look = state.watched.as_ref().map(|(until, _)| *until);
            state = match state.look {
                Some(look) => {
                    let left = look.saturating_duration_since(now);
                    self.0.earlier.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.0.earlier.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.state().watched = None;
    }
}
