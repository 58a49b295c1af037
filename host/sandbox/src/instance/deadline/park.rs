//! A thread that waits for a future, and keeps the time itself.
//!
//! A timer of the runtime would be set and taken back for each wait, which wakes the runtime's thread, and would be late
//! where that thread is busy.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

struct Sleeper {
    thread: Thread,
    /// What the future calls may sleep, too, and a wake-up of this thread that came meanwhile is gone then.
    woken: AtomicBool,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}

/// What comes of the future, if it comes before then.
pub(super) fn block_on<T>(future: impl Future<Output = T>, until: Instant) -> Option<T> {
    let mut future = pin!(future);
    let sleeper = Arc::new(Sleeper { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(sleeper.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Some(done);
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            if sleeper.woken.swap(false, Ordering::Acquire) {
                break;
            }
            thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::time::Duration;

    use super::*;

    /// Longer than any test takes.
    fn later() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn what_is_done_is_given_though_the_time_has_passed() {
        assert_eq!(block_on(ready(7), Instant::now()), Some(7));
    }

    #[test]
    fn what_is_never_done_ends_at_its_time() {
        let until = Instant::now() + Duration::from_millis(20);
        assert_eq!(block_on(pending::<()>(), until), None);
        assert!(Instant::now() >= until);
    }

    #[test]
    fn what_wakes_itself_for_ever_ends_at_its_time() {
        let restless = poll_fn(|context| -> Poll<()> {
            context.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!(block_on(restless, Instant::now() + Duration::from_millis(20)), None);
    }

    #[test]
    fn a_wake_up_is_heard_that_comes_while_the_future_itself_sleeps() {
        let mut polls = 0;
        let done = poll_fn(|context| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            thread::scope(|scope| scope.spawn(move || waker.wake()).join()).unwrap();
            // As whatever waits for something else does.
            thread::park_timeout(Duration::ZERO);
            Poll::Pending
        });
        assert_eq!(block_on(done, later()), Some(()));
    }

    #[test]
    fn another_thread_wakes_it() {
        let (send, receive) = tokio::sync::oneshot::channel();
        thread::scope(|scope| {
            scope.spawn(move || send.send(7));
            assert_eq!(block_on(receive, later()), Some(Ok(7)));
        });
    }
}
