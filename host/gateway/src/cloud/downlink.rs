//! What comes from the cloud: committed to the queues of whoever hears it, or, where they are full, to dead letters.
//!
//! The cloud is never told to wait, since it would hold back everything behind one full queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use edgewit_domain::config::Downlink as Rule;
use edgewit_domain::ledger::{Burial, DeathNote, Refusal, Unit};
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::queue::{DeadOf, FullRule, QueueId, QueueLimits, QueueNumber};
use edgewit_net::link::{BoxFuture, Downlink, NotStored};
use tokio::sync::oneshot;

use super::commit;
use crate::clock::wall;
use crate::hub::{Hub, PublishError};

pub(super) struct StoredDownlink {
    hub: Arc<Hub>,
    cloud: Arc<str>,
    dead: BTreeMap<Arc<str>, QueueNumber>,
    buried: Arc<AtomicU64>,
}

impl StoredDownlink {
    pub fn open(hub: &Arc<Hub>, cloud: &Arc<str>, rules: &[Rule]) -> Result<StoredDownlink, Refusal> {
        let open = |rule: &Rule| {
            let limits = rule.dead_letter;
            let limits =
                QueueLimits { messages: limits.messages, bytes: limits.bytes, age: None, full: FullRule::DropOldest };
            let id = QueueId::Dead(DeadOf::Downlink(rule.name.clone()));
            Ok((rule.name.clone(), hub.open_durable(id, limits)?))
        };
        let dead: Result<BTreeMap<_, _>, Refusal> = rules.iter().map(open).collect();
        Ok(StoredDownlink { hub: hub.clone(), cloud: cloud.clone(), dead: dead?, buried: Arc::default() })
    }

    fn bury(&self, rule: &str, message: Message, reason: String) -> BoxFuture<Result<(), NotStored>> {
        let Some(queue) = self.dead.get(rule) else {
            return Box::pin(async { Err(NotStored(Refusal::Gone.to_string())) });
        };
        let total = self.buried.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::error!(rule, topic = %message.topic, reason, total, "A message from the cloud found no room; it is a dead letter now");
        let envelope = self.hub.envelope(message, Origin::Cloud(self.cloud.clone()));
        let note = DeathNote { queue: None, reason, attempts: 0, backtrace: String::new(), at: wall() };
        let burial = Some(Burial { queue: *queue, envelope, note });
        commit(&self.hub, vec![Unit { burial, ..Unit::default() }])
    }
}

impl Downlink for StoredDownlink {
    fn receive(&self, rule: &str, message: Message) -> BoxFuture<Result<(), NotStored>> {
        let (told, outcome) = oneshot::channel();
        self.hub.publish_then(message.clone(), Origin::Cloud(self.cloud.clone()), move |outcome| {
            let _ = told.send(outcome);
        });
        let this = StoredDownlink {
            hub: self.hub.clone(),
            cloud: self.cloud.clone(),
            dead: self.dead.clone(),
            buried: self.buried.clone(),
        };
        let rule = rule.to_owned();
        Box::pin(async move {
            match outcome.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(PublishError::Closed | PublishError::Unknown)) | Err(_) => {
                    Err(NotStored("the gateway is ending".to_owned()))
                }
                Ok(Err(error)) => this.bury(&rule, message, error.to_string()).await,
            }
        })
    }
}
