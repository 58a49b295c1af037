//! Durable readers: how a queue of the store gets one, and what the store's writer tells the hub.
//!
//! Queues are opened, left and filled by the writer between two batches, so that what is in memory of a queue changes
//! in the order in which the queue itself does. [`Keeping`] is the hub as the writer sees it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewit_domain::delivery::{Parked, circle_to_break};
use edgewit_domain::ledger::{Broken, Level, NoRoom, Planned, Refusal, Room, Sequences, Unit, Usage, row_bytes};
use edgewit_domain::link::{Fit, NotForCloud};
use edgewit_domain::message::{Envelope, Message, Origin, WallTime};
use edgewit_domain::queue::{FullRule, QueueId, QueueLimits, QueueNumber};
use edgewit_domain::routing::ReaderId;
use edgewit_domain::shadow::ShadowId;
use edgewit_domain::shadow::sync::Seen;
use edgewit_domain::topic::Filter;
use edgewit_store::{Page, Readers, Store, Turn, rows};
use smallvec::SmallVec;

use super::Hub;
use super::rooms::{Reservation, SharedRoom};
use super::routes::{Interest, Routes, Sink};
use crate::clock::kept_wall;
use crate::mailbox::{Mailbox, Slot};
use crate::sync::{lock, read, write};
use crate::window::{BYTES, Row, Window};

/// A durable queue that has a reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attached {
    pub queue: QueueNumber,
    pub slot: Slot,
}

/// How a queue is read.
pub(crate) struct Reading {
    pub id: QueueId,
    pub limits: QueueLimits,
    pub interest: Interest,
    pub mailbox: Arc<Mailbox>,
    /// What may go into it, where not everything may.
    pub fit: Option<Fit>,
}

/// Why a message is not let into the queues that it is for.
pub(crate) enum NotLetIn {
    NoRoom(QueueNumber, NoRoom),
    NotForCloud(NotForCloud),
}

impl Hub {
    /// From now on the hub commits to this store.
    pub(crate) fn keep_in(&self, store: Store) {
        // Nobody gives it a second one.
        let _ = self.store.set(store);
    }

    /// Gives a queue its reader, and makes it where there is none: then it begins with the retained messages that
    /// match. Where it had a reader this one takes over, with no moment between in which the queue does not collect.
    pub(crate) fn attach_durable(self: &Arc<Self>, reading: Reading) -> Result<Attached, Refusal> {
        let hub = self.clone();
        let store = self.store().map_err(|_| Refusal::Closed)?;
        store.wait_turn(move |turn| hub.attach_in_turn(reading, turn))
    }

    fn attach_in_turn(&self, reading: Reading, turn: &mut Turn<'_>) -> Result<Attached, Refusal> {
        let Reading { id, limits, interest, mailbox, fit } = reading;
        let is_new = turn.ledger.number_of(&id).is_none();
        let queue = turn.ledger.open(&id, limits)?;
        let slot = mailbox.open_window(Window::new(queue, turn.ledger.head_of(queue)));
        let filters = interest.filters.clone();
        {
            let mut routes = write(&self.routes);
            routes.detach(ReaderId::Durable(queue));
            routes.durable.insert(queue, Sink { mailbox, slot });
            routes.levels.insert(queue, Mutex::new(turn.ledger.level_of(queue)));
            routes.route(ReaderId::Durable(queue), interest);
            routes.fits.extend(fit.map(|fit| (queue, Arc::new(fit))));
            self.limit(&mut routes, (queue, id), limits, turn.ledger.usage_of(queue));
        }
        if is_new {
            self.begin_with_retained(queue, &filters, turn)?;
        }
        Ok(Attached { queue, slot })
    }

    fn begin_with_retained(&self, queue: QueueNumber, filters: &[Filter], turn: &mut Turn<'_>) -> Result<(), Refusal> {
        let mut first = Vec::new();
        edgewit_store::retained(turn.engine, |envelope| {
            if filters.iter().any(|filter| filter.matches(&envelope.message.topic)) {
                first.push(Arc::new(envelope));
            }
        })?;
        for envelope in first {
            turn.ledger.copy(queue, &envelope, turn.records, turn.windows)?;
        }
        Ok(())
    }

