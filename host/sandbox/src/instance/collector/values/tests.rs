//! What a handling sees of buckets, what of it leaves, and where it ends.

use edgewit_domain::limits::KIB;

use super::*;
use crate::services::MemoryValues;

/// More than any test here needs.
const ROOMY: u64 = 64 * 1024 * KIB;

fn own(quota: u64) -> Arc<Bucket> {
    Arc::new(Bucket { id: BucketId::Own { component: "it".into(), name: "b".into() }, quota })
}

fn shared() -> Arc<Bucket> {
    Arc::new(Bucket { id: BucketId::Shared("b".into()), quota: ROOMY })
}

fn value(text: &str) -> Value {
    Some(text.as_bytes().into())
}

/// A store that holds these.
fn kept(bucket: &Arc<Bucket>, pairs: &[(&str, &str)]) -> MemoryValues {
    let values = MemoryValues::default();
    let change =
        |(key, text): &(&str, &str)| ValueChange { bucket: bucket.clone(), key: (*key).to_owned(), value: value(text) };
    values.apply(&pairs.iter().map(change).collect::<Vec<_>>());
    values
}

fn names<'a, T>(entries: impl IntoIterator<Item = &'a T>, name: impl Fn(&'a T) -> &'a str) -> Vec<&'a str>
where
    T: 'a,
{
    entries.into_iter().map(name).collect()
}

