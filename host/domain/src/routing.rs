//! Who gets a message: the pure first step of every publish.
//!
//! The table holds a route for each reader's filter; [`RoutingTable::plan`] gives the readers of one message.
//! Planning reads and decides: it delivers nothing, counts nothing, and allocates nothing while there are at most
//! eight readers. Each owner is a number in here, so that a fan-out to a thousand of them compares numbers and
//! not names.

mod circle;
mod hops;
mod plan;
mod trie;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::queue::QueueNumber;
use crate::topic::Filter;
use plan::Member;
use trie::FixedMap;

pub use circle::{Station, Through, possible_circles};
pub use hops::{Circle, next_hop};
pub use plan::{Plan, Readers};
pub use trie::Trie;

/// Names a reader: a queue that some subscription fills. Of two readers of one owner the durable one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReaderId {
    Durable(QueueNumber),
    /// A place that is used again has another turn then.
    Live {
        place: u32,
        turn: u32,
    },
}

/// One filter of one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub reader: ReaderId,
    pub filter: Filter,
    /// The component whose subscription this is, the same in every route of the reader. Of several readers of one
    /// owner only one gets a message.
    pub owner: Option<Arc<str>>,
    /// It also hears what its owner publishes.
    pub own: bool,
    /// It also takes messages of quality 0.
    pub qos0: bool,
}

/// Every route of the gateway.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    trie: Trie<Member>,
    routes: BTreeMap<ReaderId, Vec<Route>>,
    owners: FixedMap<Arc<str>, Owner>,
    next_owner: u32,
}

#[derive(Clone, Debug)]
struct Owner {
    number: u32,
    routes: usize,
}

impl RoutingTable {
    pub fn new() -> RoutingTable {
        RoutingTable::default()
    }

    /// Adds a route. A reader may have several, and still gets a message once.
    pub fn insert(&mut self, route: Route) {
        let owner = route.owner.as_ref().map(|name| {
            let owner = self.owners.entry(name.clone()).or_insert_with(|| {
                self.next_owner += 1;
                Owner { number: self.next_owner, routes: 0 }
            });
            owner.routes += 1;
            owner.number
        });
        self.trie.insert(&route.filter, Member { owner, reader: route.reader, own: route.own, qos0: route.qos0 });
        self.routes.entry(route.reader).or_default().push(route);
    }

    /// Removes every route of a reader.
    pub fn remove(&mut self, reader: ReaderId) {
        for Route { reader, filter, owner, own, qos0 } in self.routes.remove(&reader).unwrap_or_default() {
            let number = owner.as_deref().and_then(|name| self.number_of(name));
            self.trie.remove(&filter, &Member { owner: number, reader, own, qos0 });
            let Some(name) = owner else { continue };
            if let Some(owner) = self.owners.get_mut(&name) {
                owner.routes -= 1;
                if owner.routes == 0 {
                    self.owners.remove(&name);
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    fn number_of(&self, owner: &str) -> Option<u32> {
        self.owners.get(owner).map(|owner| owner.number)
    }
}

#[cfg(test)]
mod tests;
