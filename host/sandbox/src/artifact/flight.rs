//! Loads of the same thing at the same time become one, and different ones queue for a slot.
//!
//! A flight must always land: if the thread that leads it unwinds, those who wait get an error and not an
//! endless wait. An outcome is shared with those who waited, and forgotten: the cache remembers, this does not.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Digest, LoadError};

pub(super) struct Flights<T> {
    under_way: Mutex<HashMap<Digest, Arc<Flight<T>>>>,
}

struct Flight<T> {
    outcome: Mutex<Option<Result<T, LoadError>>>,
    landed: Condvar,
}

impl<T> Default for Flights<T> {
    fn default() -> Flights<T> {
        Flights { under_way: Mutex::default() }
    }
}

impl<T: Clone> Flights<T> {
    pub(super) fn share(&self, key: Digest, work: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
        let (flight, leads) = match lock(&self.under_way).entry(key) {
            Entry::Occupied(entry) => (entry.get().clone(), false),
            Entry::Vacant(entry) => {
                let flight = Flight { outcome: Mutex::default(), landed: Condvar::new() };
                (entry.insert(Arc::new(flight)).clone(), true)
            }
        };
        if leads {
            let mut landing = Landing { flights: self, key, flight: &flight, outcome: Err(LoadError::Interrupted) };
            landing.outcome = work();
            return landing.outcome.clone();
        }
        let mut outcome = lock(&flight.outcome);
        loop {
            match &*outcome {
                Some(outcome) => return outcome.clone(),
                None => outcome = flight.landed.wait(outcome).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Publishes the outcome, whichever way the leader leaves.
struct Landing<'a, T: Clone> {
    flights: &'a Flights<T>,
    key: Digest,
    flight: &'a Flight<T>,
    outcome: Result<T, LoadError>,
}

impl<T: Clone> Drop for Landing<'_, T> {
    fn drop(&mut self) {
        lock(&self.flights.under_way).remove(&self.key);
        *lock(&self.flight.outcome) = Some(self.outcome.clone());
        self.flight.landed.notify_all();
    }
}

/// How many may do something at once; the rest wait.
pub(super) struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

pub(super) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(super) fn new(count: usize) -> Slots {
        Slots { free: Mutex::new(count), freed: Condvar::new() }
    }

    pub(super) fn take(&self) -> Slot<'_> {
        let mut free = lock(&self.free);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Slot(self)
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.freed.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every value behind these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn loads_of_one_thing_at_once_are_one() {
        let flights = Flights::default();
        let key = Digest::of(b"");
        let count = AtomicUsize::new(0);
        let (inside, release) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let leader = scope.spawn(|| {
                flights.share(key, || {
                    inside.wait();
                    release.wait();
                    Ok(count.fetch_add(1, Ordering::SeqCst))
                })
            });
            inside.wait();
            let follower = scope.spawn(|| flights.share(key, || Ok(count.fetch_add(1, Ordering::SeqCst))));
            while Arc::strong_count(lock(&flights.under_way).get(&key).unwrap()) < 3 {
                thread::yield_now();
            }
            release.wait();
            assert_eq!(leader.join().unwrap().unwrap(), 0);
            assert_eq!(follower.join().unwrap().unwrap(), 0);
        });
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_leader_that_panics_leaves_nobody_waiting() {
        let flights = Flights::<()>::default();
        let key = Digest::of(b"");
        let (inside, release) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let leader = scope.spawn(|| {
                let work = || {
                    inside.wait();
                    release.wait();
                    panic!("on purpose")
                };
                flights.share(key, work)
            });
            inside.wait();
            let follower = scope.spawn(|| flights.share(key, || Ok(())));
            while Arc::strong_count(lock(&flights.under_way).get(&key).unwrap()) < 3 {
                thread::yield_now();
            }
            release.wait();
            assert!(leader.join().is_err());
            assert!(matches!(follower.join().unwrap(), Err(LoadError::Interrupted)));
        });
        assert!(flights.share(key, || Ok(())).is_ok());
    }
}
