//! What a component's thread shares with the rest of the gateway: where it is reached, and how it stands.
//!
//! Everything in here may be used from any thread; the instance itself never leaves its own. The desk decides
//! nothing: the supervision machine of the domain does, and the runner carries its orders out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewit_domain::config::{Component, Subscription};
use edgewit_domain::control::{ComponentState, ComponentStatus};
use edgewit_domain::fault::Fault;
use edgewit_domain::handling::Effects;
use edgewit_domain::message::Envelope;
use edgewit_domain::routing::ReaderId;
use edgewit_domain::supervision::{self, Supervision};
use edgewit_domain::timer::Timers;
use edgewit_sandbox::artifact::Digest;
use edgewit_sandbox::{Fetch, Interrupter, LogCounter, Services};

use crate::clock::{Clock, wall};
use crate::hub::{Hub, Interest, Sink};
use crate::loading::{Loaded, Loading};
use crate::mailbox::{Mailbox, Slot};
use crate::orders::Orders;
use crate::queue::Bounds;
use crate::stats::Stats;
use crate::sync::lock;

/// What every component of one gateway uses.
#[derive(Clone)]
pub(crate) struct Common {
    pub hub: Arc<Hub>,
    pub clock: Clock,
    pub loading: Loading,
    pub io: tokio::runtime::Handle,
    pub fetch: Arc<dyn Fetch>,
}

pub(crate) struct Desk {
    pub name: Arc<str>,
    pub common: Common,
    pub mailbox: Arc<Mailbox>,
    pub orders: Orders,
    pub interrupter: Interrupter,
    pub stats: Stats,
    pub timers: Arc<Mutex<Timers>>,
    subscriptions: Mutex<BTreeMap<Arc<str>, Subscribed>>,
    log_dropped: LogCounter,
    standing: Mutex<Standing>,
}

/// A subscription and the queue that it fills.
struct Subscribed {
    subscription: Subscription,
    reader: ReaderId,
    slot: Slot,
}

struct Standing {
    supervision: Supervision,
    /// The configuration and artifact that the component runs, or would run, with.
    component: Arc<Component>,
    digest: Option<Digest>,
    wanted: Option<Newer>,
}

/// A configuration that the component was asked to take, and has not taken.
struct Newer {
    component: Arc<Component>,
    /// Why not; it is under way where there is no reason.
    refused: Option<String>,
}

impl Desk {
    pub fn new(common: Common, component: Arc<Component>) -> Self {
        let now = common.clock.now();
        let supervision = Supervision::new(component.restart.clone());
        Desk {
            name: component.name.clone(),
            mailbox: Arc::default(),
            orders: Orders::default(),
            interrupter: Interrupter::new(),
            stats: Stats::default(),
            timers: Arc::new(Mutex::new(Timers::new(&component.timers, now))),
            subscriptions: Mutex::default(),
            log_dropped: LogCounter::default(),
            standing: Mutex::new(Standing { supervision, component, digest: None, wanted: None }),
            common,
        }
    }

    pub fn now(&self) -> Duration {
        self.common.clock.now()
    }

    /// Tells the supervision machine what happened.
    pub fn step(&self, event: supervision::Event) -> Option<supervision::Order> {
        lock(&self.standing).supervision.step(self.now(), event)
    }

    pub fn state(&self) -> ComponentState {
        lock(&self.standing).supervision.state(self.now())
    }

    pub fn last_fault(&self) -> Option<Fault> {
        lock(&self.standing).supervision.last_fault().cloned()
    }

    pub fn wake_at(&self) -> Option<Duration> {
        lock(&self.standing).supervision.wake_at()
    }

    /// The configuration that is in force.
    pub fn component(&self) -> Arc<Component> {
        lock(&self.standing).component.clone()
    }

    /// Notes that the component is asked to take this.
    pub fn want(&self, component: Arc<Component>) {
        lock(&self.standing).wanted = Some(Newer { component, refused: None });
    }

    /// The component has taken it, or has refused to, unless it was asked to take something else meanwhile.
    pub fn settle(&self, component: &Arc<Component>, refused: Option<String>) {
        let wanted = &mut lock(&self.standing).wanted;
        if let Some(newer) = wanted.take_if(|newer| Arc::ptr_eq(&newer.component, component)) {
            *wanted = refused.map(|reason| Newer { refused: Some(reason), ..newer });
        }
    }

    /// Whether it is to run otherwise than it does, if this is what is wanted of it and what its file holds.
    pub fn differs(&self, component: &Component, digest: Option<Digest>) -> bool {
        let standing = lock(&self.standing);
        standing.wanted.is_some()
            || standing.component.change(component).is_some()
            || standing.is_other_code(digest, self.now())
    }

    /// Whether what was loaded, or what could not be loaded, is not what the file holds now.
    pub fn is_other_code(&self, digest: Option<Digest>) -> bool {
        lock(&self.standing).is_other_code(digest, self.now())
    }

