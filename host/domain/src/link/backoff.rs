//! How long to wait before the next attempt: a step that doubles with every failure in a row, and a random part of it
//! (full jitter), so that a thousand gateways do not come back in the same second.

use std::time::Duration;

use crate::limits::LINK_STEADY_FACTOR;

#[derive(Clone, Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    /// The broker's own limit on attempts.
    every: Duration,
    tried: Duration,
    failures: u32,
}

impl Backoff {
    pub fn new(first: Duration, most: Duration, every: Duration) -> Backoff {
        Backoff { first, most: most.max(first), every, tried: Duration::ZERO, failures: 0 }
    }

    pub fn tries(&mut self, now: Duration) {
        self.tried = now;
    }

    /// The step it is in now, and the wait out of it, after a connection that stood for `stood`. That a connection was
    /// accepted proves little: two gateways with one client id throw each other out for ever. That it stood does.
    pub fn failed(&mut self, now: Duration, stood: Duration, jitter: u64) -> (Duration, Duration) {
        if stood >= self.first.saturating_mul(LINK_STEADY_FACTOR) {
            self.failures = 0;
        }
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let step = self.first.saturating_mul(factor).min(self.most);
        let wait = step.mul_f64(jitter as f64 / u64::MAX as f64);
        let earliest = (self.tried + self.every).saturating_sub(now);
        (step, wait.max(earliest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Jitter, time that the connection stood, and the step and wait that follow.
    fn check(backoff: &mut Backoff, jitter: u64, stood: u64, expected: (u64, u64)) {
        let (step, wait) = backoff.failed(seconds(1_000), seconds(stood), jitter);
        assert_eq!((step, wait.as_secs_f32().round() as u64), (seconds(expected.0), expected.1));
    }

    #[test]
    fn c4_the_step_doubles_up_to_its_maximum_and_the_wait_is_any_part_of_it() {
        let mut backoff = Backoff::new(seconds(2), seconds(9), Duration::ZERO);
        check(&mut backoff, u64::MAX, 0, (2, 2));
        check(&mut backoff, u64::MAX / 2, 0, (4, 2));
        check(&mut backoff, 0, 0, (8, 0));
        check(&mut backoff, u64::MAX, 0, (9, 9));
        // Accepted and thrown out soon after, as by another with the same client id, is a failure like any.
        check(&mut backoff, u64::MAX, 19, (9, 9));
        check(&mut backoff, u64::MAX, 20, (2, 2));
        check(&mut backoff, u64::MAX, 0, (4, 4));
        for _ in 0..100 {
            backoff.failed(seconds(1_000), Duration::ZERO, 0);
        }
        check(&mut backoff, u64::MAX, 0, (9, 9));
    }

    #[test]
    fn the_brokers_own_limit_on_attempts_is_kept() {
        let mut backoff = Backoff::new(seconds(2), seconds(9), seconds(1));
        backoff.tries(seconds(1_000));
        check(&mut backoff, 0, 0, (2, 1));
    }
}
