//! All components of a gateway: their threads, and the way to give each of them orders.
//!
//! A component's mailbox and routes exist from the moment it is configured until it is removed, whatever becomes of
//! its instance: while it waits to be started again its queues go on collecting within their bounds. Nothing in here
//! waits for a guest without a limit: who does not answer within the grace time is interrupted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use edgewit_domain::config::Component;
use edgewit_domain::control::ComponentStatus;
use edgewit_sandbox::artifact::Digest;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::desk::{Common, Desk};
use crate::loading::Source;
use crate::models::Models;
use crate::orders::{Answer, Order, TooMany, Wanted};
use crate::runner::Runner;
use crate::sync::lock;
use crate::threads::Threads;

/// How often a thread that is wanted is interrupted again.
const HURRY_AGAIN: Duration = Duration::from_millis(100);

pub(crate) struct Components {
    common: Common,
    threads: Threads,
    members: Mutex<BTreeMap<Arc<str>, Member>>,
    /// No more grace for anyone.
    at_once: watch::Sender<bool>,
}

/// A component that has its queues, and nobody yet who handles what is in them.
pub(crate) struct Seat(Arc<Desk>);

struct Member {
    desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

/// Why a component was not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrderError {
    #[error("there is no component `{name}`")]
    Unknown { name: String },
    #[error("component `{name}` has more orders waiting than it can carry out")]
    Busy { name: String },
}

impl OrderError {
    pub fn cure(&self) -> &'static str {
        match self {
            OrderError::Unknown { .. } => "`edgewit ps` lists the components; add it to the configuration and reload",
            OrderError::Busy { .. } => "wait for what it is doing, and ask again",
        }
    }
}

impl Components {
    pub fn new(common: Common, threads: Threads) -> Self {
        Components { common, threads, members: Mutex::default(), at_once: watch::Sender::new(false) }
    }

    /// Gives a component its queues, which collect from now on. To be done for all before any of them starts, so that
    /// the first does not speak to the last before that listens.
    pub fn seat(&self, component: Arc<Component>) -> Seat {
        let desk = Arc::new(Desk::new(self.common.clone(), component.clone()));
        desk.adopt(component);
        Seat(desk)
    }

    /// Starts a component's thread, which starts the component if that is enabled.
    pub fn start(&self, Seat(desk): Seat) -> std::io::Result<()> {
        let (on_thread, io) = (desk.clone(), self.common.io.clone());
        let stack = self.common.loading.source().engine.thread_stack();
        let name = desk.name.clone();
        let thread = self.threads.spawn(format!("edgewit-c-{name}"), Some(stack), move || {
            let _entered = io.enter();
            Runner::run(on_thread);
        });
        let thread = thread.inspect_err(|_| desk.inbox.close(false))?;
        lock(&self.members).insert(name, Member { desk, thread });
        Ok(())
    }

    /// Has a component run as this says from now on. None if it was removed meanwhile.
    pub fn change(&self, component: &Arc<Component>, digest: Option<Digest>) -> Option<oneshot::Receiver<Answer>> {
        let desk = self.desk(&component.name)?;
        let (answer, answered) = oneshot::channel();
        desk.want(component.clone());
        let wanted = Wanted { component: component.clone(), digest, answer };
        // Orders of this kind are never refused.
        let _ = desk.orders.push(Order::Change(wanted), None, &desk.mailbox);
        Some(answered)
    }

    /// Returns when the order was carried out. A handling under way is given `grace` and then interrupted.
    pub async fn order(&self, name: &str, order: Order, grace: Duration) -> Result<(), OrderError> {
        let desk = self.desk(name).ok_or_else(|| OrderError::Unknown { name: name.to_owned() })?;
        let done = tell(&desk, order).map_err(|TooMany| OrderError::Busy { name: name.to_owned() })?;
        self.wait(&desk, done, grace).await;
        Ok(())
    }

    /// Ends components and joins their threads. None of them is waited for longer than the others. `gone` says that they
    /// are not in the configuration any more.
    pub async fn end(&self, names: &[Arc<str>], grace: Duration, gone: bool) {
        let ended: Vec<Member> = {
            let mut members = lock(&self.members);
            names.iter().filter_map(|name| members.remove(name)).collect()
        };
        let mut told = Vec::new();
        for member in &ended {
            member.desk.inbox.close(gone);
            if let Ok(done) = tell(&member.desk, Order::End) {
                told.push((member.desk.clone(), done));
            }
        }
        let deadline = self.common.clock.now() + grace;
        for (desk, done) in told {
            self.wait(&desk, done, deadline.saturating_sub(self.common.clock.now())).await;
        }
        for member in ended {
            let (name, waiting) = (member.desk.name.clone(), member.desk.mailbox.level().waiting);
            if waiting > 0 {
                tracing::warn!(component = &*name, waiting, "Ended with deliveries that nobody handled");
            }
            if member.thread.join().is_err() {
                tracing::error!(component = &*name, "Its thread ended in a panic");
            }
        }
    }

    /// From now on nobody is given any grace, and whoever was given some has had it.
    pub fn hurry(&self) {
        self.at_once.send_replace(true);
    }

    /// The other side is dropped, not sent to, when the order was carried out.
    async fn wait(&self, desk: &Desk, mut done: oneshot::Receiver<()>, grace: Duration) {
        let mut at_once = self.at_once.subscribe();
        let carried_out = tokio::select! {
            _ = &mut done => true,
            () = sleep(grace) => false,
            _ = at_once.wait_for(|at_once| *at_once) => false,
        };
        if !carried_out {
            desk.orders.hurry(&desk.interrupter);
            // An order before this one may have begun something new meanwhile.
            while timeout(HURRY_AGAIN, &mut done).await.is_err() {
                desk.orders.hurry(&desk.interrupter);
            }
        }
    }

    /// Forgets the native code that these components have no use for.
    pub fn sweep(&self, components: Vec<Arc<Component>>) {
        self.common.loading.sweep(components);
    }

    pub fn source(&self) -> &Source {
        self.common.loading.source()
    }

    pub fn models(&self) -> &Arc<Models> {
        &self.source().models
    }

    pub fn names(&self) -> Vec<Arc<str>> {
        lock(&self.members).keys().cloned().collect()
    }

    pub fn desk(&self, name: &str) -> Option<Arc<Desk>> {
        lock(&self.members).get(name).map(|member| member.desk.clone())
    }

    pub fn desks(&self) -> Vec<Arc<Desk>> {
        lock(&self.members).values().map(|member| member.desk.clone()).collect()
    }

    pub fn status(&self) -> BTreeMap<String, ComponentStatus> {
        self.desks().iter().map(|desk| (desk.name.to_string(), desk.status())).collect()
    }
}

fn tell(desk: &Desk, order: Order) -> Result<oneshot::Receiver<()>, TooMany> {
    let (done, wait) = oneshot::channel();
    desk.orders.push(order, Some(done), &desk.mailbox)?;
    Ok(wait)
}
