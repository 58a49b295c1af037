//! The models: each `[model.NAME]`, loaded once and answering whoever was granted it.
//!
//! Each name has a slot, which is there from the moment the model is configured: what asks while it loads waits, so that
//! no component's start does. What answers goes on answering until something newer has been loaded and has warmed up, and
//! for good where that cannot be loaded. A slot lives as long as the configuration names it or somebody holds it who was
//! granted it.
//!
//! Must never load on a thread that somebody waits for, nor decide who may use what.

mod slot;
mod source;
pub mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use edgewit_domain::config::{Component, Config, ModelLoadGrant};
use edgewit_domain::control::ModelStatus;
use edgewit_domain::digest::Digest;
use edgewit_domain::model::{ErrorKind, InferenceError, Named};
use edgewit_inference::Kit;
use edgewit_sandbox::{Loading as Bringing, Model as SandboxModel, Models as SandboxModels};
use edgewit_worker::WorkerCommand;
use tokio::sync::oneshot;

use crate::files::ConfigFile;
use crate::orders::Answer;
use crate::pool::{NoThread, Pool};
use crate::sync::lock;
use crate::threads::Threads;
use slot::Slot;
use source::Wanted;
pub(crate) use source::{LoadedModel, ModelSource};

/// Models that are loaded at once. While it is, each may take its file and its plan several times over.
const AT_ONCE: usize = 4;

pub(crate) struct Models {
    source: ModelSource,
    pool: Pool,
    /// Brought models have threads of their own, so that no component holds up what the operator configured.
    bringing: Pool,
    slots: Mutex<Slots>,
    /// Components whose own model is being loaded.
    bringers: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

#[derive(Default)]
struct Slots {
    configured: BTreeMap<Arc<str>, Arc<Slot>>,
    /// Every slot that anybody holds: a model that comes back under its name answers those who never let go of it.
    known: BTreeMap<Arc<str>, Weak<Slot>>,
}

/// The models that one component may use, and its way to bring its own.
pub(crate) struct Granted {
    component: Arc<str>,
    slots: BTreeMap<Arc<str>, Arc<Slot>>,
    bringing: Pool,
    bringers: Arc<Mutex<BTreeSet<Arc<str>>>>,
    worker: WorkerCommand,
}

/// Of the files of all models, as they lie there; none where one cannot be read.
pub(crate) type Digests = BTreeMap<Arc<str>, Option<Digest>>;

impl Models {
    pub fn new(file: &ConfigFile, worker: WorkerCommand, threads: &Threads) -> Self {
        Models {
            source: ModelSource::new(file, worker),
            pool: Pool::new(threads.clone(), AT_ONCE),
            bringing: Pool::new(threads.clone(), AT_ONCE),
            slots: Mutex::default(),
            bringers: Arc::default(),
        }
    }

    /// Has every model be as the configuration and its file say, and gives the answers of those that are not yet. Waits
    /// for nothing.
    pub fn apply(&self, config: &Config, digests: &Digests) -> Vec<(Arc<str>, oneshot::Receiver<Answer>)> {
        let mut slots = lock(&self.slots);
        let gone = slots.configured.extract_if(.., |name, _| !config.models.contains_key(name));
        let gone: Vec<Arc<Slot>> = gone.map(|(_, slot)| slot).collect();
        gone.iter().for_each(|slot| slot.forget_order());
        slots.known.retain(|_, slot| slot.strong_count() > 0);
        let mut answers = Vec::new();
        for (name, model) in &config.models {
            let slot = slots.seat(name);
            let wanted = Wanted::new(model, &config.onnxruntime);
            let Some(order) = slot.want(wanted, digests.get(name).copied().flatten()) else { continue };
            if order.is_first {
                self.start(slot);
            }
            answers.push((name.clone(), order.answer));
        }
        drop(slots);
        // The last who holds one of these ends it, and that may take a moment.
        drop(gone);
        answers
    }

    fn start(&self, slot: Arc<Slot>) {
        let (source, on_thread) = (self.source.clone(), slot.clone());
        if let Err(NoThread { error, .. }) = self.pool.run(Box::new(move || on_thread.work(&source))) {
            slot.give_up(&format!(
                "no thread can be started to load it: {error}; raise the limit of processes, and reload"
            ));
        }
    }

