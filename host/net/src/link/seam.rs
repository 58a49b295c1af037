//! What the link needs from outside. The gateway implements these; here is only what they promise.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use edgewit_domain::link::{Broker, Format, Priority, Profile, Proxy, Rate, Rewrite};
use edgewit_domain::message::{Envelope, Message};
use edgewit_domain::topic::Filter;

pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Running time, by the clock that the whole gateway goes by.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Something is not on disk, or nobody knows whether it is. The link ends: going on could break a promise.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotStored(pub String);

/// A row of an uplink rule's queue.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub sequence: u64,
    pub envelope: Arc<Envelope>,
}

/// One uplink rule's durable queue as the link reads it. No call blocks on the disk.
pub trait Outbox: Send + Sync {
    /// The next rows after those already taken, in their order: at most `count`, and past the first at most `bytes`.
    /// Until they are put back, acknowledged or given up, the queue neither drops nor replaces them. Empty when none
    /// wait.
    fn take(&self, count: usize, bytes: usize) -> Vec<Outgoing>;

    /// Ready when there is something to take. Only the last caller is woken.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Rows go back to the head, in their order.
    fn put_back(&self, rows: Vec<Outgoing>);

    /// The broker has these rows: they leave the queue. Ends when that is on disk.
    fn acknowledged(&self, sequences: Vec<u64>) -> BoxFuture<Result<(), NotStored>>;

    /// The row goes to the rule's dead letters. Ends when that is on disk.
    fn give_up(&self, sequence: u64, reason: String) -> BoxFuture<Result<(), NotStored>>;

    /// So many bytes went to the network for this row, for whoever counts them by publisher.
    fn sent(&self, _row: &Outgoing, _bytes: usize) {}
}

/// Where messages from the cloud go.
pub trait Downlink: Send + Sync {
    /// Called in order of receipt. Ends when the message is on disk, wherever it went; only then is the broker told.
    fn receive(&self, rule: &str, message: Message) -> BoxFuture<Result<(), NotStored>>;

    /// A connection stands, and the broker has answered to every filter. Where it had not kept the session, what it held
    /// for us is gone, and what can be fetched again should be.
    fn up(&self, _session_kept: bool) {}

    /// It has ended.
    fn down(&self) {}
}

/// The files that a connection needs.
pub trait Files: Send + Sync {
    /// Reads them afresh. May block: it is called on a thread for that. The error says which and why.
    fn read(&self) -> Result<Material, String>;
}

/// What is in those files.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Material {
    /// PEM. None: the machine's own authorities.
    pub authorities: Option<Vec<u8>>,
    /// PEM, the gateway's own first.
    pub certificate: Option<Vec<u8>>,
    /// PEM.
    pub key: Option<Vec<u8>>,
    pub password: Option<String>,
}

/// An uplink rule.
pub struct UplinkRule {
    pub name: Arc<str>,
    pub priority: Priority,
    pub format: Format,
    pub rewrite: Rewrite,
    pub outbox: Arc<dyn Outbox>,
}

/// A downlink rule. A message goes by the first that matches.
pub struct DownlinkRule {
    pub name: Arc<str>,
    pub filter: Filter,
    pub rewrite: Rewrite,
}

/// One link: what the operator chose, and whom it works for.
pub struct Plan {
    /// The gateway's own name, and the store's epoch, for the envelope.
    pub thing: Arc<str>,
    pub epoch: u64,
    pub broker: Broker,
    pub proxy: Option<Proxy>,
    /// The name that the broker's certificate has to show, where it is not the host.
    pub server_name: Option<String>,
    pub client_id: String,
    pub username: Option<String>,
    pub profile: &'static Profile,
    pub keep_alive: Duration,
    pub backoff: Duration,
    pub backoff_max: Duration,
    pub rate: Rate,
    /// For one attempt; see [`edgewit_domain::limits::LINK_CONNECT_WAIT`].
    pub connect_wait: Duration,
    /// Between two looks at the files; see [`edgewit_domain::limits::LINK_FILES_EVERY`].
    pub files_every: Duration,
    pub uplinks: Vec<UplinkRule>,
    pub downlinks: Vec<DownlinkRule>,
    pub downlink: Arc<dyn Downlink>,
    pub files: Arc<dyn Files>,
    pub clock: Clock,
}
