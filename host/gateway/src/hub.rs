//! The hub: takes a message from anyone and gives it to whoever subscribed.
//!
//! **Every publish is planned, then committed, then delivered, and there is no other path.** Planning is pure
//! and belongs to the domain; committing stands in `commit`; delivering puts one shared envelope into the
//! mailbox of every reader. A message is refused before it is planned or not at all: whatever a full queue
//! drops is that queue's business and counted there.
//!
//! The routes are read under a lock that only a change of subscriptions takes alone, so publishers never wait
//! for one another here. What one publisher says reaches each queue in the order it was said, since its
//! messages are planned and delivered on its own thread.

mod stream;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use edgewit_domain::limits::{MESSAGE_BYTES, USER_PROPERTIES};
use edgewit_domain::message::{Envelope, Message, MessageId, Origin, Trail, WallTime};
use edgewit_domain::rate::TokenBucket;
use edgewit_domain::routing::{Circle, Plan, ReaderId, Route, RoutingTable, next_hop};
use edgewit_domain::topic::{Filter, Topic};
use smallvec::SmallVec;

use crate::clock::{Clock, wall};
use crate::commit::{Planned, commit};
use crate::mailbox::{Mailbox, Slot};
use crate::sync::{lock, read, write};
pub use stream::Stream;

/// Messages of one handling that are delivered under one look at the routes.
const AT_ONCE: usize = 64;

/// Circles that are named in the log each second, and at once.
const CIRCLES_NAMED: (u64, u64) = (1, 5);

/// Where messages meet their readers.
pub struct Hub {
    routes: RwLock<Routes>,
    /// Random, once for each start of the gateway.
    epoch: u64,
    closed: AtomicBool,
    counters: Counters,
    clock: Clock,
    circles_named: Mutex<TokenBucket>,
}

#[derive(Default)]
struct Routes {
    table: RoutingTable,
    /// By the reader's number.
    sinks: Vec<Option<Sink>>,
    /// Places in `sinks` without a reader.
    free: Vec<usize>,
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
}

#[derive(Default)]
struct Counters {
    taken: AtomicU64,
    delivered: AtomicU64,
    circles: AtomicU64,
}

/// What the hub has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Messages taken. The next one's number.
    pub taken: u64,
    /// Messages put into queues, once for each queue.
    pub delivered: u64,
    /// Messages dropped because they ran in a circle.
    pub circles: u64,
}

/// Why the hub did not take a message. Nobody got it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    #[error("`{topic}` is published by the gateway's own services only")]
    Reserved { topic: Topic },
    #[error("the message has {bytes} bytes; {MESSAGE_BYTES} are the limit")]
    TooLarge { bytes: usize },
    #[error("the message has {count} user properties; {USER_PROPERTIES} are the limit")]
    TooManyProperties { count: usize },
    #[error("the gateway is shutting down")]
    Closed,
}

impl Hub {
    pub(crate) fn new(clock: Clock) -> Self {
        let (per_second, burst) = CIRCLES_NAMED;
        Hub {
            routes: RwLock::default(),
            epoch: RandomState::new().build_hasher().finish(),
            closed: AtomicBool::new(false),
            counters: Counters::default(),
            clock,
            circles_named: Mutex::new(TokenBucket::new(per_second, burst)),
        }
    }

