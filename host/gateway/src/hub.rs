//! The hub: takes a message from anyone and gives it to whoever subscribed.
//!
//! **Every publish is planned, then committed, then delivered, and there is no other path.** Planning is pure
//! and belongs to the domain. What has durable readers or is retained is committed by the store's writer, which
//! delivers it afterwards (`hub/durable.rs`); the rest has nothing to commit, and is delivered at once by who publishes
//! it. Either way delivering puts one shared envelope into the mailbox of every reader. A message is refused before it
//! is planned or not at all: whatever a full queue drops is that queue's business and counted there.
//!
//! The routes are read under a lock that only a change of subscriptions takes alone, so publishers never wait
//! for one another here. What one publisher says reaches each queue in the order it was said: what need not be committed
//! is planned and delivered on its own thread, and whoever has something under way in the store waits for it first.

mod damaged;
mod durable;
mod rooms;
mod routes;
mod stream;

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use edgewit_domain::delivery::Parked;
use edgewit_domain::ledger::{Planned, Refusal, Sequences, Unit};
use edgewit_domain::limits::{MESSAGE_BYTES, USER_PROPERTIES};
use edgewit_domain::link::NotForCloud;
use edgewit_domain::message::{Envelope, Message, MessageId, Origin, Trail};
use edgewit_domain::queue::QueueNumber;
use edgewit_domain::rate::TokenBucket;
use edgewit_domain::routing::{Circle, Plan, ReaderId, next_hop};
use edgewit_domain::topic::Topic;
use edgewit_store::{Outcome, Store, Unknown};
use smallvec::SmallVec;

use crate::clock::{Clock, Moment};
use crate::shadow::Told;
use crate::sync::{lock, read, write};
pub(crate) use durable::{Attached, Keeping, NotLetIn, Reading};
pub(crate) use rooms::Reservation;
use routes::Routes;
pub(crate) use routes::{Interest, Sink};
pub use stream::Stream;

/// Messages of one handling that are planned, or delivered, under one look at the routes: between two of them whoever
/// waits to change the routes gets its turn.
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
    store: OnceLock<Store>,
    /// Durable queues that refuse when they are full, or what does not fit the cloud behind them.
    refusing: AtomicU64,
    /// The queues whose readers wait for room in another one.
    parked: Mutex<BTreeMap<QueueNumber, Parked>>,
    /// Who is told of every shadow that changes.
    shadows: RwLock<Vec<Arc<Told>>>,
    /// Bytes that links have sent, by the component that had published them.
    uplinked: Mutex<BTreeMap<Arc<str>, u64>>,
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
    /// Transactions of the store: what was committed together was one.
    pub commits: u64,
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
    #[error("{0}")]
    NoRoom(String),
    #[error(transparent)]
    NotForCloud(NotForCloud),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the gateway is shutting down")]
    Closed,
    /// The only one that leaves open whether somebody got it.
    #[error("the disk failed, and nobody knows whether the message was kept")]
    Unknown,
}

