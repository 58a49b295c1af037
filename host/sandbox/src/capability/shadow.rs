//! `edgewit:shadow/store`: reading and changing shadows, as effects of the handling that asks for it.
//!
//! A change is a message on the topic of the request, which the store's writer answers in its commit; nothing else
//! changes a shadow. What that answer would refuse already now is told at once. The guest's JSON is read before it
//! becomes part of a request, so that it can say nothing but a state.

use edgewit_domain::limits::SHADOW_NAMES_PER_PAGE;
use edgewit_domain::message::{Message, PayloadFormat, Qos};
use edgewit_domain::shadow::{
    Document, Expected, NameError, Rejection, RequestTopic, ShadowId, ShadowName, Update, Verb, View,
};
use wasmtime::Result;

use super::pubsub::Unsent;
use crate::bindings::edgewit::shadow::{store, types};
use crate::guest::Guest;
use crate::instance::collector::shadows::Unseen;

type Answer<T> = Result<T, types::ShadowError>;

impl types::Host for Guest {}

impl store::Host for Guest {
    fn get(&mut self, shadow: types::ShadowIdResult) -> Result<Answer<Option<types::DocumentResult>>> {
        let answer = self.get_shadow(&shadow);
        self.tell(answer)
    }

    fn update(&mut self, shadow: types::ShadowIdResult, state: String) -> Result<Answer<()>> {
        let answer = self.update_shadow(&shadow, &state, None);
        self.tell(answer)
    }

    fn update_expecting(
        &mut self,
        shadow: types::ShadowIdResult,
        state: String,
        version: Option<u64>,
    ) -> Result<Answer<()>> {
        let answer = self.update_shadow(&shadow, &state, Some(version));
        self.tell(answer)
    }

    fn delete(&mut self, shadow: types::ShadowIdResult) -> Result<Answer<()>> {
        let answer = self.delete_shadow(&shadow);
        self.tell(answer)
    }

    fn list(&mut self, thing: Option<String>, after: Option<String>) -> Result<Answer<Vec<String>>> {
        let answer = self.list_shadows(thing.as_deref(), after.as_deref());
        self.tell(answer)
    }
}

impl Guest {
    fn get_shadow(&mut self, shadow: &types::ShadowIdResult) -> Answer<Option<types::DocumentResult>> {
        let id = self.shadow_id(shadow)?;
        self.profile.grants.shadow_read(&id).map_err(denied)?;
        let now = self.second();
        let known = self.effects.shadow(&*self.services.shadows, &id, now).map_err(unseen)?;
        known.seen = true;
        Ok(known.live().map(|document| lift(document.view())))
    }

    /// `expected`, where given, is the version that has to be there, or that there may be none.
    fn update_shadow(
        &mut self,
        shadow: &types::ShadowIdResult,
        state: &str,
        expected: Option<Option<u64>>,
    ) -> Answer<()> {
        let id = self.shadow_id(shadow)?;
        let limits = self.services.shadows.limits();
        let update = Update::of_state(state.as_bytes(), &limits).map_err(rejected)?;
        self.profile.grants.shadow_update(&id, &update).map_err(denied)?;
        let now = self.second();
        let known = self.effects.shadow(&*self.services.shadows, &id, now).map_err(unseen)?;
        if let Some(expected) = expected {
            known.seen = true;
            let found = known.live().map(Document::version);
            if found != expected {
                return Err(types::ShadowError::Conflict(found));
            }
        }
        let update = match expected {
            Some(Some(version)) => update.expecting(Expected::Version(version)),
            Some(None) | None => update,
        };
        update.apply(known.stored.as_ref(), now, &limits).map_err(rejected)?;
        self.ask(RequestTopic { id, verb: Verb::Update }, update.payload())
    }

    fn delete_shadow(&mut self, shadow: &types::ShadowIdResult) -> Answer<()> {
        let id = self.shadow_id(shadow)?;
        self.profile.grants.shadow_delete(&id).map_err(denied)?;
        self.ask(RequestTopic { id, verb: Verb::Delete }, Vec::new())
    }

