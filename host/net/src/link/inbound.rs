//! Messages from the cloud on their way to the disk, and their acknowledgements on the way back, in order of receipt.
//!
//! A message that outlives its connection is still committed, and its acknowledgement dropped: the broker will send it
//! again, since it was never told.

use std::sync::Arc;

use edgewit_domain::limits::{LINK_INBOUND, MESSAGE_BYTES};
use edgewit_domain::message::{Message, Qos};
use edgewit_domain::routing::Trie;
use edgewit_domain::topic::Topic;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use rumqttc::{Publish, QoS};

use super::{BoxFuture, DownlinkCounters, NotStored, Plan};

/// What is on disk and may be acknowledged: on which connection, and by which packet id. None: it wants none.
pub(super) type Committed = (u64, Option<u16>);

pub(super) struct Inbound {
    plan: Arc<Plan>,
    committing: FuturesOrdered<BoxFuture<Result<Committed, NotStored>>>,
    /// The rules by their filters.
    rules: Trie<usize>,
    pub counters: Vec<DownlinkCounters>,
    pub unmatched: u64,
    pub unusable: u64,
}

impl Inbound {
    pub fn new(plan: Arc<Plan>) -> Inbound {
        let counters = vec![DownlinkCounters::default(); plan.downlinks.len()];
        let mut rules = Trie::default();
        plan.downlinks.iter().enumerate().for_each(|(number, rule)| rules.insert(&rule.filter, number));
        Inbound { plan, committing: FuturesOrdered::new(), rules, counters, unmatched: 0, unusable: 0 }
    }

    /// No more is to be read until something is on disk.
    pub fn is_full(&self) -> bool {
        self.committing.len() >= LINK_INBOUND
    }

    pub fn is_idle(&self) -> bool {
        self.committing.is_empty()
    }

    pub fn take(&mut self, connection: u64, publish: Publish) {
        let packet = (publish.qos != QoS::AtMostOnce).then_some(publish.pkid);
        let Ok(topic) = Topic::parse(publish.topic.as_str()) else { return self.unusable(connection, packet) };
        let mut first = usize::MAX;
        self.rules.visit(&topic, |rules| first = rules.iter().fold(first, |first, rule| first.min(*rule)));
        let (Some(rule), Some(counters)) = (self.plan.downlinks.get(first), self.counters.get_mut(first)) else {
            self.unmatched += 1;
            return self.nothing_to_commit(connection, packet);
        };
        counters.received += 1;
        counters.bytes += publish.payload.len() as u64;
        let Ok(topic) = rule.rewrite.apply(&topic) else { return self.unusable(connection, packet) };
        let mut message = Message::new(topic, publish.payload.to_vec());
        message.retain = publish.retain;
        message.qos = if packet.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce };
        if message.size() > MESSAGE_BYTES {
            return self.unusable(connection, packet);
        }
        let stored = self.plan.downlink.receive(&rule.name, message);
        self.committing.push_back(Box::pin(async move { stored.await.map(|()| (connection, packet)) }));
    }

    /// What can be no message here is acknowledged all the same, or it would come again for ever.
    pub fn unusable(&mut self, connection: u64, packet: Option<u16>) {
        self.unusable += 1;
        self.nothing_to_commit(connection, packet);
    }

    fn nothing_to_commit(&mut self, connection: u64, packet: Option<u16>) {
        self.committing.push_back(Box::pin(async move { Ok((connection, packet)) }));
    }

    /// The next that is on disk. Never ends while there is none.
    pub async fn committed(&mut self) -> Result<Committed, NotStored> {
        match self.committing.next().await {
            Some(committed) => committed,
            None => std::future::pending().await,
        }
    }
}
