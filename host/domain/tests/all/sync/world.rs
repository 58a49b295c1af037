//! A gateway, its store and its writers; a cloud and its writers; and time. Whatever happens is an event at a time, in an
//! order that the seed decides.

use std::collections::BTreeMap;
use std::time::Duration;

use edgewit_domain::shadow::sync::{Change, Effect, How, Input, Seen, Settings, Standing, Sync};
use edgewit_domain::shadow::{Limits, RequestTopic, ShadowId, ShadowName, Stored, ThingName};
use edgewit_domain::topic::Topic;

use super::network::{Cloud, Fault, Faults};
use super::writers::{Said, Writer};
use crate::simulation::Random;

pub const EPOCH: u64 = 1_700_000_000;

#[derive(Clone, Debug)]
pub enum Event {
    /// A request arrives in the cloud, if its connection carries it.
    Asked(Topic, Vec<u8>),
    /// A message arrives at the gateway.
    Told(Topic, Vec<u8>),
    Load(ShadowId, u64),
    Commit(ShadowId, Option<Change>, Vec<u8>, u64),
    /// Something that the gateway tells its machine, as long as it is the same run.
    Tell(Input, u64),
    LocalWrite,
    CloudWrite,
    Link(bool),
    Kill,
    Jump,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub requests: u64,
    pub changes: u64,
    /// Dirty shadows at each time the link came up.
    pub dirty: u64,
    /// Shadows that a lost session or a new process has to ask for.
    pub asked_for: u64,
}

pub struct Shadow {
    pub id: ShadowId,
    pub how: How,
    pub deletes: bool,
}

pub struct World {
    pub seed: u64,
    pub random: Random,
    pub now: Duration,
    pub wall: u64,
    pub sync: Sync,
    pub shadows: Vec<Shadow>,
    pub disk: BTreeMap<ShadowId, (Option<Stored>, Option<Vec<u8>>)>,
    pub cloud: Cloud,
    pub faults: Faults,
    pub kills: bool,
    /// The process ends after so many steps, with what it had asked for and not yet got.
    pub kill_after: Option<u64>,
    pub steps: u64,
    pub refuses: bool,
    pub counts: Counts,
    pub said: BTreeMap<ShadowId, Said>,
    pub under_way: usize,
    pub run: u64,
    pub up: bool,
    pub session: bool,
    fresh: bool,
    held: Vec<(Topic, Vec<u8>)>,
    events: BTreeMap<(Duration, u64), Event>,
    order: u64,
    pub values: u64,
    pub calm: bool,
    /// The cloud ends the connection on a request about it.
    pub forbidden: Option<ShadowId>,
}

