//! Room in the queues that refuse when they are full, shared by all that publish into them.

use std::sync::{Arc, Mutex, Weak};

use edgewit_domain::ledger::{NoRoom, Room, Usage};
use edgewit_domain::queue::{QueueId, QueueLimits, QueueNumber};

use crate::mailbox::Mailbox;
use crate::sync::lock;

pub(crate) struct SharedRoom {
    room: Mutex<Room>,
    /// Who is to look again when something has gone.
    waiting: Mutex<Vec<Weak<Mailbox>>>,
}

/// Room that is promised to a message. What is not kept is given back.
#[derive(Default)]
pub(crate) struct Reservation(Vec<(QueueNumber, Arc<SharedRoom>, u64)>);

impl SharedRoom {
    pub fn new(room: Room) -> Arc<SharedRoom> {
        Arc::new(SharedRoom { room: Mutex::new(room), waiting: Mutex::default() })
    }

    pub fn resize(&self, limits: QueueLimits) {
        lock(&self.room).resize(limits);
        self.wake();
    }

    /// A row was committed.
    pub fn add(&self, bytes: u64) {
        lock(&self.room).add(bytes);
    }

    /// A row has gone, or a promise is given back.
    pub fn release(&self, bytes: u64) {
        lock(&self.room).release(bytes);
        self.wake();
    }

    /// All of these rows have gone.
    pub fn forget(&self, gone: Usage) {
        lock(&self.room).forget(gone);
        self.wake();
    }

    pub fn queue(&self) -> QueueId {
        lock(&self.room).queue().clone()
    }

    /// Whether so much would be let in now. Otherwise the mailbox is nudged when it may be.
    pub fn has(&self, wanted: Usage, mailbox: &Arc<Mailbox>) -> bool {
        let mut waiting = lock(&self.waiting);
        let has = lock(&self.room).has(wanted);
        if !has && !waiting.iter().any(|waiting| std::ptr::eq(waiting.as_ptr(), Arc::as_ptr(mailbox))) {
            waiting.retain(|waiting| waiting.strong_count() > 0);
            waiting.push(Arc::downgrade(mailbox));
        }
        has
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        waiting.iter().filter_map(Weak::upgrade).for_each(|mailbox| mailbox.nudge());
    }
}

impl Reservation {
    /// In all of these queues, or in none. Says which is full.
    pub fn make(
        &mut self,
        queues: impl Iterator<Item = (QueueNumber, Arc<SharedRoom>)>,
        bytes: u64,
    ) -> Result<(), (QueueNumber, NoRoom)> {
        let before = self.0.len();
        for (queue, room) in queues {
            let promised = self.of(queue);
            let reserved = lock(&room.room).reserve(bytes, promised);
            if let Err(full) = reserved {
                self.0.drain(before..).for_each(|(_, room, bytes)| room.release(bytes));
                return Err((queue, full));
            }
            self.0.push((queue, room, bytes));
        }
        Ok(())
    }

    /// What is promised in one queue.
    fn of(&self, queue: QueueNumber) -> Usage {
        let of_it = self.0.iter().filter(|(of, ..)| *of == queue);
        of_it.fold(Usage::default(), |sum, (.., bytes)| sum.and(Usage { messages: 1, bytes: *bytes }))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|(_, room, bytes)| room.release(bytes));
    }
}
