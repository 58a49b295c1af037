//! Shadows on both sides of a link, over simulated days: every fault that a network and a cloud have, alone and in pairs,
//! with kills between any two steps, a store that refuses, and a wall clock that jumps.
//!
//! In the end both sides say the same; what a side said last of what only it says is what they say; and no more was
//! asked of the cloud than changes and faults explain. A seed that fails is named, with the switches that were on; with
//! it in `EDGEWIT_SEED`, when this is built, it runs alone. `PROPTEST_CASES` says how many seeds a switch or pair gets.

mod bench;
mod deletions;
mod forbidden;
mod line;
mod many;
mod network;
mod steps;
mod world;
mod writers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use edgewit_domain::shadow::sync::{Direction, How};
use edgewit_domain::shadow::{ShadowId, Stored};
use serde_json::Value;

use network::{Fault, Faults};
use world::{EPOCH, Shadow, World, id};
use writers::Writer;

const DAYS: u64 = 2;
/// A deletion that we ask the cloud for takes what comes between the look and the deed.
const LATE: Duration = Duration::from_secs(600);
/// What says after a deletion what was said before it, while the other side has not heard of either, has changed nothing
/// that a merge could see: the other side may remove it.
const AGAIN: Duration = Duration::from_secs(3 * 3_600);

fn shadows() -> Vec<Shadow> {
    let how = |every| How { every: Duration::from_secs(every), ..How::default() };
    vec![
        Shadow { id: id("gw", "kept"), how: how(0), deletes: false },
        Shadow { id: id("gw", "periodic"), how: how(60), deletes: false },
        Shadow { id: id("gw", "deleted"), how: how(0), deletes: true },
        Shadow { id: id("other", "deleted"), how: how(30), deletes: true },
    ]
}

fn state(stored: Option<&Stored>) -> Option<Value> {
    let body = stored?.live()?.body(EPOCH, None);
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    let mut state = body["state"].take();
    state.as_object_mut().unwrap().remove("delta");
    Some(state)
}

impl World {
    fn permitted(&self) -> impl Iterator<Item = &Shadow> {
        self.shadows.iter().filter(|shadow| self.forbidden.as_ref() != Some(&shadow.id))
    }

    fn check_both_say_the_same(&self) {
        for shadow in self.permitted() {
            let local = state(self.disk[&shadow.id].0.as_ref());
            let cloud = state(self.cloud.shadows.get(&shadow.id));
            let status = self.sync.status(self.now, &shadow.id);
            // A source that has nothing to say is not followed.
            match shadow.how.direction {
                Direction::ToCloud if local.is_none() => continue,
                Direction::FromCloud if cloud.is_none() => continue,
                _ => {}
            }
            assert_eq!(local, cloud, "{}: here and in the cloud, {status:?}", shadow.id);
        }
    }

    /// Whatever was made of a document on the side of whoever alone writes some leaves: those are as he said them last.
    fn check_what_only_one_side_says(&self, id: &ShadowId, writer: Writer) {
        let shadow = self.shadows.iter().find(|shadow| shadow.id == *id).unwrap();
        if shadow.deletes || shadow.how.direction != Direction::Both {
            return;
        }
        let (section, stored) = match writer {
            Writer::Device => ("reported", self.disk[id].0.as_ref()),
            Writer::Cloud => ("desired", self.cloud.shadows.get(id)),
        };
        let Some(found) = state(stored) else { return };
        for ((_, name), (value, at)) in self.said[id].leaves.iter().filter(|((by, _), _)| *by == writer) {
            let found = found[section]["own"][name].as_u64();
            assert_eq!(found, *value, "{id}: {section}.own.{name} as said at {at:?} and found at {:?}", self.now);
        }
    }

    /// What nobody else writes is as it was said last, unless a deletion came after it.
    fn check_nothing_is_lost(&self) {
        for shadow in self.permitted() {
            let said = &self.said[&shadow.id];
            let found = state(self.disk[&shadow.id].0.as_ref());
            let source = match shadow.how.direction {
                Direction::Both => None,
                Direction::ToCloud => Some(Writer::Device),
                Direction::FromCloud => Some(Writer::Cloud),
            };
            for ((writer, name), (value, at)) in &said.leaves {
                if source.is_some_and(|source| source != *writer) {
                    continue;
                }
                let again = if value.is_none_or(|value| value < 2) { AGAIN } else { Duration::ZERO };
                let local_deletion = said.deleted.get(&Writer::Device).map(|deleted| {
                    let late = if *writer == Writer::Cloud { LATE } else { Duration::ZERO };
                    *deleted + late.max(again)
                });
                let cloud_deletion = said.deleted.get(&Writer::Cloud).map(|deleted| *deleted + again);
                let deletion = match source {
                    None => local_deletion.max(cloud_deletion),
                    Some(Writer::Device) => local_deletion,
                    Some(Writer::Cloud) => cloud_deletion,
                };
                if deletion.is_some_and(|deleted| deleted >= *at) {
                    continue;
                }
                let section = if *writer == Writer::Device { "reported" } else { "desired" };
                let found = found.as_ref().and_then(|state| state[section]["own"][name].as_u64());
                assert_eq!(found, *value, "{}: {section}.own.{name} as said at {at:?}; {said:?}", shadow.id);
            }
        }
    }

