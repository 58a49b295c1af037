//! What becomes of the deliveries of a component's durable queues: which is handled next, and what follows when that
//! did not go well.
//!
//! A component's thread takes rows out of its queues, asks [`Deliveries::begin`] about each, and tells how it ended,
//! in the order in which they were handed over. At the first that failed the batch is over, and what is behind it
//! goes to [`Deliveries::undone`]; and so does everything behind a unit that is refused, however it ended. What has
//! to come again stays here, in hand, until [`Deliveries::due`] gives it out; what is here of a queue in strict order
//! holds up the rest of it.
//!
//! Nothing here handles, commits or waits. Whoever drives this throws the instance away after every ending but a
//! rejection, and commits what it is told to. What goes well costs nothing here: only trouble is remembered.

mod circle;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ledger::{Attempt, Consumed, Refusal, row_bytes};
use crate::limits::{DELIVERIES_ASIDE, DELIVERY_BACKOFF, DELIVERY_BACKOFF_MAX};
use crate::queue::QueueNumber;

pub use circle::circle_to_break;
pub use verdict::{Appetite, Death, Ending, Lack, Next, Parked, Verdict};

/// What a subscription says about deliveries that fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How often a delivery is tried before it is given up.
    pub attempts: u32,
    /// Others pass one that waits to be tried again.
    pub relaxed: bool,
}

/// The durable deliveries of one component.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    inboxes: BTreeMap<QueueNumber, Inbox>,
    held: BTreeMap<(QueueNumber, u64), Held>,
}

#[derive(Clone, Debug)]
struct Inbox {
    policy: Policy,
    /// Whatever is at its head may end the process.
    careful: bool,
}

/// A delivery in trouble.
#[derive(Clone, Debug)]
struct Held {
    row: Consumed,
    wait: Wait,
    /// It was taken from here, and not out of its queue.
    known: bool,
    /// Its attempt under way is in `row.failed` already.
    counted: bool,
    /// How often it was undone without being counted, since the last that was.
    uncounted: u32,
    /// Why it is given up.
    death: Option<Cause>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wait {
    /// Nothing: it was given out.
    InHand,
    Until(Duration),
    Room {
        lack: Lack,
        since: Duration,
    },
    /// Room among the dead letters.
    Grave,
}

#[derive(Clone, Debug)]
struct Cause {
    reason: String,
    attempts: u32,
    backtrace: String,
}

impl Deliveries {
    /// Begins to read a queue, or changes how. Where the process before this one had an unclean end, its attempts are
    /// on disk before they begin until one goes well: what ends the process is counted, too.
    pub fn read(&mut self, queue: QueueNumber, policy: Policy, unclean: bool) {
        let inbox = self.inboxes.entry(queue).or_insert(Inbox { policy, careful: unclean });
        inbox.policy = policy;
    }

    /// What was held of a queue that is read no more goes back to it.
    pub fn leave(&mut self, queue: QueueNumber) -> Vec<Consumed> {
        self.inboxes.remove(&queue);
        self.release_where(|held| held.row.queue == queue)
    }

    /// Everything that is held goes back to its queue, for as long as the component does not run.
    pub fn release(&mut self) -> Vec<Consumed> {
        self.release_where(|_| true)
    }

    fn release_where(&mut self, which: impl Fn(&Held) -> bool) -> Vec<Consumed> {
        let gone: Vec<_> = self.held.iter().filter(|(_, held)| which(held)).map(|(key, _)| *key).collect();
        let held = gone.iter().filter_map(|key| self.held.remove(key));
        held.filter(|held| held.wait != Wait::InHand).map(|held| held.row).collect()
    }

    pub fn appetite(&self, queue: QueueNumber) -> Appetite {
        let Some(inbox) = self.inboxes.get(&queue) else { return Appetite::Nothing };
        let most = if inbox.policy.relaxed { DELIVERIES_ASIDE } else { 1 };
        if self.is_blocked() || self.of(queue).take(most).count() >= most {
            return Appetite::Nothing;
        }
        if inbox.careful { Appetite::One } else { Appetite::Many }
    }

    /// There is something to be given up and no room for it: nothing is handled until there is.
    pub fn is_blocked(&self) -> bool {
        self.held.values().any(|held| held.wait == Wait::Grave)
    }

