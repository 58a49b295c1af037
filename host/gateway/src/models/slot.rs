//! One name, and whatever answers to it.
//!
//! Two things change here and never together: what answers, which is a whole model or none, and what is wanted, which is
//! an order that one thread at a time carries out. A newer order takes an older one's place; who waited for the older one
//! hears nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use edgewit_domain::control::{ModelState, ModelStatus, NotTaken};
use edgewit_domain::digest::Digest;
use edgewit_domain::model::{ErrorKind, InferenceError, Named};
use edgewit_sandbox::{Inference, Model as SandboxModel};
use tokio::sync::{oneshot, watch};

use super::source::{LoadedModel, ModelSource, Unloaded, Wanted};
use crate::error::chain;
use crate::orders::Answer;

pub(super) struct Slot {
    name: Arc<str>,
    standing: watch::Sender<Standing>,
    counts: Arc<Counts>,
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

#[derive(Default)]
struct Counts {
    runs: AtomicU64,
    failures: AtomicU64,
    refused: AtomicU64,
}

impl Slot {
    pub fn new(name: Arc<str>) -> Self {
        Slot { name, standing: watch::Sender::default(), counts: Arc::default() }
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Orders this, unless it is what answers already.
    pub fn want(&self, wanted: Wanted, digest: Option<Digest>) -> Option<Ordered> {
        let mut ordered = None;
        self.standing.send_modify(|standing| {
            let runs = standing.current.as_ref().is_some_and(|current| current.is(&wanted, digest));
            if standing.order.is_none() && runs {
                standing.refused = None;
                return;
            }
            let (told, answer) = oneshot::channel();
            standing.number += 1;
            standing.last = Some(wanted.clone());
            standing.order = Some(Order { number: standing.number, wanted, digest, answer: told });
            let is_first = !std::mem::replace(&mut standing.loading, true);
            ordered = Some(Ordered { is_first, answer });
        });
        ordered
    }

    /// Carries orders out until there are none.
    pub fn work(&self, source: &ModelSource) {
        while let Some((number, wanted)) = self.next() {
            self.settle(number, source.load(&wanted));
        }
    }

    fn next(&self) -> Option<(u64, Wanted)> {
        let mut next = None;
        self.standing.send_modify(|standing| {
            next = standing.order.as_ref().map(|order| (order.number, order.wanted.clone()));
            standing.loading = next.is_some();
        });
        next
    }

    /// What came of an order, be it one that another has replaced meanwhile.
    fn settle(&self, number: u64, outcome: Result<LoadedModel, Unloaded>) {
        // What is replaced ends when it is dropped, and nobody is to wait for that.
        let mut replaced = None;
        self.standing.send_modify(|standing| {
            let serves = |order: &mut Order| {
                let loaded = outcome.as_ref().ok();
                order.number == number || loaded.is_some_and(|loaded| loaded.is(&order.wanted, order.digest))
            };
            let Some(order) = standing.order.take_if(serves) else { return };
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
        });
        drop(replaced);
    }

    /// Nobody needs what was ordered last.
    pub fn forget_order(&self) {
        self.standing.send_modify(|standing| standing.order = None);
    }

    /// Ends what answers, and lets nobody wait for what would.
    pub fn give_up(&self, reason: &str) {
        let mut replaced = None;
        self.standing.send_modify(|standing| {
            replaced = standing.replace(None);
            (standing.order, standing.loading) = (None, false);
            standing.refused = Some(reason.to_owned());
        });
        drop(replaced);
    }

    pub fn status(&self) -> ModelStatus {
        let standing = self.standing.borrow();
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
            runs: self.counts.runs.load(Ordering::Relaxed),
            failures: self.counts.failures.load(Ordering::Relaxed),
            refused: self.counts.refused.load(Ordering::Relaxed),
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

    fn is_settled(&self) -> bool {
        self.current.is_some() || self.order.is_none()
    }
}

impl SandboxModel for Slot {
    fn run(&self, inputs: Named) -> Inference {
        let (name, mut standing) = (self.name.clone(), self.standing.subscribe());
        let counted = Counted { counts: self.counts.clone(), outcome: None };
        Box::pin(async move {
            let mut counted = counted;
            let running = match standing.wait_for(Standing::is_settled).await {
                Ok(standing) => match &standing.current {
                    Some(current) => Ok(current.model.run(inputs)),
                    None => Err(unavailable(&name, standing.refused.as_deref())),
                },
                Err(_) => Err(unavailable(&name, None)),
            };
            // From here on it is that model's, whatever is loaded meanwhile.
            drop(standing);
            let outcome = match running {
                Ok(running) => running.await,
                Err(error) => Err(error),
            };
            counted.outcome = Some(outcome.as_ref().map(drop).map_err(|error| error.kind));
            outcome
        })
    }
}

fn unavailable(name: &str, reason: Option<&str>) -> InferenceError {
    let reason = reason.unwrap_or("the configuration does not name it any more");
    InferenceError::new(ErrorKind::Runtime, format!("model `{name}` is not there: {reason}"))
}

/// Counts an inference when it is over, be it that whoever asked gave it up.
struct Counted {
    counts: Arc<Counts>,
    outcome: Option<Result<(), ErrorKind>>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let count = match self.outcome {
            Some(Ok(())) => &self.counts.runs,
            Some(Err(ErrorKind::Busy)) => &self.counts.refused,
            Some(Err(_)) | None => &self.counts.failures,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
