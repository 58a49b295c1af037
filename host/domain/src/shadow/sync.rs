//! Shadows that are the same here and in the cloud, as a machine over all of them and one link.
//!
//! **What it holds.** Of every shadow a few numbers: which documents were last seen on either side. Documents are handed
//! in one shadow at a time: [`Effect::Load`] asks for the local document and the row, [`Input::Loaded`] brings them, the
//! plan that is made of them ([`plan`]) comes out as one [`Effect::Commit`] and at most one [`Effect::Publish`], and they
//! are forgotten. So what is in memory is bounded by how many are under way ([`pace`]), not by how many there are.
//!
//! **What it believes.** Of the cloud only answers to its own requests, by their tokens. Whatever else is heard (others'
//! changes, late answers, the same twice) says no more than that the cloud has gone on, and a `get` asks where it is.
//! So nothing depends on the order in which things are heard, and what is lost costs time and nothing else.
//!
//! **What it keeps.** A change that is made here for the cloud's sake, and the row that says so, are one transaction. An
//! update stands in the row before it is sent. A plan that was cut off, by a lost link or the end of the process, is made
//! anew from the row, and a new process asks for every shadow once.
//!
//! It must never have two plans for one shadow under way, try again at once what has failed, or take a wall clock's word
//! for what came first. `now` is running time, which goes on over restarts; `wall` is for the times in documents only.

mod answers;
mod entry;
mod filters;
mod heard;
mod merge3;
mod pace;
mod plan;
mod round;
mod row;
mod rules;
mod state;
mod suspects;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub use entry::{Problem, Standing, Status};
pub use filters::{FILTERS_PER_THING, TooMany, filters, fit};
pub use heard::accepted_on;
pub use merge3::{Winner, Winners};
pub use plan::{Change, Direction};
pub use row::{Seen, is_over};
pub use rules::{Rules, Which};

use entry::Entry;
use pace::Pace;

use crate::limits::{SHADOW_SYNC_RATE, SHADOW_SYNC_SHADOWS};
use crate::shadow::{Limits, ShadowId, Stored, ThingName};
use crate::topic::Topic;

#[derive(Clone, Debug)]
pub struct Settings {
    /// Names this gateway in its tokens, as long as its store lives.
    pub epoch: u64,
    /// Any random number of this run.
    pub run: u64,
    /// Requests that all things together may make.
    pub per_second: u64,
    /// Of local documents.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { epoch: 0, run: 0, per_second: SHADOW_SYNC_RATE.default, limits: Limits::default() }
    }
}

/// How a shadow is kept the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct How {
    pub direction: Direction,
    pub winners: Winners,
    /// At most once in this time; at once, where it is zero.
    pub every: Duration,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The link stands and its filters are subscribed to; the broker still knew the session, or did not.
    Up { session_kept: bool },
    /// It has ended. `owed`: a request of ours was on its way, and the broker had not acknowledged it.
    Down { owed: bool },
    /// Keep this shadow the same from now on, with what the store has of it. Of more than
    /// [`SHADOW_SYNC_SHADOWS`](crate::limits::SHADOW_SYNC_SHADOWS) the rest is left alone; `check` refuses them.
    Watch { id: ShadowId, how: How, local: Seen, row: Option<Vec<u8>> },
    /// Leave it alone from now on. Its row may be deleted.
    Unwatch { id: ShadowId },
    /// The local document is another, by whomever.
    Changed { id: ShadowId, local: Seen },
    /// A message on one of [`filters`].
    Heard { topic: Topic, payload: Vec<u8> },
    /// What [`Effect::Load`] asked for, and the second since 1970.
    Loaded { id: ShadowId, local: Option<Stored>, row: Option<Vec<u8>>, wall: u64 },
    /// [`Effect::Commit`] is on disk.
    Committed { id: ShadowId },
    /// It was not made: the local document was not the one that the change was made for.
    Stale { id: ShadowId },
    /// It was not made, or [`Effect::Load`] could not be: the store refused.
    NoRoom { id: ShadowId },
    /// The time of [`Sync::wake_at`] has come.
    Woke,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Report the local document and the row as they are on disk, with [`Input::Loaded`], or [`Input::NoRoom`] where they
    /// cannot be read.
    Load { id: ShadowId },
    /// In one transaction: make the change, if the local document is still [`Change::from`], with all that such a request
    /// leads to, and put the row. Report [`Input::Committed`], [`Input::Stale`] or [`Input::NoRoom`].
    Commit { id: ShadowId, change: Option<Change>, row: Vec<u8> },
    /// A request to the cloud, at QoS 1, not kept when the link is down.
    Publish { topic: Topic, payload: Vec<u8> },
}

