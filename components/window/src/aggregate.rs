//! The numbers of one window: pure, without messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What is known of one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    pub count: u64,
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    pub last: f64,
    /// The topic of the last reading, from which the output topic is made.
    pub topic: String,
}

impl Aggregate {
    pub fn of(value: f64, topic: &str) -> Self {
        Self { count: 1, min: value, max: value, mean: value, last: value, topic: topic.into() }
    }

    /// With one more reading.
    pub fn with(&self, value: f64, topic: &str) -> Self {
        let count = self.count + 1;
        Self {
            count,
            min: self.min.min(value),
            max: self.max.max(value),
            // Each term is divided before they are subtracted: a sum of readings could leave the range of numbers.
            mean: self.mean + (value / count as f64 - self.mean / count as f64),
            last: value,
            topic: topic.into(),
        }
    }
}

/// Readings that are in no aggregate, and why.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub unreadable: u64,
    pub late: u64,
    pub beyond_keys: u64,
    /// What was wrong with the last unreadable one.
    pub last_reason: String,
}

/// One window.
#[derive(Debug, Default)]
pub struct Window {
    /// Milliseconds since 1970; none where it began before the gateway's clock was set.
    pub from: Option<u64>,
    pub keys: BTreeMap<String, Aggregate>,
    pub missing: Missing,
}

impl Window {
    /// Whether a reading of this key may be taken in, where there may be so many keys.
    pub fn has_room(&self, key: &str, most: usize) -> bool {
        self.keys.len() < most || self.keys.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_stays_within_its_readings() {
        let mut aggregate = Aggregate::of(f64::MAX, "t");
        for value in [-f64::MAX, f64::MAX, f64::MAX, -f64::MAX] {
            aggregate = aggregate.with(value, "t");
            assert!(aggregate.mean >= aggregate.min && aggregate.mean <= aggregate.max, "{aggregate:?}");
        }
        let aggregate = (2..=1_000).fold(Aggregate::of(1.0, "t"), |all, value| all.with(f64::from(value), "t"));
        assert!((aggregate.mean - 500.5).abs() < 1e-9);
    }
}
