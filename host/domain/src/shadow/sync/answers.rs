//! What is heard, and what it means for who waits for it or did not know.
//!
//! A request is known by its token, and only the one that is waited for is answered. All else says that the cloud has
//! gone on: by its version, so that old news is told from new.

use std::time::Duration;

use super::entry::{Phase, Problem};
use super::heard::{Heard, Said};
use super::plan::News;
use super::{Effect, Sync};
use crate::shadow::Verb;
use crate::topic::Topic;

impl Sync {
    pub(super) fn heard(&mut self, now: Duration, topic: &Topic, payload: &[u8], out: &mut Vec<Effect>) {
        let Some(heard) = Heard::read(topic, payload) else { return };
        let Some(index) = self.by_id.get(&heard.id).copied() else { return };
        let of_this_run = self.number_of(heard.token.as_deref());
        let Some(entry) = self.entry_mut(index) else { return };
        let waited_for = match (&entry.phase, heard.verb) {
            (Phase::Getting { token, .. }, Verb::Get) => of_this_run == Some(*token),
            (Phase::Asking { token, delete, .. }, verb) => {
                of_this_run == Some(*token) && verb == if *delete { Verb::Delete } else { Verb::Update }
            }
            _ => false,
        };
        match heard.said {
            said if waited_for => self.answered(now, index, heard.verb, said, out),
            Said::Accepted { version, .. } if heard.verb != Verb::Get => {
                let is_own = heard.token.is_some_and(|token| token.starts_with(&self.stem()));
                self.went_on(now, index, heard.verb, version, is_own);
            }
            _ => {}
        }
    }

    fn answered(&mut self, now: Duration, index: usize, verb: Verb, said: Said, out: &mut Vec<Effect>) {
        let Some(entry) = self.entry_mut(index) else { return };
        let claimed = entry.claimed;
        entry.answered = true;
        let news = match (verb, said) {
            (Verb::Get, Said::Accepted { version, state }) => News::Live { version, state },
            (Verb::Update, Said::Accepted { version, .. }) => News::Accepted { version },
            (Verb::Delete, Said::Accepted { version, .. }) => News::Deleted { version },
            (Verb::Get | Verb::Delete, Said::Rejected { code: 404, .. }) => News::Absent { claimed },
            (verb, Said::Rejected { code, text }) => return self.refused(now, index, verb, code, text),
            (_, Said::Unreadable) => {
                entry.fetch = true;
                return self.trouble(now, index, Problem::Unreadable);
            }
        };
        self.load(index, Some(Box::new(news)), out);
    }

    fn refused(&mut self, now: Duration, index: usize, verb: Verb, code: u16, text: String) {
        let problem = Problem::Refused { code, text };
        let Some(entry) = self.entry_mut(index) else { return };
        if code == 429 || code >= 500 {
            return self.trouble(now, index, problem);
        }
        if verb != Verb::Update {
            return self.error(now, index, problem);
        }
        let times = entry.refused.filter(|(before, _)| *before == code).map_or(0, |(_, times)| times);
        entry.refused = Some((code, times.saturating_add(1)));
        // It may have been right to: whether it was, the cloud's document will show.
        if matches!(code, 400 | 404 | 409) {
            entry.fetch = true;
            return self.trouble(now, index, problem);
        }
        self.error(now, index, problem);
    }

    /// The cloud has another document than before, or none.
    fn went_on(&mut self, now: Duration, index: usize, verb: Verb, version: u64, is_own: bool) {
        let Some(entry) = self.entry_mut(index) else { return };
        let deletes = verb == Verb::Delete;
        if entry.cloud_is_live && version < entry.cloud.saturating_add(u64::from(!deletes)) {
            return;
        }
        // What follows a deletion has the next version.
        entry.heard = entry.heard.max(version.saturating_add(u64::from(deletes)));
        entry.claimed |= deletes && !is_own;
        entry.fetch = true;
        entry.revive(now);
        self.place(now, index);
    }

    /// What all tokens of this gateway begin with.
    fn stem(&self) -> String {
        format!("edgewit-{:x}-", self.settings.epoch)
    }

    pub(super) fn next_token(&mut self) -> (u64, String) {
        self.tokens += 1;
        (self.tokens, format!("{}{:x}-{:x}", self.stem(), self.settings.run, self.tokens))
    }

    fn number_of(&self, token: Option<&str>) -> Option<u64> {
        let of_run = token?.strip_prefix(&self.stem())?.strip_prefix(&format!("{:x}-", self.settings.run))?;
        u64::from_str_radix(of_run, 16).ok()
    }
}
