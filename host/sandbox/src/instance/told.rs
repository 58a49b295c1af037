//! Deliveries of what a shadow says, as calls of `on-delta` and `on-change`.
//!
//! Which deliveries come is decided by the component's subscriptions and by nothing else; here it is only seen that such
//! a one is told in its own words, where the component has an ear for it.

use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Delivery, Outcome};
use edgewit_domain::shadow::{ShadowId, Telling, ToldChange, ToldDelta, View};

use super::Instance;
use super::lower::IdText;
use crate::bindings::edgewit::shadow::types;

impl Instance {
    /// Nothing where the delivery is for `on-message`.
    pub(super) fn tell(&mut self, delivery: &Delivery) -> Option<Result<Outcome, Fault>> {
        if self.handlers.delta.is_none() && self.handlers.change.is_none() {
            return None;
        }
        let (shadow, telling) = Telling::on(&delivery.envelope.message.topic)?;
        match telling {
            Telling::Delta if self.handlers.delta.is_some() => Some(self.on_delta(delivery, &shadow)),
            Telling::Documents if self.handlers.change.is_some() => Some(self.on_change(delivery, &shadow)),
            Telling::Delta | Telling::Documents => None,
        }
    }

    /// `handler.on-delta`.
    fn on_delta(&mut self, delivery: &Delivery, shadow: &ShadowId) -> Result<Outcome, Fault> {
        let Some(handler) = self.handlers.delta.clone() else { return Ok(unreadable()) };
        let Some(told) = ToldDelta::read(&delivery.envelope.message.payload) else { return Ok(unreadable()) };
        let (envelope, id) = (&delivery.envelope, IdText::new(delivery.envelope.id));
        let param = types::Delta {
            shadow: shadow_param(shadow),
            version: told.version,
            state: &told.state,
            metadata: &told.metadata,
            client_token: told.token.as_deref(),
            id: id.as_str(),
            attempt: delivery.attempt,
            sequence: delivery.sequence,
            received_at: envelope.received.unix_ms,
            clock_trusted: envelope.received.trusted,
            hops: envelope.hops,
        };
        let answer = self.call(1, |store| handler.call_on_delta(store, param))?;
        self.outcome(answer)
    }

    /// `observer.on-change`.
    fn on_change(&mut self, delivery: &Delivery, shadow: &ShadowId) -> Result<Outcome, Fault> {
        let Some(observer) = self.handlers.change.clone() else { return Ok(unreadable()) };
        let Some(told) = ToldChange::read(&delivery.envelope.message.payload) else { return Ok(unreadable()) };
        let (envelope, id) = (&delivery.envelope, IdText::new(delivery.envelope.id));
        let param = types::Change {
            shadow: shadow_param(shadow),
            previous: told.previous.as_ref().map(document_param),
            current: document_param(&told.current),
            client_token: told.token.as_deref(),
            id: id.as_str(),
            attempt: delivery.attempt,
            sequence: delivery.sequence,
            received_at: envelope.received.unix_ms,
            clock_trusted: envelope.received.trusted,
            hops: envelope.hops,
        };
        let answer = self.call(1, |store| observer.call_on_change(store, param))?;
        self.outcome(answer)
    }
}

fn shadow_param(shadow: &ShadowId) -> types::ShadowIdParam<'_> {
    types::ShadowIdParam { thing: Some(shadow.thing.as_str()), name: shadow.name.as_ref().map(|name| name.as_str()) }
}

fn document_param(view: &View) -> types::DocumentParam<'_> {
    types::DocumentParam {
        version: view.version,
        desired: view.desired.as_deref(),
        reported: view.reported.as_deref(),
        delta: view.delta.as_deref(),
        metadata: &view.metadata,
    }
}

/// Kept by a gateway that says it otherwise.
fn unreadable() -> Outcome {
    Outcome::Rejected { reason: "what the shadow said cannot be read by this version of the gateway".to_owned() }
}
