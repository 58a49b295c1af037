//! The cloud links: each `[cloud.NAME]` with the rules that go by it, joined to the hub's queues.
//!
//! A link is one task that reads durable queues and hands what comes down to the hub; what it may and must do is
//! decided in `domain/link`, what it says on the wire in `net/link`. Here is only who gets which queue.

mod downlink;
mod files;
mod outbox;
mod status;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use edgewit_domain::config::{Cloud, Config, Downlink, ShadowSync, Uplink};
use edgewit_domain::control::{CloudStatus, SyncedShadow};
use edgewit_domain::ledger::{Refusal, Unit};
use edgewit_domain::limits::{LINK_CONNECT_WAIT, LINK_FILES_EVERY};
use edgewit_domain::link::{Fit, Format, Priority, Rewrite};
use edgewit_domain::shadow::Limits;
use edgewit_domain::shadow::sync::{self, Rules, Settings};
use edgewit_net::link::{self, BoxFuture, DownlinkRule, NotStored, Plan, Stop, UplinkRule};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use crate::error::chain;
use crate::files::ConfigFile;
use crate::hub::Hub;
use crate::shadow::{Syncing, forget_all_but};
use crate::sync::lock;
use crate::threads::Threads;
use downlink::StoredDownlink;
pub(crate) use files::LinkFiles;
use outbox::StoredOutbox;
use status::Watched;

/// How long a link that is told to end may take for what it is owed, and its shadows for what is being committed.
const LEAVE: Duration = Duration::from_secs(3);

pub(crate) struct Clouds {
    hub: Arc<Hub>,
    file: ConfigFile,
    thing: Arc<str>,
    /// The store's.
    epoch: u64,
    io: tokio::runtime::Handle,
    threads: Threads,
    links: Mutex<BTreeMap<Arc<str>, Link>>,
    /// A link ended by itself, or could not be started.
    broken: Arc<Notify>,
}

/// Why a link was not started.
#[derive(Debug, thiserror::Error)]
enum NotStarted {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("no thread can be started for its shadows: {0}; raise the limit of processes")]
    Thread(#[source] io::Error),
}

/// What a link is made from.
#[derive(Clone, PartialEq)]
struct Made {
    cloud: Cloud,
    uplinks: Vec<Uplink>,
    downlinks: Vec<Downlink>,
    syncs: Vec<ShadowSync>,
    /// Of documents here.
    shadow: Limits,
}

struct Link {
    watched: Arc<Watched>,
    stop: Stop,
    task: JoinHandle<()>,
}

impl Clouds {
    pub fn new(
        hub: Arc<Hub>,
        (file, thing): (ConfigFile, Arc<str>),
        epoch: u64,
        (io, threads): (tokio::runtime::Handle, Threads),
    ) -> Self {
        Clouds { hub, file, thing, epoch, io, threads, links: Mutex::default(), broken: Arc::default() }
    }

    /// Starts, changes and ends links until they are those of the configuration. What did not change goes on, unless it
    /// had ended by itself.
    pub async fn apply(&self, config: &Config) {
        let wanted: BTreeMap<Arc<str>, Made> =
            config.clouds.iter().map(|(name, cloud)| (name.clone(), Made::of(cloud, config))).collect();
        let ended: Vec<Link> = {
            let mut links = lock(&self.links);
            let stays = |name, Link { watched, .. }: &Link| {
                wanted.get(name) == Some(&watched.made) && watched.failed.get().is_none()
            };
            let gone = links.iter().filter(|(name, link)| !stays(*name, link));
            let gone: Vec<Arc<str>> = gone.map(|(name, _)| name.clone()).collect();
            gone.iter().filter_map(|name| links.remove(name)).collect()
        };
        for Link { watched, .. } in self.end(ended).await {
            let rules = watched.made.uplinks.iter().zip(&watched.outboxes);
            let gone = rules.filter(|(rule, _)| !config.uplinks.contains_key(&rule.name));
            gone.for_each(|(_, outbox)| outbox.abandon());
            if !wanted.contains_key(&watched.made.cloud.name) {
                status::clear(&self.hub, &watched.made.cloud.name);
            }
        }
        let (hub, synced) = (self.hub.clone(), synced(&wanted));
        // Nothing comes of a task that the runtime does not run any more.
        let _ = spawn_blocking(move || forget_all_but(&hub, |cloud| synced.contains(cloud))).await;
        for (name, made) in wanted {
            if lock(&self.links).contains_key(&name) {
                continue;
            }
            match self.start(made) {
                Ok(link) => {
                    lock(&self.links).insert(name, link);
                }
                Err(error) => {
                    tracing::error!(cloud = &*name, %error, "The link was not started; that is tried again");
                    self.broken.notify_one();
                }
            }
        }
    }

