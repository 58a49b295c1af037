//! What a component's thread shares with the rest of the gateway: where it is reached, and how it stands.
//!
//! Everything in here may be used from any thread; the instance itself never leaves its own. The desk decides
//! nothing: the supervision machine of the domain does, and the runner carries its orders out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewit_domain::config::Component;
use edgewit_domain::control::{ComponentState, ComponentStatus};
use edgewit_domain::delivery::Lack;
use edgewit_domain::fault::Fault;
use edgewit_domain::handling::Effects;
use edgewit_domain::ledger::{NoRoom, Refusal, TimerRow, Unit};
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::shadow;
use edgewit_domain::supervision::{self, Supervision};
use edgewit_domain::timer::Timers;
use edgewit_sandbox::artifact::Digest;
use edgewit_sandbox::{Fetch, Interrupter, LogCounter, NotTaken, Rooms, Services};
use edgewit_store::{Outcome, Unknown};

use crate::clock::{Clock, wall};
use crate::hub::{Hub, NotLetIn, Reservation};
use crate::inbox::Inbox;
use crate::loading::{Loaded, Loading};
use crate::mailbox::Mailbox;
use crate::orders::Orders;
use crate::shadow::StoredShadows;
use crate::stats::Stats;
use crate::sync::lock;
use crate::values::StoredValues;

/// What every component of one gateway uses.
#[derive(Clone)]
pub(crate) struct Common {
    pub hub: Arc<Hub>,
    pub clock: Clock,
    pub loading: Loading,
    pub io: tokio::runtime::Handle,
    pub fetch: Arc<dyn Fetch>,
    pub shadows: shadow::Limits,
    /// The gateway before this one did not end in good order.
    pub unclean: bool,
}

