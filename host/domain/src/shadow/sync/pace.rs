//! How much at once: a share of what is under way for every thing, and the cloud's limits on requests.
//!
//! Things take turns, so that one with a thousand shadows does not keep the others waiting; and of a thing, what has
//! something to say goes before what only has to be looked at. Nothing in here knows what a
//! shadow is: it hands out numbers that were put in.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{SHADOW_SYNC_AT_ONCE, SHADOW_SYNC_PER_THING, SHADOW_SYNC_RATE_PER_THING, SHADOW_SYNC_URGENT_FIRST};
use crate::rate::TokenBucket;

#[derive(Clone, Debug)]
pub(super) struct Pace {
    total: TokenBucket,
    under_way: usize,
    lanes: Vec<Lane>,
    next: usize,
}

#[derive(Clone, Debug)]
struct Lane {
    bucket: TokenBucket,
    under_way: usize,
    /// What goes before the rest, and how many of it have gone in a row.
    urgent: VecDeque<usize>,
    favoured: usize,
    waiting: VecDeque<usize>,
    /// Nothing of it begins but what has to be alone.
    held: bool,
}

impl Pace {
    pub fn new(per_second: u64) -> Pace {
        Pace { total: TokenBucket::new(per_second, per_second), under_way: 0, lanes: Vec::new(), next: 0 }
    }

    /// A lane for one more thing.
    pub fn lane(&mut self) -> usize {
        let bucket = TokenBucket::new(SHADOW_SYNC_RATE_PER_THING, SHADOW_SYNC_RATE_PER_THING);
        self.lanes.push(Lane {
            bucket,
            under_way: 0,
            urgent: VecDeque::new(),
            favoured: 0,
            waiting: VecDeque::new(),
            held: false,
        });
        self.lanes.len() - 1
    }

    pub fn wait(&mut self, lane: usize, shadow: usize, is_urgent: bool) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            if is_urgent { lane.urgent.push_back(shadow) } else { lane.waiting.push_back(shadow) }
        }
    }

    /// What waits already has become urgent.
    pub fn hurry(&mut self, lane: usize, shadow: usize) {
        if let Some(lane) = self.lanes.get_mut(lane)
            && let Some(place) = lane.waiting.iter().position(|other| *other == shadow)
        {
            lane.waiting.remove(place);
            lane.urgent.push_back(shadow);
        }
    }

    /// The next that may begin, and has begun with this; and its lane.
    pub fn begin(&mut self, now: Duration) -> Option<(usize, usize)> {
        if self.under_way >= SHADOW_SYNC_AT_ONCE || self.total.ready_at() > now {
            return None;
        }
        for _ in 0..self.lanes.len() {
            self.next = (self.next + 1) % self.lanes.len();
            let Some(lane) = self.lanes.get_mut(self.next) else { continue };
            if !lane.held
                && lane.under_way < SHADOW_SYNC_PER_THING
                && lane.bucket.ready_at() <= now
                && let Some(shadow) = lane.next()
            {
                lane.under_way += 1;
                self.under_way += 1;
                return Some((self.next, shadow));
            }
        }
        None
    }

    /// Whether one may begin that has to be alone, and has with this.
    pub fn begin_alone(&mut self, now: Duration, lane: usize) -> bool {
        let begins = self.alone_at(lane).is_some_and(|at| at <= now);
        if begins && let Some(lane) = self.lanes.get_mut(lane) {
            lane.under_way += 1;
            self.under_way += 1;
        }
        begins
    }

    /// When that may be; none where only an end of others makes room.
    pub fn alone_at(&self, lane: usize) -> Option<Duration> {
        let lane = self.lanes.get(lane).filter(|_| self.under_way == 0)?;
        Some(lane.bucket.ready_at().max(self.total.ready_at()))
    }

    pub fn hold(&mut self, lane: usize, held: bool) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.held = held;
        }
    }

    pub fn is_held(&self, lane: usize) -> bool {
        self.lanes.get(lane).is_some_and(|lane| lane.held)
    }

    pub fn end(&mut self, lane: usize) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.under_way = lane.under_way.saturating_sub(1);
        }
    }

    /// One request was made.
    pub fn charge(&mut self, lane: usize, now: Duration) {
        self.total.charge(now, 1);
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.bucket.charge(now, 1);
        }
    }

    /// When something that waits may begin; none where only an end of another makes room.
    pub fn ready_at(&self) -> Option<Duration> {
        if self.under_way >= SHADOW_SYNC_AT_ONCE {
            return None;
        }
        let ready = self.lanes.iter().filter(|lane| !lane.held && lane.under_way < SHADOW_SYNC_PER_THING);
        let ready = ready.filter(|lane| !lane.urgent.is_empty() || !lane.waiting.is_empty());
        ready.map(|lane| lane.bucket.ready_at().max(self.total.ready_at())).min()
    }
}