    fn check_requests(&self) {
        let counts = self.counts;
        let days = self.now.as_secs() / 43_200 + 1;
        let reconciled = days * self.shadows.len() as u64;
        let most = 2 * counts.changes + 4 * self.faults.happened + 2 * counts.dirty + counts.asked_for + reconciled;
        assert!(counts.requests <= most, "{} requests, at most {most}: {counts:?} {:?}", counts.requests, self.faults);
    }
}

fn one_way() -> Vec<Shadow> {
    let how = |direction| How { direction, ..How::default() };
    let shadow = |name, direction, deletes| Shadow { id: id("gw", name), how: how(direction), deletes };
    vec![
        shadow("to-kept", Direction::ToCloud, false),
        shadow("to-deleted", Direction::ToCloud, true),
        shadow("from-kept", Direction::FromCloud, false),
        shadow("from-deleted", Direction::FromCloud, true),
    ]
}

fn check(shadows: Vec<Shadow>, switches: &[Fault], kills: bool, seed: u64) {
    check_with(shadows, None, switches, kills, seed);
}

fn check_with(shadows: Vec<Shadow>, forbidden: Option<ShadowId>, switches: &[Fault], kills: bool, seed: u64) {
    let run = || {
        let mut world = World::new(seed, shadows);
        world.forbidden = forbidden;
        let percent = [10, 3, 30][seed as usize % 3];
        world.faults = Faults { switches: switches.to_vec(), percent, happened: 0 };
        (world.kills, world.refuses) = (kills, kills);
        world.live(Duration::from_secs(DAYS * 86_400));
        world.rest();
        world.check_both_say_the_same();
        world.check_nothing_is_lost();
        world.check_requests();
        // Otherwise nothing was shown.
        let (counts, happened) = (world.counts, world.faults.happened);
        assert!(
            counts.changes > 200 && counts.requests > 100 && (switches.is_empty() || percent < 10 || happened > 0),
            "{counts:?}"
        );
    };
    let ended = catch_unwind(AssertUnwindSafe(run));
    assert!(ended.is_ok(), "the seed was {seed}, the switches {switches:?}; what failed stands above");
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = option_env!("EDGEWIT_SEED").and_then(|seed| seed.parse().ok()) {
        return seed..seed + 1;
    }
    let first = number("PROPTEST_RNG_SEED").unwrap_or(1);
    first..first + number("PROPTEST_CASES").unwrap_or(256).div_ceil(64)
}

/// Alone and in pairs; without any as well.
fn every_switch() -> Vec<Vec<Fault>> {
    let mut all = vec![Vec::new()];
    for (place, one) in Fault::ALL.into_iter().enumerate() {
        all.push(vec![one]);
        all.extend(Fault::ALL[place + 1..].iter().map(|two| vec![one, *two]));
    }
    all
}

#[test]
fn both_sides_come_to_say_the_same_and_nothing_is_lost_under_every_fault_and_pair_of_faults() {
    for switches in every_switch() {
        seeds().for_each(|seed| check(shadows(), &switches, false, seed));
    }
}

#[test]
fn the_same_holds_when_the_process_is_killed_between_any_two_steps_and_the_store_refuses() {
    for switches in every_switch() {
        seeds().for_each(|seed| check(shadows(), &switches, true, seed));
    }
}

#[test]
fn the_same_holds_for_all_others_when_the_cloud_ends_the_connection_on_one_shadow() {
    for switches in every_switch().into_iter().filter(|switches| switches.len() < 2) {
        let forbidden = id("gw", "deleted");
        seeds().for_each(|seed| check_with(shadows(), Some(forbidden.clone()), &switches, seed % 2 == 0, seed));
    }
}

/// What the source says last of anything is what both say; what the other side says is not.
#[test]
fn one_way_the_source_is_followed_under_every_fault_and_pair_of_faults() {
    for switches in every_switch() {
        seeds().for_each(|seed| check(one_way(), &switches, seed % 2 == 0, seed));
    }
}

/// Every step of an hour in turn, and nothing else goes wrong.
#[test]
fn a_kill_after_any_step_leaves_nothing_behind() {
    for seed in seeds() {
        let mut after = 1;
        loop {
            let mut world = World::new(seed, shadows());
            world.kill_after = Some(after);
            world.live(Duration::from_secs(3_600));
            let (killed, steps) = (world.kill_after.is_none(), world.steps);
            world.kill_after = None;
            world.rest();
            let checks = AssertUnwindSafe(|| {
                world.check_both_say_the_same();
                world.check_nothing_is_lost();
                world.check_requests();
            });
            assert!(catch_unwind(checks).is_ok(), "the seed was {seed}, the kill after step {after}; see above");
            if !killed {
                assert!(steps > 25, "{steps} steps in the hour of seed {seed}: otherwise nothing was shown");
                break;
            }
            after += 1;
        }
    }
}
