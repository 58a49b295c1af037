//! One engine and one cache for all tests of this binary, and instances of fixtures made from a few lines of configuration.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use edgewit_domain::config::{Component, Config, Profile};
use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Delivery, Effects, Outcome};
use edgewit_domain::message::{Envelope, Message, MessageId, Origin, WallTime};
use edgewit_domain::timer::Timers;
use edgewit_domain::topic::Topic;
use edgewit_sandbox::artifact::{Artifact, Digest, DigestIndex, Loader};
use edgewit_sandbox::engine::Engine;
use edgewit_sandbox::{
    EndlessRoom, Fetch, FetchError, FetchRequest, FetchResponse, Instance, Interrupter, LinkError, LogCounter,
    MemoryShadows, MemoryValues, NoModels, Prepared, Services,
};
use edgewit_worker::WorkerCommand;

pub static ENGINE: LazyLock<Engine> = LazyLock::new(|| Engine::new(Profile::Standard).unwrap());

/// Where WASI's timers live.
pub static IO: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .thread_name("edgewit-io")
        .build()
        .unwrap()
});

static LOADER: LazyLock<(tempfile::TempDir, Loader)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let cache = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
    let loader = Loader::new(ENGINE.clone(), cache, Arc::<MemoryIndex>::default(), worker());
    (folder, loader)
});

pub fn worker() -> WorkerCommand {
    WorkerCommand { program: env!("CARGO_BIN_EXE_sandbox-worker").into(), args: Vec::new() }
}

/// An index that ends with the test.
#[derive(Default)]
pub struct MemoryIndex(Mutex<BTreeMap<String, Digest>>);

impl DigestIndex for MemoryIndex {
    fn get(&self, key: &str) -> Option<Digest> {
        self.0.lock().unwrap().get(key).copied()
    }

    fn put(&self, key: &str, digest: Digest) -> std::io::Result<()> {
        self.0.lock().unwrap().insert(key.to_owned(), digest);
        Ok(())
    }

    fn retain(&self, keep: &dyn Fn(&str) -> bool) -> std::io::Result<()> {
        self.0.lock().unwrap().retain(|key, _| keep(key));
        Ok(())
    }
}

pub fn fixture(name: &str) -> Vec<u8> {
    let file = format!("{}.wasm", name.replace('-', "_"));
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../components/target/wasm32-wasip2/release").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask guests`", path.display()))
}

pub fn load(wasm: &[u8]) -> Artifact {
    LOADER.1.load(wasm).unwrap()
}

/// The component `it`, from what stands below `[component.it]`.
pub fn component(tables: &str) -> Arc<Component> {
    let text = format!(
        "schema = 1\n[gateway]\nthing = \"test\"\ndata = \"/nowhere\"\n[component.it]\nartifact = \"it.wasm\"\n{tables}"
    );
    let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{}", mistakes.in_file("test.toml")));
    config.components.get("it").unwrap().clone()
}

/// An instance with everything around it that a test may want to look at.
pub struct Bed {
    pub instance: Instance,
    pub services: Services,
}

pub struct Nobody;

impl Fetch for Nobody {
    fn fetch(&self, _: FetchRequest) -> Pin<Box<dyn Future<Output = Result<FetchResponse, FetchError>> + Send>> {
        Box::pin(async { Err(FetchError::Connect) })
    }
}

pub fn services(component: &Component) -> Services {
    Services {
        io: IO.handle().clone(),
        fetch: Arc::new(Nobody),
        wall_clock: || WallTime { unix_ms: 1_700_000_000_000, trusted: true },
        timers: Arc::new(Mutex::new(Timers::new(&component.timers, Duration::ZERO))),
        dirs: BTreeMap::new(),
        rooms: Arc::new(EndlessRoom),
        values: Arc::new(MemoryValues::default()),
        shadows: Arc::new(MemoryShadows::default()),
        models: Arc::new(NoModels),
        interrupter: Interrupter::new(),
        log_dropped: LogCounter::default(),
    }
}

pub fn prepare(name: &str, tables: &str) -> Result<Prepared, LinkError> {
    Prepared::new(&ENGINE, &load(&fixture(name)), &component(tables))
}

/// An instance of a fixture. A guest's thread is in the runtime, as it is in the gateway.
pub fn bed(name: &str, tables: &str) -> Bed {
    bed_with(name, tables, |_| {})
}

pub fn bed_with(name: &str, tables: &str, change: impl FnOnce(&mut Services)) -> Bed {
    let mut services = services(&component(tables));
    change(&mut services);
    let prepared = prepare(name, tables).unwrap_or_else(|error| panic!("{error}"));
    let instance = prepared.instantiate(services.clone()).unwrap_or_else(|fault| panic!("{fault}"));
    Bed { instance, services }
}

impl Bed {
    pub fn message(&mut self, payload: impl AsRef<[u8]>) -> Result<Outcome, Fault> {
        self.instance.deliver(&delivery("in/a", payload.as_ref()))
    }

    /// What a message made the guest publish.
    pub fn published(&mut self, payload: impl AsRef<[u8]>) -> Vec<(String, String)> {
        let payload = payload.as_ref();
        match self.message(payload) {
            Ok(Outcome::Done(effects)) => publishes(&effects),
            other => panic!("{:?} ended as {other:?}", String::from_utf8_lossy(payload)),
        }
    }
}

pub fn publishes(effects: &Effects) -> Vec<(String, String)> {
    let text =
        |message: &Message| (message.topic.as_str().to_owned(), String::from_utf8_lossy(&message.payload).into_owned());
    effects.publishes.iter().map(text).collect()
}

pub fn delivery(topic: &str, payload: &[u8]) -> Delivery {
    let envelope = Envelope::new(
        Message::new(Topic::parse(topic).unwrap(), payload),
        MessageId { epoch: 1, number: 2 },
        Origin::Operator,
        WallTime { unix_ms: 1_700_000_000_000, trusted: true },
    );
    Delivery { envelope: Arc::new(envelope), attempt: 1, sequence: None }
}
