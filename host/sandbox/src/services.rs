//! What an instance needs from outside, as traits and handles that the gateway provides.
//!
//! Nothing in here is a policy: what a component may do stands in its grants, and is checked before any
//! of these is asked.

mod memory;
mod models;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use edgewit_domain::config::ModelLoadGrant;
use edgewit_domain::ledger::BucketId;
use edgewit_domain::message::{Message, WallTime};
use edgewit_domain::model::{InferenceError, Named};
use edgewit_domain::shadow::{Limits, ShadowId, ShadowName, Stored, ThingName};
use edgewit_domain::timer::Timers;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Incoming};
use tokio::sync::watch;

pub use memory::{EndlessRoom, MemoryShadows, MemoryValues};
pub use models::NoModels;

/// Everything that one instance is given. Cheap to clone; made anew for each component, not for each instance.
#[derive(Clone)]
pub struct Services {
    /// Where timers and sockets of WASI live; the guest's thread enters it.
    pub io: tokio::runtime::Handle,
    pub fetch: Arc<dyn Fetch>,
    pub wall_clock: fn() -> WallTime,
    /// The component's timers: read by the guest's `cancel`, changed only by who commits its effects.
    pub timers: Arc<Mutex<Timers>>,
    /// One opened directory for each grant, by the grant's name.
    pub dirs: BTreeMap<Arc<str>, Arc<Dir>>,
    pub rooms: Arc<dyn Rooms>,
    pub values: Arc<dyn Values>,
    pub shadows: Arc<dyn Shadows>,
    pub models: Arc<dyn Models>,
    pub interrupter: Interrupter,
    pub log_dropped: LogCounter,
}

/// Room in the queues that refuse when they are full, for what the handling under way publishes.
pub trait Rooms: Send + Sync {
    /// Promises room in every such queue that the message would go into. What is promised is kept or given back by who
    /// commits the handling or undoes it.
    fn reserve(&self, message: &Message) -> Result<(), NotTaken>;
}

/// Why a message that a component may publish is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The text names the queue that is full.
    NoRoom(String),
    /// It would be sent where it is not taken, now or later; the text says by which rule and why.
    NotForCloud(String),
}

/// The values in the component's buckets, as every handling before this one left them.
pub trait Values: Send + Sync {
    fn get(&self, bucket: &BucketId, key: &str) -> Result<Option<Arc<[u8]>>, ValuesError>;

    /// Keys in their order, behind `after`, at most `count`.
    fn keys(&self, bucket: &BucketId, after: Option<&str>, count: usize) -> Result<Vec<String>, ValuesError>;

    /// Bytes of all keys and values.
    fn bytes(&self, bucket: &BucketId) -> Result<u64, ValuesError>;
}

/// The store cannot be read; the text says what is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValuesError(pub String);

/// The shadows of all things, as every handling of the component before this one left them.
pub trait Shadows: Send + Sync {
    fn get(&self, id: &ShadowId) -> Result<Option<Stored>, ShadowsError>;

    /// Names of the named shadows that a thing has, in their order, behind `after`, at most `count`.
    fn names(
        &self,
        thing: &ThingName,
        after: Option<&ShadowName>,
        count: usize,
    ) -> Result<Vec<ShadowName>, ShadowsError>;

    fn limits(&self) -> Limits;
}

/// A document or the store cannot be read; the text says what is broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ShadowsError(pub String);

/// The models that there are. Whether a component may use one is not asked here.
pub trait Models: Send + Sync {
    /// The one that configuration calls so, loaded or not.
    fn model(&self, name: &str) -> Option<Arc<dyn Model>>;

    /// One that a guest has brought, to be had as long as somebody holds what comes of it.
    fn load(&self, bytes: Vec<u8>, grant: ModelLoadGrant) -> Loading;
}

/// What computes. The same for all who use it, and another one behind the same name when its file has changed.
pub trait Model: Send + Sync {
    /// One inference, for which the guest's thread waits here: not past `until`, and not long after `given_up` says yes. What
    /// is said then nobody hears.
    fn run(&self, inputs: Named, until: Instant, given_up: &dyn Fn() -> bool) -> Result<Named, InferenceError>;
}

pub type Loading = Pin<Box<dyn Future<Output = Result<Arc<dyn Model>, InferenceError>> + Send>>;

/// Ends what an instance is doing, from another thread: a blocking call at once, an
/// inference or a computation soon.
#[derive(Clone, Debug)]
pub struct Interrupter(Arc<watch::Sender<bool>>);

impl Interrupter {
    pub fn new() -> Self {
        Interrupter(Arc::new(watch::Sender::new(false)))
    }

    pub fn interrupt(&self) {
        self.0.send_replace(true);
    }

    /// Lets the next instance run.
    pub fn reset(&self) {
        self.0.send_replace(false);
    }

    pub fn is_interrupted(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when [`Interrupter::interrupt`] has been called.
    pub(crate) async fn interrupted(&self) {
        let mut receiver = self.0.subscribe();
        if receiver.wait_for(|interrupted| *interrupted).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Default for Interrupter {
    fn default() -> Self {
        Interrupter::new()
    }
}

/// Lines of a component's log that were dropped because it logged too fast.
#[derive(Clone, Debug, Default)]
pub struct LogCounter(Arc<AtomicU64>);

impl LogCounter {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends outgoing HTTP requests.
pub trait Fetch: Send + Sync {
    fn fetch(&self, request: FetchRequest) -> Pin<Box<dyn Future<Output = Result<FetchResponse, FetchError>> + Send>>;
}

/// Whether an address that a name resolved to may be connected to; the text says why not.
pub type AddressCheck = Arc<dyn Fn(IpAddr) -> Result<(), String> + Send + Sync>;

/// A request whose origin was granted.
pub struct FetchRequest {
    pub request: http::Request<UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>,
    pub https: bool,
    pub host: String,
    pub port: u16,
    pub check: AddressCheck,
    pub connect_timeout: Duration,
    pub first_byte_timeout: Duration,
    pub between_bytes_timeout: Duration,
}

/// An answer whose body is still to come, and the connection to be driven until it has.
pub struct FetchResponse {
    pub response: http::Response<Incoming>,
    pub connection: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Why there is no answer, in the words that a guest can be told.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("the name does not resolve")]
    Resolve,
    #[error("{0}")]
    AddressRefused(String),
    #[error("the connection was refused or broke")]
    Connect,
    #[error("nobody answered in time")]
    Timeout,
    #[error("the certificate is not one to trust")]
    Certificate,
    #[error("the two sides do not speak the same protocol")]
    Protocol,
}
