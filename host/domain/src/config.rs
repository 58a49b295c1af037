//! The configuration as the gateway runs it: parsed, complete, and free of mistakes.
//!
//! A [`Config`] can only come out of [`Config::parse`], which returns either all of it with every default
//! filled in, or every mistake at once. The shape on disk is TOML, one tree of named tables and no arrays
//! of tables, so that a deployment can patch any of it by path. The reading of each table stands beside its
//! type; how mistakes are collected and worded stands in `source` and `mistake`.

mod changes;
mod checks;
mod cloud;
mod component;
mod grants;
mod mistake;
mod model;
mod origin;
mod queue;
mod rules;
mod scalar;
mod shadow;
mod source;
mod store;
mod subscription;
mod substitute;
pub mod values;
mod warnings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

pub use changes::{Change, Changes, Differences};
pub use cloud::{Cloud, CloudTls, Identity, Login};
pub use component::{Component, ComponentLimits, Recycle, Restart};
pub use grants::{Allow, DirGrant, GrantTable, HttpGrant, KvGrant, ShadowGrant, Which};
pub use mistake::{Mistake, Mistakes};
use mistake::{Wrong, quoted, wrong};
pub use model::{Backend, Model, ModelLoadGrant, Onnxruntime, Precision, Provider};
pub use queue::{DeadFullRule, DeadLetter};
pub use rules::{Downlink, Uplink};
use scalar::{file, integer, kind, loopback, path, text};
pub use shadow::ShadowSync;
pub(crate) use source::is_name;
pub use source::line_of;
use source::{Lines, Table};
pub use store::{Store, StoreEngine};
pub use subscription::{Delivery, DurableQueue, LiveFullRule, Subscription};
use substitute::Names;
pub use warnings::Warning;

use crate::limits;
use crate::shadow::Limits as ShadowLimits;

/// The version of the file's shape that is read here.
const SCHEMA: i64 = 1;

/// A whole configuration file. Paths stand as they were written: a relative one starts at the folder of the
/// configuration file, and whoever opens it goes from there.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub gateway: Gateway,
    pub log: Log,
    pub metrics: Option<Metrics>,
    pub http: Http,
    pub store: Store,
    /// `[shadow]`: how large a document may be.
    pub shadow: ShadowLimits,
    /// `[shadow.sync.NAME]`
    pub shadow_syncs: BTreeMap<Arc<str>, ShadowSync>,
    pub clouds: BTreeMap<Arc<str>, Cloud>,
    pub uplinks: BTreeMap<Arc<str>, Uplink>,
    pub downlinks: BTreeMap<Arc<str>, Downlink>,
    pub onnxruntime: Onnxruntime,
    pub models: BTreeMap<Arc<str>, Arc<Model>>,
    pub components: BTreeMap<Arc<str>, Arc<Component>>,
}

/// `[gateway]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The gateway's own name, `${thing}` elsewhere.
    pub thing: Arc<str>,
    /// Where everything lives that the gateway writes.
    pub data: PathBuf,
    /// The control socket; `control.sock` in `data` unless told otherwise.
    pub control: PathBuf,
    pub profile: Profile,
    /// Time that handlers under way get to finish at shutdown.
    pub grace: Duration,
}

/// `gateway.profile`: how the sandbox is sized for the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// 512 MB of memory and more.
    #[default]
    Standard,
    /// From 64 MB of memory.
    Small,
}

/// `[log]`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// `[metrics]`: Prometheus text, on a loopback address only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    pub listen: SocketAddr,
}

/// `[http]`: what outgoing requests of components trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Http {
    /// A PEM file of certificate authorities, in place of the system's own.
    pub ca: Option<PathBuf>,
}

impl Config {
    /// Reads a configuration file: all of it, or every mistake in it.
    pub fn parse(text: &str) -> Result<Config, Mistakes> {
        Config::parse_for(text, None)
    }

    /// As [`Config::parse`], for a gateway that runs: its `${thing}` is the one that it has, whatever is written by now.
    pub fn parse_for(text: &str, thing: Option<&Arc<str>>) -> Result<Config, Mistakes> {
        let mut mistakes = Vec::new();
        let config = read(text, thing, &mut mistakes);
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(Mistakes::new(mistakes)),
        }
    }
}

