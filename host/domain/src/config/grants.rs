//! `[component.NAME.grant.*]`: what a component may do, and nothing else.
//!
//! Only reads and checks the table; whether one publish or request is within it is decided by `grant`.
//! What no message could ever use is refused here, since an operator who wrote it expected something.

mod shadow;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeValue;

use super::mistake::{Wrong, quoted, wrong};
use super::model::{self, ModelLoadGrant};
use super::origin::{network, origin};
use super::scalar::{self, choice, path, text};
use super::source::Table;
use super::substitute::Names;
use crate::ledger::{Bucket, BucketId};
use crate::limits;
use crate::shadow::ThingName;
use crate::topic::Filter;

pub use shadow::{Allow, ShadowGrant, Which};

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
    /// Buckets that it may open, by the name that the guest says.
    pub kv: BTreeMap<Arc<str>, KvGrant>,
    /// Shadows that it may use, by name.
    pub shadow: BTreeMap<Arc<str>, ShadowGrant>,
    /// Models that it may use, each `[model.NAME]`, by the name that the guest says.
    pub model: BTreeMap<Arc<str>, Arc<str>>,
    /// Models that it may bring itself.
    pub model_load: Option<ModelLoadGrant>,
    /// The gateway's own, whose shadows are meant where no thing is named. There is always one in a configuration.
    pub thing: Option<ThingName>,
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

/// One bucket, its component's own or shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvGrant {
    /// Its quota is the same for all that share it.
    pub bucket: Bucket,
    pub read_only: bool,
}

#[derive(Clone, Copy)]
enum Whose {
    Own,
    Shared,
}

impl GrantTable {
    pub(super) fn read(t: &mut Table) -> GrantTable {
        let entries = limits::ENTRIES_PER_COMPONENT;
        GrantTable {
            publish: t.named("publish", entries, |t, name| t.optional(name, publish_filter)),
            timer_pending: t.optional_table("timer", |t| t.count("pending", limits::TIMERS_PENDING)),
            http: t.named("http", entries, HttpGrant::read),
            dir: t.named("dir", entries, |t, name| t.table(name, DirGrant::read)),
            kv: t.named("kv", entries, KvGrant::read),
            shadow: t.named("shadow", entries, ShadowGrant::read),
            model: t.table("model", model::read_grants),
            model_load: t.optional_table("model-load", ModelLoadGrant::read),
            thing: t.names.thing.as_deref().and_then(|own| ThingName::parse(own).ok()),
        }
    }
}

impl HttpGrant {
    /// Either an origin alone, or a table with the networks that it may be in.
    fn read(t: &mut Table, name: &str) -> Option<HttpGrant> {
        match t.ask(name) {
            Some(DeValue::Table(_)) => t.table(name, |t| {
                let grant = t.required("origin", "\"https://api.example\"", origin);
                let networks = t.list("networks", "\"10.0.0.0/8\"", |value, names| network(text(value, names)?));
                Some(HttpGrant { networks, ..grant? })
            }),
            _ => t.optional(name, origin),
        }
    }
}

impl DirGrant {
    fn read(t: &mut Table) -> Option<DirGrant> {
        let path = t.required("path", "\"/var/spool/example\"", path);
        let write = t.flag("write", false);
        Some(DirGrant { path: path?, write })
    }
}

impl KvGrant {
    /// Either whose it is alone, or a table with that and its limits.
    fn read(t: &mut Table, name: &str) -> Option<KvGrant> {
        let component = t.names.component.clone()?;
        let bucket = |whose, quota| {
            let id = match whose {
                Whose::Own => BucketId::Own { component, name: name.into() },
                Whose::Shared => BucketId::Shared(name.into()),
            };
            Bucket { id, quota }
        };
        match t.ask(name) {
            Some(DeValue::Table(_)) => t.table(name, |t| {
                let whose = t.required("bucket", "\"own\"", whose);
                let bytes = t.size("bytes", limits::KV_BYTES);
                let read_only = t.flag("read-only", false);
                Some(KvGrant { bucket: bucket(whose?, bytes), read_only })
            }),
            _ => {
                let whose = t.optional(name, whose)?;
                Some(KvGrant { bucket: bucket(whose, limits::KV_BYTES.default), read_only: false })
            }
        }
    }
}

fn whose(value: &DeValue, _: &Names) -> Result<Whose, Wrong> {
    choice(value, &[("own", Whose::Own), ("shared", Whose::Shared)])
}

fn publish_filter(value: &DeValue, names: &Names) -> Result<Filter, Wrong> {
    let filter = scalar::filter(value, names)?;
    if filter.is_reserved() {
        let problem = format!("every topic of {} is published by services only", quoted(filter.as_str()));
        return wrong(problem, "remove the line, or grant other topics");
    }
    Ok(filter)
}
