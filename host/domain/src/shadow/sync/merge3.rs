//! Two states that went different ways, made one again, leaf by leaf, against what both had last.
//!
//! What only one side changed is taken from it. Where both changed the same leaf, the section's winner has it. An array
//! is a leaf, and so is an object where the other side has come to have something else.
//!
//! What both had last is not always known: an update may have reached the cloud without an answer. So there may be two
//! bases, and a leaf counts as changed by the cloud only if it is in none of them, and as changed here if it is not in
//! all of them. So a side's own change that comes back to it is never taken for another's.

use super::state::State;
use crate::shadow::json::{Members, Scalar, Value};

/// Who has a leaf that both sides changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner {
    Cloud,
    Device,
}

/// Who wins where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Winners {
    pub desired: Winner,
    pub reported: Winner,
}

impl Default for Winners {
    fn default() -> Self {
        Winners { desired: Winner::Cloud, reported: Winner::Device }
    }
}

/// `base` is what both had last (nothing, if they never met), `sent` what the cloud may have had of us since.
pub(in crate::shadow) fn merge3(
    base: &State,
    sent: Option<&State>,
    local: &State,
    cloud: &State,
    winners: Winners,
) -> State {
    let section = |of: fn(&State) -> &Members<Value>, winner: Winner| {
        let bases: Vec<_> = [Some(base), sent].into_iter().flatten().map(|base| Some(of(base))).collect();
        members(&bases, of(local), of(cloud), winner)
    };
    State {
        desired: section(|state| &state.desired, winners.desired),
        reported: section(|state| &state.reported, winners.reported),
    }
}

fn members(
    bases: &[Option<&Members<Value>>],
    local: &Members<Value>,
    cloud: &Members<Value>,
    winner: Winner,
) -> Members<Value> {
    let mut names: Vec<&Scalar> = local.iter().chain(cloud.iter()).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let merged = names.into_iter().filter_map(|name| {
        let bases: Vec<_> = bases.iter().map(|base| base.and_then(|base| base.get(name))).collect();
        Some((name.clone(), value(&bases, local.get(name), cloud.get(name), winner)?))
    });
    Members::new(merged.collect())
}

fn value(bases: &[Option<&Value>], local: Option<&Value>, cloud: Option<&Value>, winner: Winner) -> Option<Value> {
    if bases.iter().any(|base| same(*base, cloud)) {
        return local.cloned();
    }
    if same(local, cloud) || bases.iter().all(|base| same(*base, local)) {
        return cloud.cloned();
    }
    let nothing = Members::default();
    let below: Vec<_> = bases.iter().map(|base| object(*base)).collect();
    let was_object = below.iter().any(Option::is_some);
    match (local, cloud) {
        (Some(Value::Object(local)), Some(Value::Object(cloud))) => {
            Some(Value::Object(members(&below, local, cloud, winner)))
        }
        // Who removed an object removed the leaves that he knew.
        (Some(Value::Object(local)), None) if was_object => any(members(&below, local, &nothing, winner)),
        (None, Some(Value::Object(cloud))) if was_object => any(members(&below, &nothing, cloud, winner)),
        _ if winner == Winner::Cloud => cloud.cloned(),
        _ => local.cloned(),
    }
}

fn any(members: Members<Value>) -> Option<Value> {
    (!members.is_empty()).then_some(Value::Object(members))
}

fn object(value: Option<&Value>) -> Option<&Members<Value>> {
    match value {
        Some(Value::Object(members)) => Some(members),
        _ => None,
    }
}