fn reason<T: std::fmt::Debug>(outcome: Result<T, Refused>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn h1_a_handling_sees_its_own_changes_and_only_the_last_of_each_key_leaves() {
    let bucket = own(ROOMY);
    let values = kept(&bucket, &[("a", "old"), ("b", "old")]);
    let mut effects = ValueEffects::default();
    effects.set(&values, &bucket, "a", value("1")).unwrap();
    effects.set(&values, &bucket, "a", value("2")).unwrap();
    effects.set(&values, &bucket, "b", None).unwrap();
    let seen: Vec<Value> = ["a", "b", "c"].map(|key| effects.get(&values, &bucket, key).unwrap()).into();
    assert_eq!(seen, [value("2"), None, None]);
    let (changes, reads) = effects.take();
    let changes: Vec<_> = changes.into_iter().map(|change| (change.key, change.value)).collect();
    assert_eq!(changes, [("a".to_owned(), value("2")), ("b".to_owned(), None)]);
    assert_eq!(reads, [], "nobody else writes to a bucket of its own");
    assert_eq!(effects.take(), (vec![], vec![]), "taken once");
}

#[test]
fn h2_what_is_seen_of_a_shared_bucket_is_noted_once_and_stays_as_it_was_seen() {
    let bucket = shared();
    let values = kept(&bucket, &[("a", "1"), ("c", "3")]);
    let mut effects = ValueEffects::default();
    effects.set(&values, &bucket, "c", value("mine")).unwrap();
    for key in ["a", "b", "c"] {
        effects.get(&values, &bucket, key).unwrap();
    }
    // Another component commits between two looks.
    values.apply(&[ValueChange { bucket: bucket.clone(), key: "a".into(), value: value("2") }]);
    assert_eq!(effects.get(&values, &bucket, "a").unwrap(), value("1"));
    let (changes, reads) = effects.take();
    assert_eq!(names(&changes, |change| &change.key), ["c"]);
    let reads: Vec<_> = reads.into_iter().map(|read| (read.key, read.value)).collect();
    assert_eq!(reads, [("a".to_owned(), value("1")), ("b".to_owned(), None)], "what it set itself it did not see");
}

#[test]
fn the_quota_counts_keys_and_values_with_what_the_handling_changed() {
    let bucket = own(10);
    let values = kept(&bucket, &[("a", "1234")]);
    let mut effects = ValueEffects::default();
    let mut set = |key: &str, text: Option<&str>| {
        effects
            .set(&values, &bucket, key, text.map(|text| text.as_bytes().into()))
            .map_err(|refused| refused.to_string())
    };
    set("b", Some("1234")).unwrap();
    let refusal = set("b", Some("12345")).unwrap_err();
    assert!(refusal.contains("own/it/b would hold 11 bytes and may hold 10"), "{refusal}");
    assert!(set("c", Some("")).is_err());
    set("a", None).unwrap();
    set("c", Some("1234")).unwrap();
    assert!(set("a", Some("")).is_err());
    let (changes, _) = effects.take();
    assert_eq!(names(&changes, |change| &change.key), ["a", "b", "c"], "what was refused changed nothing");
}

#[test]
fn a_bucket_that_holds_too_much_already_may_become_smaller() {
    let bucket = own(4);
    let values = kept(&bucket, &[("a", "123456789")]);
    let mut effects = ValueEffects::default();
    assert!(effects.set(&values, &bucket, "a", value("1234567890")).is_err());
    effects.set(&values, &bucket, "a", value("12345")).unwrap();
    effects.set(&values, &bucket, "a", None).unwrap();
}

#[test]
fn a_key_is_text_of_some_length_without_a_null_character() {
    let (bucket, values) = (own(ROOMY), MemoryValues::default());
    let mut effects = ValueEffects::default();
    let long = "k".repeat(KEY_BYTES);
    for key in ["a", "a/b c", "ü", "\n", &long] {
        effects.set(&values, &bucket, key, value("")).unwrap();
    }
    for key in ["", "a\0b", &format!("{long}k")] {
        assert!(effects.set(&values, &bucket, key, value("")).is_err(), "{key:.5}");
        assert!(effects.get(&values, &bucket, key).is_err(), "{key:.5}");
    }
}

#[test]
fn one_handling_changes_and_sees_no_more_than_its_limits() {
    let (bucket, values) = (shared(), MemoryValues::default());
    let mut effects = ValueEffects::default();
    for number in 0..VALUES_PER_HANDLING {
        effects.set(&values, &bucket, &number.to_string(), value("")).unwrap();
        effects.get(&values, &bucket, &format!("r{number}")).unwrap();
    }
    assert_eq!(reason(effects.set(&values, &bucket, "more", value(""))), "one handling may change 4096 keys");
    assert_eq!(reason(effects.get(&values, &bucket, "more")), "one handling may look at 4096 keys of shared buckets");
    effects.set(&values, &bucket, "0", value("again")).unwrap();
    effects.get(&values, &bucket, "r0").unwrap();

    effects.clear();
    let large = vec![0; VALUE_BYTES - 2];
    let most = VALUE_BYTES_PER_HANDLING / VALUE_BYTES as u64;
    for number in 0..most {
        effects.set(&values, &bucket, &format!("{number:02}"), Some(large.as_slice().into())).unwrap();
    }
    let refusal = "one handling may change 4194304 bytes of keys and values";
    assert_eq!(reason(effects.set(&values, &bucket, "99", value(""))), refusal);
    effects.set(&values, &bucket, "00", value("")).unwrap();
    effects.set(&values, &bucket, "99", value("")).unwrap();
    assert!(effects.set(&values, &bucket, "98", Some(vec![0; VALUE_BYTES + 1].into())).is_err());
}

#[test]
fn a_listing_is_what_is_kept_with_what_was_changed() {
    let bucket = own(ROOMY);
    let values = kept(&bucket, &[("b", ""), ("d", ""), ("e", ""), ("f", ""), ("h", "")]);
    let mut effects = ValueEffects::default();
    for (key, change) in [("a", value("")), ("c", value("")), ("d", None), ("e", None), ("f", None), ("i", value(""))] {
        effects.set(&values, &bucket, key, change).unwrap();
    }
    for count in 1..8 {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        loop {
            let (keys, more) = effects.keys(&values, &bucket, after.as_deref(), count).unwrap();
            assert!(keys.len() <= count && (!keys.is_empty() || !more), "{keys:?} of {count}");
            all.extend(keys);
            after = all.last().cloned();
            if !more {
                break;
            }
        }
        assert_eq!(all, ["a", "b", "c", "h", "i"], "in pages of {count}");
    }
}
