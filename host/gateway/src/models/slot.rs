//! One name, and whatever answers to it.
//!
//! Two things change here and never together: what answers, which is a whole model or none, and what is wanted, which is
//! an order that one thread at a time carries out. A newer order takes an older one's place; who waited for the older one
//! hears nothing more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use edgewit_domain::control::{ModelState, ModelStatus, NotTaken};
use edgewit_domain::digest::Digest;
use edgewit_domain::model::{ErrorKind, InferenceError, Named};
use edgewit_inference::Model;
use edgewit_inference::session::LOOK;
use edgewit_sandbox::Model as SandboxModel;
use tokio::sync::oneshot;

use super::source::{LoadedModel, ModelSource, Unloaded, Wanted};
use crate::error::chain;
use crate::orders::Answer;
use crate::sync::lock;

pub(super) struct Slot {
    name: Arc<str>,
    standing: Mutex<Standing>,
    changed: Condvar,
    runs: AtomicU64,
    failures: AtomicU64,
    refused: AtomicU64,
}

#[derive(Default)]
struct Standing {
    current: Option<LoadedModel>,
    order: Option<Order>,
    /// What was ordered last.
    last: Option<Wanted>,
    /// Of the last order.
    number: u64,
    /// Somebody carries the orders out.
    loading: bool,
    /// Why the last order was not carried out.
    refused: Option<String>,
    /// Time that those have computed which are gone.
    computed: Duration,
}

struct Order {
    number: u64,
    wanted: Wanted,
    /// The file as it lay there when the order was given.
    digest: Option<Digest>,
    /// Dropped without a word where something newer is wanted meanwhile.
    answer: oneshot::Sender<Answer>,
}

/// An order that was given.
pub(super) struct Ordered {
    /// Nobody carries orders out yet.
    pub is_first: bool,
    pub answer: oneshot::Receiver<Answer>,
}