/// A message that is taken, and on disk only when its unit is.
struct Taken {
    id: MessageId,
    unit: Option<(Unit, Reservation)>,
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
            store: OnceLock::new(),
            refusing: AtomicU64::new(0),
            parked: Mutex::default(),
            shadows: RwLock::default(),
            uplinked: Mutex::default(),
        }
    }

    /// Takes a message from outside a component. `cause` is the message that led to it, if one did. When it returns,
    /// every durable row planned for the message is on disk.
    pub fn publish(
        &self,
        message: Message,
        origin: Origin,
        cause: Option<&Envelope>,
    ) -> Result<MessageId, PublishError> {
        let Taken { id, unit } = self.take(message, origin, cause)?;
        let Some((unit, reserved)) = unit else { return Ok(id) };
        let outcome = self.store()?.commit(vec![unit]);
        drop(reserved);
        ended(id, outcome)
    }

    /// As [`Hub::publish`], for who cannot wait: `done` is called once.
    pub(crate) fn publish_then(
        &self,
        message: Message,
        origin: Origin,
        done: impl FnOnce(Result<MessageId, PublishError>) + Send + 'static,
    ) {
        match self.take(message, origin, None) {
            Ok(Taken { id, unit: None }) => done(Ok(id)),
            Ok(Taken { id, unit: Some((unit, reserved)) }) => match self.store() {
                Ok(store) => store.submit(vec![unit], move |outcome| {
                    drop(reserved);
                    done(ended(id, Ok(outcome)));
                }),
                Err(error) => done(Err(error)),
            },
            Err(error) => done(Err(error)),
        }
    }

    /// Delivers it, or says what is to be committed first.
    fn take(&self, message: Message, origin: Origin, cause: Option<&Envelope>) -> Result<Taken, PublishError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(PublishError::Closed);
        }
        check(&message, &origin)?;
        let hops = cause.map_or(0, |cause| cause.hops);
        let trail = cause.and_then(|cause| cause.trail.clone());
        let mut reserved = Reservation::default();
        if self.refusing.load(Ordering::Relaxed) > 0 {
            self.reserve(&message, &origin, &mut reserved).map_err(|refused| match refused {
                NotLetIn::NoRoom(_, full) => PublishError::NoRoom(full.to_string()),
                NotLetIn::NotForCloud(error) => PublishError::NotForCloud(error),
            })?;
        }
        let mut id = MessageId { epoch: self.epoch, number: 0 };
        let waiting = self.send([message], &mut id, &origin, (hops, trail), self.clock.moment(), false);
        let unit = waiting.map(|publishes| (Unit { publishes, ..Unit::default() }, reserved));
        Ok(Taken { id, unit })
    }

    /// Makes the messages of one handling real, all together, or, where anything of them has to be on disk first or
    /// `hold` says so, returns them as they are planned. The sandbox has checked each against the component's grants
    /// when it was asked for.
    pub(crate) fn commit(
        &self,
        component: &Arc<str>,
        cause: Option<&Envelope>,
        messages: Vec<Message>,
        at: Moment,
        hold: bool,
    ) -> Option<Vec<Planned>> {
        if messages.is_empty() {
            return None;
        }
        let mut id = MessageId { epoch: self.epoch, number: 0 };
        self.send(messages, &mut id, &Origin::Component(component.clone()), next_hop(cause, component), at, hold)
    }

    /// Plans what a service or a cloud says, for whoever commits it.
    pub(crate) fn plan(&self, origin: &Origin, message: Message) -> Vec<Planned> {
        let mut id = MessageId { epoch: self.epoch, number: 0 };
        self.send([message], &mut id, origin, (0, None), self.clock.moment(), true).unwrap_or_default()
    }

    /// From now on this one is told of every shadow that changes, after the commit.
    pub(crate) fn tell_of_shadows(&self, told: Arc<Told>) {
        write(&self.shadows).push(told);
    }

    pub(crate) fn tell_no_more(&self, told: &Arc<Told>) {
        write(&self.shadows).retain(|other| !Arc::ptr_eq(other, told));
    }

    /// Plans what the shadow service says to a request, as part of the transaction that the request is in.
    fn plan_answer(&self, message: Message, cause: &Envelope) -> Option<Planned> {
        let mut id = MessageId { epoch: self.epoch, number: 0 };
        let origin = Origin::Service("shadow".into());
        let hops = (cause.hops, &cause.trail);
        self.plan_one(&read(&self.routes), message, &mut id, &origin, hops, self.clock.moment())
    }

    fn send(
        &self,
        messages: impl IntoIterator<Item = Message>,
        id: &mut MessageId,
        origin: &Origin,
        (hops, trail): (u32, Option<Arc<Trail>>),
        at: Moment,
        hold: bool,
    ) -> Option<Vec<Planned>> {
        let mut messages = messages.into_iter().peekable();
        let mut planned: SmallVec<[Planned; 2]> = SmallVec::new();
        while messages.peek().is_some() {
            let routes = read(&self.routes);
            let first = planned.is_empty();
            let mut asked = 0;
            for message in messages.by_ref().take(AT_ONCE) {
                asked += 1;
                planned.extend(self.plan_one(&routes, message, id, origin, (hops, &trail), at));
            }
            let is_all = first && asked < AT_ONCE;
            if is_all && !hold && !planned.iter().any(Planned::is_durable) {
                self.deliver_planned(&routes, &planned);
                planned.clear();
            }
        }
        if hold || planned.iter().any(Planned::is_durable) {
            return Some(planned.into_vec());
        }
        self.deliver(&planned);
        None
    }

    /// An id that no message has.
    pub(crate) fn new_id(&self) -> MessageId {
        MessageId { epoch: self.epoch, number: self.counters.taken.fetch_add(1, Ordering::Relaxed) }
    }

    /// A message that goes nowhere but where its taker puts it.
    pub(crate) fn envelope(&self, message: Message, origin: Origin) -> Arc<Envelope> {
        let id = self.new_id();
        let Moment { running: since, wall: received, .. } = self.clock.moment();
        Arc::new(Envelope { message, id, origin, hops: 0, trail: None, received, since, expires: None })
    }

    fn plan_one(
        &self,
        routes: &Routes,
        message: Message,
        id: &mut MessageId,
        origin: &Origin,
        (hops, trail): (u32, &Option<Arc<Trail>>),
        at: Moment,
    ) -> Option<Planned> {
        id.number = self.counters.taken.fetch_add(1, Ordering::Relaxed);
        let Moment { running: since, wall: received, .. } = at;
        let expires = message.expiry.map(|seconds| since + Duration::from_secs(seconds.into()));
        let (origin, trail) = (origin.clone(), trail.clone());
        let envelope = Envelope { message, id: *id, origin, hops, trail, received, since, expires };
        match routes.table.plan(&envelope) {
            Plan::Readers(readers) => Some(Planned { envelope: Arc::new(envelope), readers }),
            Plan::Circle(circle) => {
                self.end_circle(&envelope, &circle);
                None
            }
        }
    }

    fn end_circle(&self, envelope: &Envelope, circle: &Circle) {
        self.counters.circles.fetch_add(1, Ordering::Relaxed);
        if lock(&self.circles_named).take(self.clock.now()) {
            let total = self.counters.circles.load(Ordering::Relaxed);
            tracing::warn!(topic = %envelope.message.topic, circle = %circle, total, "Dropped a message that runs in a circle");
        }
    }

    /// Delivers what nothing of had to be committed.
    pub(crate) fn deliver(&self, planned: &[Planned]) {
        for piece in planned.chunks(AT_ONCE) {
            self.deliver_planned(&read(&self.routes), piece);
        }
    }

    fn deliver_planned(&self, routes: &Routes, planned: &[Planned]) {
        let delivered = routes.deliver_all(planned, Sequences::new());
        self.counters.delivered.fetch_add(delivered, Ordering::Relaxed);
    }

    pub(crate) fn attach(&self, interest: Interest, sink: Sink) -> ReaderId {
        write(&self.routes).attach(interest, sink)
    }

    /// When it returns, nothing more comes to this reader.
    pub(crate) fn detach(&self, reader: ReaderId) {
        write(&self.routes).detach(reader);
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
            commits: self.store.get().map_or(0, Store::commits),
        }
    }

    pub(crate) fn count_uplink(&self, component: &Arc<str>, bytes: u64) {
        *lock(&self.uplinked).entry(component.clone()).or_default() += bytes;
    }

    pub(crate) fn uplinked(&self, component: &str) -> u64 {
        lock(&self.uplinked).get(component).copied().unwrap_or_default()
    }

    /// Running time, over all restarts.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.now()
    }

    pub(crate) fn since_start(&self) -> Duration {
        self.clock.since_start()
    }

    /// There is none where nothing durable can be asked for: in a test, and after the end.
    pub(crate) fn store(&self) -> Result<&Store, PublishError> {
        self.store.get().ok_or(PublishError::Closed)
    }
}

fn ended(id: MessageId, outcome: Result<Outcome, Unknown>) -> Result<MessageId, PublishError> {
    match outcome {
        Ok(Outcome { refusal: None, .. }) => Ok(id),
        Ok(Outcome { refusal: Some(refusal), .. }) => Err(refusal.into()),
        Err(Unknown) => Err(PublishError::Unknown),
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
