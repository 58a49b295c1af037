//! A model that computes in children, one for each session.
//!
//! A child that has ended is replaced when it is needed next, and what is asked meanwhile waits no longer than it would
//! have anyway. One that ends again and again while it loads is waited for longer each time.

use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use edgewit_domain::config::Backend;
use edgewit_domain::model::{Description, ErrorKind, InferenceError, Named, PortType};
use edgewit_domain::tensor::Tensor;
use edgewit_worker::{Confinement, WorkerCommand};
use rustix::fs::ftruncate;

use super::frame::{Order, Refusal, Said, Start};
use super::talk::{Death, Patience, Silence, Talk};
use super::{Limits, Work, memory};
use crate::Kit;
use crate::library;
use crate::model::LoadError;
use crate::session::{Loaded, Session};

/// What a child gets to stop when nobody waits for its result any more, before it is ended and has to load again.
const STOP: Duration = Duration::from_secs(1);
/// Between two attempts to load what does not load: first, and at most.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

pub struct Remote {
    plan: Arc<Plan>,
    description: Arc<Description>,
    confinement: Confinement,
    /// The child that described the model, for the first session.
    first: Mutex<Option<Talk>>,
}

/// Everything that a child is started with.
struct Plan {
    command: WorkerCommand,
    start: Start,
    limits: Limits,
    /// Kept for children that replace others.
    model: Arc<Vec<u8>>,
}

impl Remote {
    /// Waits until a child has loaded the model, or there is a reason why none will.
    pub fn start(work: &Work, model: Arc<Vec<u8>>, limits: Limits, kit: &Kit) -> Result<Remote, LoadError> {
        let library = match work.backend {
            Backend::Tract { .. } => Vec::new(),
            Backend::Onnxruntime { .. } => library::find(kit)?.as_os_str().as_bytes().to_vec(),
        };
        let start = Start {
            parent: u64::from(std::process::id()),
            memory: limits.memory,
            backend: work.backend,
            library,
            shapes: work.shapes.clone(),
            look_only: work.look_only,
        };
        let plan = Plan { command: kit.worker.clone(), start, limits, model };
        let (talk, confinement, description) = plan.load()?;
        let first = Mutex::new((!work.look_only).then_some(talk));
        Ok(Remote { plan: Arc::new(plan), description: Arc::new(description), confinement, first })
    }

    /// How far the kernel let the child shut itself in.
    pub fn confinement(&self) -> Confinement {
        self.confinement
    }
}

impl Loaded for Remote {
    fn description(&self) -> &Description {
        &self.description
    }

    fn session(&self) -> Result<Box<dyn Session>, InferenceError> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let talk = match first {
            Some(talk) => talk,
            None => self.plan.load().map_err(|error| not_again(&error.to_string()))?.0,
        };
        Ok(Box::new(RemoteSession {
            plan: self.plan.clone(),
            description: self.description.clone(),
            state: State::Ready(talk),
            failures: Failures::default(),
        }))
    }
}

enum NotLoaded {
    Refused(LoadError),
    Late,
    Ended,
}

impl Plan {
    /// A child that has loaded the model.
    fn load(&self) -> Result<(Talk, Confinement, Description), LoadError> {
        let until = Instant::now() + self.limits.load;
        let mut talk = self.begin().map_err(LoadError::Worker)?;
        match self.loaded(&mut talk, Patience { until, given_up: &|| false }) {
            Ok((confinement, description)) => Ok((talk, confinement, description)),
            Err(NotLoaded::Refused(error)) => Err(error),
            Err(NotLoaded::Late) => Err(LoadError::Time(self.limits.load)),
            Err(NotLoaded::Ended) => Err(self.ended(talk.death())),
        }
    }

