//! Ten thousand shadows: what a start and a comparison with a cloud that has not changed cost.

use std::collections::VecDeque;
use std::time::Duration;

use edgewit_domain::limits::{SHADOW_SYNC_AT_ONCE, SHADOW_SYNC_PER_THING, SHADOW_SYNC_SHADOWS};
use edgewit_domain::shadow::sync::{Effect, How, Input, Seen, Settings, Standing, Sync};
use edgewit_domain::shadow::{ShadowId, Stored};
use edgewit_domain::topic::Topic;

use super::line::{Line, lamps, minutes};
use super::network::{Cloud, Faults};
use super::world::{EPOCH, id};
use crate::simulation::Random;

const THINGS: usize = 12;
/// Far away, in milliseconds.
const JOURNEY: u64 = 100;

/// The store is read as it is needed, and none of it is kept: each document is made when it is asked for.
fn document(id: &ShadowId) -> Stored {
    let text = "x".repeat(3_000);
    let (thing, name) = (&id.thing, id.name.as_ref().unwrap());
    let record = format!(
        r#"{{"shadow":1,"version":5,"updated":100,"desired":{{"a":[0,"{text}"]}},"reported":{{"t":[0,"{thing}{name}"]}}}}"#
    );
    Stored::decode(record.as_bytes()).unwrap()
}

fn row(id: &ShadowId) -> Vec<u8> {
    let (text, thing, name) = ("x".repeat(3_000), &id.thing, id.name.as_ref().unwrap());
    format!(
        r#"{{"sync":1,"cloud":5,"base":{{"desired":{{"a":"{text}"}},"reported":{{"t":"{thing}{name}"}}}},"local":5}}"#
    )
    .into_bytes()
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn ten_thousand_shadows_start_and_compare_with_one_fetch_each_at_the_allowed_rate_in_little_memory() {
    let mut now = Duration::ZERO;
    let settings = Settings { per_second: 100, ..Settings::default() };
    let mut sync = Sync::new(settings);
    let ids = (0..SHADOW_SYNC_SHADOWS).map(|number| id(&format!("thing-{}", number % THINGS), &format!("s{number}")));
    for id in ids {
        let row = Some(row(&id));
        let effects = sync.step(now, Input::Watch { id, how: How::default(), local: Seen::Live(5), row });
        assert_eq!(effects, [], "nothing is done without a link");
    }
    let mut inputs = VecDeque::from([Input::Up { session_kept: false }]);
    let mut answers: VecDeque<(Duration, Topic, Vec<u8>)> = VecDeque::new();
    let (mut requests, mut documents) = (0, 0);
    loop {
        while let Some(input) = inputs.pop_front() {
            documents -= usize::from(matches!(input, Input::Loaded { .. }));
            for effect in sync.step(now, input) {
                match effect {
                    Effect::Load { id } => {
                        documents += 1;
                        assert!(documents <= SHADOW_SYNC_AT_ONCE);
                        let (local, row) = (Some(document(&id)), Some(row(&id)));
                        inputs.push_back(Input::Loaded { id, local, row, wall: EPOCH });
                    }
                    Effect::Publish { topic, payload } => {
                        requests += 1;
                        answers.push_back((now + Duration::from_millis(JOURNEY), topic, payload));
                    }
                    Effect::Commit { id, .. } => panic!("{id} has not changed"),
                }
            }
        }
        assert!(answers.len() <= SHADOW_SYNC_AT_ONCE.min(THINGS * SHADOW_SYNC_PER_THING));
        let answered = answers.front().map(|(at, ..)| *at);
        let Some(next) = [answered, sync.wake_at()].into_iter().flatten().min() else { break };
        if requests == SHADOW_SYNC_SHADOWS && answered.is_none() {
            break;
        }
        now = now.max(next);
        if answered.is_some_and(|at| at <= now) {
            let (_, topic, payload) = answers.pop_front().unwrap();
            let request = edgewit_domain::shadow::RequestTopic::parse(&topic).unwrap().unwrap();
            let mut cloud = Cloud::default();
            cloud.shadows.insert(request.id.clone(), document(&request.id));
            let said = cloud.take(&topic, &payload, EPOCH, &mut Faults::default(), &mut Random(1));
            inputs.extend(said.into_iter().map(|(topic, payload)| Input::Heard { topic, payload }));
        } else {
            inputs.push_back(Input::Woke);
        }
    }
    assert_eq!(requests, SHADOW_SYNC_SHADOWS, "one for each");
    assert!((99..=102).contains(&now.as_secs()), "100 a second, and not much less: {now:?}");
    assert!(sync.statuses(now).all(|(_, status)| status.standing == Standing::InSync));
    let megabytes = resident();
    assert!(megabytes < 64, "{megabytes} MB");
}

#[test]
fn what_is_said_here_does_not_wait_until_all_of_its_thing_is_fetched_nor_does_the_fetching_wait_for_it() {
    let ids = lamps("gw", 400);
    let mut line = Line::new(&ids, |_| false);
    line.run(minutes(5));
    line.check_in_sync(ids.clone());
    let before = line.requests;
    line.session_kept = false;
    line.end(false);
    line.run(Duration::from_secs(4));
    assert!(line.requests - before < 100, "the fetching takes half a minute");
    line.write(&ids[399], 2);
    line.run(Duration::from_secs(1));
    line.check_in_sync([ids[399].clone()]);
    // More than the cloud permits for a thing, said by one half of them.
    for value in 0..200 {
        ids[200..300].iter().for_each(|id| line.write(id, 3 + value));
        line.run(Duration::from_secs(1));
    }
    line.check_in_sync(ids[..200].to_vec());
}
