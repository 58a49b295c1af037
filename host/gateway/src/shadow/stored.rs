//! Shadows as a component's next handling sees them: what is committed, under what is about to be.
//!
//! What a shift has handled and not yet committed lies over the store until it is; if it is undone, so is this. Requests
//! are applied only to a shadow that is looked at, since most that ask for a change never look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use edgewit_domain::ledger::Planned;
use edgewit_domain::message::Envelope;
use edgewit_domain::shadow::{Limits, Request, RequestTopic, ShadowId, ShadowName, Stored, ThingName, Verb};
use edgewit_sandbox::{Shadows, ShadowsError};
use edgewit_store::Store;

use crate::hub::Hub;
use crate::sync::lock;

/// In the order in which they were asked for.
type Asked = BTreeMap<ShadowId, Vec<(Verb, Arc<Envelope>)>>;

pub(crate) struct StoredShadows {
    hub: Arc<Hub>,
    limits: Limits,
    asked: Mutex<Asked>,
}

impl StoredShadows {
    pub fn new(hub: Arc<Hub>, limits: Limits) -> Self {
        StoredShadows { hub, limits, asked: Mutex::default() }
    }

    pub fn lay_over(&self, messages: &[Planned]) {
        for Planned { envelope, .. } in messages.iter().filter(|planned| planned.asks_shadow()) {
            let Some(Ok(RequestTopic { id, verb })) = RequestTopic::parse(&envelope.message.topic) else { continue };
            if verb != Verb::Get {
                lock(&self.asked).entry(id).or_default().push((verb, envelope.clone()));
            }
        }
    }

    /// All of it was committed or undone.
    pub fn clear(&self) {
        lock(&self.asked).clear();
    }

    fn store(&self) -> Result<&Store, ShadowsError> {
        self.hub.store().map_err(|error| ShadowsError(error.to_string()))
    }

    fn with_asked(&self, mut stored: Option<Stored>, asked: &[(Verb, Arc<Envelope>)]) -> Option<Stored> {
        for (verb, envelope) in asked {
            let request = Request::parse(*verb, &envelope.message.payload, &self.limits).ok();
            let now = envelope.received.unix_ms / 1000;
            if let Some(Ok(Some(after))) = request.map(|it| it.stored(stored.as_ref(), now, &self.limits)) {
                stored = Some(after);
            }
        }
        stored
    }
}

impl Shadows for StoredShadows {
    fn get(&self, id: &ShadowId) -> Result<Option<Stored>, ShadowsError> {
        let stored = self.store()?.shadow(id).map_err(|broken| ShadowsError(broken.to_string()))?;
        match lock(&self.asked).get(id) {
            Some(asked) => Ok(self.with_asked(stored, asked)),
            None => Ok(stored),
        }
    }

    fn names(
        &self,
        thing: &ThingName,
        after: Option<&ShadowName>,
        count: usize,
    ) -> Result<Vec<ShadowName>, ShadowsError> {
        let of_it = |id: &&ShadowId| id.thing == *thing && id.name.as_ref() > after;
        let changed: Vec<ShadowId> = lock(&self.asked).keys().filter(of_it).cloned().collect();
        // The classic shadow comes before every named one. Each of those that were changed may be gone.
        let after = ShadowId { thing: thing.clone(), name: after.cloned() };
        let found = self.store()?.shadows(Some(thing), Some(&after), count.saturating_add(changed.len()));
        let found = found.map_err(|broken| ShadowsError(broken.to_string()))?;
        let mut names: BTreeSet<ShadowName> = found.into_iter().filter_map(|(id, _)| id.name).collect();
        for id in changed {
            let there = self.get(&id)?.is_some_and(|stored| stored.live().is_some());
            match id.name {
                Some(name) if there => drop(names.insert(name)),
                Some(name) => drop(names.remove(&name)),
                None => {}
            }
        }
        Ok(names.into_iter().take(count).collect())
    }

    fn limits(&self) -> Limits {
        self.limits
    }
}
