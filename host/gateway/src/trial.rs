//! `edgewit try`: one component without a gateway around it.
//!
//! Under the very grants, limits and deadlines that it has in production, and with the same calls in the same order;
//! only its effects go to the caller instead of to the hub. Nothing is published, no timer runs, and no instance
//! outlives a fault. The guest's log goes to standard error.

mod bench;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use edgewit_domain::config::{Component, Config, Log, LogFormat, LogLevel, Mistakes};
use edgewit_domain::fault::Fault;
use edgewit_domain::handling::Effects;
use edgewit_domain::shadow::Telling;
use edgewit_domain::topic::{Topic, TopicError};
use edgewit_sandbox::{Exports, Instance};
use edgewit_worker::WorkerCommand;

use crate::error::chain;
use crate::files::{ConfigFile, FileError};
use crate::loading::Loaded;
use crate::models::{Digests, Models};
use crate::orders::Answer;
use crate::scratch::{Scratch, ScratchError};
use crate::telemetry::Telemetry;
use crate::threads::Threads;
use bench::{Ask, Bench};

/// How long the end waits for a model that a component has brought and that is still being loaded.
const LEAVE: Duration = Duration::from_secs(1);

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A component of a configuration, with all that it says about it.
    Configured { config: &'a Path, component: &'a str },
    /// A file by itself: no configuration, no grants, the limits that hold where nothing else is said.
    Bare { file: &'a Path },
}

/// What came of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
    Done(Effects),
    Rejected {
        reason: String,
    },
    /// The next call gets a new instance.
    Failed(Fault),
    /// The gateway would not have called it.
    NotAsked {
        reason: String,
    },
}

/// What is to be said of a call beside its outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    pub cpu: Duration,
    /// Bytes of linear memory and tables, after it.
    pub memory: u64,
    /// What it asked for and did not get, whatever the guest made of it.
    pub refused: Vec<String>,
}

impl Beside {
    fn add(&mut self, instance: &Instance, cpu: Duration) {
        self.cpu = cpu;
        self.memory = instance.memory();
        self.refused.extend(instance.refusals());
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}", mistakes.in_file(file))]
    Configuration { file: String, mistakes: Mistakes },
    #[error("there is no component `{name}`; the configuration has: {known}")]
    Unknown { name: String, known: String },
    #[error("{reason}")]
    Refused { reason: String },
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error("a thread could not be started; raise the limit of processes")]
    Thread(#[source] std::io::Error),
}

/// One component, ready to be called.
pub struct Trial {
    component: Arc<Component>,
    exports: Exports,
    asks: Option<SyncSender<Ask>>,
    outcomes: Receiver<(TrialOutcome, Beside)>,
    beside: Beside,
    thread: Option<JoinHandle<()>>,
    models: Arc<Models>,
    telemetry: Telemetry,
    _scratch: Scratch,
}

impl Trial {
    pub fn new(subject: Subject<'_>, worker: &WorkerCommand) -> Result<Trial, TrialError> {
        let (file, config, component) = match subject {
            Subject::Configured { config, component } => configured(config, component)?,
            Subject::Bare { file } => bare(file)?,
        };
        let scratch = Scratch::new()?;
        let log = Log { level: LogLevel::Info, format: LogFormat::Text };
        let telemetry = Telemetry::new(log, true).map_err(TrialError::Thread)?;
        let threads = Threads::new(telemetry.dispatch().clone());
        let models = Arc::new(Models::new(&file, worker.clone(), &threads));
        let source = scratch.source(&file, config.gateway.profile, worker, models.clone())?;
        let loaded = load_models(&models, &config, &component)
            .and_then(|()| source.load(&component).map_err(|refusal| TrialError::Refused { reason: chain(&refusal) }));
        let loaded = loaded.inspect_err(|_| telemetry.close())?;
        let (asks, waiting) = sync_channel(1);
        let (answers, outcomes) = sync_channel(1);
        let exports = loaded.prepared.exports();
        let stack = source.engine.thread_stack();
        let thread = start(&telemetry, stack, component.clone(), loaded, waiting, answers)?;
        let (asks, thread) = (Some(asks), Some(thread));
        Ok(Trial {
            component,
            exports,
            asks,
            outcomes,
            beside: Beside::default(),
            thread,
            models,
            telemetry,
            _scratch: scratch,
        })
    }

    pub fn exports(&self) -> Exports {
        self.exports
    }

    /// Makes the instance, if there is none, and calls `init`.
    pub fn start(&mut self) -> TrialOutcome {
        self.ask(Ask::Start)
    }

