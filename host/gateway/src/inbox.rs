//! What a component hears: its subscriptions, the queue behind each, and where its dead letters go.
//!
//! Opened and changed by whoever puts a configuration in force, read by the component's own thread. What is durable
//! outlives all of it: a queue is left only when its subscription is gone from the configuration.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewit_domain::config::{Component, DeadFullRule, DeadLetter, Delivery, Subscription};
use edgewit_domain::control::ComponentState;
use edgewit_domain::delivery::{Appetite, Deliveries};
use edgewit_domain::ledger::{Consumed, Usage, row_bytes};
use edgewit_domain::limits::CIRCLE_WAIT;
use edgewit_domain::message::Message;
use edgewit_domain::queue::{DeadOf, FullRule, QueueId, QueueLimits, QueueNumber};
use edgewit_domain::routing::ReaderId;
use smallvec::SmallVec;

use crate::hub::{Attached, Hub, Interest, Reading, Reservation, Sink};
use crate::mailbox::{Mailbox, Slot, Taken};
use crate::queue::Bounds;
use crate::sync::lock;
use crate::window::Row;

pub(crate) struct Inbox {
    hub: Arc<Hub>,
    component: Arc<str>,
    pub mailbox: Arc<Mailbox>,
    pub deliveries: Mutex<Deliveries>,
    subscribed: Mutex<BTreeMap<Arc<str>, Subscribed>>,
    dead: Mutex<Option<QueueNumber>>,
    /// The gateway before this one did not end in good order.
    unclean: bool,
}

/// A subscription and the queue that it fills.
struct Subscribed {
    subscription: Subscription,
    reader: Reader,
}

#[derive(Clone, Copy)]
enum Reader {
    Live { reader: ReaderId, slot: Slot },
    Durable(Attached),
}

impl Inbox {
    pub fn new(hub: Arc<Hub>, component: Arc<str>, unclean: bool) -> Inbox {
        Inbox {
            hub,
            component,
            mailbox: Arc::default(),
            deliveries: Mutex::default(),
            subscribed: Mutex::default(),
            dead: Mutex::default(),
            unclean,
        }
    }

    /// What did not change keeps its queue and what waits in it.
    pub fn adopt(&self, component: &Component) {
        let wanted = &component.subscriptions;
        if wanted.values().any(Subscription::is_durable) {
            self.open_dead(component.dead_letter);
        }
        let mut subscribed = lock(&self.subscribed);
        subscribed.retain(|name, old| {
            let kept = wanted.contains_key(name);
            if !kept {
                self.leave(old.reader, None);
            }
            kept
        });
        for (name, subscription) in wanted {
            match subscribed.get_mut(name) {
                Some(old) if old.has_route_of(subscription) => self.adjust(name, old, subscription),
                // The new reader is there before the old one leaves, and nothing is said to neither.
                _ => {
                    let Some(reader) = self.attach(name, subscription) else { continue };
                    let new = Subscribed { subscription: subscription.clone(), reader };
                    if let Some(old) = subscribed.insert(name.clone(), new) {
                        self.leave(old.reader, Some(reader));
                    }
                }
            }
        }
    }

    fn attach(&self, name: &Arc<str>, subscription: &Subscription) -> Option<Reader> {
        let interest = |qos0| Interest {
            filters: vec![subscription.filter.clone()],
            owner: Some(self.component.clone()),
            own: subscription.own,
            qos0,
        };
        let durable = match &subscription.delivery {
            Delivery::Live { .. } => {
                let slot = self.mailbox.open(Bounds::of(subscription)?);
                let reader = self.hub.attach(interest(true), Sink { mailbox: self.mailbox.clone(), slot });
                return Some(Reader::Live { reader, slot });
            }
            Delivery::Durable(durable) => durable,
        };
        let id = self.queue_id(name);
        let reading = Reading {
            id: id.clone(),
            limits: durable.limits,
            interest: interest(durable.qos0),
            mailbox: self.mailbox.clone(),
            fit: None,
        };
        match self.hub.attach_durable(reading) {
            Ok(attached) => {
                let mut deliveries = lock(&self.deliveries);
                // The window begins with the queue's head, and so with whatever was held of it.
                deliveries.leave(attached.queue);
                deliveries.read(attached.queue, durable.policy, self.unclean);
                drop(deliveries);
                self.hub.refill(&self.mailbox, attached);
                Some(Reader::Durable(attached))
            }
            Err(refusal) => {
                tracing::error!(queue = %id, %refusal, "The queue cannot be read; reload when that is mended");
                None
            }
        }
    }

