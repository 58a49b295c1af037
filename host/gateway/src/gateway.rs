//! A gateway from its start to its end.
//!
//! The start goes from the outside in: nothing is opened before the whole configuration is known to be good, nobody
//! speaks before every queue that may hear it is there, and nothing is listened on before everything behind it stands.
//! The end goes the other way: no more intake, then the handlers get their grace, while every durable queue goes on
//! collecting what they say, then what is open is closed. A gateway that is dropped has ended as well.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::config::Config;
use edgewit_domain::control::{Command, Reply};
use edgewit_sandbox::artifact::Loader;
use edgewit_sandbox::engine::Engine;
use edgewit_store::Disk;
use edgewit_worker::WorkerCommand;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::cloud::Clouds;
use crate::components::Components;
use crate::control::Server;
use crate::core::Core;
use crate::desk::Common;
use crate::error::chain;
use crate::fetch::Fetching;
use crate::files::{ConfigFile, Data};
use crate::hub::Hub;
use crate::loading::{Digests, Loading, Source};
use crate::metrics;
use crate::models::Models;
use crate::start_error::StartError;
use crate::store::{Checking, Opening};
use crate::telemetry::Telemetry;
use crate::threads::Threads;

/// How long the end waits for what should have ended by itself: loads, connections.
const LEAVE: Duration = Duration::from_secs(1);

/// A listener that has its address and accepts nobody yet.
type WayIn = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a gateway is started.
#[derive(Clone, Debug)]
pub struct Options {
    pub config: PathBuf,
    /// Accept unsigned components of local files.
    pub dev: bool,
    /// How the compiling child is started.
    pub worker: WorkerCommand,
    /// Write the log to standard error as well.
    pub log: bool,
}

/// A running gateway.
pub struct Gateway {
    core: Arc<Core>,
    loading: Loading,
    intake: Vec<JoinHandle<()>>,
    metrics_address: Option<SocketAddr>,
    runtime: Option<Runtime>,
    disk: Option<Disk>,
    checking: Option<Checking>,
    _data: Data,
}

/// Starts a gateway and returns when it has ended.
pub fn run(options: Options) -> Result<(), StartError> {
    Gateway::start(options)?.wait();
    Ok(())
}

impl Gateway {
    pub fn start(options: Options) -> Result<Gateway, StartError> {
        if !options.dev {
            return Err(StartError::Unsigned);
        }
        let file = ConfigFile::open(&options.config)?;
        let config = Config::parse(&file.read()?)
            .map_err(|mistakes| StartError::Configuration { file: file.path(), mistakes })?;
        let telemetry = Telemetry::new(config.log, options.log).map_err(StartError::Thread)?;
        let dispatch = telemetry.dispatch().clone();
        let started = tracing::dispatcher::with_default(&dispatch, || {
            Self::start_with(&options, file, Arc::new(config), telemetry.clone())
        });
        if started.is_err() {
            telemetry.close();
        }
        started
    }