    /// Returns when [`Clouds::apply`] would start a link again. May do so once for several.
    pub async fn broken(&self) {
        self.broken.notified().await;
    }

    /// Ends every link. Their queues go on collecting, for the next start.
    pub async fn close(&self) {
        let links = std::mem::take(&mut *lock(&self.links));
        for link in self.end(links.into_values().collect()).await {
            status::say_stopped(&self.hub, &link.watched);
        }
    }

    /// None of them is waited for longer than the others.
    async fn end(&self, mut links: Vec<Link>) -> Vec<Link> {
        links.iter().for_each(|link| link.stop.stop());
        let left = Instant::now() + LEAVE;
        for link in &mut links {
            if timeout_at(left, &mut link.task).await.is_err() {
                link.task.abort();
            }
            if let Some(syncing) = link.watched.syncing.clone() {
                // Nothing comes of a task that the runtime does not run any more.
                let _ = spawn_blocking(move || syncing.end(LEAVE)).await;
            }
        }
        links
    }

    fn start(&self, made: Made) -> Result<Link, NotStarted> {
        let (cloud, name) = (&made.cloud, made.cloud.name.clone());
        let outboxes: Result<Vec<Arc<StoredOutbox>>, Refusal> =
            made.uplinks.iter().map(|uplink| self.outbox(uplink, cloud).map(Arc::new)).collect();
        let outboxes = outboxes?;
        let uplinks = made.uplinks.iter().zip(&outboxes).map(|(uplink, outbox)| UplinkRule {
            name: uplink.name.clone(),
            priority: uplink.priority,
            format: uplink.format,
            rewrite: uplink.rewrite.clone(),
            outbox: outbox.clone(),
        });
        let mut uplinks: Vec<UplinkRule> = uplinks.collect();
        let downlinks = made.downlinks.iter().map(|downlink| DownlinkRule {
            name: downlink.name.clone(),
            filter: downlink.filter.clone(),
            rewrite: downlink.rewrite.clone(),
        });
        let mut downlinks: Vec<DownlinkRule> = downlinks.collect();
        let downlink = StoredDownlink::open(&self.hub, &name, &made.downlinks)?;
        // The last that can fail, since a thread has to be ended.
        let syncing = self.syncing(&made)?;
        if let Some(syncing) = &syncing {
            uplinks.push(requests(syncing));
            downlinks.extend(answers(syncing));
        }
        let downlink = Arc::new(downlink.with(syncing.clone()));
        let hub = self.hub.clone();
        let tls = cloud.tls.as_ref();
        let plan = Plan {
            thing: self.thing.clone(),
            epoch: self.epoch,
            broker: cloud.broker.clone(),
            proxy: cloud.proxy.clone(),
            server_name: tls.and_then(|tls| tls.server_name.clone()),
            client_id: cloud.client_id.to_string(),
            username: cloud.login.as_ref().map(|login| login.username.clone()),
            profile: cloud.profile,
            keep_alive: cloud.keep_alive,
            backoff: cloud.backoff,
            backoff_max: cloud.backoff_max,
            rate: cloud.rate,
            connect_wait: LINK_CONNECT_WAIT,
            files_every: LINK_FILES_EVERY,
            uplinks,
            downlinks,
            downlink: downlink.clone(),
            files: Arc::new(LinkFiles::new(self.file.clone(), cloud)),
            clock: Arc::new(move || hub.uptime()),
        };
        let (stop, status, run) = link::run(plan);
        let watched = Arc::new(Watched { made, status, failed: OnceLock::new(), outboxes, downlink, syncing });
        let (hub, of, broken) = (self.hub.clone(), watched.clone(), self.broken.clone());
        let task = self.io.spawn(async move {
            let trouble = tokio::select! {
                ended = run => ended.err().map(|error| chain(&error)),
                () = status::tell(&hub, &of) => None,
                () = until_over(of.syncing.as_ref()) => Some("the thread for its shadows has failed; report it with the log".to_owned()),
            };
            if let Some(trouble) = trouble {
                tracing::error!(cloud = &*name, trouble, "The link ended; it is started again");
                // Nobody else writes it.
                let _ = of.failed.set(trouble);
                status::say_stopped(&hub, &of);
                broken.notify_one();
            }
        });
        Ok(Link { watched, stop, task })
    }

