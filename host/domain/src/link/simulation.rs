//! A thousand seeds of a link with everything that can go wrong around it: acknowledgements lost, connections reset or
//! silent, messages that end them, and crashes of the gateway between any two steps.
//!
//! What must hold: nothing published is lost (it arrived, or it lies in the dead letters), new messages of a rule
//! arrive in their order, no more than a window is under way, silence is noticed in time, and when the faults end,
//! everything drains.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::tests::{at, settings};
use super::*;

const RULES: usize = 3;
const MESSAGES: u64 = 60;

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// One rule's queue: what is on disk, and what of it waits to be taken.
#[derive(Default)]
struct Queue {
    disk: BTreeSet<u64>,
    waiting: VecDeque<u64>,
    published: u64,
    removing: Option<Vec<u64>>,
    dead: BTreeSet<u64>,
    arrived: BTreeSet<u64>,
}

struct World {
    random: Random,
    seed: u64,
    now: Duration,
    link: Link,
    queues: Vec<Queue>,
    poison: BTreeSet<(usize, u64)>,
    to_broker: VecDeque<(usize, u64, u16)>,
    to_link: VecDeque<u16>,
    /// The last sequence of each rule on this connection.
    last: BTreeMap<usize, u64>,
    /// Since when the network swallows everything.
    silent: Option<Duration>,
    calm: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random(seed);
        let mut poison = BTreeSet::new();
        if random.chance(50) {
            for _ in 0..random.below(4) {
                poison.insert((random.below(RULES as u64) as usize, random.below(MESSAGES)));
            }
        }
        World {
            link: Link::new(link_settings(&mut random)),
            seed,
            now: at(0),
            queues: (0..RULES).map(|_| Queue::default()).collect(),
            poison,
            to_broker: VecDeque::new(),
            to_link: VecDeque::new(),
            last: BTreeMap::new(),
            silent: None,
            calm: false,
            random,
        }
    }

    fn step(&mut self, input: Input) {
        let effects = self.link.step(self.now, input);
        for effect in effects {
            self.carry_out(effect);
        }
        let under_way: u64 = (0..RULES).map(|rule| self.link.counters(rule).in_flight).sum();
        let most = (crate::limits::LINK_WINDOW + RULES * crate::limits::LINK_AHEAD) as u64;
        assert!(under_way <= most && self.to_broker.len() <= crate::limits::LINK_WINDOW, "seed {}", self.seed);
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Connect | Effect::Ping | Effect::Subscribe { .. } => {}
            Effect::Fetch { rule, count, .. } => {
                let queue = &mut self.queues[rule];
                let count = count.min(queue.waiting.len());
                let rows = queue.waiting.drain(..count).map(|sequence| Row { sequence, bytes: 100, unfit: None });
                let rows = rows.collect();
                self.step(Input::Rows { rule, rows });
            }
            Effect::Send { rule, sequence, packet } => {
                assert!(self.queues[rule].disk.contains(&sequence), "seed {}: sent what is gone", self.seed);
                let last = self.last.insert(rule, sequence);
                assert!(last.is_none_or(|last| last < sequence), "seed {}: order within a connection", self.seed);
                self.to_broker.push_back((rule, sequence, packet));
            }
            Effect::PutBack { rule, sequences } => {
                let queue = &mut self.queues[rule];
                for sequence in sequences.into_iter().rev() {
                    queue.waiting.push_front(sequence);
                }
                assert!(queue.waiting.iter().is_sorted(), "seed {}: put back out of order", self.seed);
            }
            Effect::Remove { rule, sequences } => {
                let under_way = self.queues[rule].removing.replace(sequences);
                assert_eq!(under_way, None, "seed {}: two removals at once", self.seed);
            }
            Effect::GiveUp { rule, sequence, .. } => {
                self.queues[rule].disk.remove(&sequence);
                self.queues[rule].dead.insert(sequence);
                self.step(Input::GivenUp { rule });
            }
            Effect::Close { .. } => self.lose(Side::Us),
            Effect::End => panic!("seed {}: nobody stops it", self.seed),
        }
    }

    fn lose(&mut self, by: Side) {
        self.to_broker.clear();
        self.to_link.clear();
        self.last.clear();
        self.silent = None;
        let jitter = self.random.next();
        self.step(Input::Lost { by, jitter });
    }

    /// The gateway dies: only what is on disk is left, acknowledged or not.
    fn crash(&mut self) {
        self.link = Link::new(link_settings(&mut self.random));
        self.to_broker.clear();
        self.to_link.clear();
        self.last.clear();
        self.silent = None;
        for queue in &mut self.queues {
            queue.removing = None;
            queue.waiting = queue.disk.iter().copied().collect();
        }
        self.step(Input::Start);
    }

    fn publish(&mut self) {
        let rule = self.random.below(RULES as u64) as usize;
        let queue = &mut self.queues[rule];
        if queue.published < MESSAGES {
            queue.disk.insert(queue.published);
            queue.waiting.push_back(queue.published);
            queue.published += 1;
            if self.link.is_dry(rule) {
                self.step(Input::Ready { rule });
            }
        }
    }

    /// The broker takes one message.
    fn deliver(&mut self) {
        let Some((rule, sequence, packet)) = self.to_broker.pop_front() else { return };
        if self.poison.contains(&(rule, sequence)) {
            return self.lose(Side::Peer);
        }
        let queue = &mut self.queues[rule];
        let newest = queue.arrived.last().copied();
        if queue.arrived.insert(sequence) {
            assert!(newest.is_none_or(|newest| newest < sequence), "seed {}: a new one came late", self.seed);
        }
        if self.calm || !self.random.chance(3) {
            self.to_link.push_back(packet);
        }
    }

    fn settle(&mut self) {
        let rule = self.random.below(RULES as u64) as usize;
        if let Some(removed) = self.queues[rule].removing.take() {
            self.queues[rule].disk.retain(|sequence| !removed.contains(sequence));
            self.step(Input::Removed { rule, count: removed.len() });
        }
    }

    fn fault(&mut self) {
        match (self.link.phase(), self.random.below(100)) {
            (_, 0) => self.crash(),
            (Phase::Connected { .. }, 1..=2) => self.lose(Side::Peer),
            (Phase::Connected { .. }, 3) => self.silent = self.silent.or(Some(self.now)),
            (Phase::Connecting { .. }, 10..30) => self.lose(Side::Peer),
            _ => {}
        }
    }

    fn advance(&mut self) {
        if !self.calm {
            self.fault();
        }
        match self.random.below(8) {
            0..2 => self.publish(),
            2..5 if self.silent.is_none() => self.deliver(),
            5 if self.silent.is_none() => {
                let place = self.random.below(self.to_link.len().max(1) as u64) as usize;
                if let Some(packet) = self.to_link.remove(place) {
                    self.step(Input::Acknowledged { packet });
                }
            }
            6 => self.settle(),
            _ => self.pass_time(),
        }
    }

    fn pass_time(&mut self) {
        if let Phase::Connecting { .. } = self.link.phase() {
            self.now += Duration::from_millis(self.random.below(200));
            return self.step(Input::Connected { session_present: false });
        }
        let Some(wake_at) = self.link.wake_at() else { return };
        if self.silent.is_some() || self.to_broker.is_empty() && self.to_link.is_empty() || !self.calm {
            self.now = self.now.max(wake_at);
        }
        let silent = self.silent;
        if silent.is_none() && matches!(self.link.phase(), Phase::Connected { .. }) {
            self.step(Input::Heard);
        }
        self.step(Input::Woke);
        if let Some(since) = silent {
            let noticed = !matches!(self.link.phase(), Phase::Connected { .. });
            let most = self.link.stall_after();
            assert!(noticed || self.now < since + most, "seed {}: silence was not noticed", self.seed);
        }
    }

    fn drained(&self) -> bool {
        self.queues.iter().all(|queue| queue.published == MESSAGES && queue.disk.is_empty())
    }

    fn run(mut self) {
        self.step(Input::Start);
        for _ in 0..1_500 {
            self.advance();
        }
        self.calm = true;
        for _ in 0..200_000 {
            if self.drained() {
                break;
            }
            self.advance();
        }
        assert!(self.drained(), "seed {}: did not drain", self.seed);
        for (rule, queue) in self.queues.iter().enumerate() {
            for sequence in 0..MESSAGES {
                let ended = queue.arrived.contains(&sequence) || queue.dead.contains(&sequence);
                assert!(ended, "seed {}: rule {rule} lost {sequence}", self.seed);
                let poisoned = self.poison.contains(&(rule, sequence));
                assert!(!poisoned || queue.dead.contains(&sequence), "seed {}: {sequence} was not found", self.seed);
            }
        }
    }
}

fn link_settings(random: &mut Random) -> Settings {
    let mut settings = settings(&[Priority::High, Priority::Normal, Priority::Low]);
    if random.chance(30) {
        settings.rate = Rate { messages: Some(50), bytes: Some(4_000) };
    }
    settings
}

#[test]
fn nothing_is_lost_and_order_holds_under_any_faults() {
    let first = option_env!("PROPTEST_RNG_SEED").and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + 1_000 {
        World::new(seed).run();
    }
}