    fn adjust(&self, name: &Arc<str>, old: &mut Subscribed, wanted: &Subscription) {
        match (&wanted.delivery, old.reader) {
            (Delivery::Live { .. }, Reader::Live { slot, .. }) => {
                if let Some(bounds) = Bounds::of(wanted) {
                    self.mailbox.resize(slot, bounds);
                }
            }
            (Delivery::Durable(durable), Reader::Durable(attached)) if old.subscription != *wanted => {
                lock(&self.deliveries).read(attached.queue, durable.policy, false);
                if let Err(refusal) = self.hub.open_durable(self.queue_id(name), durable.limits) {
                    tracing::error!(queue = %self.queue_id(name), %refusal, "The queue keeps its old limits");
                }
            }
            _ => {}
        }
        old.subscription = wanted.clone();
    }

    /// `new` is what reads in its place, if something does.
    fn leave(&self, old: Reader, new: Option<Reader>) {
        match old {
            Reader::Live { reader, slot } => {
                self.hub.detach(reader);
                self.mailbox.close(slot);
            }
            Reader::Durable(Attached { queue, slot }) => {
                let taken_over = matches!(new, Some(Reader::Durable(new)) if new.queue == queue);
                if !taken_over {
                    self.hub.abandon(queue);
                    lock(&self.deliveries).leave(queue);
                }
                self.mailbox.close(slot);
            }
        }
    }

    /// Takes no more deliveries. What is live and waits stays, until someone looks how much it was. What is durable
    /// goes on collecting, unless the component is `gone` from the configuration: others may still speak to it, and it
    /// is read when somebody starts it again.
    pub fn close(&self, gone: bool) {
        for Subscribed { reader, .. } in std::mem::take(&mut *lock(&self.subscribed)).into_values() {
            match reader {
                Reader::Live { reader, .. } => self.hub.detach(reader),
                Reader::Durable(Attached { queue, .. }) if gone => self.hub.abandon(queue),
                Reader::Durable(_) => {}
            }
        }
    }

    fn queue_id(&self, subscription: &Arc<str>) -> QueueId {
        QueueId::Inbox { component: self.component.clone(), subscription: subscription.clone() }
    }

    fn open_dead(&self, limits: DeadLetter) {
        let full = match limits.full {
            DeadFullRule::Stop => FullRule::Refuse,
            DeadFullRule::DropOldest => FullRule::DropOldest,
        };
        let limits = QueueLimits { messages: limits.messages, bytes: limits.bytes, age: None, full };
        match self.hub.open_durable(QueueId::Dead(DeadOf::Component(self.component.clone())), limits) {
            Ok(queue) => *lock(&self.dead) = Some(queue),
            Err(refusal) => {
                tracing::error!(component = &*self.component, %refusal, "There is no place for its dead letters");
            }
        }
    }

    /// Where a message is buried, and the room for it, if there is any.
    pub fn grave(&self, message: &Message) -> Option<(QueueNumber, Reservation)> {
        let queue = (*lock(&self.dead))?;
        let mut reserved = Reservation::default();
        self.hub.reserve_in(queue, row_bytes(message), &mut reserved).then_some((queue, reserved))
    }

    /// Looks whether what waits for room has some now; the mailbox is nudged when it may have later. What waits in a
    /// circle of full queues is given up.
    fn look_for_room(&self, durable: &[Attached]) {
        let mut deliveries = lock(&self.deliveries);
        deliveries.look_for_room(|lack| self.hub.has_room(lack.queue, lack.wanted, &self.mailbox));
        if let Some(dead) = *lock(&self.dead) {
            let one = |bytes| Usage { messages: 1, bytes };
            deliveries.look_for_graves(|bytes| self.hub.has_room(dead, one(bytes), &self.mailbox));
        }
        for Attached { queue, .. } in durable {
            if let Some(circle) = self.hub.park(*queue, deliveries.parked(*queue)) {
                deliveries.condemn(*queue, &format!("it waited for room in a circle of full queues: {circle}"));
                self.hub.park(*queue, None);
            }
        }
    }

    /// Moves at most `count` deliveries into `into`: first those that are due again.
    pub fn fetch(&self, into: &mut VecDeque<Taken>, count: usize, now: Duration) {
        let durable = self.durable();
        if !durable.is_empty() {
            self.look_for_room(&durable);
            let due = || lock(&self.deliveries).due(now);
            while let Some(row) = due() {
                let slot = durable.iter().find(|attached| attached.queue == row.queue).map(|attached| attached.slot);
                into.extend(slot.map(|slot| Taken { slot, envelope: row.envelope.clone(), row: Some(row) }));
            }
            self.tend(&durable);
        }
        self.mailbox.take(into, count.saturating_sub(into.len()));
    }