pub fn id(thing: &str, name: &str) -> ShadowId {
    ShadowId::named(ThingName::parse(thing).unwrap(), ShadowName::parse(name).unwrap())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl World {
    pub fn new(seed: u64, shadows: Vec<Shadow>) -> World {
        let mut world = World {
            seed,
            random: Random(seed),
            now: seconds(1),
            wall: EPOCH,
            sync: Sync::new(Settings::default()),
            disk: shadows.iter().map(|shadow| (shadow.id.clone(), (None, None))).collect(),
            said: shadows.iter().map(|shadow| (shadow.id.clone(), Said::default())).collect(),
            shadows,
            cloud: Cloud::default(),
            faults: Faults::default(),
            kills: false,
            kill_after: None,
            steps: 0,
            refuses: false,
            counts: Counts::default(),
            under_way: 0,
            run: 0,
            up: false,
            session: false,
            fresh: true,
            held: Vec::new(),
            events: BTreeMap::new(),
            order: 0,
            values: 0,
            calm: false,
            forbidden: None,
        };
        world.start();
        world
    }

    pub fn at(&mut self, after: Duration, event: Event) {
        self.order += 1;
        self.events.insert((self.now + after, self.order), event);
    }

    /// A new process, from what is on disk.
    fn start(&mut self) {
        self.run += 1;
        let settings = Settings { epoch: 7, run: self.random.next(), ..Settings::default() };
        self.sync = Sync::new(settings);
        self.under_way = 0;
        self.fresh = true;
        for shadow in 0..self.shadows.len() {
            let Shadow { id, how, .. } = &self.shadows[shadow];
            let (stored, row) = &self.disk[id];
            let (local, row) = (Seen::of(stored.as_ref()), row.clone());
            self.step(Input::Watch { id: id.clone(), how: *how, local, row });
        }
    }

    pub fn step(&mut self, input: Input) {
        self.steps += 1;
        for effect in self.sync.step(self.now, input) {
            let pause = Duration::from_millis(self.random.below(20));
            match effect {
                Effect::Load { id } => self.at(pause, Event::Load(id, self.run)),
                Effect::Commit { id, change, row } => self.at(pause, Event::Commit(id, change, row, self.run)),
                Effect::Publish { topic, payload } => self.publish(topic, payload),
            }
        }
    }

    fn publish(&mut self, topic: Topic, payload: Vec<u8>) {
        assert!(self.up, "seed {}: asked without a link", self.seed);
        self.counts.requests += 1;
        let request = RequestTopic::parse(&topic).unwrap().unwrap();
        if self.forbidden.as_ref() == Some(&request.id) {
            self.at(seconds(1), Event::Link(false));
            let pause = Duration::from_millis(1_000 + self.random.below(60_000));
            return self.at(pause, Event::Link(true));
        }
        for journey in self.faults.journeys(&mut self.random) {
            self.at(journey, Event::Asked(topic.clone(), payload.clone()));
        }
    }

    pub fn tell(&mut self, messages: Vec<(Topic, Vec<u8>)>) {
        for (topic, payload) in messages {
            for journey in self.faults.journeys(&mut self.random) {
                self.at(journey, Event::Told(topic.clone(), payload.clone()));
            }
        }
    }

    pub fn cloud_now(&self) -> u64 {
        EPOCH + self.now.as_secs()
    }

    /// Until then, or until nothing is left to happen.
    pub fn run_until(&mut self, end: Duration) {
        loop {
            if self.kill_after.take_if(|after| self.steps >= *after).is_some() {
                self.kill();
            }
            let event = self.events.first_key_value().map(|((at, _), _)| *at);
            let woken = self.sync.wake_at().map(|at| at.max(self.now));
            let next = [event, woken].into_iter().flatten().min().unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            if event.is_some_and(|at| at <= next) {
                let (_, event) = self.events.pop_first().unwrap();
                self.happens(event);
            } else if woken.is_some() {
                self.step(Input::Woke);
            } else {
                return;
            }
        }
    }

    fn happens(&mut self, event: Event) {
        let is_step = matches!(event, Event::Load(..) | Event::Commit(..) | Event::Tell(..) | Event::Told(..));
        if is_step && self.kills && !self.calm && self.random.chance(1) {
            self.kill();
        }
        match event {
            Event::Asked(topic, payload) => {
                // What was on its way when the link broke arrives or does not.
                if self.up || self.random.chance(50) {
                    let now = self.cloud_now();
                    let said = self.cloud.take(&topic, &payload, now, &mut self.faults, &mut self.random);
                    self.tell(said);
                    let request = RequestTopic::parse(&topic).unwrap().unwrap();
                    self.check_what_only_one_side_says(&request.id, Writer::Cloud);
                }
            }
            Event::Told(topic, payload) if self.up => self.step(Input::Heard { topic, payload }),
            Event::Told(topic, payload) => {
                if self.session {
                    self.held.push((topic, payload));
                }
            }
            Event::Load(id, run) if run == self.run => {
                let (local, row) = self.disk[&id].clone();
                self.step(Input::Loaded { id, local, row, wall: self.wall });
            }
            Event::Commit(id, change, row, run) if run == self.run => self.commit(id, change, row),
            Event::Tell(input, run) if run == self.run => self.step(input),
            Event::Load(..) | Event::Commit(..) | Event::Tell(..) => {}
            Event::LocalWrite => self.local_write(),
            Event::CloudWrite => self.cloud_write(),
            Event::Link(up) => self.link(up),
            Event::Kill => self.kill(),
            Event::Jump => self.wall = EPOCH + self.random.below(10_000_000),
        }
    }

    fn commit(&mut self, id: ShadowId, change: Option<Change>, row: Vec<u8>) {
        let pause = Duration::from_millis(self.random.below(20));
        if self.refuses && !self.calm && self.random.chance(10) {
            self.faults.happened += 1;
            return self.at(pause, Event::Tell(Input::NoRoom { id }, self.run));
        }
        if let Some(change) = change {
            let stored = self.disk[&id].0.clone();
            if Seen::of(stored.as_ref()) != change.from {
                return self.at(pause, Event::Tell(Input::Stale { id }, self.run));
            }
            let outcome = change.request.step(&id, stored.as_ref(), self.wall, &Limits::default());
            assert!(outcome.stored.is_some(), "seed {}: {:?}", self.seed, outcome.answers);
            let local = Seen::of(outcome.stored.as_ref());
            self.disk.get_mut(&id).unwrap().0 = outcome.stored;
            self.check_what_only_one_side_says(&id, Writer::Device);
            self.at(
                Duration::from_millis(self.random.0 % 20),
                Event::Tell(Input::Changed { id: id.clone(), local }, self.run),
            );
        }
        self.disk.get_mut(&id).unwrap().1 = Some(row);
        self.at(pause, Event::Tell(Input::Committed { id }, self.run));
    }

    fn link(&mut self, up: bool) {
        if up == self.up {
            return;
        }
        self.up = up;
        if !up {
            self.note_dirty();
            let owed = self.forbidden.is_some() || self.random.chance(50);
            return self.step(Input::Down { owed });
        }
        // A chance at every coming back is few of them.
        for _ in 0..5 {
            self.session &= !self.faults.strikes(Fault::Forget, &mut self.random);
        }
        let kept = self.session;
        if !kept || self.fresh {
            self.counts.asked_for += self.shadows.len() as u64;
        }
        self.note_dirty();
        self.fresh = false;
        self.session = true;
        self.step(Input::Up { session_kept: kept });
        let held = std::mem::take(&mut self.held);
        if kept {
            for (topic, payload) in held {
                self.step(Input::Heard { topic, payload });
            }
        }
    }

    fn note_dirty(&mut self) {
        let statuses = self.sync.statuses(self.now);
        let dirty = statuses.filter(|(_, status)| {
            let open = matches!(status.standing, Standing::Fetching | Standing::Sending | Standing::Deleting);
            open || (self.up && status.dirty_since.is_some())
        });
        self.counts.dirty += dirty.count() as u64;
    }

    fn kill(&mut self) {
        let was_up = self.up;
        self.link(false);
        self.start();
        if was_up {
            self.link(true);
        }
    }

    /// So long.
    pub fn live(&mut self, time: Duration) {
        self.at(seconds(0), Event::LocalWrite);
        self.at(seconds(0), Event::CloudWrite);
        let end = self.now + time;
        let mut at = Duration::ZERO;
        let mut up = true;
        while self.now + at < end {
            self.at(at, Event::Link(up));
            at += seconds(if up { self.random.below(4 * 3600) } else { self.random.below(3600) });
            up = !up;
        }
        for (wanted, every, event) in [(self.kills, 7_200, Event::Kill), (true, 20_000, Event::Jump)] {
            let mut at = seconds(self.random.below(every));
            while wanted && self.now + at < end {
                self.at(at, event.clone());
                at += Duration::from_millis(self.random.below(every * 1000));
            }
        }
        self.run_until(end);
    }

    /// Nothing fails any more and nobody writes: what is then left to do takes as long as a shadow is believed.
    pub fn rest(&mut self) {
        self.calm = true;
        self.faults.switches.clear();
        if !self.up {
            self.link(true);
        }
        self.run_until(self.now + seconds(26 * 3600));
    }
}
