//! One timer of the configuration.
//!
//! Its ticks are numbered: number n is due at the start plus n intervals. All that is remembered is the last
//! number that is over with, and the attempt under way; everything else follows from the time.

use std::time::Duration;

use crate::handling::Tick;

#[derive(Clone, Debug)]
pub(super) struct Declared {
    start: Duration,
    every: Duration,
    /// The last tick that needs no more handling.
    over: u64,
    attempt: Option<Attempt>,
}

/// The most recent attempt, while its tick is not over with.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    tick: u64,
    number: u32,
    /// When to try again; `None` while the tick is in hand.
    again: Option<Duration>,
}

impl Declared {
    pub fn new(every: Duration, now: Duration) -> Declared {
        Declared { start: now, every, over: 0, attempt: None }
    }

    pub fn every(&self) -> Duration {
        self.every
    }

    pub fn due(&self) -> Option<Duration> {
        match self.attempt {
            None => Some(self.due_of(self.over.saturating_add(1))),
            Some(attempt) => attempt.again,
        }
    }

    /// Of all ticks that are due by now it takes the last, which stands for those before it.
    pub fn take(&mut self, now: Duration, name: &str) -> Tick {
        let tick = self.last_due(now);
        let number = match self.attempt {
            Some(before) if before.tick == tick => before.number.saturating_add(1),
            _ => 1,
        };
        self.attempt = Some(Attempt { tick, number, again: None });
        let missed = tick.saturating_sub(self.over).saturating_sub(1).try_into().unwrap_or(u32::MAX);
        Tick { name: name.to_owned(), payload: Vec::new(), attempt: number, missed }
    }

    pub fn done(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            self.over = attempt.tick;
        }
    }

    /// Tries again at `again`, unless the next tick is due by then and takes over.
    pub fn failed(&mut self, again: Duration) -> Option<Duration> {
        let attempt = self.attempt?;
        let next = self.due_of(attempt.tick.saturating_add(1));
        self.attempt = Some(Attempt { again: Some(again.min(next)), ..attempt });
        (again < next).then_some(again)
    }

    fn due_of(&self, tick: u64) -> Duration {
        let nanos = self.every.as_nanos().saturating_mul(tick.into());
        self.start.saturating_add(Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX)))
    }

    fn last_due(&self, now: Duration) -> u64 {
        let passed = now.saturating_sub(self.start).as_nanos();
        (passed / self.every.as_nanos().max(1)).try_into().unwrap_or(u64::MAX)
    }
}
