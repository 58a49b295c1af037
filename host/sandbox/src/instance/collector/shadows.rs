//! Shadows as the handling under way sees them: what is kept, and over it what the handling itself has asked for.
//!
//! A request is a message like any other, and a guest may as well publish it by itself; so what was asked for is found
//! among the messages, and applied by the very code that applies it in the end. Only what was *seen* is noted for the
//! commit, as it was before the handling: what is merged without looking depends on nothing.

use std::collections::BTreeMap;

use edgewit_domain::ledger::ShadowRead;
use edgewit_domain::limits::{SHADOW_BYTES_PER_HANDLING, SHADOWS_PER_HANDLING};
use edgewit_domain::message::Message;
use edgewit_domain::shadow::{Document, Request, RequestTopic, ShadowId, Stored};

use crate::services::{Shadows, ShadowsError};

/// Why a shadow cannot be looked at.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unseen {
    /// The guest has looked at more than it may.
    #[error("{0}")]
    Limit(String),
    /// No fault of the guest's.
    #[error(transparent)]
    Store(#[from] ShadowsError),
}

#[derive(Default)]
pub(crate) struct ShadowEffects {
    known: BTreeMap<ShadowId, Known>,
    /// Of all the documents that are known, as they were found.
    bytes: usize,
    /// What may change a shadow, and which of the messages it is.
    requests: Vec<(RequestTopic, usize)>,
}

/// What the handling knows of one shadow.
pub(crate) struct Known {
    /// As it is with everything that was asked for.
    pub stored: Option<Stored>,
    /// The version before the handling.
    version: Option<u64>,
    /// What comes of the handling may depend on it.
    pub seen: bool,
    /// So many of all requests have been applied, if they are to this shadow.
    applied: usize,
}

impl Known {
    pub fn live(&self) -> Option<&Document> {
        self.stored.as_ref().and_then(Stored::live)
    }
}

impl ShadowEffects {
    pub fn clear(&mut self) {
        if !self.known.is_empty() || !self.requests.is_empty() {
            *self = ShadowEffects::default();
        }
    }

    pub fn take(&mut self) -> Vec<ShadowRead> {
        self.requests.clear();
        self.bytes = 0;
        let known = std::mem::take(&mut self.known).into_iter();
        known.filter(|(_, known)| known.seen).map(|(id, known)| ShadowRead { id, version: known.version }).collect()
    }

    /// `message` is its place among the messages.
    pub fn ask(&mut self, request: RequestTopic, message: usize) {
        self.requests.push((request, message));
    }

    pub fn asked_of(&self) -> impl Iterator<Item = &ShadowId> {
        self.requests.iter().map(|(request, _)| &request.id)
    }

    pub fn look(
        &mut self,
        shadows: &dyn Shadows,
        messages: &[Message],
        id: &ShadowId,
        now: u64,
    ) -> Result<&mut Known, Unseen> {
        if !self.known.contains_key(id) {
            self.find(shadows, id)?;
        }
        let known = self.known.entry(id.clone()).or_insert_with(Known::nothing);
        let limits = shadows.limits();
        for (request, message) in self.requests.iter().skip(known.applied) {
            let message = messages.get(*message).filter(|_| request.id == *id);
            let request = message.and_then(|message| Request::parse(request.verb, &message.payload, &limits).ok());
            if let Some(Ok(Some(stored))) = request.map(|it| it.stored(known.stored.as_ref(), now, &limits)) {
                known.stored = Some(stored);
            }
        }
        known.applied = self.requests.len();
        Ok(known)
    }

    fn find(&mut self, shadows: &dyn Shadows, id: &ShadowId) -> Result<(), Unseen> {
        if self.known.len() >= SHADOWS_PER_HANDLING {
            return Err(Unseen::Limit(format!("one handling may use {SHADOWS_PER_HANDLING} shadows")));
        }
        let stored = shadows.get(id)?;
        let live = stored.as_ref().and_then(Stored::live);
        let bytes = self.bytes + live.map_or(0, Document::size);
        if bytes > SHADOW_BYTES_PER_HANDLING {
            let most = SHADOW_BYTES_PER_HANDLING;
            return Err(Unseen::Limit(format!("one handling may use shadows of {most} bytes together")));
        }
        let version = live.map(Document::version);
        self.bytes = bytes;
        self.known.insert(id.clone(), Known { stored, version, ..Known::nothing() });
        Ok(())
    }
}

impl Known {
    fn nothing() -> Known {
        Known { stored: None, version: None, seen: false, applied: 0 }
    }
}