fn same(one: Option<&Value>, two: Option<&Value>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => one.equals(two),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;
    use crate::shadow::json::parse;
    use crate::shadow::{Document, Expected, Limits, Request, Stored, Update, Verb};

    fn state(text: &str) -> State {
        let Value::Object(members) = parse(text.as_bytes(), 12).unwrap().value else { panic!("{text}") };
        State::read(&members).unwrap_or_else(|| panic!("{text}"))
    }

    fn written(state: &State) -> String {
        let mut out = Vec::new();
        state.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Of one section each; of two bases the second is what was sent.
    fn check(section: &str, base: &str, local: &str, cloud: &str, expected: &str) {
        let of = |text: &str| state(&format!("{{\"{section}\":{text}}}"));
        let (base, sent) = base.split_once(" or ").map_or((base, None), |(base, sent)| (base, Some(of(sent))));
        let merged = merge3(&of(base), sent.as_ref(), &of(local), &of(cloud), Winners::default());
        assert_eq!(written(&merged), written(&of(expected)), "{base} / {local} / {cloud}");
    }

    #[test]
    fn the_cloud_wins_what_is_desired_and_the_device_what_is_reported_where_both_changed_a_leaf() {
        for (section, won) in [("desired", r#"{"a":3}"#), ("reported", r#"{"a":2}"#)] {
            check(section, r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#, won);
            check(section, "{}", r#"{"a":2}"#, r#"{"a":3}"#, won);
            check(section, r#"{"a":[1]}"#, r#"{"a":2}"#, r#"{"a":3}"#, won);
        }
        check("desired", r#"{"a":1}"#, r#"{"a":2}"#, "{}", "{}");
        check("reported", r#"{"a":1}"#, r#"{"a":2}"#, "{}", r#"{"a":2}"#);
        check("reported", r#"{"a":1}"#, "{}", r#"{"a":2}"#, "{}");
        check("desired", r#"{"a":{"b":1}}"#, r#"{"a":7}"#, r#"{"a":{"b":2}}"#, r#"{"a":{"b":2}}"#);
        check("reported", r#"{"a":{"b":1}}"#, r#"{"a":7}"#, r#"{"a":{"b":2}}"#, r#"{"a":7}"#);
    }

    #[test]
    fn what_one_side_alone_changed_added_or_removed_is_taken_from_it() {
        for section in ["desired", "reported"] {
            check(section, r#"{"a":1,"b":1}"#, r#"{"a":2,"b":1}"#, r#"{"a":1,"b":2}"#, r#"{"a":2,"b":2}"#);
            check(section, r#"{"a":1,"b":1}"#, r#"{"b":1}"#, r#"{"a":1}"#, "{}");
            check(section, "{}", r#"{"a":{"x":1}}"#, r#"{"a":{"y":2}}"#, r#"{"a":{"x":1,"y":2}}"#);
            check(section, "{}", r#"{"a":1}"#, r#"{"b":2}"#, r#"{"a":1,"b":2}"#);
            check(section, r#"{"a":1}"#, r#"{"a":1.0}"#, r#"{"a":2}"#, r#"{"a":2}"#);
            // Who removes an object removes what he knew of it.
            check(section, r#"{"a":{"x":1}}"#, "{}", r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"y":2}}"#);
            check(section, r#"{"a":{"x":1}}"#, r#"{"a":{"x":1,"y":2}}"#, "{}", r#"{"a":{"y":2}}"#);
            check(section, r#"{"a":{"x":1}}"#, "{}", r#"{"a":{}}"#, "{}");
        }
    }

    /// Sent and unanswered: a device's own value that is found in the cloud is no change of the cloud's.
    #[test]
    fn an_update_without_an_answer_is_not_taken_for_the_clouds() {
        for section in ["desired", "reported"] {
            check(section, r#"{"a":1} or {"a":2}"#, r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":1}"#);
            check(section, r#"{"a":1} or {"a":2}"#, r#"{"a":2}"#, r#"{"a":1}"#, r#"{"a":2}"#);
            check(section, r#"{"a":1} or {}"#, r#"{"a":1}"#, "{}", r#"{"a":1}"#);
            check(section, r#"{"a":{"x":1}} or {}"#, r#"{"a":{"x":1}}"#, "{}", r#"{"a":{"x":1}}"#);
        }
        check("reported", r#"{"a":1} or {"a":2}"#, r#"{"a":1}"#, r#"{"a":9}"#, r#"{"a":1}"#);
        check("desired", r#"{"a":1} or {"a":2}"#, r#"{"a":1}"#, r#"{"a":9}"#, r#"{"a":9}"#);
    }

    fn any_state() -> impl Strategy<Value = State> {
        let leaf = prop_oneof![Just("1"), Just("1.0"), Just("2"), Just("\"x\""), Just("[1,{}]"), Just("{}")];
        let tree = leaf.prop_map(str::to_owned).prop_recursive(3, 12, 3, |value| section(value).boxed());
        let sections = (section(tree.clone()), section(tree));
        sections.prop_map(|(desired, reported)| state(&format!("{{\"desired\":{desired},\"reported\":{reported}}}")))
    }

    fn section(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        btree_map("[a-c]", value, 0..4).prop_map(|members| {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    }

    fn winners() -> impl Strategy<Value = Winners> {
        let winner = || prop_oneof![Just(Winner::Cloud), Just(Winner::Device)];
        (winner(), winner()).prop_map(|(desired, reported)| Winners { desired, reported })
    }

    fn document(state: &State) -> Document {
        let payload = format!("{{\"state\":{}}}", written(state));
        let Request::Update(update) = Request::parse(Verb::Update, payload.as_bytes(), &Limits::default()).unwrap()
        else {
            panic!("{payload}")
        };
        update.apply(None, 7, &Limits::default()).unwrap()
    }

    proptest! {
        /// What is sent to either side makes the same of both, as the engine that they share carries it out.
        #[test]
        fn both_patches_lead_to_the_merged_state(
            base in any_state(), local in any_state(), cloud in any_state(), winners in winners(),
            sent in proptest::option::of(any_state()),
        ) {
            let merged = merge3(&base, sent.as_ref(), &local, &cloud, winners);
            for side in [&local, &cloud] {
                let patch = merged.patch_from(side);
                prop_assert!(side.patched(&patch).same(&merged), "{}", written(&merged));
                let update = Update { state: Value::Object(patch), expected: Expected::Anything, token: None };
                let stored = Stored::Live(document(side));
                let after = State::of(&update.apply(Some(&stored), 9, &Limits::default()).unwrap());
                prop_assert!(after.same(&merged), "{} is not {}", written(&after), written(&merged));
            }
        }

        #[test]
        fn a_side_that_changed_nothing_loses_nothing_and_gets_everything(
            base in any_state(), other in any_state(), sent in any_state(), winners in winners(),
        ) {
            prop_assert!(merge3(&base, None, &base, &other, winners).same(&other));
            prop_assert!(merge3(&base, None, &other, &base, winners).same(&other));
            prop_assert!(merge3(&base, Some(&sent), &other, &sent, winners).same(&other), "it was ours");
        }

        /// Merged again there is nothing left to do, whoever wins.
        #[test]
        fn what_was_merged_stays(
            base in any_state(), local in any_state(), cloud in any_state(), winners in winners(),
        ) {
            let merged = merge3(&base, None, &local, &cloud, winners);
            prop_assert!(merge3(&cloud, None, &merged, &cloud, winners).same(&merged));
            prop_assert!(merged.patch_from(&merged).is_empty());
        }
    }
}
