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
    fn of(value: f64, topic: &str) -> Self {
        Self { count: 1, min: value, max: value, mean: value, last: value, topic: topic.into() }
    }

    fn add(&mut self, value: f64, topic: &str) {
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        // Each term is divided before they are subtracted: a sum of readings could leave the range of numbers.
        let count = self.count as f64;
        self.mean += value / count - self.mean / count;
        self.last = value;
        if self.topic != topic {
            self.topic = topic.into();
        }
    }
}

/// Readings that are in no aggregate, and why.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub unreadable: u64,
    pub late: u64,
    pub beyond_keys: u64,
    /// What was wrong with the last unreadable one.
    pub last_reason: String,
}

/// One window.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Window {
    /// Milliseconds since 1970; none where it began before the gateway's clock was set.
    pub from: Option<u64>,
    pub keys: BTreeMap<String, Aggregate>,
    pub missing: Missing,
}

impl Window {
    /// Takes a reading in. A key more than `most` is counted only.
    pub fn add(&mut self, key: &str, topic: &str, value: f64, most: usize) {
        let has_room = self.keys.len() < most;
        match self.keys.get_mut(key) {
            Some(aggregate) => aggregate.add(value, topic),
            None if has_room => {
                self.keys.insert(key.into(), Aggregate::of(value, topic));
            }
            None => self.missing.beyond_keys += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_stays_within_its_readings() {
        let mut window = Window::default();
        for value in [f64::MAX, -f64::MAX, f64::MAX, f64::MAX, -f64::MAX] {
            window.add("k", "t", value, 1);
            let aggregate = &window.keys["k"];
            assert!(aggregate.mean >= aggregate.min && aggregate.mean <= aggregate.max, "{aggregate:?}");
        }
        let mut window = Window::default();
        (1..=1_000).for_each(|value| window.add("k", "t", f64::from(value), 1));
        assert!((window.keys["k"].mean - 500.5).abs() < 1e-9);
    }
}
