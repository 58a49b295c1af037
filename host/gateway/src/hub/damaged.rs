//! Durable queues that are damaged on disk: out of use until an operator has begun them anew, and nothing else with them.
//!
//! The ledger refuses whatever touches such a queue. Here is what follows in memory: its reader's window is given up,
//! what comes back from a hand has no place any more, and nobody is buried in it. It is said once, by name.

use std::sync::Arc;

use edgewit_domain::ledger::Usage;
use edgewit_domain::queue::{QueueId, QueueNumber};
use edgewit_store::engine::Finding;
use edgewit_store::{Turn, damaged_queue};

use super::{Hub, Sink};
use crate::sync::{read, write};
use crate::window::Window;

impl Hub {
    pub(super) fn turn_out(&self, queue: QueueNumber, id: &QueueId, reason: &str) {
        if write(&self.routes).damaged.insert(queue) {
            tracing::error!(
                queue = %id,
                reason,
                "A durable queue is damaged on disk and out of use; every other one works. `edgewit store check` says what is broken, `edgewit queue drop` begins this one anew"
            );
        }
        let routes = read(&self.routes);
        if let Some(Sink { mailbox, slot }) = routes.durable.get(&queue) {
            mailbox.with_window(*slot, Window::give_up);
        }
    }

    /// Found by who read the whole store. Takes the queue that it is in out of use, if it is in one.
    pub(crate) fn found_damaged(self: &Arc<Self>, finding: Finding) {
        let Ok(store) = self.store() else { return };
        let hub = self.clone();
        let take_out = move |turn: &mut Turn<'_>| {
            if let Some(queue) = damaged_queue(turn.engine, &finding)
                && let Some(id) = turn.ledger.damage(queue)
            {
                hub.turn_out(queue, id, &finding.what);
            }
            Ok(())
        };
        store.turn(take_out, |_| ());
    }

    /// All that was in a queue has gone, and it is of use again.
    pub(crate) fn begin_anew(&self, queue: QueueNumber, id: &QueueId, head: u64) {
        if write(&self.routes).damaged.remove(&queue) {
            tracing::warn!(queue = %id, "A queue that was damaged begins anew");
        }
        let routes = read(&self.routes);
        if let Some(Sink { mailbox, slot }) = routes.durable.get(&queue) {
            mailbox.with_window(*slot, |window| window.begin_anew(head));
        }
        // Who has dead letters for it waits in another place.
        routes.durable.values().for_each(|sink| sink.mailbox.nudge());
    }

    /// Rows that were counted in a queue have gone, all at once.
    pub(crate) fn forget(&self, queue: QueueNumber, gone: Usage) {
        if let Some(room) = read(&self.routes).rooms.get(&queue) {
            room.forget(gone);
        }
    }

    pub(super) fn is_damaged(&self, queue: QueueNumber) -> bool {
        read(&self.routes).damaged.contains(&queue)
    }
}