/// All shadows that are synchronised over one link.
#[derive(Clone, Debug)]
pub struct Sync {
    settings: Settings,
    online: bool,
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    by_id: BTreeMap<ShadowId, usize>,
    lanes: BTreeMap<ThingName, usize>,
    pace: Pace,
    timers: BTreeSet<(Duration, usize)>,
    tokens: u64,
    random: u64,
    /// When something that waits for the rate, or for others, may begin.
    ready_at: Option<Duration>,
    /// Connections in a row that ended while the broker owed us an acknowledgement.
    losses: u32,
    /// What was asked for when they did, and is asked for alone now.
    suspects: VecDeque<usize>,
}

impl Sync {
    pub fn new(settings: Settings) -> Sync {
        Sync {
            online: false,
            entries: Vec::new(),
            free: Vec::new(),
            by_id: BTreeMap::new(),
            lanes: BTreeMap::new(),
            pace: Pace::new(settings.per_second),
            timers: BTreeSet::new(),
            tokens: 0,
            random: settings.run,
            ready_at: None,
            losses: 0,
            suspects: VecDeque::new(),
            settings,
        }
    }

    pub fn step(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        match input {
            Input::Up { session_kept } => self.up(now, session_kept),
            Input::Down { owed } => self.down(now, owed),
            Input::Watch { id, how, local, row } => self.watch(now, id, how, local, row.as_deref()),
            Input::Unwatch { id } => self.unwatch(&id),
            Input::Changed { id, local } => self.changed(now, &id, local),
            Input::Heard { topic, payload } => self.heard(now, &topic, &payload, &mut out),
            Input::Loaded { id, local, row, wall } => {
                self.loaded(now, wall, &id, local.as_ref(), row.as_deref(), &mut out);
            }
            Input::Committed { id } => self.committed(now, &id, &mut out),
            Input::Stale { id } => self.stale(&id, &mut out),
            Input::NoRoom { id } => self.no_room(now, &id),
            Input::Woke => self.woke(now),
        }
        self.pump(now, &mut out);
        out
    }

    /// When to step with [`Input::Woke`].
    pub fn wake_at(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(at, _)| *at);
        [timer, self.ready_at].into_iter().flatten().min()
    }

    /// Shadows that are watched.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn status(&self, now: Duration, id: &ShadowId) -> Option<Status> {
        Some(self.entry(*self.by_id.get(id)?)?.status(now, self.online))
    }

    /// Of every shadow, by name.
    pub fn statuses(&self, now: Duration) -> impl Iterator<Item = (&ShadowId, Status)> {
        self.by_id.iter().filter_map(move |(id, index)| Some((id, self.entry(*index)?.status(now, self.online))))
    }

    fn watch(&mut self, now: Duration, id: ShadowId, how: How, local: Seen, row: Option<&[u8]>) {
        if let Some(index) = self.by_id.get(&id).copied() {
            if let Some(entry) = self.entry_mut(index) {
                entry.how = how;
                entry.fetch_again();
            }
            return self.place(now, index);
        }
        if self.by_id.len() >= SHADOW_SYNC_SHADOWS {
            return;
        }
        let lane = match self.lanes.get(&id.thing) {
            Some(lane) => *lane,
            None => {
                let lane = self.pace.lane();
                self.lanes.insert(id.thing.clone(), lane);
                lane
            }
        };
        let entry = Entry::new(id.clone(), how, lane, local, row);
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        if let Some(place) = self.entries.get_mut(index) {
            *place = Some(entry);
        }
        self.by_id.insert(id, index);
        self.place(now, index);
    }

    fn unwatch(&mut self, id: &ShadowId) {
        let Some(index) = self.by_id.remove(id) else { return };
        let Some(entry) = self.entries.get_mut(index).and_then(Option::take) else { return };
        if let Some(at) = entry.timer {
            self.timers.remove(&(at, index));
        }
        if !entry.is_idle() {
            self.pace.end(entry.lane);
        }
        if self.suspects.contains(&index) {
            self.pace.hold(entry.lane, false);
            self.suspects.retain(|suspect| *suspect != index);
        }
        self.free.push(index);
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)?.as_ref()
    }

    fn entry_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)?.as_mut()
    }
}