pub(crate) struct Desk {
    pub name: Arc<str>,
    pub common: Common,
    pub mailbox: Arc<Mailbox>,
    pub orders: Orders,
    pub interrupter: Interrupter,
    pub stats: Stats,
    pub timers: Arc<Mutex<Timers>>,
    pub inbox: Inbox,
    pub values: Arc<StoredValues>,
    pub shadows: Arc<StoredShadows>,
    reserved: Mutex<Reserved>,
    log_dropped: LogCounter,
    standing: Mutex<Standing>,
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
        let inbox = Inbox::new(common.hub.clone(), component.name.clone(), common.unclean);
        let desk = Desk {
            name: component.name.clone(),
            mailbox: inbox.mailbox.clone(),
            inbox,
            values: Arc::new(StoredValues::new(common.hub.clone())),
            shadows: Arc::new(StoredShadows::new(common.hub.clone(), common.shadows)),
            reserved: Mutex::default(),
            orders: Orders::default(),
            interrupter: Interrupter::new(),
            stats: Stats::default(),
            timers: Arc::new(Mutex::new(Timers::new(&component.timers, now))),
            log_dropped: LogCounter::default(),
            standing: Mutex::new(Standing { supervision, component, digest: None, wanted: None }),
            common,
        };
        desk.restore_timers();
        desk
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
        self.inbox.adopt(&component);
        lock(&self.standing).component = component;
    }

    pub fn set_digest(&self, digest: Option<Digest>) {
        lock(&self.standing).digest = digest;
    }

    pub fn services(self: &Arc<Self>, loaded: &Loaded) -> Services {
        Services {
            io: self.common.io.clone(),
            fetch: self.common.fetch.clone(),
            wall_clock: wall,
            timers: self.timers.clone(),
            dirs: loaded.dirs.clone(),
            rooms: Arc::new(DeskRooms(self.clone())),
            values: self.values.clone(),
            shadows: self.shadows.clone(),
            models: loaded.models.clone(),
            interrupter: self.interrupter.clone(),
            log_dropped: self.log_dropped.clone(),
        }
    }

    /// Makes what `init` asked for real, and returns when it is.
    pub fn commit_start(&self, effects: Effects) -> Result<(), Fault> {
        let Effects { publishes, timers, values, reads, shadow_reads } = effects;
        self.stats.published.add(publishes.len() as u64);
        let hold = !timers.is_empty() || !values.is_empty() || !reads.is_empty() || !shadow_reads.is_empty();
        let publishes =
            self.common.hub.commit(&self.name, None, publishes, self.common.clock.moment(), hold).unwrap_or_default();
        let _reserved = self.take_reserved();
        let names: Vec<String> = timers.iter().map(|change| change.name().to_owned()).collect();
        lock(&self.timers).apply(self.now(), timers);
        let timers = self.timer_rows(names.iter().map(String::as_str));
        let unit = Unit { publishes, reads, shadow_reads, values, timers, ..Unit::default() };
        if unit.is_volatile() {
            self.common.hub.deliver(&unit.publishes);
            return Ok(());
        }
        let refused = self.commit_units(vec![unit]).refusal;
        refused.map_or(Ok(()), |refusal| {
            self.restore_timers();
            Err(Fault::Host { reason: refusal.to_string() })
        })
    }

    /// Commits units one after another, and returns when they are on disk or refused.
    pub fn commit_units(&self, units: Vec<Unit>) -> Outcome {
        let Ok(store) = self.common.hub.store() else {
            return Outcome { committed: 0, refusal: Some(Refusal::Closed) };
        };
        match store.commit(units) {
            Ok(outcome) => outcome,
            // The process is about to end, and nobody may act on either answer.
            Err(Unknown) => loop {
                std::thread::park();
            },
        }
    }

    /// What is to be kept of one-shot timers that may have changed.
    pub fn timer_rows<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Vec<TimerRow> {
        let timers = lock(&self.timers);
        let rows = names.into_iter().filter(|name| !timers.is_declared(name));
        rows.map(|name| TimerRow { component: self.name.clone(), name: name.to_owned(), timer: timers.saved(name) })
            .collect()
    }

    /// The one-shot timers as they are kept.
    pub fn restore_timers(&self) {
        let Ok(store) = self.common.hub.store() else { return };
        match store.timers(&self.name) {
            Ok(kept) => lock(&self.timers).restore(kept),
            Err(broken) => tracing::error!(component = &*self.name, %broken, "Its timers cannot be read"),
        }
    }

    /// The room that the handling that just ended was promised.
    pub fn take_reserved(&self) -> Reservation {
        std::mem::take(&mut *lock(&self.reserved)).room
    }

    /// Gives back what a handling was promised that was undone, and says what room it lacked, if it did.
    pub fn forget_reserved(&self) -> Option<Lack> {
        std::mem::take(&mut *lock(&self.reserved)).lack
    }

    /// A fault that is no reason to start the component again later: it failed at one delivery.
    pub fn note_fault(&self, fault: Fault) {
        self.stats.failed.add(1);
        lock(&self.standing).supervision.note(fault);
    }

    pub fn status(&self) -> ComponentStatus {
        let now = self.now();
        let level = self.mailbox.level();
        let times = self.stats.times.read();
        let standing = lock(&self.standing);
        ComponentStatus {
            state: self.inbox.blocked().unwrap_or_else(|| standing.supervision.state(now)),
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
            queued: self.inbox.waiting(),
            uplink_bytes: self.common.hub.uplinked(&self.name),
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

/// What the handling under way was promised.
#[derive(Default)]
struct Reserved {
    room: Reservation,
    /// The room that the last message that was refused lacked.
    lack: Option<Lack>,
}

/// The sandbox asks for room while a handler runs.
struct DeskRooms(Arc<Desk>);

impl Rooms for DeskRooms {
    fn reserve(&self, message: &Message) -> Result<(), NotTaken> {
        let desk = &self.0;
        if !desk.common.hub.may_refuse() {
            return Ok(());
        }
        let mut reserved = lock(&desk.reserved);
        let by = Origin::Component(desk.name.clone());
        let (lack, refused) = match desk.common.hub.reserve(message, &by, &mut reserved.room) {
            Ok(()) => return Ok(()),
            Err(NotLetIn::NoRoom(queue, full)) => {
                let lack = match full {
                    NoRoom::Full { wanted, .. } => Some(Lack { queue, wanted }),
                    // What never fits is not worth waiting for.
                    NoRoom::Never { .. } => None,
                };
                (lack, NotTaken::NoRoom(full.to_string()))
            }
            Err(NotLetIn::NotForCloud(error)) => (None, NotTaken::NotForCloud(error.to_string())),
        };
        reserved.lack = lack;
        Err(refused)
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
