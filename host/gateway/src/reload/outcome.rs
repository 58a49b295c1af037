//! A reload whose orders are given: what comes of them, as the components answer.
//!
//! Waits for answers and for nothing else, and not for ever. Whoever drops it hears no more; the components go on.

use std::collections::BTreeMap;
use std::fmt;
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
    waiting: BTreeMap<Changing, oneshot::Receiver<Answer>>,
    until: Instant,
}

/// Who is to answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Changing {
    Component(Arc<str>),
    Model(Arc<str>),
}

impl fmt::Display for Changing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Changing::Component(name) => f.write_str(name),
            Changing::Model(name) => write!(f, "model.{name}"),
        }
    }
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

    pub(super) fn wait_for(&mut self, who: Changing, answer: oneshot::Receiver<Answer>) {
        // Whether it is in force is what it will answer.
        self.reloaded.settings.retain(|setting| *setting != who.to_string());
        self.waiting.insert(who, answer);
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
            let who = next.remove_entry().0;
            match answer {
                Ok(Ok(answer)) => self.note(&who, answer),
                Ok(Err(_)) => self.fail(&who, "a later reload, or the end, came in between; reload again"),
                Err(_) => {
                    let shows = if matches!(who, Changing::Model(_)) { "edgewit model ls" } else { "edgewit ps" };
                    self.fail(&who, &format!("it is still being put in its place, and `{shows}` shows when it is"));
                }
            }
        }
    }

    /// Who has not answered yet.
    pub fn waiting(&mut self) -> Vec<String> {
        let mut answered = Vec::new();
        self.waiting.retain(|who, answer| match answer.try_recv() {
            Ok(answer) => {
                answered.push((who.clone(), answer));
                false
            }
            Err(_) => true,
        });
        for (who, answer) in answered {
            self.note(&who, answer);
        }
        self.waiting.keys().map(Changing::to_string).collect()
    }

    /// What came of it, said in the log as well.
    pub fn report(mut self) -> Reloaded {
        self.reloaded.changed.sort();
        self.reloaded.models.sort();
        let Reloaded { added, removed, changed, settings, failed, models, models_failed, .. } = &self.reloaded;
        let [added, removed, changed, settings, models] =
            [added, removed, changed, settings, models].map(|names| names.join(" "));
        if failed.is_empty() && models_failed.is_empty() {
            tracing::info!(added, removed, changed, settings, models, "Reloaded");
        } else {
            let names = |failed: &BTreeMap<String, NotTaken>| failed.keys().cloned().collect::<Vec<_>>().join(" ");
            let (failed, models_failed) = (names(failed), names(models_failed));
            tracing::error!(
                added,
                removed,
                changed,
                settings,
                models,
                failed,
                models_failed,
                "Reloaded, but not all of it"
            );
        }
        self.reloaded
    }

    fn note(&mut self, who: &Changing, answer: Answer) {
        match (answer, who) {
            (Answer::Same, _) => {}
            (Answer::Changed, Changing::Component(name)) => self.reloaded.changed.push(name.to_string()),
            (Answer::Changed, Changing::Model(name)) => self.reloaded.models.push(name.to_string()),
            (Answer::NotTaken(why), _) => self.not_taken(who, why),
        }
    }

    fn fail(&mut self, who: &Changing, reason: &str) {
        self.not_taken(who, NotTaken { reason: reason.to_owned(), old_stays: true });
    }

    fn not_taken(&mut self, who: &Changing, why: NotTaken) {
        match who {
            Changing::Component(name) => self.reloaded.failed.insert(name.to_string(), why),
            Changing::Model(name) => self.reloaded.models_failed.insert(name.to_string(), why),
        };
    }
}
