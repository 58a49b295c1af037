//! What holds for every document and every patch.

use edgewit_domain::shadow::{Expected, Limits, Rejection, Reply, Section, Stored, Update};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{BEFORE, NOW, got, said, update};

/// Few names and few values, so that patches meet what is there.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(true)),
        (-2..3_i64).prop_map(|number| json!(number)),
        Just(json!(1.0)),
        Just(json!(12_345_678_901_234_567_890_u64)),
        "[a-b\"\\\\\u{1}ä]{0,3}".prop_map(Value::String),
    ]
}

fn array() -> impl Strategy<Value = Value> {
    let item = scalar().prop_recursive(2, 8, 3, |item| {
        prop_oneof![vec(item.clone(), 0..3).prop_map(Value::Array), members(item).prop_map(Value::Object)]
    });
    vec(item, 0..3).prop_map(Value::Array)
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    btree_map("[a-d]|\"|x\n", value, 0..5).prop_map(|members| members.into_iter().collect())
}

/// A section of a request: nulls wherever a patch may have one.
fn patch() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![4 => scalar(), 2 => array(), 2 => Just(Value::Null)];
    let section = leaf.prop_recursive(4, 24, 5, |value| members(value).prop_map(Value::Object));
    prop_oneof![1 => Just(Value::Null), 8 => members(section).prop_map(Value::Object)]
}

fn state() -> impl Strategy<Value = Value> {
    let section = || proptest::option::of(patch());
    let sections = (section(), section()).prop_map(|(desired, reported)| {
        let sections = [("desired", desired), ("reported", reported)];
        sections.into_iter().filter_map(|(name, section)| Some((name.to_owned(), section?))).collect()
    });
    prop_oneof![1 => Just(Value::Null), 15 => sections.prop_map(Value::Object)]
}

fn stored() -> impl Strategy<Value = Option<Stored>> {
    vec(state(), 0..4).prop_map(|states| {
        states.iter().fold(None, |stored: Option<Stored>, state| after(stored.as_ref(), state, BEFORE))
    })
}

fn after(stored: Option<&Stored>, state: &Value, now: u64) -> Option<Stored> {
    let outcome = update(stored, &json!({ "state": state }).to_string(), now);
    assert!(outcome.stored.is_some(), "{:?}", said(&outcome, Reply::Rejected));
    outcome.stored
}

fn without_nulls(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => items.iter().all(without_nulls),
        Value::Object(members) => members.values().all(without_nulls),
        _ => true,
    }
}

/// A time for every leaf, an object for every object, a list for every list, and nothing else.
fn mirrors(state: &Value, metadata: &Value) -> bool {
    match (state, metadata) {
        (Value::Object(state), Value::Object(metadata)) => {
            state.len() == metadata.len()
                && state.iter().all(|(name, value)| metadata.get(name).is_some_and(|other| mirrors(value, other)))
        }
        (Value::Array(state), Value::Array(metadata)) => {
            state.len() == metadata.len() && state.iter().zip(metadata).all(|(value, other)| mirrors(value, other))
        }
        (Value::Object(_) | Value::Array(_), _) => false,
        (_, time) => *time == json!({"timestamp": BEFORE}) || *time == json!({"timestamp": NOW}),
    }
}

proptest! {
    /// A device that does what it is told has nothing left to do.
    #[test]
    fn the_delta_reported_leaves_no_delta(stored in stored(), state in state()) {
        let before = update(stored.as_ref(), &json!({ "state": state }).to_string(), NOW);
        if let Some(delta) = said(&before, Reply::Delta) {
            let told = json!({"state": {"reported": delta["state"]}});
            let outcome = update(before.stored.as_ref(), &told.to_string(), NOW);
            prop_assert_eq!(said(&outcome, Reply::Delta), None, "{}", delta);
        }
    }

    /// The same request again changes the version and nothing else; and only the first of two that expect a version wins.
    #[test]
    fn an_update_is_idempotent_but_for_its_version(stored in stored(), state in state()) {
        let once = after(stored.as_ref(), &state, NOW).unwrap();
        let twice = after(Some(&once), &state, NOW).unwrap();
        let (mut one, mut two) = (got(&once), got(&twice));
        prop_assert_eq!(two["version"].as_u64(), one["version"].as_u64().map(|version| version + 1));
        one["version"].take();
        two["version"].take();
        prop_assert_eq!(one, two);

        let version = stored.as_ref().map_or(1, |stored| stored.live().unwrap().version());
        let request = json!({"state": state, "version": version}).to_string();
        let first = update(stored.as_ref(), &request, NOW);
        prop_assert_eq!(first.stored.as_ref(), Some(&once));
        if stored.is_some() {
            let second = update(Some(&once), &request, NOW);
            prop_assert_eq!(said(&second, Reply::Rejected), Some(json!({"code": 409, "message": "Version conflict"})));
        }
    }

    #[test]
    fn null_never_survives(stored in stored(), state in state()) {
        let now = got(&after(stored.as_ref(), &state, NOW).unwrap());
        prop_assert!(without_nulls(&now["state"]), "{}", now);
    }

    #[test]
    fn metadata_mirrors_the_state(stored in stored(), state in state()) {
        let outcome = update(stored.as_ref(), &json!({ "state": state }).to_string(), NOW);
        let documents = said(&outcome, Reply::Documents).unwrap();
        let current = &documents["current"];
        prop_assert!(mirrors(&current["state"], &current["metadata"]), "{}", current);
        if let Some(delta) = said(&outcome, Reply::Delta) {
            prop_assert!(mirrors(&delta["state"], &delta["metadata"]), "{}", delta);
        }
        let accepted = said(&outcome, Reply::Accepted).unwrap();
        prop_assert!(mirrors(&accepted["state"], &accepted["metadata"]), "{}", accepted);
    }

    /// What the store keeps is what was there, and how large it counts is how large its sections are written.
    #[test]
    fn what_is_kept_reads_back(stored in stored()) {
        if let Some(stored) = stored {
            prop_assert_eq!(Stored::decode(&stored.encode()), Ok(stored.clone()));
            let state = got(&stored)["state"].take();
            let sections = ["desired", "reported"].iter().filter_map(|name| state.get(name));
            let bytes: usize = sections.map(|section| section.to_string().len()).sum();
            prop_assert_eq!(stored.live().unwrap().size(), bytes);
        }
    }

    /// A patch of one section through the typed way is the request that a device would have sent.
    #[test]
    fn a_patch_is_the_request_it_stands_for(stored in stored(), patch in patch(), reported: bool) {
        let section = if reported { Section::Reported } else { Section::Desired };
        let update = Update::of(section, patch.to_string().as_bytes(), &Limits::default()).unwrap();
        let document = update.apply(stored.as_ref(), NOW, &Limits::default()).unwrap();
        let expected = after(stored.as_ref(), &json!({section.word(): patch}), NOW);
        prop_assert_eq!(Some(Stored::Live(document)), expected);

        let anew = update.expecting(Expected::Nothing).apply(stored.as_ref(), NOW, &Limits::default());
        prop_assert_eq!(anew.err(), stored.is_some().then_some(Rejection::VersionConflict));
    }
}
