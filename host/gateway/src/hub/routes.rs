//! Who reads what: the routing table, and behind each of its readers the queue that it fills.
//!
//! A plan may be older than a change of the routes. A live reader's place is used again, and so its name has a turn as
//! well: what was planned for an earlier turn is delivered to nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use edgewit_domain::ledger::{Level, Planned, Sequences};
use edgewit_domain::link::Fit;
use edgewit_domain::queue::QueueNumber;
use edgewit_domain::routing::{ReaderId, Route, RoutingTable};
use edgewit_domain::topic::Filter;

use super::rooms::SharedRoom;
use crate::mailbox::{Mailbox, Slot};
use crate::window::Row;

#[derive(Default)]
pub(super) struct Routes {
    pub table: RoutingTable,
    /// By the reader's place.
    live: Vec<Place>,
    /// Places without a reader.
    free: Vec<usize>,
    pub durable: BTreeMap<QueueNumber, Sink>,
    /// What waits in the durable queues.
    pub levels: BTreeMap<QueueNumber, Mutex<Level>>,
    /// Of the queues that refuse when they are full.
    pub rooms: BTreeMap<QueueNumber, Arc<SharedRoom>>,
    /// Of the queues into which not every message may go.
    pub fits: BTreeMap<QueueNumber, Arc<Fit>>,
    /// Nothing of these can be read, or put there.
    pub damaged: BTreeSet<QueueNumber>,
}

#[derive(Default)]
struct Place {
    turn: u32,
    sink: Option<Sink>,
}

/// A queue in somebody's mailbox.
#[derive(Clone)]
pub(crate) struct Sink {
    pub mailbox: Arc<Mailbox>,
    pub slot: Slot,
}

/// A subscription as the routing table needs it.
pub(crate) struct Interest {
    pub filters: Vec<Filter>,
    pub owner: Option<Arc<str>>,
    pub own: bool,
    pub qos0: bool,
}

impl Routes {
    pub fn attach(&mut self, interest: Interest, sink: Sink) -> ReaderId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.live.push(Place::default());
            self.live.len() - 1
        });
        let mut turn = 0;
        if let Some(place) = self.live.get_mut(place) {
            place.sink = Some(sink);
            turn = place.turn;
        }
        let reader = ReaderId::Live { place: u32::try_from(place).unwrap_or(u32::MAX), turn };
        self.route(reader, interest);
        reader
    }

    pub fn route(&mut self, reader: ReaderId, interest: Interest) {
        let Interest { filters, owner, own, qos0 } = interest;
        for filter in filters {
            self.table.insert(Route { reader, filter, owner: owner.clone(), own, qos0 });
        }
    }

    pub fn detach(&mut self, reader: ReaderId) {
        self.table.remove(reader);
        match reader {
            ReaderId::Durable(queue) => {
                self.durable.remove(&queue);
                self.levels.remove(&queue);
                self.fits.remove(&queue);
            }
            ReaderId::Live { place, .. } => {
                let Some(left) = self.live.get_mut(place as usize) else { return };
                if left.sink.take().is_some() {
                    left.turn = left.turn.wrapping_add(1);
                    self.free.push(place as usize);
                }
            }
        }
    }

    /// Gives a message to its readers, and says to how many. `sequences` are those of its rows, as far as they are
    /// committed and still there; what is behind them belongs to later messages.
    pub fn deliver(&self, planned: &Planned, sequences: &mut impl Iterator<Item = u64>) -> u64 {
        for reader in &planned.readers {
            match *reader {
                ReaderId::Live { place, turn } => {
                    let place = self.live.get(place as usize).filter(|place| place.turn == turn);
                    if let Some(sink) = place.and_then(|place| place.sink.as_ref()) {
                        sink.mailbox.push(sink.slot, planned.envelope.clone());
                    }
                }
                ReaderId::Durable(queue) => {
                    let sequence = sequences.next().filter(|sequence| *sequence > 0);
                    if let (Some(sequence), Some(sink)) = (sequence, self.durable.get(&queue)) {
                        let row = Row { sequence, envelope: planned.envelope.clone(), failed: 0 };
                        sink.mailbox.with_window(sink.slot, |window| window.push(row));
                    }
                }
            }
        }
        planned.readers.len() as u64
    }

    /// Gives every message of a unit to its readers.
    pub fn deliver_all(&self, publishes: &[Planned], sequences: Sequences) -> u64 {
        let mut sequences = sequences.into_iter();
        publishes.iter().map(|planned| self.deliver(planned, &mut sequences)).sum()
    }
}