    /// After a shift: what may be taken next, and what has to be read for it.
    pub fn look_ahead(&self) {
        let durable = self.durable();
        if !durable.is_empty() {
            self.look_for_room(&durable);
            self.tend(&durable);
        }
    }

    fn tend(&self, durable: &[Attached]) {
        for attached in durable {
            let nothing = lock(&self.deliveries).appetite(attached.queue) == Appetite::Nothing;
            self.mailbox.pause(attached.slot, nothing);
            self.hub.refill(&self.mailbox, *attached);
        }
    }

    /// Returns deliveries that were taken and not handled, in the order they were taken.
    pub fn put_back(&self, taken: impl DoubleEndedIterator<Item = Taken>) {
        let mut deliveries = lock(&self.deliveries);
        let back = taken.filter_map(|taken| match taken.row {
            Some(row) => Some(Taken { row: Some(deliveries.undone(row)?), ..taken }),
            None => Some(taken),
        });
        let back: VecDeque<Taken> = back.collect();
        drop(deliveries);
        self.mailbox.put_back(back.into_iter());
    }

    /// As [`Inbox::put_back`], for one row.
    pub fn put_back_row(&self, row: Consumed) {
        let attached = self.durable().into_iter().find(|attached| attached.queue == row.queue);
        if let Some(attached) = attached {
            self.mailbox.with_window(attached.slot, |window| window.put_back(Row::of(row)));
        }
    }

    /// What is held to be tried again goes back to its queue, for as long as the component does not run.
    pub fn release(&self) {
        let held = lock(&self.deliveries).release();
        held.into_iter().for_each(|row| self.put_back_row(row));
        self.durable().iter().for_each(|attached| {
            self.hub.park(attached.queue, None);
        });
    }

    /// When something that failed is to be tried again, or what waits for room is to be looked at.
    pub fn wake_at(&self, now: Duration) -> Option<Duration> {
        let durable = self.durable();
        let deliveries = lock(&self.deliveries);
        let parked = durable.iter().filter_map(|attached| deliveries.parked(attached.queue));
        let next = |since: Duration| [since, now].map(|from| from + CIRCLE_WAIT).into_iter().find(|at| *at > now);
        parked.filter_map(|parked| next(parked.since)).chain(deliveries.wake_at()).min()
    }

    /// Why nothing is handled, if that is so.
    pub fn blocked(&self) -> Option<ComponentState> {
        let blocked = lock(&self.deliveries).is_blocked();
        blocked.then(|| ComponentState::Blocked { reason: "dead-letter full".to_owned() })
    }

    /// What is behind a queue's number here.
    pub fn id_of(&self, queue: QueueNumber) -> Option<QueueId> {
        let subscribed = lock(&self.subscribed);
        let of = |subscribed: &Subscribed| subscribed.attached().is_some_and(|attached| attached.queue == queue);
        subscribed.iter().find(|(_, subscribed)| of(subscribed)).map(|(name, _)| self.queue_id(name))
    }

    /// Deliveries that wait, on disk and in memory.
    pub fn waiting(&self) -> u64 {
        let live = self.mailbox.level().waiting;
        live + self.durable().iter().map(|attached| self.hub.level_of(attached.queue).waiting.messages).sum::<u64>()
    }

    fn durable(&self) -> SmallVec<[Attached; 4]> {
        lock(&self.subscribed).values().filter_map(Subscribed::attached).collect()
    }

    /// The live subscriptions hear every retained message that matches.
    pub fn replay_retained(&self) {
        let live: Vec<_> = lock(&self.subscribed)
            .values()
            .filter_map(|subscribed| match subscribed.reader {
                Reader::Live { slot, .. } => Some((subscribed.subscription.filter.clone(), slot)),
                Reader::Durable(_) => None,
            })
            .collect();
        self.hub.replay_retained(live, &self.mailbox);
    }
}

impl Subscribed {
    fn has_route_of(&self, other: &Subscription) -> bool {
        let qos0 = |subscription: &Subscription| match &subscription.delivery {
            Delivery::Live { .. } => None,
            Delivery::Durable(durable) => Some(durable.qos0),
        };
        self.subscription.filter == other.filter
            && self.subscription.own == other.own
            && qos0(&self.subscription) == qos0(other)
    }

    fn attached(&self) -> Option<Attached> {
        match self.reader {
            Reader::Live { .. } => None,
            Reader::Durable(attached) => Some(attached),
        }
    }
}
