//! Keeps shadows the same as those of a cloud, over one link: a thread that does what `domain/shadow/sync` says.
//!
//! The machine decides; here are only its hands. A document is read from the store when the machine asks for it, a change
//! and what is remembered of it are one unit for the store's writer, and a request goes out by the link like a message of
//! an uplink rule. It has a thread of its own because it reads from the disk, which nothing that drives sockets may do.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use edgewit_domain::control::{ShadowsStatus, SyncedShadow};
use edgewit_domain::ledger::{Refusal, ShadowRead, SyncRow, Unit};
use edgewit_domain::limits::{ROWS_SHOWN, SHADOW_SYNC_SHADOWS};
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::shadow::sync::{
    Change, Effect, Input, Rules, Seen, Settings, Standing, Status, Sync, accepted_on, is_over,
};
use edgewit_domain::shadow::{Request, RequestTopic, ShadowId, Stored, ThingName, Verb};
use edgewit_store::Store;
use tokio::sync::Notify;

use super::requests::Requests;
use super::told::Told;
use crate::clock::wall;
use crate::desk::millis;
use crate::hub::Hub;
use crate::sync::lock;
use crate::threads::Threads;

/// The synchronisation over one link, as its link and the operator see it.
pub(crate) struct Syncing {
    hub: Arc<Hub>,
    cloud: Arc<str>,
    pub told: Arc<Told>,
    pub requests: Arc<Requests>,
    machine: Arc<Mutex<Sync>>,
    unreadable: Arc<Mutex<Unreadable>>,
    over: Arc<Notify>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Shadows that cannot be read, and why: the machine does not know them.
type Unreadable = BTreeMap<ShadowId, String>;

/// Says that a thread has ended, also where it panicked.
struct Over(Arc<Notify>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

struct Hands {
    hub: Arc<Hub>,
    cloud: Arc<str>,
    told: Arc<Told>,
    requests: Arc<Requests>,
    machine: Arc<Mutex<Sync>>,
    unreadable: Arc<Mutex<Unreadable>>,
    /// It was said that there are too many.
    overflowed: bool,
}

impl Syncing {
    pub fn start(
        hub: &Arc<Hub>,
        cloud: &Arc<str>,
        rules: Rules,
        settings: Settings,
        threads: &Threads,
    ) -> io::Result<Syncing> {
        let (told, requests) = (Arc::new(Told::new(rules)), Arc::new(Requests::default()));
        let machine = Arc::new(Mutex::new(Sync::new(settings)));
        let unreadable = Arc::<Mutex<Unreadable>>::default();
        let mut hands = Hands {
            hub: hub.clone(),
            cloud: cloud.clone(),
            told: told.clone(),
            requests: requests.clone(),
            machine: machine.clone(),
            unreadable: unreadable.clone(),
            overflowed: false,
        };
        hub.tell_of_shadows(told.clone());
        let over = Arc::<Notify>::default();
        let ends = Over(over.clone());
        let thread = threads.spawn(format!("edgewit-s-{cloud}"), None, move || {
            let _ends = ends;
            hands.run();
        });
        let thread = thread.inspect_err(|_| hub.tell_no_more(&told))?;
        Ok(Syncing {
            hub: hub.clone(),
            cloud: cloud.clone(),
            told,
            requests,
            machine,
            unreadable,
            over,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Returns when the thread has ended, whatever ended it.
    pub async fn over(&self) {
        self.over.notified().await;
    }

    /// Every shadow, as an operator sees it.
    pub fn shadows(&self) -> Vec<SyncedShadow> {
        let now = self.hub.uptime();
        let version = |seen| match seen {
            Seen::Live(version) => Some(version),
            Seen::Absent => None,
        };
        let view = |(id, status): (&ShadowId, Status)| SyncedShadow {
            cloud: self.cloud.to_string(),
            thing: id.thing.to_string(),
            name: id.name.as_ref().map(ToString::to_string),
            local: version(status.local),
            remote: version(status.cloud),
            state: status.standing.word().to_owned(),
            dirty_ms: status.dirty_since.map(|since| millis(now.saturating_sub(since))),
            error: status.problem.map(|problem| problem.to_string()),
        };
        let mut shadows: Vec<SyncedShadow> = lock(&self.machine).statuses(now).map(view).collect();
        shadows.extend(lock(&self.unreadable).iter().map(|(id, reason)| SyncedShadow {
            cloud: self.cloud.to_string(),
            thing: id.thing.to_string(),
            name: id.name.as_ref().map(ToString::to_string),
            local: None,
            remote: None,
            state: Standing::InError.word().to_owned(),
            dirty_ms: None,
            error: Some(reason.clone()),
        }));
        shadows
    }

    pub fn status(&self) -> ShadowsStatus {
        let (requests, request_bytes) = self.requests.counted();
        let mut counted = ShadowsStatus { requests, request_bytes, ..ShadowsStatus::default() };
        for (_, status) in lock(&self.machine).statuses(self.hub.uptime()) {
            *counted.states.entry(status.standing.word().to_owned()).or_default() += 1;
            counted.dirty += u64::from(status.dirty_since.is_some());
        }
        let unreadable = lock(&self.unreadable).len() as u64;
        if unreadable > 0 {
            *counted.states.entry(Standing::InError.word().to_owned()).or_default() += unreadable;
        }
        counted
    }

    /// Ends the thread, and waits at most so long for what it has asked the writer for, so that whoever comes next finds
    /// all of it. What is then not done is taken up by him.
    pub fn end(&self, grace: Duration) {
        self.hub.tell_no_more(&self.told);
        self.told.end();
        if let Some(thread) = lock(&self.thread).take() {
            // A panic there has ended the link.
            let _ = thread.join();
        }
        let Ok(store) = self.hub.store() else { return };
        let (done, all_done) = sync_channel(1);
        // The writer takes what comes in its order: what has come before this is committed or refused when this is.
        store.submit(vec![Unit::default()], move |_| {
            let _ = done.send(());
        });
        if all_done.recv_timeout(grace).is_err() {
            tracing::warn!(cloud = &*self.cloud, "The disk is slow: shadows are left before their last change is kept");
        }
    }
}

impl Hands {
    fn run(&mut self) {
        self.begin();
        loop {
            let wake = lock(&self.machine).wake_at();
            let Some(inputs) = self.told.take(wake.map(|at| at.saturating_sub(self.hub.uptime()))) else { return };
            for input in inputs {
                self.take(input);
            }
            if wake.is_some_and(|at| at <= self.hub.uptime()) {
                self.feed(Input::Woke);
            }
        }
    }

    /// Looks at what there is: the shadows that are named, and of things that are kept as a whole those that are here, and
    /// those that were and may still be there.
    fn begin(&mut self) {
        let told = self.told.clone();
        let rules = told.rules();
        for id in rules.named() {
            self.watch(&id);
        }
        for thing in rules.whole() {
            self.watch_here(thing);
        }
        let mut kept = Vec::new();
        let found = self.store().map(|store| {
            store.sync_rows(|cloud, id| {
                if *cloud == *self.cloud {
                    kept.push(id);
                }
            })
        });
        if let Ok(Err(broken)) = found {
            tracing::error!(%broken, "What is known of shadows in the cloud cannot all be read");
        }
        for id in kept {
            let known = lock(&self.machine).status(self.hub.uptime(), &id).is_some();
            if !known && !self.watch_unless_over(&id) {
                self.forget(&id);
            }
        }
    }

    fn watch_here(&mut self, thing: &ThingName) {
        let mut after = None;
        loop {
            let Ok(page) = self.store().map(|store| store.shadows(Some(thing), after.as_ref(), ROWS_SHOWN)) else {
                return;
            };
            let page = match page {
                Ok(page) => page,
                Err(broken) => return tracing::error!(%thing, %broken, "Not all of its shadows can be read"),
            };
            let Some((last, _)) = page.last() else { return };
            after = Some(last.clone());
            for (id, _) in page.iter().filter(|(id, _)| id.name.is_some()) {
                self.watch(id);
            }
        }
    }

    /// False where nothing has to be known of it any more.
    fn watch_unless_over(&mut self, id: &ShadowId) -> bool {
        let over = self.told.rules().how(id).is_none() || self.is_over(id);
        if !over {
            self.watch(id);
        }
        !over
    }

    fn is_over(&self, id: &ShadowId) -> bool {
        self.read(id).is_ok_and(|(local, row)| {
            Seen::of(local.as_ref()) == Seen::Absent && row.is_some_and(|row| is_over(&row, self.hub.uptime()))
        })
    }

    /// A shadow that neither side has makes room, unless a rule names it: whoever makes it again will say so.
    fn let_go(&self, id: &ShadowId) {
        let status = lock(&self.machine).status(self.hub.uptime(), id);
        let is_gone = status.is_some_and(|status| {
            (status.local, status.cloud, status.standing) == (Seen::Absent, Seen::Absent, Standing::InSync)
        });
        if is_gone && !self.told.rules().names(id) && self.is_over(id) {
            self.feed(Input::Unwatch { id: id.clone() });
            self.forget(id);
        }
    }

    fn watch(&mut self, id: &ShadowId) {
        let Some(how) = self.told.rules().how(id) else { return };
        if lock(&self.machine).len() + lock(&self.unreadable).len() >= SHADOW_SYNC_SHADOWS {
            if !std::mem::replace(&mut self.overflowed, true) {
                tracing::error!(
                    cloud = &*self.cloud,
                    "More than {SHADOW_SYNC_SHADOWS} shadows would be synchronised; the others are left alone"
                );
            }
            return;
        }
        match self.read(id) {
            Ok((local, row)) => {
                lock(&self.unreadable).remove(id);
                self.feed(Input::Watch { id: id.clone(), how, local: Seen::of(local.as_ref()), row });
            }
            Err(reason) => {
                tracing::error!(shadow = %id, reason, "A shadow cannot be read, and is not synchronised");
                lock(&self.unreadable).insert(id.clone(), reason);
            }
        }
    }

    /// A shadow that was not there when this began is found by what is said of it.
    fn take(&mut self, input: Input) {
        let id = match &input {
            Input::Changed { id, .. } => Some(id.clone()),
            Input::Heard { topic, .. } => accepted_on(topic),
            Input::Down { .. } => {
                self.requests.clear();
                None
            }
            Input::Up { .. } => {
                self.requests.open();
                None
            }
            _ => None,
        };
        if let Some(id) = id
            && lock(&self.machine).status(self.hub.uptime(), &id).is_none()
        {
            self.watch(&id);
        }
        let committed = match &input {
            Input::Committed { id } => Some(id.clone()),
            _ => None,
        };
        self.feed(input);
        committed.iter().for_each(|id| self.let_go(id));
    }

    /// Steps the machine, and carries out what it wants until it wants nothing more.
    fn feed(&self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let effects = lock(&self.machine).step(self.hub.uptime(), input);
            inputs.extend(effects.into_iter().filter_map(|effect| self.carry_out(effect)));
        }
    }

    fn carry_out(&self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Load { id } => Some(match self.read(&id) {
                Ok((local, row)) => Input::Loaded { id, local, row, wall: wall().unix_ms / 1000 },
                Err(reason) => {
                    tracing::error!(shadow = %id, reason, "A shadow cannot be read");
                    Input::NoRoom { id }
                }
            }),
            Effect::Commit { id, change, row } => self.commit(id, change, row),
            Effect::Publish { topic, payload } => {
                let message = Message { qos: Qos::AtLeastOnce, ..Message::new(topic, payload) };
                self.requests.push(self.hub.envelope(message, Origin::Service("shadow".into())));
                None
            }
        }
    }

    fn commit(&self, id: ShadowId, change: Option<Change>, row: Vec<u8>) -> Option<Input> {
        let sync = Some(SyncRow { cloud: self.cloud.clone(), id: id.clone(), row: Some(row) });
        let mut unit = Unit { sync, ..Unit::default() };
        if let Some(Change { from, request }) = change {
            let (verb, payload) = match request {
                Request::Update(update) => (Verb::Update, update.payload()),
                Request::Get { .. } | Request::Delete { .. } => (Verb::Delete, b"{}".to_vec()),
            };
            let Ok(topic) = (RequestTopic { id: id.clone(), verb }).topic() else { return Some(Input::NoRoom { id }) };
            let message = Message { qos: Qos::AtLeastOnce, ..Message::new(topic, payload) };
            let version = match from {
                Seen::Live(version) => Some(version),
                Seen::Absent => None,
            };
            unit.shadow_reads.push(ShadowRead { id: id.clone(), version });
            unit.publishes = self.hub.plan(&Origin::Cloud(self.cloud.clone()), message);
        }
        let told = self.told.clone();
        let Ok(store) = self.store() else { return None };
        store.submit(vec![unit], move |outcome| match outcome.refusal {
            None => told.committed(Input::Committed { id }),
            Some(Refusal::Stale { .. }) => told.committed(Input::Stale { id }),
            Some(Refusal::Closed) => {}
            // A full store is told by whoever it keeps from working; here it would be told for every shadow.
            Some(Refusal::Full | Refusal::NoSpace) => told.committed(Input::NoRoom { id }),
            Some(refusal) => {
                tracing::warn!(shadow = %id, %refusal, "What the cloud says of a shadow was not kept; it is tried again");
                told.committed(Input::NoRoom { id });
            }
        });
        None
    }

    /// Nobody keeps this shadow the same any more.
    fn forget(&self, id: &ShadowId) {
        let sync = Some(SyncRow { cloud: self.cloud.clone(), id: id.clone(), row: None });
        if let Ok(store) = self.store() {
            // What is not forgotten now is at the next start.
            store.submit(vec![Unit { sync, ..Unit::default() }], |_| ());
        }
    }

    fn read(&self, id: &ShadowId) -> Result<(Option<Stored>, Option<Vec<u8>>), String> {
        let store = self.store()?;
        let local = store.shadow(id).map_err(|broken| broken.to_string())?;
        let row = store.sync_row(&self.cloud, id).map_err(|broken| broken.to_string())?;
        Ok((local, row))
    }

    fn store(&self) -> Result<&Store, String> {
        self.hub.store().map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use edgewit_domain::config::{self, StoreEngine};
    use edgewit_domain::shadow::Limits;

    use super::*;
    use crate::store::Opening;

    #[test]
    fn who_comes_next_waits_for_what_the_writer_was_asked_for_but_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let settings = config::Store { engine: StoreEngine::Sqlite, bytes: 1 << 24, keep: Duration::from_secs(60) };
        let opening = Opening::open(dir.path(), settings).unwrap();
        let (hub, threads) = (Arc::new(Hub::new(opening.clock())), Threads::new(tracing::Dispatch::none()));
        let disk = opening.start(settings, Limits::default(), &hub, |run| threads.spawn("store".to_owned(), None, run));
        let start = || Syncing::start(&hub, &"main".into(), Rules::default(), Settings::default(), &threads).unwrap();
        let (opens, gate) = sync_channel::<()>(1);
        hub.store().unwrap().turn(
            move |_| {
                let _ = gate.recv();
                Ok(())
            },
            |_| (),
        );
        let (grace, began) = (Duration::from_millis(300), Instant::now());
        start().end(grace);
        assert!(began.elapsed() >= grace, "what is before it in the writer's hands is not done");
        drop(opens);
        start().end(Duration::from_secs(60));
        hub.store().unwrap().close();
        drop(disk);
    }

    #[tokio::test]
    async fn a_thread_that_panics_says_that_it_is_over() {
        let over = Arc::<Notify>::default();
        let ends = Over(over.clone());
        let thread = std::thread::Builder::new().spawn(move || {
            let _ends = ends;
            panic!("as a mistake would");
        });
        let thread = thread.unwrap();
        over.notified().await;
        assert!(thread.join().is_err());
    }
}