    /// What a configuration says of a queue that is read already, or that only an operator looks into.
    pub(crate) fn open_durable(self: &Arc<Self>, id: QueueId, limits: QueueLimits) -> Result<QueueNumber, Refusal> {
        let hub = self.clone();
        let store = self.store().map_err(|_| Refusal::Closed)?;
        store.wait_turn(move |turn| {
            let queue = turn.ledger.open(&id, limits)?;
            hub.limit(&mut write(&hub.routes), (queue, id), limits, turn.ledger.usage_of(queue));
            Ok(queue)
        })
    }

    /// Whoever publishes into a queue that refuses needs room in it first.
    fn limit(&self, routes: &mut Routes, (queue, id): (QueueNumber, QueueId), limits: QueueLimits, used: Usage) {
        match (routes.rooms.get(&queue), limits.full == FullRule::Refuse) {
            (Some(room), true) => room.resize(limits),
            (None, true) => {
                routes.rooms.insert(queue, SharedRoom::new(Room::new(id, limits, used)));
            }
            (_, false) => {
                routes.rooms.remove(&queue);
            }
        }
        self.count_refusing(routes);
    }

    /// The configuration does not name this queue any more: it collects nothing from now on, and is given up later.
    pub(crate) fn abandon(&self, queue: QueueNumber) {
        {
            let mut routes = write(&self.routes);
            routes.detach(ReaderId::Durable(queue));
            self.count_refusing(&routes);
        }
        self.park(queue, None);
        let Ok(store) = self.store() else { return };
        store.turn(
            move |turn| turn.ledger.leave(queue, turn.now),
            |left| {
                if let Err(refusal) = left {
                    tracing::warn!(%refusal, "A queue that lost its reader was not marked so; it is at the next start");
                }
            },
        );
    }

    /// Queues that the configuration does not name any more begin to be given up.
    pub(crate) fn leave_unread(&self) {
        let Ok(store) = self.store() else { return };
        let left = store.wait_turn(|turn| {
            let now = turn.now;
            turn.ledger.unread().into_iter().try_for_each(|queue| turn.ledger.leave(queue, now))
        });
        if let Err(refusal) = left {
            tracing::warn!(%refusal, "Queues without a reader are not given up before the next start");
        }
    }

    /// What is in a durable queue that is read.
    pub(crate) fn level_of(&self, queue: QueueNumber) -> Level {
        read(&self.routes).levels.get(&queue).map_or(Level::default(), |level| *lock(level))
    }

    /// These rows have gone, and so many bytes each.
    pub(crate) fn free(&self, rows: &[(QueueNumber, u64)]) {
        let routes = read(&self.routes);
        for (queue, bytes) in rows {
            if let Some(room) = routes.rooms.get(queue) {
                room.release(*bytes);
            }
        }
    }

    /// A row was put into this queue past its reader's window.
    pub(crate) fn look_again(&self, queue: QueueNumber, bytes: u64) {
        let routes = read(&self.routes);
        if let Some(room) = routes.rooms.get(&queue) {
            room.add(bytes);
        }
        if let Some(Sink { mailbox, slot }) = routes.durable.get(&queue) {
            mailbox.with_window(*slot, Window::look_again);
            mailbox.nudge();
        }
    }

    /// The durable queues that a message of this kind goes into now.
    pub(crate) fn durable_readers(&self, message: &Message) -> SmallVec<[QueueNumber; 2]> {
        let readers = read(&self.routes).table.readers(&message.topic, message.qos, None);
        let durable = readers.iter().filter_map(|reader| match reader {
            ReaderId::Durable(queue) => Some(*queue),
            ReaderId::Live { .. } => None,
        });
        durable.collect()
    }

    fn count_refusing(&self, routes: &Routes) {
        let refusing = routes.rooms.keys().filter(|queue| routes.durable.contains_key(queue)).count();
        self.refusing.store((refusing + routes.fits.len()) as u64, Ordering::Relaxed);
    }

