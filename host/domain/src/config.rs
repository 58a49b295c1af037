//! The configuration as the gateway runs it: parsed, complete, and free of mistakes.
//!
//! A [`Config`] can only come out of [`Config::parse`], which returns either all of it with every default
//! filled in, or every mistake at once. The shape on disk is TOML, one tree of named tables and no arrays
//! of tables, so that a deployment can patch any of it by path. The reading of each table stands beside its
//! type; how mistakes are collected and worded stands in `source` and `mistake`.

mod component;
mod mistake;
mod source;
mod values;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use component::{
    Component, ComponentLimits, DirGrant, FullRule, GrantTable, HttpGrant, Recycle, Restart, Subscription,
};
pub use mistake::{Mistake, Mistakes};

/// A whole configuration file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub gateway: Gateway,
    pub log: Log,
    pub metrics: Option<Metrics>,
    pub http: Http,
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
