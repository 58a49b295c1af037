//! Where one reader's deliveries wait: its queues, and the way to wake it.
//!
//! A push is one lock that is held for a few instructions, and no system call unless the reader sleeps. The
//! reader sleeps as a `Waker`, so that a component's thread and a task of the control socket wait in the same
//! place by the same rules. Nothing here knows what a delivery is for.
//!
//! A reader takes from its queues in turn, one each, so that no subscription starves another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use edgewit_domain::ledger::Consumed;
use edgewit_domain::message::Envelope;

use crate::queue::{Bounds, Queue};
use crate::sync::lock;
use crate::window::{Row, Window};

/// One of a mailbox's queues. Its number may be used again after [`Mailbox::close`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(usize);

/// A delivery and the queue it came from.
#[derive(Debug)]
pub(crate) struct Taken {
    pub slot: Slot,
    pub envelope: Arc<Envelope>,
    /// Its row, if the queue is a durable one.
    pub row: Option<Consumed>,
}

/// What a slot holds.
#[derive(Debug)]
enum Place {
    Live(Queue),
    Durable(Window),
}

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    inner: Mutex<Inner>,
    /// The same as `Inner::called`, to be read between two deliveries without the lock.
    called: AtomicBool,
}

#[derive(Debug, Default)]
struct Inner {
    places: Vec<Option<Place>>,
    /// Deliveries that can be taken.
    waiting: usize,
    /// The queue whose turn it is.
    turn: usize,
    /// Drops of queues that are closed.
    dropped_before: u64,
    /// The reader is wanted for something else than a delivery.
    called: bool,
    /// The reader is to look around once more before it sleeps.
    nudged: bool,
    sleeper: Option<Sleeper>,
}

#[derive(Debug)]
struct Sleeper {
    waker: Waker,
    /// Whether a delivery wakes it, or only a call.
    for_deliveries: bool,
}

/// What waits and what was dropped, over all live queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    pub waiting: u64,
    pub dropped: u64,
}

impl Mailbox {
    pub fn open(&self, bounds: Bounds) -> Slot {
        lock(&self.inner).open(Place::Live(Queue::new(bounds)))
    }

    /// A window into a durable queue.
    pub fn open_window(&self, window: Window) -> Slot {
        lock(&self.inner).open(Place::Durable(window))
    }

    /// Drops a queue and what waits in it; of a durable one only the window.
    pub fn close(&self, slot: Slot) {
        let mut inner = lock(&self.inner);
        match inner.places.get_mut(slot.0).and_then(Option::take) {
            Some(Place::Live(queue)) => {
                inner.waiting -= queue.len();
                inner.dropped_before += queue.dropped();
            }
            Some(Place::Durable(window)) => inner.waiting -= window.takeable(),
            None => {}
        }
    }

    pub fn resize(&self, slot: Slot, bounds: Bounds) {
        let mut inner = lock(&self.inner);
        if let Some(dropped) = inner.queue(slot).map(|queue| queue.resize(bounds)) {
            inner.waiting -= dropped;
        }
    }

    pub fn push(&self, slot: Slot, envelope: Arc<Envelope>) {
        let sleeper = {
            let mut inner = lock(&self.inner);
            let Some(grown) = inner.queue(slot).map(|queue| queue.push(envelope)) else { return };
            inner.waiting = inner.waiting.saturating_add_signed(grown);
            inner.sleeper_for_deliveries()
        };
        Sleeper::wake(sleeper);
    }

    /// Does something with the window of a durable queue, and wakes the reader if it can take more than before.
    pub fn with_window<R>(&self, slot: Slot, change: impl FnOnce(&mut Window) -> R) -> Option<R> {
        let mut inner = lock(&self.inner);
        let window = inner.window(slot)?;
        let before = window.takeable();
        let result = change(window);
        let after = window.takeable();
        inner.waiting = inner.waiting - before + after;
        let sleeper = if after > before { inner.sleeper_for_deliveries() } else { None };
        drop(inner);
        Sleeper::wake(sleeper);
        Some(result)
    }

    /// The reader takes nothing of a durable queue until it says otherwise.
    pub fn pause(&self, slot: Slot, paused: bool) {
        self.with_window(slot, |window| window.paused = paused);
    }

