//! Shadows in the ledger: a message on the topic of a request *is* the request, whoever published it, and what comes
//! of it is committed with it.
//!
//! The document, its answers and the rows of whoever waits for them are one transaction, decided here in commit order
//! like everything that depends on what was there before. Answers are messages of a service, and go their hops on: a
//! circle that leads through a shadow ends like any other. A document that cannot be read is answered as the cloud
//! answers for its own failures, and stays for the operator to see.

use std::collections::BTreeMap;

use crate::ledger::unit::{Planned, Refusal, Sequences, SyncRow, Unit};
use crate::ledger::{Broken, Ledger, Records, Windows};
use crate::limits::{SHADOWS, SHADOWS_RECENT_BYTES};
use crate::message::{Envelope, Message, PayloadFormat, Qos};
use crate::shadow::sync::Seen;
use crate::shadow::{Outcome, Rejection, Request, RequestTopic, ShadowId, Stored, answer};
use crate::topic::Topic;

/// Who knows the readers of a message.
pub trait Planner: Windows {
    /// Plans what a service says because of another message; nothing where it would run in a circle.
    fn plan(&mut self, message: Message, cause: &Envelope) -> Option<Planned>;
}

/// What services said to the messages of a unit.
#[derive(Debug, Default)]
pub struct Said {
    pub publishes: Vec<Planned>,
    /// Of their durable rows. Zero where a queue is out of use.
    pub sequences: Sequences,
    /// The shadows that are others now.
    pub changed: Vec<(ShadowId, Seen)>,
}

/// Documents that were changed last, as they are in the batch under way: whoever changes one changes it again.
#[derive(Debug, Default)]
pub(super) struct Recent {
    documents: BTreeMap<ShadowId, (Stored, u64)>,
    bytes: u64,
}

impl Recent {
    fn take(&mut self, id: &ShadowId) -> Option<(Stored, u64)> {
        let (stored, bytes) = self.documents.remove(id)?;
        self.bytes -= bytes + stored.told_bytes();
        Some((stored, bytes))
    }

    fn put(&mut self, id: &ShadowId, stored: Stored, bytes: u64) {
        let held = bytes + stored.told_bytes();
        if self.bytes + held > SHADOWS_RECENT_BYTES {
            self.clear();
        }
        self.bytes += held;
        self.documents.insert(id.clone(), (stored, bytes));
    }

    pub fn clear(&mut self) {
        *self = Recent::default();
    }
}

/// What a handling saw of a shadow: its version, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowRead {
    pub id: ShadowId,
    pub version: Option<u64>,
}

/// The request that a message on this topic is, if it is one. One to a shadow that there cannot be is none.
pub(super) fn request_on(topic: &Topic) -> Option<RequestTopic> {
    RequestTopic::parse(topic)?.ok()
}

impl Ledger {
    /// Answers the requests among the messages of a unit that is part of the batch.
    pub fn answer(
        &mut self,
        unit: &Unit,
        records: &mut dyn Records,
        planner: &mut dyn Planner,
    ) -> Result<Said, Refusal> {
        let mut said = Said::default();
        for planned in &unit.publishes {
            let Some(request) = request_on(&planned.envelope.message.topic) else { continue };
            let outcome = self.outcome(&request, &planned.envelope, records);
            match &outcome.stored {
                Some(stored) => said.changed.push((request.id.clone(), Seen::of(Some(stored)))),
                None if unit.sync.is_some() => {
                    let reason = format!("what a cloud says of the shadow {} is not taken here", request.id);
                    return Err(Refusal::Broken(Broken { queue: None, reason }));
                }
                None => {}
            }
            for (reply, body) in outcome.answers {
                // Made of a topic that is one.
                let Ok(topic) = request.reply(reply) else { continue };
                let message =
                    Message { qos: Qos::AtLeastOnce, payload_format: PayloadFormat::Text, ..Message::new(topic, body) };
                said.publishes.extend(planner.plan(message, &planned.envelope));
            }
        }
        for planned in &said.publishes {
            for queue in planned.queues() {
                let is_open = self.queues.get(&queue).is_some_and(|queue| !queue.damaged);
                let sequence = match is_open {
                    true => self.append(queue, &planned.envelope, None, records, planner)?,
                    false => 0,
                };
                said.sequences.push(sequence);
            }
        }
        Ok(said)
    }

