//! Linking by grant: a component gets the interfaces that it was granted, and no others exist for it.
//!
//! What a component imports and was not granted is refused here, before anything of it runs, with the lines of
//! configuration that would permit it. The part of WASI that toolchains import whether a program uses it or not
//! is linked in any case and refuses when it is used.

use std::sync::Arc;

use edgewit_domain::config::Component;
use edgewit_domain::fault::Fault;
use edgewit_domain::grant::{Denied, Grants, Import};
use edgewit_domain::shadow::Telling;
use wasmtime::component::{HasSelf, InstancePre, Linker};
use wasmtime::{Result, Store};

use crate::artifact::Artifact;
use crate::bindings::edgewit::{pubsub, shadow, timer};
use crate::bindings::exports::edgewit::lifecycle::{health, start, state};
use crate::bindings::exports::edgewit::{pubsub as pubsub_exports, shadow as shadow_exports, timer as timer_exports};
use crate::bindings::wasi::{config, keyvalue, logging};
use crate::capability;
use crate::engine::Engine;
use crate::guest::{Guest, Profile};
use crate::instance::{Exports, Instance};
use crate::services::Services;

const PUBLISHER: &str = "edgewit:pubsub/publisher@0.1.0";
const SCHEDULER: &str = "edgewit:timer/scheduler@0.1.0";
const SHADOWS: &str = "edgewit:shadow/store@0.1.0";
/// The others of its package come and go with it.
const KEYVALUE: &str = "wasi:keyvalue/store@0.2.0-draft";

/// Who can be told of shadows.
const DELTAS: &str = "edgewit:shadow/handler (or edgewit:pubsub/handler, for the messages as they are)";
const CHANGES: &str = "edgewit:shadow/observer (or edgewit:pubsub/handler, for the messages as they are)";

/// Why a component cannot be linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Denied(Vec<Denied>),
    #[error(
        "it imports {}, which this gateway does not have; build it against the WIT of this version",
        .0.join(", ")
    )]
    Unknown(Vec<String>),
    #[error(
        "it exports nothing that the gateway could call; export edgewit:pubsub/handler, edgewit:timer/handler or \
         edgewit:shadow/handler"
    )]
    NothingToCall,
    #[error("the configuration {what}, but the component does not export {interface}")]
    NotExported { what: &'static str, interface: &'static str },
    #[error("its imports do not have the types of this gateway: {0}; build it against the WIT of this version")]
    Mismatch(String),
}

/// A component linked to its grants, ready to be instantiated as often as need be.
#[derive(Clone)]
pub struct Prepared {
    engine: Engine,
    pre: InstancePre<Guest>,
    indices: Indices,
    profile: Arc<Profile>,
}

impl Prepared {
    pub fn new(engine: &Engine, artifact: &Artifact, component: &Component) -> Result<Self, LinkError> {
        let grants = Grants::new(component.name.clone(), component.grants.clone());
        check_imports(&grants, artifact.surface.imports.iter().map(|import| import.name.as_str()))?;
        let pre = linker(engine, &grants)
            .and_then(|linker| linker.instantiate_pre(&artifact.component))
            .map_err(|error| LinkError::Mismatch(format!("{error:#}")))?;
        let indices = Indices::of(&pre);
        check_exports(component, indices.exports())?;
        let profile = Profile {
            name: component.name.clone(),
            config: component.config.clone(),
            grants,
            limits: component.limits.clone(),
        };
        Ok(Prepared { engine: engine.clone(), pre, indices, profile: Arc::new(profile) })
    }

    pub fn exports(&self) -> Exports {
        self.indices.exports()
    }

    /// Makes an instance. Call it, and everything on what it returns, on the instance's own thread.
    pub fn instantiate(&self, services: Services) -> Result<Instance, Fault> {
        let guest = Guest::new(self.profile.clone(), services);
        Instance::new(self.engine.clone(), guest, |store| self.indices.load(store, &self.pre))
    }
}

fn check_imports<'a>(grants: &Grants, imports: impl IntoIterator<Item = &'a str>) -> Result<(), LinkError> {
    let (mut denied, mut unknown) = (Vec::new(), Vec::new());
    for import in imports {
        match grants.import(import) {
            Import::Free | Import::Granted | Import::Stub => {}
            // Interfaces that one grant permits are missing once.
            Import::Denied(reason) if denied.iter().any(|other: &Denied| other.cure() == reason.cure()) => {}
            Import::Denied(reason) => denied.push(reason),
            Import::Unknown => unknown.push(import.to_owned()),
        }
    }
    match (unknown.is_empty(), denied.is_empty()) {
        (false, _) => Err(LinkError::Unknown(unknown)),
        (true, false) => Err(LinkError::Denied(denied)),
        (true, true) => Ok(()),
    }
}

