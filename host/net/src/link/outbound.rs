//! Rows of the uplink rules on their way: taken from their queues, made into packets, put back, or settled on disk.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use edgewit_domain::link::{Row, Source, Unfit, Why};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rumqttc::{Publish, QoS};

use super::{BoxFuture, NotStored, Outgoing, Plan};

/// Why a link ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the uplink `{rule}` could not write down what the broker has")]
    Uplink { rule: Arc<str>, source: NotStored },
    #[error("a message from the cloud could not be written down")]
    Downlink(#[source] NotStored),
}

/// A row that was taken from its queue.
struct Taken {
    outgoing: Outgoing,
    topic: String,
    /// Empty once it was sent.
    payload: Bytes,
}

/// What is on disk.
pub(super) enum Settled {
    Removed { rule: usize, count: usize },
    GivenUp { rule: usize },
}

pub(super) struct Outbound {
    plan: Arc<Plan>,
    /// All that the machine knows of.
    rows: HashMap<(usize, u64), Taken>,
    settling: FuturesUnordered<BoxFuture<Result<Settled, LinkError>>>,
}

impl Outbound {
    pub fn new(plan: Arc<Plan>) -> Outbound {
        Outbound { plan, rows: HashMap::new(), settling: FuturesUnordered::new() }
    }

    pub fn take(&mut self, rule: usize, count: usize, bytes: usize) -> Vec<Row> {
        let Some(uplink) = self.plan.uplinks.get(rule) else { return Vec::new() };
        let source = Source { thing: &self.plan.thing, epoch: self.plan.epoch, rule: &uplink.name };
        let mut rows = Vec::new();
        for outgoing in uplink.outbox.take(count, bytes) {
            let Outgoing { sequence, envelope } = &outgoing;
            let topic = uplink.rewrite.apply(&envelope.message.topic).map_err(|error| Unfit::Topic(error.to_string()));
            let payload = Bytes::from(uplink.format.encode(source, *sequence, envelope));
            let fits = topic.and_then(|topic| {
                self.plan.profile.permits(topic.as_str(), payload.len())?;
                Ok(topic.as_str().to_owned())
            });
            let (topic, unfit) = match fits {
                Ok(topic) => (topic, None),
                Err(unfit) => (String::new(), Some(unfit)),
            };
            rows.push(Row { sequence: *sequence, bytes: wire_bytes(&topic, &payload), unfit });
            self.rows.insert((rule, *sequence), Taken { outgoing, topic, payload });
        }
        rows
    }

    pub fn send(&mut self, rule: usize, sequence: u64, packet: u16) -> Option<Publish> {
        let taken = self.rows.get_mut(&(rule, sequence))?;
        let mut publish =
            Publish::from_bytes(std::mem::take(&mut taken.topic), QoS::AtLeastOnce, std::mem::take(&mut taken.payload));
        publish.pkid = packet;
        publish.retain = taken.outgoing.envelope.message.retain;
        if let Some(rule) = self.plan.uplinks.get(rule) {
            rule.outbox.sent(&taken.outgoing, publish.size());
        }
        Some(publish)
    }

    pub fn remove(&mut self, rule: usize, sequences: Vec<u64>) {
        let Some(uplink) = self.plan.uplinks.get(rule) else { return };
        for sequence in &sequences {
            self.rows.remove(&(rule, *sequence));
        }
        let (name, count) = (uplink.name.clone(), sequences.len());
        let removed = uplink.outbox.acknowledged(sequences);
        self.settling.push(Box::pin(async move {
            removed.await.map_err(|source| LinkError::Uplink { rule: name, source })?;
            Ok(Settled::Removed { rule, count })
        }));
    }

    pub fn give_up(&mut self, rule: usize, sequence: u64, why: &Why) {
        let Some(uplink) = self.plan.uplinks.get(rule) else { return };
        self.rows.remove(&(rule, sequence));
        let name = uplink.name.clone();
        let given_up = uplink.outbox.give_up(sequence, why.to_string());
        self.settling.push(Box::pin(async move {
            given_up.await.map_err(|source| LinkError::Uplink { rule: name, source })?;
            Ok(Settled::GivenUp { rule })
        }));
    }

    pub fn put_back(&mut self, rule: usize, sequences: Vec<u64>) {
        let rows = sequences.into_iter().filter_map(|sequence| self.rows.remove(&(rule, sequence)));
        let rows = rows.map(|taken| taken.outgoing).collect();
        if let Some(uplink) = self.plan.uplinks.get(rule) {
            uplink.outbox.put_back(rows);
        }
    }

    pub fn is_idle(&self) -> bool {
        self.settling.is_empty()
    }

    /// The next that is on disk. Never ends while there is none.
    pub async fn settled(&mut self) -> Result<Settled, LinkError> {
        match self.settling.next().await {
            Some(settled) => settled,
            None => std::future::pending().await,
        }
    }

    /// Waits for all that is on its way to the disk.
    pub async fn finish(&mut self) -> Result<(), LinkError> {
        while let Some(settled) = self.settling.next().await {
            settled?;
        }
        Ok(())
    }
}

fn wire_bytes(topic: &str, payload: &Bytes) -> usize {
    // The fixed header, two lengths and the packet id, as long as they get.
    topic.len() + payload.len() + 9
}