    /// Reads all files of models. To be asked where waiting is no harm.
    pub fn digests(&self, config: &Config) -> Digests {
        config.models.values().map(|model| (model.name.clone(), self.source.digest(model))).collect()
    }

    /// What this component may use, for as long as what is returned lives.
    pub fn granted(&self, component: &Component) -> Granted {
        let slots = lock(&self.slots);
        let granted = component.grants.model.values();
        Granted {
            component: component.name.clone(),
            slots: granted.filter_map(|name| Some((name.clone(), slots.configured.get(name)?.clone()))).collect(),
            bringing: self.bringing.clone(),
            bringers: self.bringers.clone(),
            worker: self.source.worker().clone(),
        }
    }

    pub fn status(&self) -> BTreeMap<String, ModelStatus> {
        let slots: Vec<Arc<Slot>> = lock(&self.slots).configured.values().cloned().collect();
        slots.iter().map(|slot| (slot.name().to_string(), slot.status())).collect()
    }

    /// Ends every model: nobody waits for one any more. False if one still loads after `patience`: it ends with the process.
    pub fn close(&self, patience: Duration) -> bool {
        let slots = std::mem::take(&mut *lock(&self.slots));
        let held = slots.known.values().filter_map(Weak::upgrade);
        held.for_each(|slot| slot.give_up("the gateway is ending"));
        let half = patience / 2;
        self.pool.close(half) & self.bringing.close(half)
    }
}

impl Slots {
    /// The slot of this name, made where there is none.
    fn seat(&mut self, name: &Arc<str>) -> Arc<Slot> {
        let known = self.known.get(name).and_then(Weak::upgrade);
        let slot = known.unwrap_or_else(|| Arc::new(Slot::new(name.clone())));
        self.known.insert(name.clone(), Arc::downgrade(&slot));
        self.configured.insert(name.clone(), slot.clone());
        slot
    }
}

impl SandboxModels for Granted {
    fn model(&self, name: &str) -> Option<Arc<dyn SandboxModel>> {
        self.slots.get(name).map(|slot| slot.clone() as Arc<dyn SandboxModel>)
    }

    /// One at a time for each component, which cannot be waited for where a guest begins again and again.
    fn load(&self, bytes: Vec<u8>, grant: ModelLoadGrant) -> Bringing {
        let Some(turn) = Turn::take(&self.component, &self.bringers) else {
            let text = "a model that this component brought before is still being loaded; wait for it";
            return Box::pin(async move { Err(InferenceError::new(ErrorKind::Busy, text)) });
        };
        let kit = Kit { worker: self.worker.clone(), onnxruntime: None };
        let (told, outcome) = oneshot::channel();
        let job = move || {
            if told.is_closed() {
                return;
            }
            let brought = edgewit_inference::Model::bring(bytes, grant, &kit);
            // Before it hears of this, so that it may bring the next at once.
            drop(turn);
            // Who does not wait any more has no use for it.
            let _ = told.send(brought.map(|model| Arc::new(Brought(model)) as Arc<dyn SandboxModel>));
        };
        if let Err(NoThread { error, .. }) = self.bringing.run(Box::new(job)) {
            let text = format!("no thread can be started to load it: {error}");
            return Box::pin(async move { Err(InferenceError::new(ErrorKind::Busy, text)) });
        }
        Box::pin(async move {
            let nobody = |_| Err(InferenceError::new(ErrorKind::Runtime, "loading it failed within the gateway"));
            outcome.await.unwrap_or_else(nobody)
        })
    }
}

/// Given back when it is dropped.
struct Turn {
    component: Arc<str>,
    bringers: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Turn {
    fn take(component: &Arc<str>, bringers: &Arc<Mutex<BTreeSet<Arc<str>>>>) -> Option<Turn> {
        let free = lock(bringers).insert(component.clone());
        free.then(|| Turn { component: component.clone(), bringers: bringers.clone() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.bringers).remove(&self.component);
    }
}

/// A model that a component has brought.
struct Brought(edgewit_inference::Model);

impl SandboxModel for Brought {
    fn run(&self, inputs: Named, until: Instant, given_up: &dyn Fn() -> bool) -> Result<Named, InferenceError> {
        self.0.run(inputs, until, given_up)
    }
}