fn check_exports(component: &Component, exports: Exports) -> Result<(), LinkError> {
    for subscription in component.subscriptions.values().filter(|_| !exports.message) {
        let (exported, what, interface) = match Telling::of_all(&subscription.filter) {
            None => (false, "subscribes", "edgewit:pubsub/handler"),
            Some(Telling::Delta) => (exports.delta, "subscribes to deltas of shadows", DELTAS),
            Some(Telling::Documents) => (exports.change, "subscribes to documents of shadows", CHANGES),
        };
        if !exported {
            return Err(LinkError::NotExported { what, interface });
        }
    }
    if !component.timers.is_empty() && !exports.tick {
        return Err(LinkError::NotExported { what: "declares timers", interface: "edgewit:timer/handler" });
    }
    if !exports.hears() && !exports.tick && !exports.start {
        return Err(LinkError::NothingToCall);
    }
    Ok(())
}

fn linker(engine: &Engine, grants: &Grants) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine.wasmtime());
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_sync(&mut linker)?;
    linker.allow_shadowing(true);
    capability::io::add_to_linker(&mut linker)?;
    capability::filesystem::add_to_linker(&mut linker)?;
    capability::http::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);

    config::store::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    logging::logging::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    pubsub::types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    shadow::types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    timer::types::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    if granted(grants, PUBLISHER) {
        pubsub::publisher::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if granted(grants, SCHEDULER) {
        timer::scheduler::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if granted(grants, SHADOWS) {
        shadow::store::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if granted(grants, KEYVALUE) {
        keyvalue::store::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        keyvalue::atomics::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        keyvalue::batch::add_to_linker::<Guest, HasSelf<Guest>>(&mut linker, |guest| guest)?;
    }
    if granted(grants, capability::nn::GRAPH) {
        capability::nn::add_to_linker(&mut linker)?;
    }
    Ok(linker)
}

pub(crate) fn granted(grants: &Grants, interface: &str) -> bool {
    matches!(grants.import(interface), Import::Granted)
}

/// Where the exports of a component are, looked up once.
#[derive(Clone)]
struct Indices {
    message: Option<pubsub_exports::handler::GuestIndices>,
    tick: Option<timer_exports::handler::GuestIndices>,
    delta: Option<shadow_exports::handler::GuestIndices>,
    change: Option<shadow_exports::observer::GuestIndices>,
    start: Option<start::GuestIndices>,
    health: Option<health::GuestIndices>,
    state: Option<state::GuestIndices>,
}

impl Indices {
    fn of(pre: &InstancePre<Guest>) -> Self {
        Indices {
            message: pubsub_exports::handler::GuestIndices::new(pre).ok(),
            tick: timer_exports::handler::GuestIndices::new(pre).ok(),
            delta: shadow_exports::handler::GuestIndices::new(pre).ok(),
            change: shadow_exports::observer::GuestIndices::new(pre).ok(),
            start: start::GuestIndices::new(pre).ok(),
            health: health::GuestIndices::new(pre).ok(),
            state: state::GuestIndices::new(pre).ok(),
        }
    }

    fn exports(&self) -> Exports {
        Exports {
            message: self.message.is_some(),
            tick: self.tick.is_some(),
            delta: self.delta.is_some(),
            change: self.change.is_some(),
            start: self.start.is_some(),
            health: self.health.is_some(),
            state: self.state.is_some(),
        }
    }

    fn load(&self, store: &mut Store<Guest>, pre: &InstancePre<Guest>) -> Result<Handlers> {
        let instance = pre.instantiate(&mut *store)?;
        Ok(Handlers {
            exports: self.exports(),
            message: self.message.as_ref().map(|export| export.load(&mut *store, &instance)).transpose()?,
            tick: self.tick.as_ref().map(|export| export.load(&mut *store, &instance)).transpose()?,
            delta: self.delta.as_ref().map(|export| export.load(&mut *store, &instance)).transpose()?,
            change: self.change.as_ref().map(|export| export.load(&mut *store, &instance)).transpose()?,
            start: self.start.as_ref().map(|export| export.load(&mut *store, &instance)).transpose()?,
            health: self.health.as_ref().map(|export| export.load(&mut *store, &instance)).transpose()?,
            state: self.state.as_ref().map(|export| export.load(&mut *store, &instance)).transpose()?,
        })
    }
}

/// The exports of one instance.
pub(crate) struct Handlers {
    pub exports: Exports,
    pub message: Option<pubsub_exports::handler::Guest>,
    pub tick: Option<timer_exports::handler::Guest>,
    pub delta: Option<shadow_exports::handler::Guest>,
    pub change: Option<shadow_exports::observer::Guest>,
    pub start: Option<start::Guest>,
    pub health: Option<health::Guest>,
    pub state: Option<state::Guest>,
}