    fn list_shadows(&mut self, thing: Option<&str>, after: Option<&str>) -> Answer<Vec<String>> {
        let thing = self.profile.grants.thing(thing).map_err(invalid)?;
        let after = after.map(ShadowName::parse).transpose().map_err(invalid)?;
        self.profile.grants.shadow_list(&thing).map_err(denied)?;
        let (now, mut changed) = (self.second(), Vec::new());
        for id in self.effects.asked_of().into_iter().filter(|id| id.thing == thing) {
            let known = self.effects.shadow(&*self.services.shadows, &id, now).map_err(unseen)?;
            changed.extend(id.name.map(|name| (name, known.live().is_some())));
        }
        // Each of those that were changed may be gone.
        let count = SHADOW_NAMES_PER_PAGE + changed.len();
        let kept = self.services.shadows.names(&thing, after.as_ref(), count);
        let mut names: std::collections::BTreeSet<_> =
            kept.map_err(|error| unseen(error.into()))?.into_iter().collect();
        for (name, there) in changed.into_iter().filter(|(name, _)| Some(name) > after.as_ref()) {
            if there {
                names.insert(name);
            } else {
                names.remove(&name);
            }
        }
        Ok(names.into_iter().take(SHADOW_NAMES_PER_PAGE).map(|name| name.as_str().to_owned()).collect())
    }

    fn ask(&mut self, request: RequestTopic, payload: Vec<u8>) -> Answer<()> {
        // Made of names that fit into one.
        let topic = request.topic().map_err(|error| types::ShadowError::InvalidName(error.to_string()))?;
        let message =
            Message { qos: Qos::AtLeastOnce, payload_format: PayloadFormat::Text, ..Message::new(topic, payload) };
        self.send(message).map_err(|unsent| match unsent {
            Unsent::Quota(reason) => types::ShadowError::Quota(reason),
            Unsent::NoRoom(reason) => types::ShadowError::NoRoom(reason),
            Unsent::NotForCloud(reason) => types::ShadowError::Denied(reason),
        })
    }

    fn shadow_id(&self, shadow: &types::ShadowIdResult) -> Answer<ShadowId> {
        self.profile.grants.shadow_id(shadow.thing.as_deref(), shadow.name.as_deref()).map_err(invalid)
    }

    fn second(&self) -> u64 {
        (self.services.wall_clock)().unix_ms / 1000
    }

    fn tell<T>(&self, answer: Answer<T>) -> Result<Answer<T>> {
        Ok(answer.inspect_err(|error| self.notes.refused(&words(error))))
    }
}

fn lift(view: View) -> types::DocumentResult {
    let View { version, desired, reported, delta, metadata } = view;
    types::DocumentResult { version, desired, reported, delta, metadata }
}

fn words(error: &types::ShadowError) -> String {
    match error {
        types::ShadowError::Denied(reason)
        | types::ShadowError::InvalidName(reason)
        | types::ShadowError::NoRoom(reason)
        | types::ShadowError::Quota(reason)
        | types::ShadowError::Unavailable(reason) => reason.clone(),
        types::ShadowError::Rejected(types::Rejection { code, message }) => format!("{code}: {message}"),
        types::ShadowError::Conflict(Some(version)) => format!("the shadow has version {version} by now"),
        types::ShadowError::Conflict(None) => "there is no such shadow".to_owned(),
    }
}

fn denied(denied: edgewit_domain::grant::Denied) -> types::ShadowError {
    types::ShadowError::Denied(denied.to_string())
}

fn invalid(error: NameError) -> types::ShadowError {
    types::ShadowError::InvalidName(error.to_string())
}

fn rejected(rejection: Rejection) -> types::ShadowError {
    types::ShadowError::Rejected(types::Rejection { code: rejection.code(), message: rejection.to_string() })
}

fn unseen(unseen: Unseen) -> types::ShadowError {
    match unseen {
        Unseen::Limit(reason) => types::ShadowError::Quota(reason),
        Unseen::Store(error) => types::ShadowError::Unavailable(error.to_string()),
    }
}
