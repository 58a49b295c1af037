//! `[component.NAME]`: one instance of an artifact, what it hears, what it may do, and how it is kept.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::topic::Filter;

#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    pub name: Arc<str>,
    /// The component's file, relative to the configuration file's folder.
    pub artifact: PathBuf,
    /// Whether the gateway starts it; `edgewit start` starts a disabled one until the next reload.
    pub enabled: bool,
    /// It carries nothing from one call to the next, and may be recycled without `snapshot`.
    pub stateless: bool,
    /// What the guest reads through `wasi:config`; nested tables are flattened with dots.
    pub config: BTreeMap<String, String>,
    pub subscriptions: BTreeMap<Arc<str>, Subscription>,
    /// Declared timers, by name.
    pub timers: BTreeMap<Arc<str>, Duration>,
    pub grants: GrantTable,
    pub limits: ComponentLimits,
    pub recycle: Recycle,
    pub restart: Restart,
    /// Interval of `health.check`, where the component exports it.
    pub health_every: Duration,
}

/// `[component.NAME.subscribe.SUB]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub filter: Filter,
    /// Whether it hears what its own component publishes.
    pub own: bool,
    pub messages: u64,
    pub bytes: u64,
    pub full: FullRule,
}

/// What a live queue does when it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullRule {
    #[default]
    DropOldest,
    DropNewest,
}

/// `[component.NAME.grant.*]`: what the component may do, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantTable {
    /// Filters whose topics it may publish to, by name.
    pub publish: BTreeMap<Arc<str>, Filter>,
    /// One-shot timers it may have pending.
    pub timer_pending: Option<u64>,
    /// Origins it may send HTTP requests to, by name.
    pub http: BTreeMap<Arc<str>, HttpGrant>,
    /// Directories it may open; the guest sees each as `/NAME`.
    pub dir: BTreeMap<Arc<str>, DirGrant>,
}

/// One origin, and the networks that its name may resolve to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    pub https: bool,
    /// Lower case; an address literal without brackets.
    pub host: String,
    pub port: u16,
    /// Address and prefix length. Empty: public addresses only, or the literal address itself.
    pub networks: Vec<(IpAddr, u8)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirGrant {
    pub path: PathBuf,
    pub write: bool,
}

/// `[component.NAME.limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentLimits {
    pub memory: u64,
    pub stack: u64,
    pub cpu: Duration,
    pub wall: Duration,
    pub publishes: u64,
    pub publish_bytes: u64,
    pub log_lines: u64,
}

/// `[component.NAME.recycle]`: when a healthy instance is renewed by plan. Nothing unless configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recycle {
    pub age: Option<Duration>,
    pub calls: Option<u64>,
    pub memory: Option<u64>,
}

/// `[component.NAME.restart]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    pub backoff: Duration,
    pub backoff_max: Duration,
    /// Faults in a row; `None` never quarantines.
    pub quarantine_after: Option<u64>,
}