/// Gives `None` only together with a mistake.
fn read(text: &str, thing: Option<&Arc<str>>, mistakes: &mut Vec<Mistake>) -> Option<Config> {
    let lines = Lines::of(text);
    let mut whole = |line, problem: String, cure: &str| {
        mistakes.push(Mistake { line, path: String::new(), problem, cure: cure.to_owned() });
    };
    if text.len() as u64 > limits::CONFIG_BYTES {
        let most = values::show_size(limits::CONFIG_BYTES);
        whole(None, format!("larger than {most}"), "move what is not configuration into files of its own");
        return None;
    }
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let line = error.span().map(|span| lines.at(span.start));
            let problem = error.message().lines().collect::<Vec<_>>().join(", ");
            whole(line, format!("not TOML: {problem}"), "correct the line; what else is wrong shows after that");
            return None;
        }
    };
    Table::root(&lines, document.get_ref(), mistakes, |t| {
        let number = t.required("schema", &SCHEMA.to_string(), whole_number).unwrap_or(SCHEMA);
        if number > SCHEMA {
            let problem = format!("schema {number} is newer than this version of edgewit knows");
            t.mistake("schema", problem, format!("install a newer edgewit, or write the file for schema {SCHEMA}"));
            t.leave_the_rest();
            return None;
        }
        if number < SCHEMA {
            t.mistake("schema", format!("there is no schema {number}"), format!("write `schema = {SCHEMA}`"));
        }
        Config::read(t, thing)
    })
}

impl Config {
    fn read(t: &mut Table, thing: Option<&Arc<str>>) -> Option<Config> {
        let gateway = t.table("gateway", Gateway::read);
        t.names.thing = thing.or(gateway.as_ref().map(|gateway| &gateway.thing)).cloned();
        let log = t.table("log", Log::read);
        let metrics = t.optional_table("metrics", Metrics::read).flatten();
        let http = t.table("http", |t| Http { ca: t.optional("ca", file) });
        let store = t.table("store", Store::read);
        let components = t.named("component", limits::COMPONENTS, |t, name| {
            t.table(name, |t| Component::read(t, name)).map(Arc::new)
        });
        let onnxruntime = t.table("onnxruntime", Onnxruntime::read);
        let models = t.named("model", limits::MODELS, |t, name| t.table(name, |t| Model::read(t, name)).map(Arc::new));
        let named = names_below(t, "cloud");
        let clouds = t.named("cloud", limits::CLOUDS, |t, name| t.table(name, |t| Cloud::read(t, name)));
        let rules = limits::LINK_RULES;
        let uplinks = t.named("uplink", rules, |t, name| t.table(name, |t| Uplink::read(t, name, &named)));
        let downlinks = t.named("downlink", rules, |t, name| t.table(name, |t| Downlink::read(t, name, &named)));
        let (shadow, shadow_syncs) = t.table("shadow", |t| shadow::read(t, &named));
        let gateway = gateway?;
        let config = Config {
            gateway,
            log,
            metrics,
            http,
            store,
            shadow,
            shadow_syncs,
            clouds,
            uplinks,
            downlinks,
            onnxruntime,
            models,
            components,
        };
        checks::all(t, &config);
        Some(config)
    }
}

impl Gateway {
    fn read(t: &mut Table) -> Option<Gateway> {
        let thing = t.required("thing", "\"gw-cellar-7\"", thing);
        t.names.thing = thing.clone();
        let data = t.required("data", "\"/var/lib/edgewit\"", path);
        let control = t.optional("control", path);
        let profile = t.choice("profile", &[("standard", Profile::Standard), ("small", Profile::Small)]);
        let grace = t.duration("grace", limits::GRACE);
        let (thing, data) = (thing?, data?);
        Some(Gateway { thing, control: control.unwrap_or_else(|| data.join("control.sock")), data, profile, grace })
    }
}

impl Log {
    fn read(t: &mut Table) -> Log {
        let levels = [
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ];
        Log {
            level: t.choice("level", &levels),
            format: t.choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        }
    }
}

impl Metrics {
    fn read(t: &mut Table) -> Option<Metrics> {
        Some(Metrics { listen: t.required("listen", "\"127.0.0.1:9100\"", loopback)? })
    }
}

/// What is named in a table of tables, read or not.
fn names_below(t: &mut Table, key: &str) -> Vec<String> {
    match t.ask(key) {
        Some(DeValue::Table(entries)) => entries.keys().map(|name| name.get_ref().to_string()).collect(),
        _ => Vec::new(),
    }
}

fn whole_number(value: &DeValue, _: &Names) -> Result<i64, Wrong> {
    let not_one = || wrong(format!("has to be a whole number, and is {}", kind(value)), "write it without quotes");
    integer(value).unwrap_or_else(not_one)
}

/// A name that works as a client id, in topics and in paths, and that AWS IoT accepts for a thing.
fn thing(value: &DeValue, names: &Names) -> Result<Arc<str>, Wrong> {
    let thing = text(value, names)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':');
    if thing.is_empty() || thing.len() > limits::NAME_BYTES || !thing.chars().all(fits) {
        let cure = format!("use 1 to {} of: letters, digits, `-`, `_`, `:`", limits::NAME_BYTES);
        return wrong(format!("{} cannot be a thing's name", quoted(thing)), cure);
    }
    Ok(Arc::from(thing))
}
