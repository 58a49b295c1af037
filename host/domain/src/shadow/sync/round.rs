//! One shadow's way from having something to do to having done it, and what may come in between.
//!
//! Get, load, commit, ask, load, commit: each step waits for the one before, and ends where something fails. What was
//! left open is seen in the row by the next one.

use std::time::Duration;

use super::entry::{Commit, Phase, Problem, read};
use super::plan::{Ask, Made, News, Plan, Stop, View, mark, plan};
use super::row::{Row, Seen};
use super::{Effect, Sync};
use crate::limits::{
    SHADOW_SYNC_BACKOFF, SHADOW_SYNC_BACKOFF_MAX, SHADOW_SYNC_ERROR_WAIT, SHADOW_SYNC_RECONCILE, SHADOW_SYNC_REPLY_WAIT,
};
use crate::shadow::json::{Fields, Value, quoted, write_members};
use crate::shadow::request::Request;
use crate::shadow::{RequestTopic, ShadowId, Stored, Verb};

impl Sync {
    pub(super) fn up(&mut self, now: Duration, session_kept: bool) {
        if self.online {
            self.down(now, false);
        }
        self.online = true;
        for index in 0..self.entries.len() {
            let Some(entry) = self.entry_mut(index) else { continue };
            // What was refused for good may be permitted to a new connection, but not what ends connections.
            if !entry.is_condemned() {
                entry.until = now;
            }
            entry.failures = 0;
            if !session_kept {
                entry.fetch_again();
            }
            self.wait_for_all_else(now, index);
            self.place(now, index);
        }
    }

    pub(super) fn down(&mut self, now: Duration, owed: bool) {
        self.online = false;
        self.suspect(now, owed);
        for index in 0..self.entries.len() {
            let Some(entry) = self.entry_mut(index) else { continue };
            match entry.phase {
                Phase::Getting { .. } | Phase::Asking { .. } => {
                    entry.fetch = true;
                    self.end(now, index);
                }
                _ => self.place(now, index),
            }
        }
    }

    pub(super) fn changed(&mut self, now: Duration, id: &ShadowId, local: Seen) {
        let Some(index) = self.by_id.get(id).copied() else { return };
        let Some(entry) = self.entry_mut(index) else { return };
        entry.local = local;
        if local != entry.agreed {
            entry.since.get_or_insert(now.as_secs());
            entry.revive(now);
        }
        self.place(now, index);
    }