    fn start_with(
        options: &Options,
        file: ConfigFile,
        config: Arc<Config>,
        telemetry: Telemetry,
    ) -> Result<Gateway, StartError> {
        let data = Data::open(&file.folder_path.join(&config.gateway.data))?;
        let store = Opening::open(&data.path, config.store)?;
        let unclean = !store.disk.left_clean();
        let clock = store.clock();
        let fetch = fetching(&file, &config)?;
        let engine = Engine::new(config.gateway.profile)?;
        let threads = Threads::new(telemetry.dispatch().clone());
        let runtime = threads.runtime().map_err(StartError::Thread)?;
        let hub = Arc::new(Hub::new(clock));
        let disk = store
            .start(config.store, config.shadow, &hub, |run| threads.spawn("edgewit-store".to_owned(), None, run))?;
        let checking = Checking::start(disk.engine(), hub.clone(), &threads).map_err(StartError::Thread)?;
        let digests = Arc::new(Digests(hub.clone()));
        let loader = Loader::new(engine.clone(), data.cache()?, digests, options.worker.clone());
        let (folder, folder_path) = (file.folder.clone(), file.folder_path.clone());
        let models = Arc::new(Models::new(&file, options.worker.clone(), &threads));
        let source = Source { engine, loader: Arc::new(loader), folder, folder_path, models };
        let loading = Loading::new(source, threads.clone());
        let io = runtime.handle().clone();
        let shadows = config.shadow;
        let common = Common { hub: hub.clone(), clock, loading: loading.clone(), io, fetch, shadows, unclean };
        let components = Arc::new(Components::new(common, threads.clone()));
        let clouds = Clouds::new(
            hub.clone(),
            (file.clone(), config.gateway.thing.clone()),
            disk.epoch(),
            (runtime.handle().clone(), threads),
        );
        let core = Arc::new(Core::new(hub, (components, clouds), telemetry, file, config.clone(), options.dev));
        let mut gateway = Gateway {
            core,
            loading,
            intake: Vec::new(),
            metrics_address: None,
            runtime: Some(runtime),
            disk: Some(disk),
            checking: Some(checking),
            _data: data,
        };
        if unclean {
            tracing::warn!(
                "The gateway before this one did not end in good order; what heads its queues is tried with care"
            );
        }
        let ways_in = gateway.bind(&config)?;
        if options.dev && !config.clouds.is_empty() {
            tracing::warn!(
                "Started with --dev and with a way to a cloud: unsigned components can reach it by its uplinks"
            );
        }
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let components = &gateway.core.components;
        // What comes of them is in the log; whoever asks one waits for it.
        drop(components.models().apply(&config, &BTreeMap::new()));
        let seats: Vec<_> = config.components.values().map(|component| components.seat(component.clone())).collect();
        if let Some(runtime) = &gateway.runtime {
            runtime.block_on(gateway.core.clouds.apply(&config));
        }
        gateway.core.hub.leave_unread();
        seats.into_iter().try_for_each(|seat| components.start(seat)).map_err(StartError::Thread)?;
        gateway.open(ways_in);
        tracing::info!(thing = &*config.gateway.thing, components = config.components.len(), "Started");
        Ok(gateway)
    }

    /// Takes the addresses of the ways in, so that a start fails before anything runs where one is taken.
    fn bind(&mut self, config: &Config) -> Result<Vec<WayIn>, StartError> {
        let Some(runtime) = &self.runtime else { return Ok(Vec::new()) };
        let _entered = runtime.enter();
        let path = self.core.file.folder_path.join(&config.gateway.control);
        let mut ways_in: Vec<WayIn> = vec![Box::pin(Server::bind(path, self.core.clone())?.serve())];
        if let Some(metrics) = config.metrics {
            let listening = metrics::listen(metrics.listen, self.core.clone());
            let (address, serve) =
                listening.map_err(|source| StartError::Metrics { address: metrics.listen, source })?;
            self.metrics_address = Some(address);
            ways_in.push(Box::pin(serve));
        }
        Ok(ways_in)
    }

    /// Lets in whoever waits. Every queue is there by now, so that nothing is said to nobody.
    fn open(&mut self, ways_in: Vec<WayIn>) {
        if let Some(runtime) = &self.runtime {
            self.intake.extend(ways_in.into_iter().map(|way_in| runtime.spawn(way_in)));
            self.intake.push(runtime.spawn(mend_links(self.core.clone())));
        }
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.core.hub
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.core.config()
    }

    /// Where the metrics are, if they are anywhere: the port may have been left to the system to choose.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Carries out a command as the control socket would. Blocks; not to be called from a task.
    pub fn command(&self, command: Command) -> Reply {
        let _log = tracing::dispatcher::set_default(self.core.telemetry.dispatch());
        match &self.runtime {
            Some(runtime) => runtime.block_on(self.core.command(command)),
            None => crate::core::refused("the gateway has ended", "start it again"),
        }
    }

    /// Returns when the gateway has ended: by SIGTERM, SIGINT or command. SIGHUP reloads. A second signal to end
    /// takes all grace away.
    pub fn wait(mut self) {
        if let Some(runtime) = &self.runtime {
            let _log = tracing::dispatcher::set_default(self.core.telemetry.dispatch());
            self.intake.push(runtime.spawn(reload_when_told(self.core.clone())));
            runtime.block_on(until_told(&self.core));
        }
        self.end();
    }

