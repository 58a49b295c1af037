//! A reload whose orders are given: what comes of them, as the components answer.
//!
//! Waits for answers and for nothing else, and not for ever. Whoever drops it hears no more; the components go on.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use edgewit_domain::config::Changes;
use edgewit_domain::control::{NotTaken, Reloaded};
use edgewit_domain::limits::RELOAD_WAIT;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::orders::Answer;

pub(crate) struct Reloading {
    reloaded: Reloaded,
    waiting: BTreeMap<Arc<str>, oneshot::Receiver<Answer>>,
    until: Instant,
}

impl Reloading {
    pub(super) fn new(changes: &Changes) -> Reloading {
        let texts = |names: &[Arc<str>]| names.iter().map(|name| name.to_string()).collect();
        let reloaded = Reloaded {
            added: texts(&changes.added),
            removed: texts(&changes.removed),
            settings: changes.settings(),
            needs_restart: changes.needs_restart.iter().map(|key| (*key).to_owned()).collect(),
            ..Reloaded::default()
        };
        Reloading { reloaded, waiting: BTreeMap::new(), until: Instant::now() + RELOAD_WAIT }
    }

    pub(super) fn wait_for(&mut self, name: &Arc<str>, answer: oneshot::Receiver<Answer>) {
        self.waiting.insert(name.clone(), answer);
    }

    /// It was to be added, and there is no thread for it.
    pub(super) fn is_missing(&mut self, name: &Arc<str>, error: &io::Error) {
        tracing::error!(component = &**name, %error, "No thread can be started for it; raise the limit of processes");
        self.reloaded.added.retain(|added| *added != **name);
        let reason = format!("no thread can be started for it: {error}; raise the limit of processes, and reload");
        self.reloaded.failed.insert(name.to_string(), NotTaken { reason, old_stays: false });
    }

    /// Returns when all have answered, or have had the time for it. A call that was dropped has lost no answer.
    pub async fn answered(&mut self) {
        while let Some(mut next) = self.waiting.first_entry() {
            let answer = timeout_at(self.until, next.get_mut()).await;
            let name = next.remove_entry().0;
            match answer {
                Ok(Ok(answer)) => self.note(&name, answer),
                Ok(Err(_)) => self.fail(&name, "a later reload, or the end, came in between; reload again"),
                Err(_) => self.fail(&name, "it is still being put in its place, and `edgewit ps` shows when it is"),
            }
        }
    }

    /// Who has not answered yet.
    pub fn waiting(&mut self) -> Vec<String> {
        let mut answered = Vec::new();
        self.waiting.retain(|name, answer| match answer.try_recv() {
            Ok(answer) => {
                answered.push((name.clone(), answer));
                false
            }
            Err(_) => true,
        });
        for (name, answer) in answered {
            self.note(&name, answer);
        }
        self.waiting.keys().map(|name| name.to_string()).collect()
    }

    /// What came of it, said in the log as well.
    pub fn report(mut self) -> Reloaded {
        self.reloaded.changed.sort();
        let Reloaded { added, removed, changed, failed, .. } = &self.reloaded;
        let (added, removed, changed) = (added.join(" "), removed.join(" "), changed.join(" "));
        let settings = self.reloaded.settings.join(" ");
        if failed.is_empty() {
            tracing::info!(added, removed, changed, settings, "Reloaded");
        } else {
            let failed: Vec<&str> = failed.keys().map(String::as_str).collect();
            tracing::error!(added, removed, changed, failed = failed.join(" "), "Reloaded, but not all of it");
        }
        self.reloaded
    }

    fn note(&mut self, name: &Arc<str>, answer: Answer) {
        match answer {
            Answer::Same => {}
            Answer::Changed => self.reloaded.changed.push(name.to_string()),
            Answer::NotTaken(why) => {
                self.reloaded.failed.insert(name.to_string(), why);
            }
        }
    }

    fn fail(&mut self, name: &Arc<str>, reason: &str) {
        let why = NotTaken { reason: reason.to_owned(), old_stays: true };
        self.reloaded.failed.insert(name.to_string(), why);
    }
}