    pub(super) fn woke(&mut self, now: Duration) {
        while let Some((at, index)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, index));
            let Some(entry) = self.entry_mut(index) else { continue };
            entry.timer = None;
            match entry.phase {
                Phase::Getting { .. } | Phase::Asking { .. } => {
                    entry.fetch = true;
                    self.trouble(now, index, Problem::NoAnswer);
                }
                _ => self.place(now, index),
            }
        }
    }

    /// Puts a shadow where it waits: for its turn, for a time, or for nothing.
    pub(super) fn place(&mut self, now: Duration, index: usize) {
        let online = self.online;
        let Some(entry) = self.entries.get_mut(index).and_then(Option::as_mut) else { return };
        if let Some(at) = entry.timer.take() {
            self.timers.remove(&(at, index));
        }
        let at = match entry.phase {
            Phase::Getting { deadline, .. } | Phase::Asking { deadline, .. } => Some(deadline),
            Phase::Loading(_) | Phase::Committing(_) => None,
            Phase::Idle => match entry.due(online) {
                Some(at) if at <= now => {
                    let is_urgent = entry.is_dirty();
                    match entry.queued {
                        None => self.pace.wait(entry.lane, index, is_urgent),
                        Some(false) if is_urgent => self.pace.hurry(entry.lane, index),
                        Some(_) => {}
                    }
                    entry.queued = entry.queued.max(Some(is_urgent));
                    None
                }
                at => at,
            },
        };
        entry.timer = at;
        self.timers.extend(at.map(|at| (at, index)));
    }

    pub(super) fn pump(&mut self, now: Duration, out: &mut Vec<Effect>) {
        while let Some((lane, index)) = self.begin(now) {
            let online = self.online;
            let Some(entry) = self.entry_mut(index) else { continue };
            if !entry.is_idle() || entry.due(online).is_none_or(|at| at > now) {
                self.pace.end(lane);
                self.place(now, index);
                continue;
            }
            if !online {
                self.load(index, None, out);
                continue;
            }
            entry.began = Some(now);
            entry.fetch |= entry.reconcile_at <= now;
            if std::mem::take(&mut entry.in_error) {
                entry.refused = None;
            }
            if entry.fetch {
                self.get(now, index, out);
            } else {
                self.load(index, Some(Box::new(News::Nothing)), out);
            }
        }
        self.ready_at = match self.alone(now) {
            Some((lane, _)) => self.pace.alone_at(lane),
            None => self.pace.ready_at(),
        };
    }

    fn end(&mut self, now: Duration, index: usize) {
        let Some(entry) = self.entry_mut(index) else { return };
        entry.phase = Phase::Idle;
        let lane = entry.lane;
        self.pace.end(lane);
        if self.online {
            self.acquit(now, index);
        }
        self.place(now, index);
    }

    /// What passes by itself.
    pub(super) fn trouble(&mut self, now: Duration, index: usize, problem: Problem) {
        let random = self.next_random();
        let Some(entry) = self.entry_mut(index) else { return };
        let factor = 1_u32.checked_shl(entry.failures).unwrap_or(u32::MAX);
        let step = SHADOW_SYNC_BACKOFF.saturating_mul(factor).min(SHADOW_SYNC_BACKOFF_MAX);
        entry.failures = entry.failures.saturating_add(1);
        entry.until = now.saturating_add(part(step, random));
        entry.problem = Some(problem);
        self.end(now, index);
    }

    /// What does not.
    pub(super) fn error(&mut self, now: Duration, index: usize, problem: Problem) {
        let random = self.next_random();
        let Some(entry) = self.entry_mut(index) else { return };
        entry.in_error = true;
        entry.until = now.saturating_add(part(SHADOW_SYNC_ERROR_WAIT, random));
        entry.problem = Some(problem);
        self.end(now, index);
    }

    fn get(&mut self, now: Duration, index: usize, out: &mut Vec<Effect>) {
        let (token, text) = self.next_token();
        let Some(entry) = self.entry_mut(index) else { return };
        entry.heard = 0;
        entry.phase = Phase::Getting { token, deadline: now.saturating_add(SHADOW_SYNC_REPLY_WAIT) };
        self.publish(now, index, Verb::Get, out, |fields| write_text(fields, &text));
    }

    fn ask(&mut self, now: Duration, index: usize, ask: &Ask, out: &mut Vec<Effect>) {
        let (token, text) = self.next_token();
        let Some(entry) = self.entry_mut(index) else { return };
        let delete = *ask == Ask::Delete;
        entry.phase = Phase::Asking { token, deadline: now.saturating_add(SHADOW_SYNC_REPLY_WAIT), delete };
        match ask {
            Ask::Delete => self.publish(now, index, Verb::Delete, out, |fields| write_text(fields, &text)),
            Ask::Update { patch, version } => self.publish(now, index, Verb::Update, out, |fields| {
                write_members(fields.next("state"), patch.iter(), Value::write);
                if let Some(version) = version {
                    fields.number("version", *version);
                }
                write_text(fields, &text);
            }),
        }
    }

    fn publish(
        &mut self,
        now: Duration,
        index: usize,
        verb: Verb,
        out: &mut Vec<Effect>,
        write: impl FnOnce(&mut Fields<'_>),
    ) {
        let Some(entry) = self.entry(index) else { return };
        let (lane, id) = (entry.lane, entry.id.clone());
        let mut payload = Vec::new();
        let mut fields = Fields::open(&mut payload);
        write(&mut fields);
        fields.close();
        self.pace.charge(lane, now);
        // Names are checked, so the topic is one.
        out.extend(RequestTopic { id, verb }.topic().ok().map(|topic| Effect::Publish { topic, payload }));
        self.place(now, index);
    }

    pub(super) fn load(&mut self, index: usize, news: Option<Box<News>>, out: &mut Vec<Effect>) {
        let Some(entry) = self.entry_mut(index) else { return };
        entry.phase = Phase::Loading(news);
        out.push(Effect::Load { id: entry.id.clone() });
        if let Some(at) = entry.timer.take() {
            self.timers.remove(&(at, index));
        }
    }

    pub(super) fn loaded(
        &mut self,
        now: Duration,
        wall: u64,
        id: &ShadowId,
        local: Option<&Stored>,
        bytes: Option<&[u8]>,
        out: &mut Vec<Effect>,
    ) {
        let Some(index) = self.by_id.get(id).copied() else { return };
        let (limits, online) = (self.settings.limits, self.online);
        let Some(entry) = self.entry_mut(index) else { return };
        let Phase::Loading(news) = &mut entry.phase else { return };
        let news = news.take();
        entry.local = Seen::of(local);
        let (row, _, problem) = read(bytes);
        entry.problem = problem.or(entry.problem.take());
        let view = View {
            local,
            row: &row,
            direction: entry.how.direction,
            winners: entry.how.winners,
            limits: &limits,
            now: now.as_secs(),
            wall,
            refused: entry.refused,
        };
        let made = news.as_ref().map_or_else(|| mark(&view), |news| plan(&view, news));
        match made {
            Plan::Fetch if online => self.get(now, index, out),
            Plan::Fetch => {
                entry.fetch = true;
                self.end(now, index);
            }
            Plan::Stop(stop) => {
                entry.fetch = true;
                let problem = match (stop, entry.problem.take()) {
                    (Stop::Local(rejection), _) => Problem::Local(rejection),
                    (Stop::Refused, Some(problem)) => problem,
                    (Stop::Refused, None) => Problem::Unreadable,
                };
                self.error(now, index, problem);
            }
            Plan::Commit(made) => {
                let Made { change, row: after, ask } = *made;
                let is_new = after.sent != row.sent;
                let is_nothing = change.is_none() && after == row && bytes.is_some();
                if let Some(change) = &change {
                    entry.local = leads_to(&change.request, &after);
                }
                let row = after.encode();
                entry.phase = Phase::Committing(Box::new(Commit { news, row: after, ask, is_new }));
                if is_nothing {
                    return self.committed(now, id, out);
                }
                out.push(Effect::Commit { id: id.clone(), change, row });
            }
        }
    }

    pub(super) fn committed(&mut self, now: Duration, id: &ShadowId, out: &mut Vec<Effect>) {
        let Some(index) = self.by_id.get(id).copied() else { return };
        let random = self.next_random();
        let online = self.online;
        let Some(entry) = self.entry_mut(index) else { return };
        let Phase::Committing(commit) = std::mem::replace(&mut entry.phase, Phase::Idle) else { return };
        entry.take(&commit.row);
        if commit.is_new {
            entry.refused = None;
        }
        let heard = entry.heard;
        match commit.news.as_deref() {
            None | Some(News::Nothing) => {}
            Some(News::Live { version, .. }) => entry.fetch = heard > *version,
            Some(News::Accepted { version } | News::Deleted { version }) => entry.fetch = heard > *version,
            Some(News::Absent { .. }) => entry.fetch = heard > 0,
        }
        if let Some(News::Live { .. } | News::Absent { .. }) = commit.news.as_deref() {
            entry.claimed = false;
            entry.reconcile_at = now.saturating_add(part(SHADOW_SYNC_RECONCILE, random));
        }
        match commit.ask {
            Some(ask) if online => return self.ask(now, index, &ask, out),
            Some(_) => entry.fetch = true,
            None if commit.news.is_some() => {
                entry.failures = 0;
                entry.problem = None;
            }
            None => {}
        }
        self.end(now, index);
    }

    pub(super) fn stale(&mut self, id: &ShadowId, out: &mut Vec<Effect>) {
        let Some(index) = self.by_id.get(id).copied() else { return };
        let Some(entry) = self.entry_mut(index) else { return };
        let Phase::Committing(commit) = &mut entry.phase else { return };
        let news = commit.news.take();
        self.load(index, news, out);
    }

    pub(super) fn no_room(&mut self, now: Duration, id: &ShadowId) {
        let Some(index) = self.by_id.get(id).copied() else { return };
        let Some(entry) = self.entry_mut(index) else { return };
        let news = match &entry.phase {
            Phase::Loading(news) => news.as_deref(),
            Phase::Committing(commit) => commit.news.as_deref(),
            _ => return,
        };
        entry.fetch |= !matches!(news, None | Some(News::Nothing));
        self.trouble(now, index, Problem::NoRoom);
    }

    /// A number that nobody foresees (splitmix64).
    pub(super) fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Between a half and all of it, so that a thousand gateways do not come back in the same second.
pub(super) fn part(step: Duration, random: u64) -> Duration {
    step.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
}

fn write_text(fields: &mut Fields<'_>, token: &str) {
    fields.next("clientToken").extend_from_slice(quoted(token).as_bytes());
}

/// The local document after a change, as the row tells it.
fn leads_to(request: &Request, row: &Row) -> Seen {
    match (request, &row.sent) {
        (Request::Delete { .. }, _) => Seen::Absent,
        (_, Some(sent)) => sent.local,
        (_, None) => row.local,
    }
}
