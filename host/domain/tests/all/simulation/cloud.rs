//! The link, its driver, and a far side that loses acknowledgements, connections and its voice.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use edgewit_domain::ledger::{Consumed, Unit};
use edgewit_domain::limits::{KEEP_ALIVE, LINK_BACKOFF, LINK_BACKOFF_MAX};
use edgewit_domain::link::{Effect, Input, Link, Phase, Priority, Profile, Rate, Row, Settings, Side};
use edgewit_domain::queue::QueueNumber;

use super::component::burial;
use super::random::Random;
use super::store::{Done, From, Store};
use super::{Text, said};

pub struct Cloud {
    link: Link,
    queue: QueueNumber,
    dead: QueueNumber,
    /// What the link has in hand.
    held: BTreeMap<u64, Consumed>,
    to_broker: VecDeque<(u64, u16)>,
    to_link: VecDeque<u16>,
    silent: bool,
    /// All that ever arrived: sequence and text, duplicates included.
    pub arrived: Vec<(u64, Text)>,
}

impl Cloud {
    pub fn new(queue: QueueNumber, dead: QueueNumber) -> Cloud {
        let (to_broker, to_link, held) = Default::default();
        Cloud { link: link(), queue, dead, held, to_broker, to_link, silent: false, arrived: Vec::new() }
    }

    pub fn start(&mut self, now: Duration, store: &mut Store, random: &mut Random) {
        self.link = link();
        self.held.clear();
        self.forget_connection();
        self.step(now, Input::Start, store, random);
    }

    fn forget_connection(&mut self) {
        self.to_broker.clear();
        self.to_link.clear();
        self.silent = false;
    }

    fn step(&mut self, now: Duration, input: Input, store: &mut Store, random: &mut Random) {
        for effect in self.link.step(now, input) {
            self.carry_out(now, effect, store, random);
        }
    }

    fn carry_out(&mut self, now: Duration, effect: Effect, store: &mut Store, random: &mut Random) {
        match effect {
            Effect::Connect | Effect::Ping | Effect::Subscribe { .. } => {}
            Effect::Fetch { count, .. } => {
                let taken: Vec<_> = (0..count).map_while(|_| store.take(self.queue)).collect();
                let rows = taken.iter().map(|row| Row { sequence: row.sequence, bytes: 100, unfit: None }).collect();
                self.held.extend(taken.into_iter().map(|row| (row.sequence, row)));
                self.step(now, Input::Rows { rule: 0, rows }, store, random);
            }
            Effect::Send { sequence, packet, .. } => self.to_broker.push_back((sequence, packet)),
            Effect::PutBack { sequences, .. } => {
                for sequence in sequences {
                    self.held.remove(&sequence).unwrap();
                    store.put_back(self.queue, sequence);
                }
            }
            Effect::Remove { sequences, .. } => {
                let row = |sequence| self.held.remove(&sequence).unwrap();
                let unit = |row| Unit { consumed: Some(row), ..Unit::default() };
                store.submit(From::Removal, sequences.into_iter().map(row).map(unit).collect());
            }
            Effect::GiveUp { sequence, .. } => {
                let row = self.held.remove(&sequence).unwrap();
                store.submit(From::Grave, vec![burial(self.dead, row, "it ends connections", 1)]);
            }
            Effect::Close { .. } => self.lose(now, Side::Us, store, random),
            Effect::End => panic!("nobody stops it"),
        }
    }

    pub fn lose(&mut self, now: Duration, by: Side, store: &mut Store, random: &mut Random) {
        self.forget_connection();
        let jitter = random.next();
        self.step(now, Input::Lost { by, jitter }, store, random);
    }

    /// Nothing gets through any more, and nobody says so.
    pub fn fall_silent(&mut self) {
        self.silent = matches!(self.link.phase(), Phase::Connected { .. });
    }

    pub fn done(&mut self, now: Duration, done: Done, store: &mut Store, random: &mut Random) {
        let Done { from, mut units, committed, .. } = done;
        let refused = units.split_off(committed);
        if !refused.is_empty() {
            store.submit(from, refused);
        }
        match from {
            From::Removal if committed > 0 => {
                self.step(now, Input::Removed { rule: 0, count: committed }, store, random);
            }
            From::Grave if committed > 0 => self.step(now, Input::GivenUp { rule: 0 }, store, random),
            _ => {}
        }
    }

    /// One thing happens between the gateway and the broker.
    pub fn advance(&mut self, now: &mut Duration, store: &mut Store, calm: bool, random: &mut Random) {
        if store.waits(self.queue) && self.link.is_dry(0) {
            self.step(*now, Input::Ready { rule: 0 }, store, random);
        }
        match random.below(3) {
            0 if !self.silent => self.deliver(*now, store, calm, random),
            1 if !self.silent => {
                let place = random.below(self.to_link.len().max(1) as u64) as usize;
                if let Some(packet) = self.to_link.remove(place) {
                    self.step(*now, Input::Acknowledged { packet }, store, random);
                }
            }
            _ => self.pass_time(now, store, calm, random),
        }
    }

    fn deliver(&mut self, now: Duration, store: &mut Store, calm: bool, random: &mut Random) {
        let Some((sequence, packet)) = self.to_broker.pop_front() else { return };
        let row = self.held.get(&sequence).unwrap();
        let text = said(&row.envelope);
        if text.ends_connections() {
            return self.lose(now, Side::Peer, store, random);
        }
        self.arrived.push((sequence, text));
        if calm || !random.chance(5) {
            self.to_link.push_back(packet);
        }
    }

    fn pass_time(&mut self, now: &mut Duration, store: &mut Store, calm: bool, random: &mut Random) {
        if let Phase::Connecting { .. } = self.link.phase() {
            if !calm && random.chance(20) {
                return self.lose(*now, Side::Peer, store, random);
            }
            return self.step(*now, Input::Connected { session_present: false }, store, random);
        }
        let Some(wake_at) = self.link.wake_at() else { return };
        let busy = !self.to_broker.is_empty() || !self.to_link.is_empty();
        if self.silent || !busy || !calm {
            *now = wake_at.max(*now);
        }
        if !self.silent && matches!(self.link.phase(), Phase::Connected { .. }) {
            self.step(*now, Input::Heard, store, random);
        }
        self.step(*now, Input::Woke, store, random);
    }
}

fn link() -> Link {
    Link::new(Settings {
        keep_alive: KEEP_ALIVE.default,
        backoff: LINK_BACKOFF.default,
        backoff_max: LINK_BACKOFF_MAX.default,
        rate: Rate::default(),
        profile: Profile::ALL[0],
        rules: vec![("alerts".into(), Priority::Normal)],
        filters: 0,
    })
}