    /// What keeps the shadows the same that go by this link, if any do.
    fn syncing(&self, made: &Made) -> Result<Option<Arc<Syncing>>, NotStarted> {
        let rules = made.syncs.iter().map(|sync| ((sync.thing.clone(), sync.which.clone()), sync.how));
        let rules: Rules = rules.collect();
        if rules.is_empty() {
            return Ok(None);
        }
        let settings = Settings {
            epoch: self.epoch,
            run: RandomState::new().build_hasher().finish(),
            per_second: made.cloud.shadow_requests,
            limits: made.shadow,
        };
        let started = Syncing::start(&self.hub, &made.cloud.name, rules, settings, &self.threads);
        started.map(|syncing| Some(Arc::new(syncing))).map_err(NotStarted::Thread)
    }

    fn outbox(&self, uplink: &Uplink, cloud: &Cloud) -> Result<StoredOutbox, Refusal> {
        let fit = Fit {
            rule: uplink.name.clone(),
            thing: self.thing.clone(),
            format: uplink.format,
            rewrite: uplink.rewrite.clone(),
            profile: cloud.profile,
        };
        StoredOutbox::open(&self.hub, uplink, fit)
    }

    /// Every shadow that is kept the same over some link.
    pub fn synced_shadows(&self) -> Vec<SyncedShadow> {
        let syncing: Vec<Arc<Syncing>> =
            lock(&self.links).values().filter_map(|link| link.watched.syncing.clone()).collect();
        syncing.iter().flat_map(|syncing| syncing.shadows()).collect()
    }

    pub fn status(&self) -> BTreeMap<String, CloudStatus> {
        let links = lock(&self.links);
        links.iter().map(|(name, link)| (name.to_string(), link.watched.view(&self.hub))).collect()
    }
}

impl Made {
    fn of(cloud: &Cloud, config: &Config) -> Made {
        let uplinks = config.uplinks.values().filter(|uplink| uplink.cloud == cloud.name);
        let downlinks = config.downlinks.values().filter(|downlink| downlink.cloud == cloud.name);
        let syncs = config.shadow_syncs.values().filter(|sync| sync.cloud == cloud.name);
        Made {
            cloud: cloud.clone(),
            uplinks: uplinks.cloned().collect(),
            downlinks: downlinks.cloned().collect(),
            syncs: syncs.cloned().collect(),
            shadow: config.shadow,
        }
    }
}

/// The clouds that some shadow is kept the same with.
fn synced(wanted: &BTreeMap<Arc<str>, Made>) -> BTreeSet<Arc<str>> {
    wanted.iter().filter(|(_, made)| !made.syncs.is_empty()).map(|(name, _)| name.clone()).collect()
}

/// Never, where there is none.
async fn until_over(syncing: Option<&Arc<Syncing>>) {
    match syncing {
        Some(syncing) => syncing.over().await,
        None => pending().await,
    }
}

/// The rule by which the synchronisation of shadows asks. No rule of a configuration has such a name.
const SHADOWS: &str = "$shadow";

fn requests(syncing: &Syncing) -> UplinkRule {
    UplinkRule {
        name: SHADOWS.into(),
        priority: Priority::High,
        format: Format::Raw,
        rewrite: Rewrite::default(),
        outbox: syncing.requests.clone(),
    }
}

/// Where it is answered.
fn answers(syncing: &Syncing) -> impl Iterator<Item = DownlinkRule> {
    // Of names that are names, these are filters.
    let filters = sync::filters(syncing.told.rules().things()).unwrap_or_default();
    filters.into_iter().map(|filter| DownlinkRule { name: SHADOWS.into(), filter, rewrite: Rewrite::default() })
}

/// Commits units, and ends when they are on disk.
fn commit(hub: &Hub, units: Vec<Unit>) -> BoxFuture<Result<(), NotStored>> {
    let (told, outcome) = oneshot::channel();
    let Ok(store) = hub.store() else {
        return Box::pin(async { Err(NotStored(Refusal::Closed.to_string())) });
    };
    store.submit(units, move |outcome| {
        // Who does not wait any more does not want to know.
        let _ = told.send(outcome.refusal);
    });
    Box::pin(async move {
        match outcome.await {
            // Where the queue is out of use there is nothing left to be removed.
            Ok(None | Some(Refusal::Gone)) => Ok(()),
            Ok(Some(refusal)) => Err(NotStored(refusal.to_string())),
            Err(_) => Err(NotStored("the disk failed, and the gateway is ending".to_owned())),
        }
    })
}