    /// What comes of one request, with the document already changed.
    fn outcome(&mut self, request: &RequestTopic, envelope: &Envelope, records: &mut dyn Records) -> Outcome {
        let (payload, now) = (&envelope.message.payload, envelope.received.unix_ms / 1000);
        let rejected = |rejection: &Rejection| {
            let token = match Request::parse(request.verb, payload, &self.shadow_limits) {
                Ok(request) => request.token().cloned(),
                Err(refused) => refused.token,
            };
            Outcome::rejected(rejection, token.as_ref())
        };
        let known = match self.recent.take(&request.id) {
            Some(known) => Some(known),
            None => {
                let Ok(row) = records.shadow(&request.id) else { return rejected(&Rejection::Internal) };
                let bytes = row.as_deref().map_or(0, |row| shadow_bytes(&request.id, row));
                let Ok(stored) = row.as_deref().map(Stored::decode).transpose() else {
                    return rejected(&Rejection::Internal);
                };
                stored.map(|stored| (stored, bytes))
            }
        };
        let outcome = answer(request, payload, known.as_ref().map(|(stored, _)| stored), now, &self.shadow_limits);
        match (&outcome.stored, known) {
            (None, None) => {}
            (None, Some((stored, bytes))) => self.recent.put(&request.id, stored, bytes),
            (Some(_), None) if self.shadows.messages >= SHADOWS => return rejected(&Rejection::TooManyRequests),
            (Some(after), known) => {
                let row = after.encode();
                let bytes = shadow_bytes(&request.id, &row);
                let before = known.map(|(_, bytes)| bytes);
                self.shadows.messages += u64::from(before.is_none());
                self.shadows.bytes = self.shadows.bytes.saturating_sub(before.unwrap_or(0)) + bytes;
                records.put_shadow(&request.id, &row);
                self.recent.put(&request.id, after.clone(), bytes);
            }
        }
        outcome
    }

    /// Forgets a shadow that was deleted so long ago that nothing follows from it any more; `now` is the second since
    /// 1970. Part of a batch.
    pub fn forget_shadow(&mut self, id: &ShadowId, now: u64, records: &mut dyn Records) -> Result<(), Refusal> {
        let Some(row) = records.shadow(id)? else { return Ok(()) };
        if Stored::decode(&row).is_ok_and(|stored| stored.is_over(now)) {
            self.recent.take(id);
            records.delete_shadow(id);
            self.shadows.messages = self.shadows.messages.saturating_sub(1);
            self.shadows.bytes = self.shadows.bytes.saturating_sub(shadow_bytes(id, &row));
        }
        Ok(())
    }

    pub(super) fn keep_sync(&mut self, sync: &SyncRow, records: &mut dyn Records) {
        let bytes = |row: &[u8]| shadow_bytes(&sync.id, row);
        // One that cannot be read is replaced.
        let before = records.sync_row(&sync.cloud, &sync.id).ok().flatten().map_or(0, |row| bytes(&row));
        let after = sync.row.as_deref().map_or(0, bytes);
        self.shadows.bytes = self.shadows.bytes.saturating_sub(before) + after;
        records.put_sync_row(sync);
    }

    pub(super) fn check_shadows(reads: &[ShadowRead], records: &dyn Records) -> Result<(), Refusal> {
        for read in reads {
            let row = records.shadow(&read.id)?;
            let version = row.as_deref().and_then(|row| Stored::decode(row).ok()?.live().map(|live| live.version()));
            if version != read.version {
                return Err(Refusal::Stale { what: format!("shadow {}", read.id) });
            }
        }
        Ok(())
    }
}

/// What a shadow counts in the store.
pub fn shadow_bytes(id: &ShadowId, row: &[u8]) -> u64 {
    let name = id.name.as_ref().map_or(0, |name| name.as_str().len());
    (id.thing.as_str().len() + name + row.len()) as u64
}