    pub fn message(&mut self, topic: &str, payload: Vec<u8>) -> TrialOutcome {
        let topic = match Topic::parse(topic) {
            Ok(topic) => topic,
            Err(error) => return not_a_topic(topic, &error),
        };
        let subscriptions = &self.component.subscriptions;
        let hears = subscriptions.is_empty() || subscriptions.values().any(|heard| heard.filter.matches(&topic));
        let has_ear = match Telling::on(&topic) {
            Some((_, Telling::Delta)) if self.exports.delta => true,
            Some((_, Telling::Documents)) if self.exports.change => true,
            _ => self.exports.message,
        };
        match (has_ear, hears) {
            (false, _) => {
                not_asked("the component exports nothing that takes this; it would be edgewit:pubsub/handler")
            }
            (true, false) => not_asked(format!("no subscription of the component covers `{topic}`")),
            (true, true) => self.ask(Ask::Message { topic, payload }),
        }
    }

    /// Calls a timer: one of the configuration, or one that the component has set.
    pub fn tick(&mut self, name: &str) -> TrialOutcome {
        if !self.exports.tick {
            return not_asked("the component does not export edgewit:timer/handler");
        }
        self.ask(Ask::Tick { name: name.to_owned() })
    }

    /// Of the last call that reached the guest.
    pub fn beside(&mut self) -> Beside {
        std::mem::take(&mut self.beside)
    }

    fn ask(&mut self, ask: Ask) -> TrialOutcome {
        let asked = self.asks.as_ref().and_then(|asks| asks.send(ask).ok());
        let Some((outcome, beside)) = asked.and_then(|()| self.outcomes.recv().ok()) else {
            return TrialOutcome::Failed(Fault::Host { reason: "the trial's thread has ended".into() });
        };
        self.beside = beside;
        outcome
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            // It reports what goes wrong in it as outcomes.
            let _ = thread.join();
        }
        self.models.close(LEAVE);
        self.telemetry.close();
    }
}

fn start(
    telemetry: &Telemetry,
    stack: usize,
    component: Arc<Component>,
    loaded: Loaded,
    asks: Receiver<Ask>,
    answers: SyncSender<(TrialOutcome, Beside)>,
) -> Result<JoinHandle<()>, TrialError> {
    let threads = Threads::new(telemetry.dispatch().clone());
    let runtime = threads.runtime().map_err(TrialError::Thread)?;
    let body = move || {
        let _entered = runtime.enter();
        let mut bench = Bench::new(component, loaded, runtime.handle().clone());
        while let Ok(ask) = asks.recv() {
            if answers.send(bench.call(ask)).is_err() {
                break;
            }
        }
        drop(bench);
        drop(_entered);
        runtime.shutdown_background();
    };
    threads.spawn("edgewit-trial".to_owned(), Some(stack), body).map_err(TrialError::Thread)
}

/// Loads the models that the component is granted, and waits for them: in a trial nobody is held up.
fn load_models(models: &Models, config: &Config, component: &Component) -> Result<(), TrialError> {
    let granted: BTreeSet<&Arc<str>> = component.grants.model.values().collect();
    let wanted = config.models.iter().filter(|(name, _)| granted.contains(name));
    let wanted = wanted.map(|(name, model)| (name.clone(), model.clone())).collect();
    for (name, answer) in models.apply(&Config { models: wanted, ..config.clone() }, &Digests::new()) {
        if let Ok(Answer::NotTaken(why)) = answer.blocking_recv() {
            return Err(TrialError::Refused { reason: format!("model.{name}: {}", why.reason) });
        }
    }
    Ok(())
}

type Found = (ConfigFile, Config, Arc<Component>);

fn configured(path: &Path, name: &str) -> Result<Found, TrialError> {
    let file = ConfigFile::open(path)?;
    let config = Config::parse(&file.read()?)
        .map_err(|mistakes| TrialError::Configuration { file: path.display().to_string(), mistakes })?;
    let Some(component) = config.components.get(name) else {
        let known = config.components.keys().map(|name| &**name).collect::<Vec<_>>().join(", ");
        return Err(TrialError::Unknown { name: name.to_owned(), known });
    };
    let component = component.clone();
    Ok((file, config, component))
}

/// The defaults of everything come out of the smallest configuration there can be.
fn bare(path: &Path) -> Result<Found, TrialError> {
    let text = "schema = 1\n[gateway]\nthing = \"trial\"\ndata = \".\"\n[component.trial]\nartifact = \"trial.wasm\"\n";
    let config = Config::parse(text)
        .map_err(|mistakes| TrialError::Configuration { file: "the default configuration".to_owned(), mistakes })?;
    let file = ConfigFile::open(path)?;
    let component = config.components.values().next();
    let component = component.ok_or_else(|| TrialError::Refused { reason: "there is no component".to_owned() })?;
    let artifact = path.file_name().unwrap_or_default().into();
    let component = Arc::new(Component { artifact, ..Component::clone(component) });
    Ok((file, config, component))
}

fn not_a_topic(text: &str, error: &TopicError) -> TrialOutcome {
    not_asked(format!("`{text}` is no topic: {error}"))
}

fn not_asked(reason: impl Into<String>) -> TrialOutcome {
    TrialOutcome::NotAsked { reason: reason.into() }
}
