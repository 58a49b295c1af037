//! A bench's shadows from the side of others: who desires something of the component's device, and what is kept.

use super::bench::Bench;
use super::double::Effects;
use super::shadows::{Allow, named};
use crate::component::{Component, HandleChanges, HandleDeltas};
use crate::message::Failure;
use crate::shadow::{Change, Delta, Document, ShadowError, ShadowId};

impl<C: Component> Bench<C> {
    /// Permits this with a shadow, and nothing with any that is not permitted so. `+` stands for every thing, and for
    /// every named shadow. Without it everything is permitted.
    pub fn granting_shadow(mut self, shadow: &ShadowId, allow: impl IntoIterator<Item = Allow>) -> Self {
        let granted = self.world.shadows.granted.get_or_insert_default();
        granted.push((shadow.clone(), allow.into_iter().collect()));
        self
    }

    /// What is kept of a shadow.
    pub fn shadow(&self, shadow: &ShadowId) -> Option<Document> {
        self.world.shadows.kept(shadow)
    }

    /// Somebody else updates a shadow, and the component does not hear of it.
    pub fn update_shadow(&mut self, shadow: &ShadowId, state: &str) -> Result<(), ShadowError> {
        self.world.shadows.keep(shadow, state, self.world.now_ms / 1000)
    }

    fn delivery_of(&mut self) -> (String, Option<u64>) {
        self.deliveries += 1;
        (format!("bench-{}", self.deliveries), Some(self.deliveries))
    }
}

impl<C: HandleDeltas> Bench<C> {
    /// Somebody else updates a shadow, and the component hears of what is desired and not reported then, if anything is.
    pub fn delta(&mut self, shadow: &ShadowId, state: &str) -> Result<Effects, Failure> {
        self.update_shadow(shadow, state)?;
        let Some((state, metadata)) = self.world.shadows.delta(shadow) else { return Ok(Effects::default()) };
        let version = self.shadow(shadow).map_or(0, |document| document.version);
        let (id, sequence) = self.delivery_of();
        let received_at = self.world.now_ms;
        self.deliver_delta(Delta { metadata, id, sequence, version, received_at, ..delta(shadow, &state) })
    }

    /// Delivers this, exactly.
    pub fn deliver_delta(&mut self, delta: Delta) -> Result<Effects, Failure> {
        self.handle_or_replace(|instance| instance.on_delta(delta))
    }
}

impl<C: HandleChanges> Bench<C> {
    /// Somebody else updates a shadow, and the component hears of the document.
    pub fn change(&mut self, shadow: &ShadowId, state: &str) -> Result<Effects, Failure> {
        let previous = self.shadow(shadow);
        self.update_shadow(shadow, state)?;
        let Some(current) = self.shadow(shadow) else { return Ok(Effects::default()) };
        let (id, sequence) = self.delivery_of();
        self.deliver_change(Change {
            shadow: named(shadow),
            previous,
            current,
            client_token: None,
            id,
            attempt: 1,
            sequence,
            received_at: self.world.now_ms,
            clock_trusted: true,
            hops: 0,
        })
    }

    /// Delivers this, exactly.
    pub fn deliver_change(&mut self, change: Change) -> Result<Effects, Failure> {
        self.handle_or_replace(|instance| instance.on_change(change))
    }
}

/// A delta with nothing special about it, to change what a test is about.
pub fn delta(shadow: &ShadowId, state: &str) -> Delta {
    Delta {
        shadow: named(shadow),
        version: 1,
        state: state.into(),
        metadata: "{}".into(),
        client_token: None,
        id: "bench".into(),
        attempt: 1,
        sequence: None,
        received_at: super::bench::START_MS,
        clock_trusted: true,
        hops: 0,
    }
}