    /// Whether anything may be refused by a queue that it is for.
    pub(crate) fn may_refuse(&self) -> bool {
        self.refusing.load(Ordering::Relaxed) > 0
    }

    /// Promises room for a message in every queue that it goes into and that refuses; where one of them may not have it
    /// at all, in none.
    pub(crate) fn reserve(
        &self,
        message: &Message,
        origin: &Origin,
        reserved: &mut Reservation,
    ) -> Result<(), NotLetIn> {
        let publisher = match origin {
            Origin::Component(name) => Some(&**name),
            _ => None,
        };
        let mut rooms: SmallVec<[(QueueNumber, Arc<SharedRoom>); 2]> = SmallVec::new();
        let mut fits: SmallVec<[Arc<Fit>; 2]> = SmallVec::new();
        let routes = read(&self.routes);
        for reader in routes.table.readers(&message.topic, message.qos, publisher) {
            let ReaderId::Durable(queue) = reader else { continue };
            rooms.extend(routes.rooms.get(&queue).map(|room| (queue, room.clone())));
            fits.extend(routes.fits.get(&queue).cloned());
        }
        drop(routes);
        fits.iter().try_for_each(|fit| fit.check(message, origin)).map_err(NotLetIn::NotForCloud)?;
        let made = reserved.make(rooms.into_iter(), row_bytes(message));
        made.map_err(|(queue, full)| NotLetIn::NoRoom(queue, full))
    }

    /// Promises room in one queue. True where the queue does not refuse, too.
    pub(crate) fn reserve_in(&self, queue: QueueNumber, bytes: u64, reserved: &mut Reservation) -> bool {
        let room = read(&self.routes).rooms.get(&queue).cloned();
        !self.is_damaged(queue) && room.is_none_or(|room| reserved.make(std::iter::once((queue, room)), bytes).is_ok())
    }

    /// Gives live readers every retained message that matches.
    pub(crate) fn replay_retained(&self, readers: Vec<(Filter, Slot)>, mailbox: &Arc<Mailbox>) {
        let (Ok(store), false) = (self.store(), readers.is_empty()) else { return };
        let mailbox = mailbox.clone();
        let replayed = store.wait_turn(move |turn| {
            edgewit_store::retained(turn.engine, |envelope| {
                let envelope = Arc::new(envelope);
                let topic = &envelope.message.topic;
                for (_, slot) in readers.iter().filter(|(filter, _)| filter.matches(topic)) {
                    mailbox.push(*slot, envelope.clone());
                }
            })?;
            Ok(())
        });
        if let Err(refusal) = replayed {
            tracing::error!(%refusal, "The retained messages cannot be read");
        }
    }

    /// Whether a queue has so much room; otherwise the mailbox is nudged when it may have.
    pub(crate) fn has_room(&self, queue: QueueNumber, wanted: Usage, mailbox: &Arc<Mailbox>) -> bool {
        let room = read(&self.routes).rooms.get(&queue).cloned();
        !self.is_damaged(queue) && room.is_none_or(|room| room.has(wanted, mailbox))
    }

    /// Tells what a queue waits for, if for something, and says in words the circle that it has to be helped out of, if
    /// it waits in one.
    pub(crate) fn park(&self, queue: QueueNumber, waits: Option<Parked>) -> Option<String> {
        let mut parked = lock(&self.parked);
        let Some(waits) = waits else {
            parked.remove(&queue);
            return None;
        };
        parked.insert(queue, waits);
        let way = circle_to_break(&parked, queue, self.clock.now())?;
        drop(parked);
        let routes = read(&self.routes);
        let name = |queue| routes.rooms.get(queue).map_or_else(String::new, |room| room.queue().to_string());
        Some(way.iter().chain([&queue]).map(name).collect::<Vec<_>>().join(" → "))
    }

    /// Has rows read into the window of a queue whose reader has caught up with it.
    pub(crate) fn refill(self: &Arc<Self>, mailbox: &Mailbox, attached: Attached) {
        let lack = mailbox.with_window(attached.slot, Window::lack).flatten();
        let (Some(_), Ok(store)) = (lack, self.store()) else { return };
        let hub = self.clone();
        // Whoever can read nothing takes the queue out of use.
        store.turn(move |turn| hub.refill_in_turn(attached.queue, turn), |_| ());
    }