impl Lane {
    /// What is not urgent has its turn all the same.
    fn next(&mut self) -> Option<usize> {
        let is_others_turn = self.favoured >= SHADOW_SYNC_URGENT_FIRST && !self.waiting.is_empty();
        match self.urgent.pop_front_if(|_| !is_others_turn) {
            Some(shadow) => {
                self.favoured += 1;
                Some(shadow)
            }
            None => {
                self.favoured = 0;
                self.waiting.pop_front()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_urgent_goes_first_and_what_is_not_has_every_fifth_turn() {
        let mut pace = Pace::new(1_000);
        let lane = pace.lane();
        (0..100).for_each(|shadow| pace.wait(lane, shadow, false));
        (100..110).for_each(|shadow| pace.wait(lane, shadow, true));
        pace.hurry(lane, 50);
        let mut begun = Vec::new();
        while let Some((lane, shadow)) = pace.begin(Duration::ZERO) {
            pace.end(lane);
            begun.push(shadow);
        }
        assert_eq!(begun[..15], [100, 101, 102, 103, 0, 104, 105, 106, 107, 1, 108, 109, 50, 2, 3]);
        begun.sort_unstable();
        assert_eq!(begun, (0..110).collect::<Vec<_>>(), "each once");
    }

    #[test]
    fn a_thing_has_ten_under_way_and_all_together_their_limit_and_things_take_turns() {
        let mut pace = Pace::new(1_000);
        let lanes: Vec<usize> = (0..10).map(|_| pace.lane()).collect();
        for shadow in 0..1_000 {
            pace.wait(lanes[shadow / 100], shadow, false);
        }
        let begun: Vec<usize> = std::iter::from_fn(|| pace.begin(Duration::ZERO)).map(|(_, shadow)| shadow).collect();
        assert_eq!(begun.len(), SHADOW_SYNC_AT_ONCE);
        let mut first: Vec<usize> = begun[..10].iter().map(|shadow| shadow / 100).collect();
        first.sort_unstable();
        assert_eq!(first, lanes, "each thing once before any twice");
        assert_eq!(pace.ready_at(), None);

        let mut pace = Pace::new(1_000);
        let lane = pace.lane();
        (0..20).for_each(|shadow| pace.wait(lane, shadow, false));
        let begun = std::iter::from_fn(|| pace.begin(Duration::ZERO)).count();
        assert_eq!((begun, pace.ready_at()), (SHADOW_SYNC_PER_THING, None));
        pace.end(lane);
        assert_eq!(pace.begin(Duration::ZERO), Some((lane, 10)));
    }

    #[test]
    fn requests_keep_to_the_rate_of_a_thing_and_of_all() {
        let mut pace = Pace::new(1_000);
        let lane = pace.lane();
        (0..100).for_each(|shadow| pace.wait(lane, shadow, false));
        let mut made = 0;
        let mut now = Duration::ZERO;
        while now < Duration::from_secs(3) {
            while pace.begin(now).is_some() {
                pace.charge(lane, now);
                pace.end(lane);
                made += 1;
            }
            now = pace.ready_at().unwrap();
        }
        assert!((20 * 3..=20 * 4).contains(&made), "{made}");
    }
}
