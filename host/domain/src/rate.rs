//! How often something may happen: a bucket that fills with time and is emptied by use.
//!
//! One number of state (the generic cell rate algorithm), no clock of its own and no floating point, so that a
//! bucket left alone for a year neither overflows nor drifts.

use std::time::Duration;

/// Permits a steady rate and a burst on top of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    interval: Duration,
    tolerance: Duration,
    /// When the bucket will be full again.
    full_at: Duration,
}

impl TokenBucket {
    /// `burst` is how much may happen at once after a rest; both are taken as at least one.
    pub fn new(per_second: u64, burst: u64) -> Self {
        let interval = Duration::from_secs(1) / u32::try_from(per_second.max(1)).unwrap_or(u32::MAX);
        let more = u32::try_from(burst.max(1) - 1).unwrap_or(u32::MAX);
        TokenBucket { interval, tolerance: interval.saturating_mul(more), full_at: Duration::ZERO }
    }

    /// Takes one token, or says that there is none. `now` is monotonic time since any fixed point.
    pub fn take(&mut self, now: Duration) -> bool {
        let from = self.full_at.max(now);
        if from - now > self.tolerance {
            return false;
        }
        self.full_at = from.saturating_add(self.interval);
        true
    }

    /// From when on something may be charged.
    pub fn ready_at(&self) -> Duration {
        self.full_at.saturating_sub(self.tolerance)
    }

    /// Takes `amount` tokens at once, also more than there are: what is missing has to fill again before the next.
    /// So one message larger than the burst passes, and the rate holds all the same.
    pub fn charge(&mut self, now: Duration, amount: u64) {
        let amount = u32::try_from(amount).unwrap_or(u32::MAX);
        self.full_at = self.full_at.max(now).saturating_add(self.interval.saturating_mul(amount));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a bucket of 10 a second with a burst of 3 permits, at the given milliseconds.
    fn check(at_ms: &[u64], expected: &[bool]) {
        let mut bucket = TokenBucket::new(10, 3);
        let got: Vec<bool> = at_ms.iter().map(|ms| bucket.take(Duration::from_millis(*ms))).collect();
        assert_eq!(got, expected, "at {at_ms:?}");
    }

    #[test]
    fn a_burst_then_the_rate() {
        check(&[0, 0, 0, 0], &[true, true, true, false]);
        check(&[0, 0, 0, 99, 100, 100], &[true, true, true, false, true, false]);
        check(&[0, 0, 0, 10_000, 10_000, 10_000, 10_000], &[true, true, true, true, true, true, false]);
    }

    /// What is too much at once is paid for before the next.
    #[test]
    fn a_charge_beyond_the_burst_delays_what_comes_after_it() {
        let mut bucket = TokenBucket::new(1_000, 100);
        let at = Duration::from_millis;
        assert_eq!(bucket.ready_at(), Duration::ZERO);
        bucket.charge(at(0), 1_000);
        assert_eq!(bucket.ready_at(), at(901));
        bucket.charge(at(2_000), 100);
        assert_eq!(bucket.ready_at(), at(2_001));
    }

    #[test]
    fn a_year_of_rest_is_one_burst_and_no_more() {
        check(&[0, 31_536_000_000, 31_536_000_000, 31_536_000_000, 31_536_000_000], &[true, true, true, true, false]);
    }
}
