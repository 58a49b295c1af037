//! What is kept of sources: so many, the longest silent forgotten, the same with and without memory.
#![expect(clippy::unwrap_used, reason = "a test")]

use edgewit_sdk::sources::Sources;
use edgewit_sdk::testing::Bench;
use edgewit_sdk::{Component, ConfigError, Delivery, Failure, HandleMessages, log};

const MOST: usize = 2;

/// Counts what each source says, and logs what it counted and whom it forgot.
struct Counting {
    counts: Sources<u64>,
}

impl Component for Counting {
    fn from_config() -> Result<Self, ConfigError> {
        Ok(Self { counts: Sources::new("state", "count/") })
    }
}

impl HandleMessages for Counting {
    fn on_message(&mut self, delivery: Delivery) -> Result<(), Failure> {
        let source = delivery.topic();
        match delivery.text()? {
            "count" => {
                let count = self.counts.get(source)?.copied().unwrap_or(0) + 1;
                let forgotten = self.counts.keep(source, count, MOST)?;
                log::info(format!("{source} {count} {}", forgotten.unwrap_or_default()));
                Ok(())
            }
            "hear" => self.counts.hear(source),
            "forget" => self.counts.forget(source),
            other => Err(Failure::Reject(other.into())),
        }
    }
}

/// What is logged of messages, each `source does`.
fn said(messages: &[&str], loses_its_memory: bool) -> Vec<String> {
    let mut bench = Bench::<Counting>::new().unwrap().granting_buckets(["state"]).with_value("state", "other", "7");
    for message in messages {
        let (source, does) = message.split_once(' ').unwrap();
        bench.message(source, does).unwrap();
        if loses_its_memory {
            bench.restart().unwrap();
        }
    }
    bench.take_logs().into_iter().map(|line| line.text.trim_end().to_owned()).collect()
}

#[test]
fn the_longest_silent_is_forgotten_with_and_without_memory() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["a count", "a count"], &["a 1", "a 2"]),
        (&["a count", "b count", "c count", "b count", "a count"], &["a 1", "b 1", "c 1 a", "b 2", "a 1 c"]),
        (&["a count", "b count", "a hear", "c count", "a count"], &["a 1", "b 1", "c 1 b", "a 2"]),
        (&["a hear", "a count"], &["a 1"]),
        (&["a count", "b count", "a forget", "c count", "a count"], &["a 1", "b 1", "c 1", "a 1 b"]),
    ];
    for (messages, expected) in cases {
        for loses_its_memory in [false, true] {
            assert_eq!(said(messages, loses_its_memory), *expected, "{messages:?}, {loses_its_memory}");
        }
    }
}

#[test]
fn who_was_heard_last_costs_no_change() {
    let mut bench = Bench::<Counting>::new().unwrap().granting_buckets(["state"]);
    bench.message("a", "count").unwrap();
    assert!(bench.message("a", "hear").unwrap().values.is_empty());
    assert_eq!(bench.values("state").keys().collect::<Vec<_>>(), ["count/a"]);
}

#[test]
fn what_is_kept_and_cannot_be_read_is_named() {
    let mut bench = Bench::<Counting>::new().unwrap().granting_buckets(["state"]).with_value("state", "count/a", "no");
    let Err(Failure::Reject(reason)) = bench.message("b", "count") else { panic!("read") };
    assert!(reason.contains("`count/a`"), "{reason}");
}