    /// Has the reader look around, at once or before it sleeps.
    pub fn nudge(&self) {
        let sleeper = {
            let mut inner = lock(&self.inner);
            inner.nudged = true;
            inner.sleeper.take()
        };
        Sleeper::wake(sleeper);
    }

    /// Wakes the reader though nothing may have been delivered.
    pub fn call(&self) {
        let sleeper = {
            let mut inner = lock(&self.inner);
            inner.called = true;
            self.called.store(true, Ordering::Release);
            inner.sleeper.take()
        };
        Sleeper::wake(sleeper);
    }

    /// Whether [`Mailbox::call`] was called since [`Mailbox::answer`].
    pub fn is_called(&self) -> bool {
        self.called.load(Ordering::Acquire)
    }

    /// To be called before looking for what the call was about.
    pub fn answer(&self) {
        let mut inner = lock(&self.inner);
        inner.called = false;
        self.called.store(false, Ordering::Release);
    }

    /// Moves at most `count` deliveries into `into`.
    pub fn take(&self, into: &mut impl Extend<Taken>, count: usize) {
        let mut inner = lock(&self.inner);
        let inner = &mut *inner;
        let mut left = count.min(inner.waiting);
        inner.waiting -= left;
        while left > 0 {
            inner.turn = if inner.turn + 1 < inner.places.len() { inner.turn + 1 } else { 0 };
            let slot = Slot(inner.turn);
            let taken = match inner.places.get_mut(inner.turn).and_then(Option::as_mut) {
                Some(Place::Live(queue)) => queue.pop().map(|envelope| Taken { slot, envelope, row: None }),
                Some(Place::Durable(window)) if window.takeable() > 0 => {
                    let queue = window.queue;
                    window.pop().map(|row| Taken { slot, envelope: row.envelope.clone(), row: Some(row.taken(queue)) })
                }
                _ => None,
            };
            if let Some(taken) = taken {
                into.extend([taken]);
                left -= 1;
            }
        }
    }

    /// Returns deliveries that were taken and not handled, in the order they were taken.
    pub fn put_back(&self, taken: impl DoubleEndedIterator<Item = Taken>) {
        let mut inner = lock(&self.inner);
        for Taken { slot, envelope, row } in taken.rev() {
            let back = match inner.places.get_mut(slot.0).and_then(Option::as_mut) {
                Some(Place::Live(queue)) => queue.put_back(envelope),
                Some(Place::Durable(window)) => {
                    let before = window.takeable();
                    row.into_iter().for_each(|row| window.put_back(Row::of(row)));
                    window.takeable() > before
                }
                None => false,
            };
            inner.waiting += usize::from(back);
        }
    }

    /// Sleeps the current thread until a delivery comes, the reader is called, or the time is over. May return
    /// early. Where it is not there `for_deliveries`, only a call wakes it.
    pub fn sleep(&self, waker: &Waker, for_deliveries: bool, time: Option<Duration>) {
        {
            let mut inner = lock(&self.inner);
            if inner.called || std::mem::take(&mut inner.nudged) || (for_deliveries && inner.waiting > 0) {
                return;
            }
            inner.sleeper = Some(Sleeper { waker: waker.clone(), for_deliveries });
        }
        match time {
            Some(time) => std::thread::park_timeout(time),
            None => std::thread::park(),
        }
    }

    /// As [`Mailbox::sleep`], for a task. May be ready though there is nothing to take.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = lock(&self.inner);
        if inner.called || std::mem::take(&mut inner.nudged) || inner.waiting > 0 {
            return Poll::Ready(());
        }
        inner.sleeper = Some(Sleeper { waker: context.waker().clone(), for_deliveries: true });
        Poll::Pending
    }

    pub fn level(&self) -> Level {
        let inner = lock(&self.inner);
        let mut level = Level { waiting: 0, dropped: inner.dropped_before };
        for place in inner.places.iter().flatten() {
            if let Place::Live(queue) = place {
                level.waiting += queue.len() as u64;
                level.dropped += queue.dropped();
            }
        }
        level
    }
}

impl Inner {
    fn open(&mut self, place: Place) -> Slot {
        let waiting = if let Place::Durable(window) = &place { window.takeable() } else { 0 };
        self.waiting += waiting;
        let free = self.places.iter_mut().enumerate().find(|(_, place)| place.is_none());
        if let Some((index, free)) = free {
            *free = Some(place);
            return Slot(index);
        }
        self.places.push(Some(place));
        Slot(self.places.len() - 1)
    }