    pub fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let telemetry = self.core.telemetry.clone();
        tracing::dispatcher::with_default(telemetry.dispatch(), || {
            tracing::info!("Shutting down");
            runtime.block_on(until_reloaded(&self.core));
            for task in self.intake.drain(..) {
                task.abort();
                // Aborting is what was asked for.
                let _ = runtime.block_on(task);
            }
            runtime.block_on(self.core.clouds.close());
            self.core.hub.close();
            let (components, grace) = (&self.core.components, self.core.grace());
            runtime.block_on(components.end(&components.names(), grace, false));
            if !components.models().close(LEAVE) {
                tracing::warn!("A model was still being loaded; that ends with the process");
            }
            self.loading.sweep(self.core.config().components.values().cloned().collect());
            if !self.loading.close(LEAVE) {
                tracing::warn!("A compile was still under way; it ends with the process");
            }
            self.close_store();
            tracing::info!("Ended");
            runtime.shutdown_timeout(LEAVE);
        });
        telemetry.close();
    }
}

impl Gateway {
    /// After the last that may commit.
    fn close_store(&mut self) {
        self.checking.take().into_iter().for_each(Checking::end);
        if let Ok(store) = self.core.hub.store() {
            store.close();
        }
        if let Some(Err(error)) = self.disk.take().map(Disk::close) {
            tracing::error!(error = chain(&error), "The store was not closed in good order; nothing in it is lost");
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
    }
}

fn fetching(file: &ConfigFile, config: &Config) -> Result<Arc<Fetching>, StartError> {
    let Some(path) = &config.http.ca else { return Ok(Arc::default()) };
    let pem = file.read_beside(path)?;
    let fetching = Fetching::with_authorities(pem.as_bytes());
    fetching.map(Arc::new).map_err(|source| StartError::Authorities { path: path.clone(), source })
}

fn listen(kind: SignalKind, name: &str) -> Option<Signal> {
    let signal = signal(kind);
    signal.inspect_err(|error| tracing::error!(%error, name, "This signal cannot be listened to")).ok()
}

/// Apart from the other signals, which have to be heard while a reload waits for a guest.
async fn reload_when_told(core: Arc<Core>) {
    let mut hangup = listen(SignalKind::hangup(), "SIGHUP");
    next(&mut hangup).await;
    loop {
        // What came of it is in the log.
        if let Ok(mut reloading) = core.reload().await {
            tokio::select! {
                () = reloading.answered() => drop(reloading.report()),
                // What this one still waits for, the next one takes up.
                () = next(&mut hangup) => continue,
            }
        }
        next(&mut hangup).await;
    }
}

/// Starts links again that ended by themselves, as seldom as the configuration has any of them try: until the reason is
/// gone, it will be the same.
async fn mend_links(core: Arc<Core>) {
    loop {
        core.clouds.broken().await;
        let wait = core.config().clouds.values().map(|cloud| cloud.backoff_max).max().unwrap_or_default();
        tokio::time::sleep(wait).await;
        let _alone = core.reloading.lock().await;
        core.clouds.apply(&core.config()).await;
    }
}

/// Lets a reload under way come to its end, since what it has begun to end nobody else would join.
async fn until_reloaded(core: &Core) {
    if timeout(core.grace(), core.reloading.lock()).await.is_err() {
        core.components.hurry();
        let _ = timeout(LEAVE, core.reloading.lock()).await;
    }
}

async fn until_told(core: &Arc<Core>) {
    let mut terminate = listen(SignalKind::terminate(), "SIGTERM");
    let mut interrupt = listen(SignalKind::interrupt(), "SIGINT");
    tokio::select! {
        () = next(&mut terminate) => {}
        () = next(&mut interrupt) => {}
        () = core.ending.notified() => {}
    }
    let components = core.components.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = next(&mut terminate) => {}
            () = next(&mut interrupt) => {}
        }
        tracing::warn!("Told twice to end; nobody is waited for any more");
        components.hurry();
    });
}

async fn next(signal: &mut Option<Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if came.is_none() {
        std::future::pending::<()>().await;
    }
}
