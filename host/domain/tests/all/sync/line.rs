//! Many shadows over one link that nothing ends but the cloud, with a disk that is quick: how soon what is asked, and how
//! often.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

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

pub struct Line {
    sync: Sync,
    now: Duration,
    stores: BTreeMap<ShadowId, (Option<Stored>, Option<Vec<u8>>)>,
    pub cloud: Cloud,
    pub forbids: fn(&RequestTopic) -> bool,
    on_the_way: VecDeque<(Duration, Topic, Vec<u8>)>,
    up: bool,
    comes_up: Duration,
    pub connections: u64,
    pub requests: u64,
    /// Something else ends each connection as soon as it stands.
    pub cursed: bool,
    pub session_kept: bool,
}

impl Line {
    pub fn new(ids: &[ShadowId], forbids: fn(&RequestTopic) -> bool) -> Line {
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
            session_kept: true,
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
    pub fn write(&mut self, id: &ShadowId, value: u64) {
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

    pub fn run(&mut self, time: Duration) {
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
                self.step(Input::Up { session_kept: self.session_kept });
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

    pub fn end(&mut self, owed: bool) {
        (self.up, self.comes_up) = (false, self.now + PAUSE);
        self.on_the_way.clear();
        self.step(Input::Down { owed });
    }

    pub fn status(&self, id: &ShadowId) -> Status {
        self.sync.status(self.now, id).unwrap()
    }

    pub fn error(&self, id: &ShadowId) -> String {
        let status = self.status(id);
        assert_eq!(status.standing, Standing::InError, "{id}: {status:?}");
        status.problem.unwrap().to_string()
    }

    pub fn check_in_sync(&self, ids: impl IntoIterator<Item = ShadowId>) {
        for id in ids {
            assert_eq!(self.status(&id).standing, Standing::InSync, "{id}: {:?}", self.status(&id));
            assert!(self.cloud.shadows.contains_key(&id), "{id}");
        }
    }
}

pub fn lamps(thing: &str, count: usize) -> Vec<ShadowId> {
    (0..count).map(|number| id(thing, &format!("lamp{number}"))).collect()
}

pub fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}
