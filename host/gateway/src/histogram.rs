//! Handling times: how many took how long, in buckets that grow with the time.
//!
//! Log-linear: every power of two of microseconds is cut into four equal steps, so that a quantile is off by at
//! most an eighth, from 1 µs to beyond an hour, in one KiB. One thread writes, any number read; a reading taken
//! meanwhile may miss the last few, never invent one.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps in each power of two.
const STEPS: u32 = 4;
/// Powers of two above the first step. The last bucket takes whatever is longer.
const POWERS: u32 = 31;
const BUCKETS: usize = (STEPS * POWERS) as usize;

#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: array::from_fn(|_| AtomicU64::new(0)), sum_ns: AtomicU64::new(0) }
    }
}

/// A histogram as it stood at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    buckets: [u64; BUCKETS],
    pub sum: Duration,
}

impl Histogram {
    /// To be called by one thread only.
    pub fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket_of(micros)) {
            add(bucket, 1);
        }
        add(&self.sum_ns, u64::try_from(time.as_nanos()).unwrap_or(0));
    }

    pub fn read(&self) -> Reading {
        Reading {
            buckets: array::from_fn(|index| self.buckets.get(index).map_or(0, |count| count.load(Ordering::Relaxed))),
            sum: Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed)),
        }
    }
}

impl Reading {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The time that `percent` of all handlings did not exceed, in microseconds; 0 before the first.
    pub fn quantile_us(&self, percent: u64) -> u64 {
        let count = self.count();
        let rank = (u128::from(count) * u128::from(percent)).div_ceil(100);
        let mut seen = 0;
        for (index, in_bucket) in self.buckets.iter().enumerate() {
            seen += u128::from(*in_bucket);
            if count > 0 && seen >= rank {
                return upper_bound_us(index);
            }
        }
        0
    }

    /// How many took at most so many microseconds, for each power of two.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        self.buckets.chunks(STEPS as usize).enumerate().scan(0, |seen, (power, steps)| {
            *seen += steps.iter().sum::<u64>();
            Some((upper_bound_us((power + 1) * STEPS as usize - 1), *seen))
        })
    }
}

/// One writer needs no read-modify-write.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// The first `STEPS` buckets are one microsecond each.
fn bucket_of(micros: u64) -> usize {
    let bucket = match micros.checked_ilog2() {
        None | Some(0 | 1) => micros,
        Some(power) => u64::from((power - 1) * STEPS) + ((micros >> (power - 2)) & u64::from(STEPS - 1)),
    };
    usize::try_from(bucket).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The longest time, in whole microseconds, that falls into a bucket.
fn upper_bound_us(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let (power, step) = (bucket / u64::from(STEPS), bucket % u64::from(STEPS));
    match power {
        0 => step,
        _ => ((u64::from(STEPS) + step + 1) << (power - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_gapless_and_end_where_they_say() {
        for micros in (0..100_000).chain([1 << 29, (1 << 29) + 1, (1 << 30) - 1]) {
            let bucket = bucket_of(micros);
            assert!(micros <= upper_bound_us(bucket), "{micros} in {bucket}");
            assert!(bucket == 0 || micros > upper_bound_us(bucket - 1), "{micros} in {bucket}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert!(upper_bound_us(BUCKETS - 1) > 3_600_000_000, "an hour has a bucket of its own");
    }

    #[test]
    fn quantiles_are_near_the_truth() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read().quantile_us(99), 0);
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        let reading = histogram.read();
        assert_eq!(reading.count(), 1000);
        assert_eq!(reading.sum, Duration::from_micros(500_500));
        for (percent, truth) in [(50, 500), (99, 990), (100, 1000)] {
            let got = reading.quantile_us(percent);
            assert!(got >= truth && got <= truth + truth / 4, "p{percent} is {got}");
        }
    }

    #[test]
    fn the_cumulative_view_ends_with_all() {
        let histogram = Histogram::default();
        for micros in [0, 3, 4, 1000, u64::MAX / 2000] {
            histogram.record(Duration::from_micros(micros));
        }
        let view: Vec<_> = histogram.read().cumulative().collect();
        assert!(view.is_sorted());
        assert_eq!(view.first(), Some(&(3, 2)));
        assert_eq!(view.last().map(|(_, count)| *count), Some(5));
    }
}
