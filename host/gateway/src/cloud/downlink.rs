//! What comes from the cloud: committed to the queues of whoever hears it, or, where they are full, to dead letters.
//!
//! The cloud is never told to wait, since it would hold back everything behind one full queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use edgewit_domain::config::Downlink as Rule;
use edgewit_domain::ledger::{Burial, DeathNote, Refusal, Unit};
use edgewit_domain::message::{Envelope, Message, Origin};
use edgewit_domain::queue::{DeadOf, FullRule, QueueId, QueueLimits, QueueNumber};
use edgewit_net::link::{BoxFuture, Downlink, NotStored};
use tokio::sync::oneshot;

use super::{SHADOWS, commit};
use crate::clock::wall;
use crate::hub::{Hub, PublishError};
use crate::shadow::Syncing;

pub(super) struct StoredDownlink {
    hub: Arc<Hub>,
    cloud: Arc<str>,
    dead: BTreeMap<Arc<str>, Arc<Dead>>,
    syncing: Option<Arc<Syncing>>,
}

/// A rule's dead letters.
struct Dead {
    queue: QueueNumber,
    given_up: AtomicU64,
}

impl StoredDownlink {
    pub fn open(hub: &Arc<Hub>, cloud: &Arc<str>, rules: &[Rule]) -> Result<StoredDownlink, Refusal> {
        let open = |rule: &Rule| {
            let limits = rule.dead_letter;
            let limits =
                QueueLimits { messages: limits.messages, bytes: limits.bytes, age: None, full: FullRule::DropOldest };
            let id = QueueId::Dead(DeadOf::Downlink(rule.name.clone()));
            let queue = hub.open_durable(id, limits)?;
            Ok((rule.name.clone(), Arc::new(Dead { queue, given_up: AtomicU64::new(0) })))
        };
        let dead: Result<BTreeMap<_, _>, Refusal> = rules.iter().map(open).collect();
        Ok(StoredDownlink { hub: hub.clone(), cloud: cloud.clone(), dead: dead?, syncing: None })
    }

    /// What is said of shadows goes there.
    pub fn with(self, syncing: Option<Arc<Syncing>>) -> StoredDownlink {
        StoredDownlink { syncing, ..self }
    }

    /// Messages that went to the rule's dead letters since the link was made.
    pub fn given_up(&self, rule: &str) -> u64 {
        self.dead.get(rule).map_or(0, |dead| dead.given_up.load(Ordering::Relaxed))
    }
}

impl Dead {
    async fn bury(&self, hub: &Hub, envelope: Arc<Envelope>, reason: String) -> Result<(), NotStored> {
        let topic = envelope.message.topic.clone();
        let note = DeathNote { queue: None, reason: reason.clone(), attempts: 0, backtrace: String::new(), at: wall() };
        let burial = Some(Burial { queue: self.queue, envelope, note });
        commit(hub, vec![Unit { burial, ..Unit::default() }]).await?;
        let total = self.given_up.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::error!(%topic, reason, total, "A message from the cloud was given up; it is a dead letter now");
        Ok(())
    }
}

impl Downlink for StoredDownlink {
    fn receive(&self, rule: &str, message: Message) -> BoxFuture<Result<(), NotStored>> {
        if let Some(syncing) = self.syncing.as_ref().filter(|_| rule == SHADOWS) {
            let taken = syncing.told.heard(message.topic, message.payload.to_vec());
            // What is lost with the end of the process is asked for again by the next.
            return Box::pin(async move { taken.await.map_err(|_| NotStored("the gateway is ending".to_owned())) });
        }
        let (told, outcome) = oneshot::channel();
        let origin = Origin::Cloud(self.cloud.clone());
        self.hub.publish_then(message.clone(), origin.clone(), move |outcome| {
            let _ = told.send(outcome);
        });
        let (hub, dead) = (self.hub.clone(), self.dead.get(rule).cloned());
        Box::pin(async move {
            match (outcome.await, dead) {
                (Ok(Ok(_)), _) => Ok(()),
                (Ok(Err(PublishError::Closed | PublishError::Unknown)) | Err(_), _) => {
                    Err(NotStored("the gateway is ending".to_owned()))
                }
                (Ok(Err(error)), Some(dead)) => dead.bury(&hub, hub.envelope(message, origin), error.to_string()).await,
                (Ok(Err(_)), None) => Err(NotStored(Refusal::Gone.to_string())),
            }
        })
    }

    fn up(&self, session_kept: bool) {
        self.syncing.iter().for_each(|syncing| syncing.told.up(session_kept));
    }

    fn down(&self) {
        if let Some(syncing) = &self.syncing {
            // Nothing goes out on the next connection that was meant for this one.
            let owed = syncing.requests.clear();
            syncing.told.down(owed);
        }
    }
}