    fn queue(&mut self, slot: Slot) -> Option<&mut Queue> {
        match self.places.get_mut(slot.0)?.as_mut()? {
            Place::Live(queue) => Some(queue),
            Place::Durable(_) => None,
        }
    }

    fn window(&mut self, slot: Slot) -> Option<&mut Window> {
        match self.places.get_mut(slot.0)?.as_mut()? {
            Place::Live(_) => None,
            Place::Durable(window) => Some(window),
        }
    }

    fn sleeper_for_deliveries(&mut self) -> Option<Sleeper> {
        self.sleeper.take_if(|sleeper| sleeper.for_deliveries)
    }
}

impl Sleeper {
    /// To be called without the lock, which the woken reader wants.
    fn wake(sleeper: Option<Sleeper>) {
        if let Some(sleeper) = sleeper {
            sleeper.waker.wake();
        }
    }
}

/// Wakes a thread that sleeps in [`Mailbox::sleep`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The waker of the current thread.
pub(crate) fn current_thread() -> Waker {
    Waker::from(Arc::new(Unpark(std::thread::current())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{bounds, envelope, eventually};

    fn payloads(taken: &[Taken]) -> Vec<String> {
        taken.iter().map(|taken| String::from_utf8(taken.envelope.message.payload.clone()).unwrap()).collect()
    }

    #[test]
    fn a_reader_takes_from_its_queues_in_turn() {
        let mailbox = Mailbox::default();
        let flood = mailbox.open(bounds(1000));
        let quiet = mailbox.open(bounds(1000));
        for number in 0..100 {
            mailbox.push(flood, envelope("t", &format!("f{number}")));
        }
        mailbox.push(quiet, envelope("t", "q"));
        let mut taken = Vec::new();
        mailbox.take(&mut taken, 4);
        let taken = payloads(&taken);
        assert!(taken.contains(&"q".to_owned()), "the quiet queue is not starved: {taken:?}");
        assert_eq!(taken.iter().filter(|payload| payload.starts_with('f')).collect::<Vec<_>>(), ["f0", "f1", "f2"]);
        assert_eq!(mailbox.level(), Level { waiting: 97, dropped: 0 });
    }

    #[test]
    fn what_is_put_back_comes_first_and_in_order() {
        let mailbox = Mailbox::default();
        let slot = mailbox.open(bounds(10));
        for payload in ["a", "b", "c", "d"] {
            mailbox.push(slot, envelope("t", payload));
        }
        let mut taken = Vec::new();
        mailbox.take(&mut taken, 3);
        mailbox.put_back(taken.drain(1..));
        taken.clear();
        mailbox.take(&mut taken, 10);
        assert_eq!(payloads(&taken), ["b", "c", "d"]);
        assert_eq!(mailbox.level().waiting, 0);
    }

    #[test]
    fn a_closed_queue_keeps_its_count_of_drops_and_its_place_is_used_again() {
        let mailbox = Mailbox::default();
        let first = mailbox.open(bounds(1));
        mailbox.push(first, envelope("t", "a"));
        mailbox.push(first, envelope("t", "b"));
        mailbox.close(first);
        mailbox.push(first, envelope("t", "c"));
        assert_eq!(mailbox.level(), Level { waiting: 0, dropped: 1 });
        assert_eq!(mailbox.open(bounds(1)), first);
    }

    #[test]
    fn a_sleeper_wakes_for_what_it_sleeps_for() {
        let mailbox = Mailbox::default();
        let slot = mailbox.open(bounds(10));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let waker = current_thread();
                while !mailbox.is_called() {
                    mailbox.sleep(&waker, false, None);
                }
                mailbox.answer();
                mailbox.take(&mut Vec::new(), 1);
                while mailbox.level().waiting == 0 {
                    mailbox.sleep(&waker, true, None);
                }
            });
            eventually("the thread sleeps", || lock(&mailbox.inner).sleeper.is_some());
            mailbox.push(slot, envelope("t", "a"));
            assert!(lock(&mailbox.inner).sleeper.is_some(), "a delivery does not wake who waits for a call");
            mailbox.call();
            eventually("the first delivery is taken", || mailbox.level().waiting == 0);
            mailbox.push(slot, envelope("t", "b"));
        });
    }
}