    /// Starts a child and lets it load. What it makes of it is heard by `loaded`.
    fn begin(&self) -> io::Result<Talk> {
        let talk = Talk::start(&self.command)?;
        memory::write(talk.memory(), [self.model.as_slice()])?;
        let patience = Patience { until: Instant::now() + self.limits.load, given_up: &|| false };
        for order in [Order::Start(self.start.clone()), Order::Load { bytes: self.model.len() as u64 }] {
            match talk.tell(&order, patience) {
                // Why it has ended is found out by whoever listens to it.
                Ok(()) | Err(Silence::Ended) => {}
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Ok(talk)
    }

    fn loaded(&self, talk: &mut Talk, patience: Patience<'_>) -> Result<(Confinement, Description), NotLoaded> {
        match talk.hear(patience) {
            Ok(Said::Described(confinement, description)) => {
                // The model has been read, and its place is free for tensors.
                ftruncate(talk.memory(), 0).map_err(|error| NotLoaded::Refused(LoadError::Worker(error.into())))?;
                Ok((confinement, description))
            }
            Ok(Said::Refused(refusal, text)) => Err(NotLoaded::Refused(match refusal {
                Refusal::Model => LoadError::Refused(text),
                Refusal::Shapes => LoadError::Shapes(text),
                Refusal::Memory => LoadError::Exhausted { limit: self.limits.memory },
                Refusal::Library => LoadError::Library(text),
                Refusal::Child => LoadError::Worker(io::Error::other(text)),
            })),
            Ok(Said::Computed(_) | Said::Failed(_)) | Err(Silence::Garbled) => {
                let text = "its child process said what makes no sense";
                Err(NotLoaded::Refused(LoadError::Refused(text.into())))
            }
            Err(Silence::Ended) => Err(NotLoaded::Ended),
            Err(Silence::Late | Silence::GivenUp) => Err(NotLoaded::Late),
        }
    }

    fn ended(&self, death: Death) -> LoadError {
        match death {
            Death { out_of_memory: true, .. } => LoadError::Exhausted { limit: self.limits.memory },
            Death { text, .. } => LoadError::Refused(format!("the child process that read it ended early ({text})")),
        }
    }
}

struct RemoteSession {
    plan: Arc<Plan>,
    description: Arc<Description>,
    state: State,
    failures: Failures,
}

enum State {
    Ready(Talk),
    /// Computes what was not done in time.
    Late(Talk),
    /// Is to be ended.
    Over(Talk),
    /// Since then.
    Loading(Talk, Instant),
    Nothing,
}

/// Attempts to load in a row that came to nothing.
#[derive(Default)]
struct Failures {
    count: u32,
    last: Option<(Instant, String)>,
}

impl Session for RemoteSession {
    fn run(
        &mut self,
        inputs: Vec<Tensor>,
        until: Instant,
        given_up: &dyn Fn() -> bool,
    ) -> Result<Named, InferenceError> {
        let layouts = memory::layouts(&inputs);
        let limit = self.plan.limits.memory;
        if !memory::bytes_of(&layouts).is_ok_and(|bytes| bytes <= limit) {
            let text = format!("its inputs are larger than the {limit} bytes that are its `memory`");
            return Err(InferenceError::new(ErrorKind::TooLarge, text));
        }
        let patience = Patience { until, given_up };
        let mut talk = self.ready(patience)?;
        talk.forget_words();
        if let Err(error) = memory::write(talk.memory(), inputs.iter().map(Tensor::data)) {
            self.state = State::Ready(talk);
            return Err(runtime(format!("its inputs could not be handed to its child process: {error}")));
        }
        drop(inputs);
        let within = until.saturating_duration_since(Instant::now());
        let asked = talk.tell(&Order::Run { within, inputs: layouts }, patience);
        match asked.and_then(|()| talk.hear(patience)) {
            Ok(said) => self.said(talk, said),
            Err(Silence::Late | Silence::GivenUp) => {
                self.state = State::Late(talk);
                Err(InferenceError::new(ErrorKind::Timeout, "it was not done in time"))
            }
            Err(Silence::Garbled) => Err(self.garbled(talk)),
            Err(Silence::Ended) => Err(self.died(talk, patience)),
        }
    }

    /// Lets a child that was late go on, if it stops soon. Otherwise it ends here.
    fn recover(&mut self) {
        self.state = match mem::replace(&mut self.state, State::Nothing) {
            State::Late(talk) if stops(&talk) => State::Ready(talk),
            State::Late(_) => {
                tracing::warn!(
                    "a model's child process did not stop in time and was ended; the next inference starts another"
                );
                State::Nothing
            }
            State::Over(talk) => {
                drop(talk);
                State::Nothing
            }
            other => other,
        };
    }

    fn has_to_recover(&self) -> bool {
        matches!(self.state, State::Late(_) | State::Over(_))
    }

    fn only_waits(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }
}

fn stops(talk: &Talk) -> bool {
    let patience = Patience { until: Instant::now() + STOP, given_up: &|| false };
    talk.tell(&Order::Stop, patience).and_then(|()| talk.hear(patience)).is_ok()
}

impl RemoteSession {
    /// A child that has loaded the model.
    fn ready(&mut self, patience: Patience<'_>) -> Result<Talk, InferenceError> {
        self.recover();
        let (mut talk, since) = match mem::replace(&mut self.state, State::Nothing) {
            State::Ready(talk) => return Ok(talk),
            State::Loading(talk, since) => (talk, since),
            State::Late(_) | State::Over(_) | State::Nothing => {
                self.failures.may_try()?;
                let begun = self.plan.begin().map_err(|error| self.failures.one_more(error.to_string()))?;
                (begun, Instant::now())
            }
        };
        let longest = since + self.plan.limits.load;
        let loaded = self.plan.loaded(&mut talk, Patience { until: patience.until.min(longest), ..patience });
        match loaded {
            Ok(_) => {
                self.failures = Failures::default();
                Ok(talk)
            }
            Err(NotLoaded::Late) if Instant::now() < longest => {
                self.state = State::Loading(talk, since);
                Err(InferenceError::new(ErrorKind::Timeout, "it is being loaded"))
            }
            Err(NotLoaded::Late) => Err(self.failures.one_more(LoadError::Time(self.plan.limits.load).to_string())),
            Err(NotLoaded::Refused(error)) => Err(self.failures.one_more(error.to_string())),
            Err(NotLoaded::Ended) => Err(self.failures.one_more(self.plan.ended(talk.death()).to_string())),
        }
    }

    fn said(&mut self, talk: Talk, said: Said) -> Result<Named, InferenceError> {
        let layouts = match said {
            Said::Computed(layouts) => layouts,
            Said::Failed(error) => {
                self.state = State::Ready(talk);
                return Err(error);
            }
            Said::Described(..) | Said::Refused(..) => return Err(self.garbled(talk)),
        };
        let small = memory::bytes_of(&layouts).is_ok_and(|bytes| bytes <= self.plan.limits.memory);
        let tensors = self.description.outputs.iter().filter(|port| matches!(port.ty, PortType::Tensor(_)));
        let names: Vec<Arc<str>> = tensors.map(|port| port.name.clone()).collect();
        if !small || layouts.len() != names.len() {
            return Err(self.garbled(talk));
        }
        let Ok(tensors) = memory::tensors(talk.memory(), layouts) else { return Err(self.garbled(talk)) };
        self.state = State::Ready(talk);
        Ok(names.into_iter().zip(tensors).collect())
    }

    fn garbled(&mut self, talk: Talk) -> InferenceError {
        self.state = State::Over(talk);
        runtime("its child process said what makes no sense and was ended".into())
    }

    fn died(&mut self, mut talk: Talk, patience: Patience<'_>) -> InferenceError {
        if !talk.has_ended(patience) {
            self.state = State::Over(talk);
            return runtime("its child process closed its end and was ended".into());
        }
        let Death { out_of_memory, text } = talk.death();
        if out_of_memory {
            let limit = self.plan.limits.memory;
            let text = format!("it needed more than the {limit} bytes that are its `memory`");
            return InferenceError::new(ErrorKind::TooLarge, text);
        }
        runtime(format!("its child process ended early ({text})"))
    }
}

impl Failures {
    fn may_try(&self) -> Result<(), InferenceError> {
        let Some((since, cause)) = &self.last else { return Ok(()) };
        let wait = BACKOFF.saturating_mul(1u32.checked_shl(self.count.saturating_sub(1)).unwrap_or(u32::MAX));
        let left = wait.min(BACKOFF_MAX).saturating_sub(since.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        let count = self.count;
        Err(runtime(format!("it could not be loaded again {count} times, next tried in {left:.1?}: {cause}")))
    }

    fn one_more(&mut self, cause: String) -> InferenceError {
        self.count = self.count.saturating_add(1);
        tracing::warn!(cause, count = self.count, "a model could not be loaded again in a child process");
        let error = not_again(&cause);
        self.last = Some((Instant::now(), cause));
        error
    }
}

fn not_again(cause: &str) -> InferenceError {
    runtime(format!("it could not be loaded again: {cause}"))
}

fn runtime(text: String) -> InferenceError {
    InferenceError::new(ErrorKind::Runtime, text)
}