    /// When to ask for [`Deliveries::due`] again.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.is_blocked() {
            return None;
        }
        self.first().map(|(_, at)| at).min()
    }

    /// What only waits for its time. In strict order that is nothing behind another one that waits.
    fn first(&self) -> impl Iterator<Item = ((QueueNumber, u64), Duration)> + '_ {
        let mut before = None;
        self.held.iter().filter(|(_, held)| held.wait != Wait::InHand).filter_map(move |(key, held)| {
            let behind = before.replace(key.0) == Some(key.0);
            let relaxed = self.inboxes.get(&key.0).is_some_and(|inbox| inbox.policy.relaxed);
            match held.wait {
                Wait::Until(at) if relaxed || !behind => Some((*key, at)),
                _ => None,
            }
        })
    }

    /// Takes one that is held and whose time has come, for [`Deliveries::begin`]. To be asked before anything is taken
    /// out of a queue.
    pub fn due(&mut self, now: Duration) -> Option<Consumed> {
        if self.is_blocked() {
            return None;
        }
        let (key, _) = self.first().find(|(_, at)| *at <= now)?;
        let held = self.held.get_mut(&key)?;
        held.wait = Wait::InHand;
        held.known = true;
        Some(held.row.clone())
    }

    /// What to do with a row that was taken.
    pub fn begin(&mut self, mut row: Consumed) -> Next {
        let key = (row.queue, row.sequence);
        let inbox = self.inboxes.get(&row.queue);
        let attempts = inbox.map_or(u32::MAX, |inbox| inbox.policy.attempts);
        let careful = inbox.is_some_and(|inbox| inbox.careful);
        let held = self.held.get_mut(&key);
        if let Some(cause) = held.as_ref().and_then(|held| held.death.clone()) {
            return Next::Bury(cause.of(row));
        }
        if row.failed >= attempts {
            let reason =
                "its last attempt ended with the gateway, or under a configuration that allowed more".to_owned();
            let cause = Cause { reason, attempts: row.failed, backtrace: String::new() };
            return Next::Bury(cause.of(row));
        }
        let attempt = row.failed.saturating_add(1);
        let alone = careful || held.as_ref().is_some_and(|held| held.uncounted >= 2);
        if !careful {
            return Next::Handle { row, attempt, first: None, alone };
        }
        row.failed = attempt;
        let held = self.held.entry(key).or_insert_with(|| Held::new(row.clone()));
        held.row.failed = attempt;
        held.counted = true;
        held.wait = Wait::InHand;
        let first = Some(Attempt { queue: row.queue, sequence: row.sequence, failed: attempt });
        Next::Handle { row, attempt, first, alone }
    }

    /// It returned well, and all of that is on disk.
    pub fn handled(&mut self, row: &Consumed) {
        if let Some(inbox) = self.inboxes.get_mut(&row.queue) {
            inbox.careful = false;
        }
        self.buried(row);
    }

    /// It is a dead letter, and that is on disk; or its row is gone.
    pub fn buried(&mut self, row: &Consumed) {
        if !self.held.is_empty() {
            self.held.remove(&(row.queue, row.sequence));
        }
    }

    /// It ended otherwise.
    pub fn failed(&mut self, now: Duration, row: Consumed, ending: Ending) -> Verdict {
        let attempts = self.inboxes.get(&row.queue).map_or(u32::MAX, |inbox| inbox.policy.attempts);
        let (reason, backtrace, last) = match ending {
            Ending::Failed { reason, backtrace } => (reason, backtrace, false),
            Ending::Rejected { reason } => (reason, String::new(), true),
            Ending::NoRoom(lack) => return self.again(row, |_| Wait::Room { lack, since: now }),
            Ending::Interrupted | Ending::Refused(Refusal::Stale { .. } | Refusal::Closed) => {
                return self.again(row, |_| Wait::Until(now));
            }
            Ending::Refused(Refusal::Full | Refusal::NoSpace) => {
                return self.again(row, |held| Wait::Until(now.saturating_add(backoff(held.uncounted))));
            }
            // There is nothing left to be consumed, counted or buried.
            Ending::Refused(Refusal::Gone) => {
                self.buried(&row);
                return Verdict::Again(None);
            }
            Ending::Refused(refusal) => (refusal.to_string(), String::new(), false),
        };
        let held = self.hold(row);
        let known = held.counted;
        if !known {
            held.row.failed = held.row.failed.saturating_add(1);
        }
        held.counted = false;
        held.uncounted = 0;
        let failed = held.row.failed;
        held.wait = Wait::Until(now.saturating_add(backoff(failed)));
        if last || failed >= attempts {
            held.wait = Wait::InHand;
            let cause = Cause { reason, attempts: failed, backtrace };
            held.death = Some(cause.clone());
            return Verdict::Bury(cause.of(held.row.clone()));
        }
        let attempt = Attempt { queue: held.row.queue, sequence: held.row.sequence, failed };
        Verdict::Again((!known).then_some(attempt))
    }

    /// It comes again, and this was no attempt.
    fn again(&mut self, row: Consumed, wait: impl FnOnce(&Held) -> Wait) -> Verdict {
        let held = self.hold(row);
        held.uncounted = held.uncounted.saturating_add(1);
        held.wait = wait(held);
        if !held.counted {
            return Verdict::Again(None);
        }
        held.counted = false;
        held.row.failed = held.row.failed.saturating_sub(1);
        let (queue, sequence, failed) = (held.row.queue, held.row.sequence, held.row.failed);
        Verdict::Again(Some(Attempt { queue, sequence, failed }))
    }

    /// There was no room for a dead letter, or its unit was refused. Returns what is to be committed, so that it is
    /// not handled again after a restart.
    pub fn unburied(&mut self, death: Death) -> Attempt {
        let Death { row, reason, attempts, backtrace } = death;
        let most = self.inboxes.get(&row.queue).map_or(attempts, |inbox| inbox.policy.attempts);
        let held = self.hold(row);
        held.row.failed = attempts.max(most);
        held.counted = false;
        held.death = Some(Cause { reason, attempts, backtrace });
        held.wait = Wait::Grave;
        Attempt { queue: held.row.queue, sequence: held.row.sequence, failed: held.row.failed }
    }

    /// It was taken and not handled, or all that came of it was undone because of one before it; `row` is as it was
    /// taken. Returns it where it goes back to its queue; what was taken from here is held here.
    pub fn undone(&mut self, row: Consumed) -> Option<Consumed> {
        let key = (row.queue, row.sequence);
        let Some(held) = self.held.get_mut(&key).filter(|held| held.known) else {
            // Others before it may go back as well, and it must not come before them.
            self.held.remove(&key);
            return Some(row);
        };
        if held.row.failed > row.failed {
            held.row = row;
            held.counted = false;
            held.death = None;
        }
        held.wait = Wait::Until(Duration::ZERO);
        None
    }

    /// Looks who waits for room that there is now.
    pub fn look_for_room(&mut self, has: impl Fn(Lack) -> bool) {
        for held in self.held.values_mut() {
            if matches!(held.wait, Wait::Room { lack, .. } if has(lack)) {
                held.wait = Wait::Until(Duration::ZERO);
            }
        }
    }

    /// Looks which of those that are to be buried have room among the dead letters now, for so many bytes.
    pub fn look_for_graves(&mut self, has: impl Fn(u64) -> bool) {
        for held in self.held.values_mut().filter(|held| held.wait == Wait::Grave) {
            if has(row_bytes(&held.row.envelope.message)) {
                held.wait = Wait::Until(Duration::ZERO);
            }
        }
    }

    /// The first of a queue's deliveries that wait for room, where nothing of the queue is handled before it has some.
    pub fn parked(&self, queue: QueueNumber) -> Option<Parked> {
        let held = self.of(queue).find(|held| matches!(held.wait, Wait::Room { .. }))?;
        let Wait::Room { lack, since } = held.wait else { return None };
        let is_stuck = self.appetite(queue) == Appetite::Nothing;
        is_stuck.then(|| Parked { target: lack.queue, since, message_since: held.row.envelope.since })
    }

    /// The first of a queue's deliveries that wait for room is given up: it waits in a circle. It is due now.
    pub fn condemn(&mut self, queue: QueueNumber, reason: &str) {
        let mut of_it = self.held.range_mut((queue, 0)..=(queue, u64::MAX)).map(|(_, held)| held);
        if let Some(held) = of_it.find(|held| matches!(held.wait, Wait::Room { .. })) {
            let (reason, attempts) = (reason.to_owned(), held.row.failed);
            held.death = Some(Cause { reason, attempts, backtrace: String::new() });
            held.wait = Wait::Until(Duration::ZERO);
        }
    }

    fn hold(&mut self, row: Consumed) -> &mut Held {
        self.held.entry((row.queue, row.sequence)).or_insert_with(|| Held::new(row))
    }

    fn of(&self, queue: QueueNumber) -> impl Iterator<Item = &Held> {
        self.held.range((queue, 0)..=(queue, u64::MAX)).map(|(_, held)| held)
    }
}

impl Held {
    fn new(row: Consumed) -> Held {
        Held { row, wait: Wait::InHand, known: false, counted: false, uncounted: 0, death: None }
    }
}

impl Cause {
    fn of(self, row: Consumed) -> Death {
        Death { row, reason: self.reason, attempts: self.attempts, backtrace: self.backtrace }
    }
}

/// The wait after so many times in a row.
fn backoff(times: u32) -> Duration {
    let factor = 1_u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX);
    DELIVERY_BACKOFF.saturating_mul(factor).min(DELIVERY_BACKOFF_MAX)
}

#[cfg(test)]
mod tests;
