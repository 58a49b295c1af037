//! A cloud that ends the connection on what its policy forbids, as AWS IoT does, without a word.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use edgewit_domain::limits::{SHADOW_SYNC_ERROR_WAIT, SHADOW_SYNC_SOLO_WAIT};
use edgewit_domain::shadow::sync::{Effect, How, Input, Seen, Settings, Standing, Status, Sync};
use edgewit_domain::shadow::{Limits, Request, RequestTopic, ShadowId, Stored, Verb};
use edgewit_domain::topic::Topic;

use super::network::{Cloud, Faults};
use super::world::{EPOCH, id};
use crate::simulation::Random;

/// Far away.
const JOURNEY: Duration = Duration::from_millis(100);
/// Between two connections.
const PAUSE: Duration = Duration::from_secs(2);

/// A gateway whose disk is quick, and a link that nothing ends but the cloud.
struct Line {
    sync: Sync,
    now: Duration,
    stores: BTreeMap<ShadowId, (Option<Stored>, Option<Vec<u8>>)>,
    cloud: Cloud,
    forbids: fn(&RequestTopic) -> bool,
    on_the_way: VecDeque<(Duration, Topic, Vec<u8>)>,
    up: bool,
    comes_up: Duration,
    connections: u64,
    requests: u64,
    /// Something else ends each connection as soon as it stands.
    cursed: bool,
}

impl Line {
    fn new(ids: &[ShadowId], forbids: fn(&RequestTopic) -> bool) -> Line {
        let mut line = Line {
            sync: Sync::new(Settings::default()),
            now: Duration::from_secs(1),
            stores: BTreeMap::new(),
            cloud: Cloud::default(),
            forbids,
            on_the_way: VecDeque::new(),
            up: false,
            comes_up: Duration::from_secs(1),
            connections: 0,
            requests: 0,
            cursed: false,
        };
        for id in ids {
            line.stores.insert(id.clone(), (None, None));
            line.write(id, 1);
            let local = Seen::of(line.stores[id].0.as_ref());
            line.step(Input::Watch { id: id.clone(), how: How::default(), local, row: None });
        }
        line
    }

