//! The search for the shadow that ends connections.
//!
//! A broker that closes the connection on a request that its policy forbids, as AWS IoT does, says not which. After a few
//! connections that ended so, what was asked for is suspected: it is asked for alone, while nothing else is under way, and
//! whoever is answered is acquitted. A connection that ends meanwhile speaks against the one that was alone; the next one
//! belongs to everything else for a while. Whom enough of them speak against is in error, until an hour later it is asked
//! for alone once more.
//!
//! The link has a search of its own, over messages. It cannot name a shadow, since every connection has new requests; and
//! this one must not take the link's suspects for its own: only an end that left one of our requests without the broker's
//! acknowledgement counts.

use std::time::Duration;

use super::Sync;
use super::entry::{Entry, Phase, Problem};
use super::round::part;
use crate::limits::{
    SHADOW_SYNC_ERROR_WAIT, SHADOW_SYNC_GIVE_UP_AFTER, SHADOW_SYNC_SILENT_THING, SHADOW_SYNC_SOLO_AFTER,
    SHADOW_SYNC_SOLO_WAIT,
};
use crate::shadow::{RequestTopic, Verb};

impl Sync {
    /// Whose turn it is, begun with this; and its lane.
    pub(super) fn begin(&mut self, now: Duration) -> Option<(usize, usize)> {
        loop {
            if let Some((lane, index)) = self.alone(now) {
                return self.pace.begin_alone(now, lane).then_some((lane, index));
            }
            let (lane, index) = self.pace.begin(now)?;
            let online = self.online;
            let Some(entry) = self.entry_mut(index).filter(|entry| entry.lane == lane) else {
                // It waited for what is not watched any more.
                self.pace.end(lane);
                continue;
            };
            entry.queued = None;
            if !online || entry.suspect.is_none() || !entry.is_idle() || entry.due(online).is_none_or(|at| at > now) {
                return Some((lane, index));
            }
            // Its hour has passed.
            self.pace.end(lane);
            self.begin_to_suspect(index);
        }
    }

    /// The suspect for which all others have to wait now, and its lane.
    pub(super) fn alone(&self, now: Duration) -> Option<(usize, usize)> {
        let mut suspects = self.suspects.iter().filter(|_| self.online);
        suspects.find_map(|index| {
            let entry = self.entry(*index)?;
            if entry.suspect == Some(0) && self.pace.is_held(entry.lane) {
                return None;
            }
            let is_now = !entry.is_idle() || entry.due(true).is_some_and(|at| at <= now);
            is_now.then_some((entry.lane, *index))
        })
    }

    /// Whom the last connection spoke against leaves a new one to everything else first, and so does all of its thing: it
    /// is likely to lack the same.
    pub(super) fn wait_for_all_else(&mut self, now: Duration, index: usize) {
        let Some(entry) = self.entry_mut(index).filter(|entry| !entry.is_condemned()) else { return };
        if let Some(1..) = entry.suspect {
            entry.until = now.saturating_add(SHADOW_SYNC_SOLO_WAIT);
            let lane = entry.lane;
            self.pace.hold(lane, true);
        }
    }

    /// The connection has ended. Called while what was asked is still known.
    pub(super) fn suspect(&mut self, now: Duration, owed: bool) {
        let asked: Vec<(usize, Verb)> = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, entry)| {
                Some((
                    index,
                    match entry.as_ref()?.phase {
                        Phase::Getting { .. } => Verb::Get,
                        Phase::Asking { delete: true, .. } => Verb::Delete,
                        Phase::Asking { .. } => Verb::Update,
                        _ => return None,
                    },
                ))
            })
            .collect();
        for index in &self.suspects {
            if let Some(entry) = self.entries.get(*index).and_then(Option::as_ref) {
                self.pace.hold(entry.lane, false);
            }
        }
        match asked.as_slice() {
            _ if !owed => self.losses = 0,
            [] => {}
            [(index, verb)] if self.suspects.contains(index) => self.speak_against(now, *index, *verb),
            several => {
                self.losses = self.losses.saturating_add(1);
                if self.losses >= SHADOW_SYNC_SOLO_AFTER {
                    several.iter().for_each(|(index, _)| self.begin_to_suspect(*index));
                }
            }
        }
    }

    fn begin_to_suspect(&mut self, index: usize) {
        if !self.suspects.contains(&index)
            && let Some(entry) = self.entry_mut(index)
        {
            entry.suspect.get_or_insert(0);
            self.suspects.push_back(index);
        }
    }

    fn speak_against(&mut self, now: Duration, index: usize, verb: Verb) {
        let Some(entry) = self.entry_mut(index) else { return };
        let times = entry.suspect.unwrap_or_default().saturating_add(1);
        entry.suspect = Some(times);
        if !entry.is_condemned() {
            return;
        }
        let (id, kin) = (entry.id.clone(), kin(entry));
        // Names are checked, so the topic is one.
        let Ok(asked) = (RequestTopic { id, verb }).topic() else { return };
        let problem = Problem::EndsConnections { asked, times };
        let until = now.saturating_add(part(SHADOW_SYNC_ERROR_WAIT, self.next_random()));
        let all_kin = || self.entries.iter().flatten().filter(|entry| self::kin(entry) == kin);
        let condemned = all_kin().filter(|entry| entry.is_condemned()).count();
        let are_all = condemned >= SHADOW_SYNC_SILENT_THING && !all_kin().any(|entry| entry.answered);
        for (other, entry) in self.entries.iter_mut().enumerate() {
            let Some(entry) = entry.as_mut().filter(|entry| self::kin(entry) == kin && !entry.blocked) else {
                continue;
            };
            if other == index || are_all {
                entry.suspect = entry.suspect.max(Some(SHADOW_SYNC_GIVE_UP_AFTER));
                entry.in_error = true;
                entry.until = until;
                entry.problem = Some(problem.clone());
            }
        }
        let entries = &self.entries;
        self.suspects.retain(|suspect| {
            !entries.get(*suspect).and_then(Option::as_ref).is_some_and(|entry| entry.is_condemned())
        });
    }

    /// What was asked for it has ended, and no connection with that.
    pub(super) fn acquit(&mut self, now: Duration, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        if entry.suspect.is_none() {
            return;
        }
        let (was_condemned, kin) = (entry.is_condemned(), kin(entry));
        entry.suspect = None;
        self.pace.hold(kin.0, false);
        self.suspects.retain(|suspect| *suspect != index);
        if self.suspects.is_empty() {
            self.losses = 0;
        }
        if !was_condemned {
            return;
        }
        // What the thing lacked, it has now.
        for other in 0..self.entries.len() {
            let of_kin = |entry: &&mut Entry| entry.is_condemned() && self::kin(entry) == kin;
            let Some(entry) = self.entry_mut(other).filter(of_kin) else { continue };
            entry.until = now;
            self.place(now, other);
        }
    }
}

/// Policies are made for things, and apart for the shadows that have names.
fn kin(entry: &Entry) -> (usize, bool) {
    (entry.lane, entry.id.name.is_some())
}