    /// Takes a message from outside a component. `cause` is the message that led to it, if one did.
    pub fn publish(
        &self,
        message: Message,
        origin: Origin,
        cause: Option<&Envelope>,
    ) -> Result<MessageId, PublishError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(PublishError::Closed);
        }
        check(&message, &origin)?;
        let hops = cause.map_or(0, |cause| cause.hops);
        let trail = cause.and_then(|cause| cause.trail.clone());
        Ok(self.send([message], &origin, (hops, trail)))
    }

    /// Makes the messages of one handling real, all together. The sandbox has checked each against the
    /// component's grants when it was asked for.
    pub(crate) fn commit(&self, component: &Arc<str>, cause: Option<&Envelope>, messages: Vec<Message>) {
        if !messages.is_empty() {
            self.send(messages, &Origin::Component(component.clone()), next_hop(cause, component));
        }
    }

    fn send(
        &self,
        messages: impl IntoIterator<Item = Message>,
        origin: &Origin,
        (hops, trail): (u32, Option<Arc<Trail>>),
    ) -> MessageId {
        let received = wall();
        let mut id = MessageId { epoch: self.epoch, number: 0 };
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            self.send_some(messages.by_ref().take(AT_ONCE), &mut id, origin, (hops, &trail), received);
        }
        id
    }

    /// Between two of these calls whoever waits to change the routes gets its turn, and holds up nobody else meanwhile.
    /// Nothing durable is planned here: where it is, all of a handling has to be committed before any of it is delivered.
    fn send_some(
        &self,
        messages: impl Iterator<Item = Message>,
        id: &mut MessageId,
        origin: &Origin,
        (hops, trail): (u32, &Option<Arc<Trail>>),
        received: WallTime,
    ) {
        let routes = read(&self.routes);
        let now = self.clock.now();
        let mut planned: SmallVec<[Planned; 4]> = SmallVec::new();
        for message in messages {
            id.number = self.counters.taken.fetch_add(1, Ordering::Relaxed);
            let expires = message.expiry.map(|seconds| now + Duration::from_secs(seconds.into()));
            let (origin, trail) = (origin.clone(), trail.clone());
            let envelope = Envelope { message, id: *id, origin, hops, trail, received, since: now, expires };
            match routes.table.plan(&envelope) {
                Plan::Readers(readers) => planned.push(Planned { envelope: Arc::new(envelope), readers }),
                Plan::Circle(circle) => self.end_circle(&envelope, &circle),
            }
        }
        commit(&planned);
        let delivered: u64 = planned.iter().map(|planned| routes.deliver(planned)).sum();
        self.counters.delivered.fetch_add(delivered, Ordering::Relaxed);
    }

    fn end_circle(&self, envelope: &Envelope, circle: &Circle) {
        self.counters.circles.fetch_add(1, Ordering::Relaxed);
        if lock(&self.circles_named).take(self.clock.now()) {
            let total = self.counters.circles.load(Ordering::Relaxed);
            tracing::warn!(topic = %envelope.message.topic, circle = %circle, total, "Dropped a message that runs in a circle");
        }
    }

    pub(crate) fn attach(&self, interest: Interest, sink: Sink) -> ReaderId {
        let mut routes = write(&self.routes);
        let free = routes.free.pop();
        let place = free.unwrap_or_else(|| {
            routes.sinks.push(None);
            routes.sinks.len() - 1
        });
        let reader = ReaderId::Live(u32::try_from(place).unwrap_or(u32::MAX));
        if let Some(place) = routes.sinks.get_mut(place) {
            *place = Some(sink);
        }
        for filter in interest.filters {
            routes.table.insert(Route { reader, filter, owner: interest.owner.clone(), own: interest.own, qos0: true });
        }
        reader
    }

    /// When it returns, nothing more comes to this reader.
    pub(crate) fn detach(&self, reader: ReaderId) {
        let mut routes = write(&self.routes);
        routes.table.remove(reader);
        let ReaderId::Live(place) = reader else { return };
        let place = place as usize;
        if routes.sinks.get_mut(place).and_then(Option::take).is_some() {
            routes.free.push(place);
        }
    }

    /// From now on only what components commit is taken.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub fn counts(&self) -> HubCounts {
        HubCounts {
            taken: self.counters.taken.load(Ordering::Relaxed),
            delivered: self.counters.delivered.load(Ordering::Relaxed),
            circles: self.counters.circles.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.clock.now()
    }
}

impl Routes {
    fn deliver(&self, planned: &Planned) -> u64 {
        for reader in &planned.readers {
            let ReaderId::Live(place) = reader else { continue };
            if let Some(Some(sink)) = self.sinks.get(*place as usize) {
                sink.mailbox.push(sink.slot, planned.envelope.clone());
            }
        }
        planned.readers.len() as u64
    }
}

fn check(message: &Message, origin: &Origin) -> Result<(), PublishError> {
    if message.topic.is_reserved() && !matches!(origin, Origin::Service(_)) {
        return Err(PublishError::Reserved { topic: message.topic.clone() });
    }
    if message.size() > MESSAGE_BYTES {
        return Err(PublishError::TooLarge { bytes: message.size() });
    }
    if message.user_properties.len() > USER_PROPERTIES {
        return Err(PublishError::TooManyProperties { count: message.user_properties.len() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