    fn refill_in_turn(&self, queue: QueueNumber, turn: &Turn<'_>) -> Result<(), Refusal> {
        let routes = read(&self.routes);
        let Some(Sink { mailbox, slot }) = routes.durable.get(&queue) else { return Ok(()) };
        let wanted = mailbox.with_window(*slot, |window| window.wanted()).flatten();
        let Some((from, count)) = wanted else { return Ok(()) };
        let page = rows(turn.engine, queue, from, (count, BYTES));
        let Page { rows, more } = page.map_err(|broken| Broken { queue: Some(queue), ..broken })?;
        let found = rows.into_iter().map(|row| Row {
            sequence: row.sequence,
            envelope: Arc::new(row.envelope),
            failed: row.failed,
        });
        mailbox.with_window(*slot, |window| window.fill(found, more));
        Ok(())
    }
}

/// The hub as the store's writer sees it.
pub(crate) struct Keeping {
    pub hub: Arc<Hub>,
    /// Ends the process.
    pub unknown: fn(&str),
}

impl Keeping {
    fn with_window(&self, queue: QueueNumber, change: impl FnOnce(&mut Window)) {
        self.with_window_and_tell(queue, |window| {
            change(window);
            false
        });
    }

    /// As [`Keeping::with_window`]; its reader is to look around where `change` says so.
    fn with_window_and_tell(&self, queue: QueueNumber, change: impl FnOnce(&mut Window) -> bool) {
        let routes = read(&self.hub.routes);
        if let Some(Sink { mailbox, slot }) = routes.durable.get(&queue)
            && mailbox.with_window(*slot, change) == Some(true)
        {
            mailbox.nudge();
        }
    }
}

impl Readers for Keeping {
    fn retract(&mut self, queue: QueueNumber, sequence: u64) -> bool {
        let mut free = true;
        self.with_window(queue, |window| free = window.retract(sequence));
        free
    }

    fn settle(&mut self, queue: QueueNumber) {
        self.with_window_and_tell(queue, Window::settle);
    }

    fn restore(&mut self, queue: QueueNumber, from: u64) {
        self.with_window_and_tell(queue, |window| {
            window.restore(from);
            true
        });
    }

    fn plan(&mut self, message: Message, cause: &Envelope) -> Option<Planned> {
        self.hub.plan_answer(message, cause)
    }

    fn committed(&mut self, unit: Unit, sequences: Sequences) {
        let routes = read(&self.hub.routes);
        let room = |queue: QueueNumber| routes.rooms.get(&queue);
        for planned in &unit.publishes {
            let bytes = row_bytes(&planned.envelope.message);
            planned.queues().filter_map(room).for_each(|room| room.add(bytes));
        }
        if let Some(burial) = &unit.burial
            && let Some(room) = room(burial.queue)
        {
            room.add(row_bytes(&burial.envelope.message));
        }
        if let Some(consumed) = &unit.consumed
            && let Some(room) = room(consumed.queue)
        {
            room.release(row_bytes(&consumed.envelope.message));
        }
        let delivered = routes.deliver_all(&unit.publishes, sequences);
        self.hub.counters.delivered.fetch_add(delivered, Ordering::Relaxed);
    }

    fn changed(&mut self, id: &ShadowId, seen: Seen) {
        read(&self.hub.shadows).iter().for_each(|told| told.changed(id, seen));
    }

    fn counted(&mut self, queue: QueueNumber, level: Level) {
        if let Some(counted) = read(&self.hub.routes).levels.get(&queue) {
            *lock(counted) = level;
        }
    }

    fn freed(&mut self, rows: &[(QueueNumber, u64)]) {
        self.hub.free(rows);
    }

    fn damaged(&mut self, queue: QueueNumber, id: &QueueId, reason: &str) {
        self.hub.turn_out(queue, id, reason);
    }

    fn now(&self) -> (Duration, WallTime) {
        (self.hub.uptime(), kept_wall())
    }

    fn unknown(&mut self, reason: &str) {
        (self.unknown)(reason);
    }
}