    /// A device says so.
    fn write(&mut self, id: &ShadowId, value: u64) {
        let update = format!(r#"{{"state":{{"reported":{{"value":{value}}}}}}}"#);
        let request = Request::parse(Verb::Update, update.as_bytes(), &Limits::default()).unwrap();
        let local = self.stores.get_mut(id).unwrap();
        local.0 = request.step(id, local.0.as_ref(), EPOCH, &Limits::default()).stored;
        let local = Seen::of(local.0.as_ref());
        self.step(Input::Changed { id: id.clone(), local });
    }

    fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.sync.step(self.now, input) {
                match effect {
                    Effect::Load { id } => {
                        let (local, row) = self.stores[&id].clone();
                        inputs.push_back(Input::Loaded { id, local, row, wall: EPOCH });
                    }
                    Effect::Commit { id, change, row } => {
                        assert!(change.is_none(), "nobody writes in the cloud");
                        self.stores.get_mut(&id).unwrap().1 = Some(row);
                        inputs.push_back(Input::Committed { id });
                    }
                    Effect::Publish { topic, payload } => {
                        assert!(self.up, "nothing is asked without a link");
                        self.requests += 1;
                        self.on_the_way.push_back((self.now + JOURNEY, topic, payload));
                    }
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrives = self.on_the_way.front().map(|(at, ..)| *at);
            let up = (!self.up).then_some(self.comes_up);
            let next = [arrives, up, self.sync.wake_at()].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            let next = next.max(self.now);
            self.now = next;
            if arrives.is_some_and(|at| at <= next) {
                let (_, topic, payload) = self.on_the_way.pop_front().unwrap();
                self.arrives(&topic, &payload);
            } else if up.is_some_and(|at| at <= next) {
                self.up = true;
                self.connections += 1;
                self.step(Input::Up { session_kept: true });
                if self.cursed {
                    self.end(false);
                }
            } else {
                self.step(Input::Woke);
            }
        }
    }

    fn arrives(&mut self, topic: &Topic, payload: &[u8]) {
        let request = RequestTopic::parse(topic).unwrap().unwrap();
        if (self.forbids)(&request) {
            return self.end(true);
        }
        let said = self.cloud.take(topic, payload, EPOCH, &mut Faults::default(), &mut Random(1));
        for (topic, payload) in said {
            self.step(Input::Heard { topic, payload });
        }
    }

    fn end(&mut self, owed: bool) {
        (self.up, self.comes_up) = (false, self.now + PAUSE);
        self.on_the_way.clear();
        self.step(Input::Down { owed });
    }

    fn status(&self, id: &ShadowId) -> Status {
        self.sync.status(self.now, id).unwrap()
    }

    fn error(&self, id: &ShadowId) -> String {
        let status = self.status(id);
        assert_eq!(status.standing, Standing::InError, "{id}: {status:?}");
        status.problem.unwrap().to_string()
    }

    fn check_in_sync(&self, ids: impl IntoIterator<Item = ShadowId>) {
        for id in ids {
            assert_eq!(self.status(&id).standing, Standing::InSync, "{id}: {:?}", self.status(&id));
            assert!(self.cloud.shadows.contains_key(&id), "{id}");
        }
    }
}

fn lamps(thing: &str, count: usize) -> Vec<ShadowId> {
    (0..count).map(|number| id(thing, &format!("lamp{number}"))).collect()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[test]
fn a_shadow_that_ends_connections_is_in_error_by_name_and_all_others_are_kept_the_same() {
    for (forbids, verb) in [
        ((|request| request.id.name.as_ref().unwrap().as_str() == "lamp17") as fn(&RequestTopic) -> bool, "get"),
        (|request| request.id.name.as_ref().unwrap().as_str() == "lamp17" && request.verb == Verb::Update, "update"),
    ] {
        let ids = [lamps("gw", 40), lamps("other", 40)].concat();
        let bad: Vec<ShadowId> = [id("gw", "lamp17"), id("other", "lamp17")].into();
        let mut line = Line::new(&ids, forbids);
        line.run(minutes(20));
        for bad in &bad {
            let (error, thing) = (line.error(bad), bad.thing.as_str());
            assert_eq!(
                error,
                format!(
                    "3 connections in a row ended while nothing but $aws/things/{thing}/shadow/name/lamp17/{verb} was \
                     asked; permit this client there, for AWS IoT in its certificate's policy, to iot:Publish on that \
                     topic, and to iot:Subscribe to and iot:Receive from what follows it"
                )
            );
        }
        line.check_in_sync(ids.iter().filter(|id| !bad.contains(id)).cloned());
        assert!(line.connections <= 1 + 2 * (3 + 3), "{verb}: {} connections", line.connections);
        assert!(line.requests <= 2 * 80 + 64 * 6, "{}", line.requests);

        // Everything else goes on at its usual pace, and nothing that happens here or on the link tries the two again.
        let (connections, requests) = (line.connections, line.requests);
        let others = lamps("gw", 10);
        for value in 0..10 {
            others.iter().chain(&bad).for_each(|id| line.write(id, 2 + value));
            line.run(Duration::from_secs(1));
        }
        line.end(false);
        line.run(Duration::from_secs(60));
        line.check_in_sync(others);
        assert!(bad.iter().all(|bad| line.status(bad).standing == Standing::InError));
        assert_eq!((line.connections - connections, line.requests - requests), (1, 100));
    }
}

/// An hour later it is looked whether the policy is another now, at the price of one connection.
#[test]
fn what_ended_connections_is_asked_for_alone_once_an_hour_until_it_may_be_asked_for() {
    let ids = lamps("gw", 5);
    let mut line = Line::new(&ids, |request| request.id.name.as_ref().unwrap().as_str() == "lamp2");
    line.run(minutes(20));
    let before = line.connections;
    line.run(SHADOW_SYNC_ERROR_WAIT * 10);
    let more = line.connections - before;
    assert!((10..=20).contains(&more), "{more}");
    line.error(&ids[2]);
    line.forbids = |_| false;
    line.run(SHADOW_SYNC_ERROR_WAIT);
    line.check_in_sync(ids);
}

/// Nothing of the thing is permitted, as when nobody thought of shadows: a few of them speak for all.
#[test]
fn a_thing_without_any_permission_costs_few_connections_and_leaves_the_link_to_all_else() {
    let (forbidden, others) = (lamps("forbidden", 200), lamps("other", 20));
    let mut line =
        Line::new(&[forbidden.clone(), others.clone()].concat(), |request| request.id.thing.as_str() == "forbidden");
    line.run(minutes(1));
    assert!(line.connections <= 1 + 3 + 6, "each suspicion leaves the link to all else: {}", line.connections);
    line.run(minutes(30));
    forbidden.iter().for_each(|id| assert!(line.error(id).contains("forbidden/shadow/name/lamp")));
    line.check_in_sync(others);
    assert!(line.connections <= 1 + 3 + 3 * 3, "{} connections", line.connections);
    let before = line.connections;
    line.run(SHADOW_SYNC_ERROR_WAIT * 10);
    let more = line.connections - before;
    assert!((10..=20).contains(&more), "{more}");
    line.forbids = |_| false;
    line.run(SHADOW_SYNC_ERROR_WAIT + minutes(2));
    line.check_in_sync(forbidden);
}

/// The link has a suspect of its own, and nothing of ours was on its way when it struck.
#[test]
fn connections_that_something_else_ends_speak_against_no_shadow() {
    let ids = lamps("gw", 5);
    let mut line = Line::new(&ids, |_| false);
    line.cursed = true;
    line.run(minutes(5));
    assert!(line.connections > 100, "{}", line.connections);
    line.cursed = false;
    line.run(SHADOW_SYNC_SOLO_WAIT / 2);
    line.check_in_sync(ids);
}