impl Slot {
    pub fn new(name: Arc<str>) -> Self {
        Slot {
            name,
            standing: Mutex::default(),
            changed: Condvar::new(),
            runs: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Orders this, unless it is what answers already.
    pub fn want(&self, wanted: Wanted, digest: Option<Digest>) -> Option<Ordered> {
        let mut standing = lock(&self.standing);
        let runs = standing.current.as_ref().is_some_and(|current| current.is(&wanted, digest));
        if standing.order.is_none() && runs {
            standing.refused = None;
            return None;
        }
        let (told, answer) = oneshot::channel();
        standing.number += 1;
        standing.last = Some(wanted.clone());
        standing.order = Some(Order { number: standing.number, wanted, digest, answer: told });
        let is_first = !std::mem::replace(&mut standing.loading, true);
        Some(Ordered { is_first, answer })
    }

    /// Carries orders out until there are none.
    pub fn work(&self, source: &ModelSource) {
        while let Some((number, wanted)) = self.next() {
            self.settle(number, source.load(&wanted));
        }
    }

    fn next(&self) -> Option<(u64, Wanted)> {
        let mut standing = lock(&self.standing);
        let next = standing.order.as_ref().map(|order| (order.number, order.wanted.clone()));
        standing.loading = next.is_some();
        next
    }

    /// What came of an order, be it one that another has replaced meanwhile.
    fn settle(&self, number: u64, outcome: Result<LoadedModel, Unloaded>) {
        let mut standing = lock(&self.standing);
        let serves = |order: &mut Order| {
            let loaded = outcome.as_ref().ok();
            order.number == number || loaded.is_some_and(|loaded| loaded.is(&order.wanted, order.digest))
        };
        let Some(order) = standing.order.take_if(serves) else { return };
        // What is replaced ends when it is dropped, and nobody is to wait for that.
        let mut replaced = None;
        let answer = match outcome {
            Ok(loaded) => {
                tracing::info!(model = &*self.name, digest = %loaded.digest, "The model answers");
                replaced = standing.replace(Some(loaded));
                standing.refused = None;
                Answer::Changed
            }
            Err(unloaded) => {
                let (reason, old_stays) = (chain(&unloaded), standing.current.is_some());
                tracing::error!(model = &*self.name, error = reason, old_stays, "The model was not loaded");
                standing.refused = Some(reason.clone());
                Answer::NotTaken(NotTaken { reason, old_stays })
            }
        };
        // Who does not wait any more does not want to know.
        let _ = order.answer.send(answer);
        self.tell(standing);
        drop(replaced);
    }

    /// Nobody needs what was ordered last.
    pub fn forget_order(&self) {
        let mut standing = lock(&self.standing);
        standing.order = None;
        self.tell(standing);
    }

    /// Ends what answers, and lets nobody wait for what would.
    pub fn give_up(&self, reason: &str) {
        let mut standing = lock(&self.standing);
        let replaced = standing.replace(None);
        (standing.order, standing.loading) = (None, false);
        standing.refused = Some(reason.to_owned());
        self.tell(standing);
        drop(replaced);
    }

    /// Those who wait for what answers.
    fn tell(&self, standing: MutexGuard<'_, Standing>) {
        drop(standing);
        self.changed.notify_all();
    }

    /// What answers, as soon as it does.
    fn current(&self, until: Instant, given_up: &dyn Fn() -> bool) -> Result<Model, InferenceError> {
        let mut standing = lock(&self.standing);
        loop {
            if let Some(current) = &standing.current {
                return Ok(current.model.clone());
            }
            if standing.order.is_none() {
                return Err(unavailable(&self.name, standing.refused.as_deref()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || given_up() {
                let text = format!("model `{}` is still being loaded", self.name);
                return Err(InferenceError::new(ErrorKind::Timeout, text));
            }
            let waited = self.changed.wait_timeout(standing, left.min(LOOK));
            (standing, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub fn status(&self) -> ModelStatus {
        let standing = lock(&self.standing);
        let current = standing.current.as_ref();
        let stats = current.map(|current| current.model.stats()).unwrap_or_default();
        let shown = current.map(|current| &current.wanted).or(standing.last.as_ref());
        let state = match (current, &standing.refused) {
            (Some(_), _) => ModelState::Ready,
            (None, Some(reason)) if standing.order.is_none() => ModelState::Failed { reason: reason.clone() },
            (None, _) => ModelState::Loading,
        };
        let older = match standing.order.is_some() {
            true => Some("the newer one is being loaded".to_owned()),
            false => standing.refused.clone(),
        };
        let planned = current.and_then(|current| current.model.description().planned);
        let config = shown.map(|wanted| &*wanted.model);
        let instances = config.map_or(0, |model| model.instances);
        ModelStatus {
            state,
            backend: config.map_or("", |model| model.backend.name()).to_owned(),
            file: config.map_or_else(String::new, |model| model.file.display().to_string()),
            digest: current.map_or_else(String::new, |current| current.digest.to_string()),
            instances,
            waiting: stats.waiting,
            runs: self.runs.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            computing_us: u64::try_from((standing.computed + stats.computing).as_micros()).unwrap_or(u64::MAX),
            planned_memory: planned.map(|planned| planned.with(instances)),
            older: older.filter(|_| current.is_some()),
        }
    }
}

impl Standing {
    fn replace(&mut self, by: Option<LoadedModel>) -> Option<LoadedModel> {
        let replaced = std::mem::replace(&mut self.current, by);
        self.computed += replaced.as_ref().map(|replaced| replaced.model.stats().computing).unwrap_or_default();
        replaced
    }
}

impl SandboxModel for Slot {
    fn run(&self, inputs: Named, until: Instant, given_up: &dyn Fn() -> bool) -> Result<Named, InferenceError> {
        // What was there when it was asked computes it, whatever is loaded meanwhile.
        let answer = self.current(until, given_up).and_then(|model| model.run(inputs, until, given_up));
        let count = match &answer {
            Ok(_) => &self.runs,
            Err(error) if error.kind == ErrorKind::Busy => &self.refused,
            Err(_) => &self.failures,
        };
        count.fetch_add(1, Ordering::Relaxed);
        answer
    }
}

fn unavailable(name: &str, reason: Option<&str>) -> InferenceError {
    let reason = reason.unwrap_or("the configuration does not name it any more");
    InferenceError::new(ErrorKind::Runtime, format!("model `{name}` is not there: {reason}"))
}
