//! `[component.NAME]`: one instance of an artifact, what it hears, what it may do, and how it is kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::grants::GrantTable;
use super::mistake::{Wrong, wrong};
use super::queue::DeadLetter;
use super::scalar::{self, choice, integer, path, substituted};
use super::source::Table;
use super::subscription::Subscription;
use super::substitute::Names;
use super::values::{show_duration, show_size};
use crate::limits;

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
    /// What becomes of the deliveries that it gave up.
    pub dead_letter: DeadLetter,
    /// Declared timers, by name.
    pub timers: BTreeMap<Arc<str>, Duration>,
    pub grants: GrantTable,
    pub limits: ComponentLimits,
    pub recycle: Recycle,
    pub restart: Restart,
    /// Interval of `health.check`, where the component exports it.
    pub health_every: Duration,
}

/// `[component.NAME.limits]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentLimits {
    pub memory: u64,
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

impl Component {
    pub(super) fn read(t: &mut Table, name: &str) -> Option<Component> {
        let name: Arc<str> = Arc::from(name);
        t.names.component = Some(Arc::clone(&name));
        let artifact = t.required("artifact", "\"components/window.wasm\"", path);
        let enabled = t.flag("enabled", true);
        let stateless = t.flag("stateless", false);
        let config = t.table("config", read_values);
        let entries = limits::ENTRIES_PER_COMPONENT;
        let subscriptions = t.named("subscribe", entries, |t, name| t.table(name, Subscription::read));
        let dead_letter = t.table("dead-letter", DeadLetter::read);
        let timers = t.named("timer", entries, |t, name| t.table(name, read_timer));
        let grants = t.table("grant", GrantTable::read);
        let limits = t.table("limits", ComponentLimits::read);
        let recycle = t.table("recycle", |t| Recycle::read(t, &limits));
        let restart = t.table("restart", Restart::read);
        let health_every = t.table("health", |t| t.duration("every", limits::HEALTH_EVERY));
        let artifact = artifact?;
        Some(Component {
            name,
            artifact,
            enabled,
            stateless,
            config,
            subscriptions,
            dead_letter,
            timers,
            grants,
            limits,
            recycle,
            restart,
            health_every,
        })
    }
}

impl ComponentLimits {
    fn read(t: &mut Table) -> ComponentLimits {
        ComponentLimits {
            memory: t.size("memory", limits::MEMORY),
            cpu: t.duration("cpu", limits::CPU),
            wall: t.duration("wall", limits::WALL),
            publishes: t.count("publishes", limits::PUBLISHES),
            publish_bytes: t.size("publish-bytes", limits::PUBLISH_BYTES),
            log_lines: t.count("log-lines", limits::LOG_LINES_PER_SECOND),
        }
    }
}

impl Recycle {
    fn read(t: &mut Table, limits: &ComponentLimits) -> Recycle {
        let recycle = Recycle {
            age: t.optional("age", scalar::duration(limits::RECYCLE_AGE)),
            calls: t.optional("calls", scalar::count(limits::RECYCLE_CALLS)),
            memory: t.optional("memory", scalar::size(limits::MEMORY)),
        };
        if let Some(memory) = recycle.memory.filter(|memory| *memory > limits.memory) {
            let most = show_size(limits.memory);
            let problem = format!("{} is never reached: limits.memory is {most}", show_size(memory));
            t.mistake("memory", problem, format!("choose at most {most}, or raise limits.memory"));
        }
        recycle
    }
}

impl Restart {
    fn read(t: &mut Table) -> Restart {
        let backoff = t.duration("backoff", limits::BACKOFF);
        let backoff_max = t.duration("backoff-max", limits::BACKOFF_MAX);
        let quarantine_after = t.optional("quarantine", quarantine).unwrap_or(Some(limits::QUARANTINE_AFTER.default));
        if backoff > backoff_max {
            let (first, most) = (show_duration(backoff), show_duration(backoff_max));
            t.mistake(
                "backoff",
                format!("{first} is longer than backoff-max, which is {most}"),
                format!("choose at most {most}, or raise backoff-max"),
            );
        }
        Restart { backoff, backoff_max, quarantine_after }
    }
}

fn read_timer(t: &mut Table) -> Option<Duration> {
    t.required("every", "\"10s\"", scalar::duration(limits::TIMER_EVERY))
}

/// Faults in a row, or `"never"`.
fn quarantine(value: &DeValue, names: &Names) -> Result<Option<u64>, Wrong> {
    match value {
        DeValue::String(_) => choice(value, &[("never", None)]),
        number => scalar::count(limits::QUARANTINE_AFTER)(number, names).map(Some),
    }
}

/// `[component.NAME.config]`: scalars as text, and tables below it flattened, `a.b` for `b` in `a`.
fn read_values(t: &mut Table) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for key in t.keys() {
        if let Some(DeValue::Table(_)) = t.ask(&key) {
            for (below, value) in t.table(&key, read_values) {
                insert(t, &mut found, format!("{key}.{below}"), value, &key);
            }
        } else if let Some(value) = t.optional(&key, scalar_text) {
            insert(t, &mut found, key.clone(), value, &key);
        }
    }
    found
}

fn insert(t: &mut Table, found: &mut BTreeMap<String, String>, name: String, value: String, key: &str) {
    if found.contains_key(&name) {
        t.mistake(key, format!("the component would see `{name}` twice"), "keep one of the two ways to write it");
    }
    found.insert(name, value);
}

fn scalar_text(value: &DeValue, names: &Names) -> Result<String, Wrong> {
    if let Some(integer) = integer(value) {
        return Ok(integer?.to_string());
    }
    match value {
        DeValue::Float(float) => Ok(float.to_string()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Datetime(date) => Ok(date.to_string()),
        DeValue::Array(_) => wrong(
            "an array has no key for each of its values",
            "write a table with a named key for each, or one string that the component takes apart",
        ),
        text => substituted(text, names),
    }
}