    /// Puts a configuration in force, with its subscriptions.
    pub fn adopt(&self, component: Arc<Component>) {
        self.subscribe(&component.subscriptions);
        lock(&self.standing).component = component;
    }

    /// What did not change keeps its queue and what waits in it.
    fn subscribe(&self, wanted: &BTreeMap<Arc<str>, Subscription>) {
        let mut subscriptions = lock(&self.subscriptions);
        subscriptions.retain(|name, subscribed| {
            let same = wanted.get(name).filter(|wanted| subscribed.has_route_of(wanted));
            let same = same.and_then(|wanted| Some((wanted, Bounds::of(wanted)?)));
            match same {
                Some((wanted, bounds)) => {
                    self.mailbox.resize(subscribed.slot, bounds);
                    subscribed.subscription = wanted.clone();
                }
                None => {
                    self.common.hub.detach(subscribed.reader);
                    self.mailbox.close(subscribed.slot);
                }
            }
            same.is_some()
        });
        let live = wanted.iter().filter_map(|(name, wanted)| Some((name, wanted, Bounds::of(wanted)?)));
        for (name, subscription, bounds) in live {
            subscriptions.entry(name.clone()).or_insert_with(|| self.attach(subscription, bounds));
        }
    }

    fn attach(&self, subscription: &Subscription, bounds: Bounds) -> Subscribed {
        let slot = self.mailbox.open(bounds);
        let interest = Interest {
            filters: vec![subscription.filter.clone()],
            owner: Some(self.name.clone()),
            own: subscription.own,
        };
        let reader = self.common.hub.attach(interest, Sink { mailbox: self.mailbox.clone(), slot });
        Subscribed { subscription: subscription.clone(), reader, slot }
    }

    /// Takes no more deliveries. What waits stays, until someone looks how much it was.
    pub fn unsubscribe(&self) {
        for subscribed in std::mem::take(&mut *lock(&self.subscriptions)).into_values() {
            self.common.hub.detach(subscribed.reader);
        }
    }

    pub fn set_digest(&self, digest: Option<Digest>) {
        lock(&self.standing).digest = digest;
    }

    pub fn services(&self, loaded: &Loaded) -> Services {
        Services {
            io: self.common.io.clone(),
            fetch: self.common.fetch.clone(),
            wall_clock: wall,
            timers: self.timers.clone(),
            dirs: loaded.dirs.clone(),
            rooms: Arc::new(edgewit_sandbox::EndlessRoom),
            values: Arc::new(edgewit_sandbox::MemoryValues::default()),
            interrupter: self.interrupter.clone(),
            log_dropped: self.log_dropped.clone(),
        }
    }

    /// Makes what one handling asked for real.
    pub fn commit(&self, cause: Option<&Envelope>, effects: Effects) {
        self.stats.published.add(effects.publishes.len() as u64);
        self.common.hub.commit(&self.name, cause, effects.publishes);
        if !effects.timers.is_empty() {
            lock(&self.timers).apply(self.now(), effects.timers);
        }
    }

    pub fn status(&self) -> ComponentStatus {
        let now = self.now();
        let level = self.mailbox.level();
        let times = self.stats.times.read();
        let standing = lock(&self.standing);
        ComponentStatus {
            state: standing.supervision.state(now),
            digest: standing.digest.map(|digest| digest.to_string()).unwrap_or_default(),
            handled: self.stats.handled.get(),
            failed: self.stats.failed.get(),
            rejected: self.stats.rejected.get(),
            published: self.stats.published.get(),
            dropped: level.dropped,
            log_lines_dropped: self.log_dropped.get(),
            restarts: standing.supervision.restarts(),
            expired: self.stats.expired.get(),
            recycled: self.stats.recycled.get(),
            queued: level.waiting,
            memory: self.stats.memory.get(),
            cpu_ms: millis(self.stats.cpu()),
            p50_us: times.quantile_us(50),
            p99_us: times.quantile_us(99),
            since_ms: millis(now.saturating_sub(standing.supervision.since())),
            last_fault: standing.supervision.last_fault().cloned(),
            older_configuration: standing.wanted.as_ref().map(Newer::reason),
        }
    }
}

impl Standing {
    fn is_other_code(&self, digest: Option<Digest>, now: Duration) -> bool {
        let refused = matches!(self.supervision.state(now), ComponentState::Refused { .. });
        (self.digest.is_some() || refused) && self.digest != digest
    }
}

impl Newer {
    fn reason(&self) -> String {
        self.refused.clone().unwrap_or_else(|| "the newer one is being put in its place".to_owned())
    }
}

impl Subscribed {
    fn has_route_of(&self, other: &Subscription) -> bool {
        self.subscription.filter == other.filter && self.subscription.own == other.own
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
