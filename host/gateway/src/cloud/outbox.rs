//! An uplink rule's durable queue, as its link reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use edgewit_domain::config::{DeadFullRule, Uplink};
use edgewit_domain::ledger::{Burial, DeathNote, Refusal, Unit, row_bytes};
use edgewit_domain::link::Fit;
use edgewit_domain::message::Origin;
use edgewit_domain::queue::{DeadOf, FullRule, QueueId, QueueLimits, QueueNumber};
use edgewit_net::link::{BoxFuture, NotStored, Outbox, Outgoing};

use super::commit;
use crate::clock::wall;
use crate::hub::{Attached, Hub, Interest, Reading, Reservation};
use crate::mailbox::Mailbox;
use crate::sync::lock;
use crate::window::Row;

/// Between two looks whether the dead letters have room.
const ROOM_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct StoredOutbox {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    attached: Attached,
    id: QueueId,
    dead: QueueNumber,
    /// Taken, and neither put back nor gone.
    in_hand: Mutex<BTreeMap<u64, Row>>,
}

impl StoredOutbox {
    pub fn open(hub: &Arc<Hub>, uplink: &Uplink, fit: Fit) -> Result<StoredOutbox, Refusal> {
        let limits = uplink.dead_letter;
        let full = match limits.full {
            DeadFullRule::Stop => FullRule::Refuse,
            DeadFullRule::DropOldest => FullRule::DropOldest,
        };
        let limits = QueueLimits { messages: limits.messages, bytes: limits.bytes, age: None, full };
        let dead = hub.open_durable(QueueId::Dead(DeadOf::Uplink(uplink.name.clone())), limits)?;
        let mailbox: Arc<Mailbox> = Arc::default();
        let id = QueueId::Uplink(uplink.name.clone());
        let interest = Interest { filters: vec![uplink.filter.clone()], owner: None, own: false, qos0: uplink.qos0 };
        let fit = Some(fit).filter(Fit::may_refuse);
        let reading = Reading { id: id.clone(), limits: uplink.queue, interest, mailbox: mailbox.clone(), fit };
        let attached = hub.attach_durable(reading)?;
        hub.refill(&mailbox, attached);
        Ok(StoredOutbox { hub: hub.clone(), mailbox, attached, id, dead, in_hand: Mutex::default() })
    }

    /// Its rule is not in the configuration any more. Otherwise the queue goes on collecting, and whoever opens it next
    /// takes over.
    pub fn abandon(&self) {
        self.hub.abandon(self.attached.queue);
    }

    /// Since when the oldest of its messages waits, those on their way among them.
    pub fn oldest(&self) -> Option<Duration> {
        let in_hand = lock(&self.in_hand).values().map(|row| row.envelope.since).min();
        let waiting = self.mailbox.with_window(self.attached.slot, |window| window.first_since()).flatten();
        [in_hand, waiting].into_iter().flatten().min()
    }

    pub fn queue(&self) -> QueueNumber {
        self.attached.queue
    }
}

impl Outbox for StoredOutbox {
    fn take(&self, count: usize, bytes: usize) -> Vec<Outgoing> {
        let rows = self.mailbox.with_window(self.attached.slot, |window| window.pop_within(count, bytes));
        self.hub.refill(&self.mailbox, self.attached);
        let mut in_hand = lock(&self.in_hand);
        let taken = rows.unwrap_or_default().into_iter().map(|row| {
            let outgoing = Outgoing { sequence: row.sequence, envelope: row.envelope.clone() };
            in_hand.insert(row.sequence, row);
            outgoing
        });
        taken.collect()
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.hub.refill(&self.mailbox, self.attached);
        self.mailbox.poll(cx)
    }

    fn put_back(&self, rows: Vec<Outgoing>) {
        let mut in_hand = lock(&self.in_hand);
        let rows: Vec<Row> = rows.iter().filter_map(|row| in_hand.remove(&row.sequence)).collect();
        drop(in_hand);
        self.mailbox.with_window(self.attached.slot, |window| {
            rows.into_iter().for_each(|row| window.put_back(row));
        });
    }

    fn acknowledged(&self, sequences: Vec<u64>) -> BoxFuture<Result<(), NotStored>> {
        let queue = self.attached.queue;
        let mut in_hand = lock(&self.in_hand);
        let rows = sequences.iter().filter_map(|sequence| in_hand.remove(sequence));
        let units = rows.map(|row| Unit { consumed: Some(row.taken(queue)), ..Unit::default() }).collect();
        drop(in_hand);
        commit(&self.hub, units)
    }

    fn sent(&self, row: &Outgoing, bytes: usize) {
        if let Origin::Component(name) = &row.envelope.origin {
            self.hub.count_uplink(name, bytes as u64);
        }
    }

    fn give_up(&self, sequence: u64, reason: String) -> BoxFuture<Result<(), NotStored>> {
        let Some(row) = lock(&self.in_hand).remove(&sequence) else { return Box::pin(async { Ok(()) }) };
        tracing::error!(queue = %self.id, topic = %row.envelope.message.topic, reason, "Gave a message up; it is a dead letter now");
        let note = DeathNote {
            queue: Some(self.id.clone()),
            reason,
            attempts: row.failed,
            backtrace: String::new(),
            at: wall(),
        };
        let burial = Burial { queue: self.dead, envelope: row.envelope.clone(), note };
        let bytes = row_bytes(&row.envelope.message);
        let consumed = Some(row.taken(self.attached.queue));
        let unit = Unit { consumed, burial: Some(burial), ..Unit::default() };
        let (hub, dead, id) = (self.hub.clone(), self.dead, self.id.clone());
        Box::pin(async move {
            let mut reserved = Reservation::default();
            let mut told = false;
            // Until then it stays in its queue, and past a number of them the link takes nothing more from that.
            while !hub.reserve_in(dead, bytes, &mut reserved) {
                if !told {
                    tracing::error!(queue = %id, "The dead letters of an uplink are full; `edgewit dead drop` makes room");
                    told = true;
                }
                tokio::time::sleep(ROOM_AGAIN).await;
            }
            let buried = commit(&hub, vec![unit]).await;
            drop(reserved);
            buried
        })
    }
}
