//! A running gateway as its services see it: what can be asked of it, and how it answers.
//!
//! The control socket, the signals and a program that embeds the gateway all come in through [`Core::command`]; none
//! of them reaches a component any other way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewit_domain::config::Config;
use edgewit_domain::control::{Command, Reply, Status};
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::Topic;
use tokio::sync::{Notify, oneshot};

use crate::cloud::Clouds;
use crate::components::Components;
use crate::desk::millis;
use crate::error::chain;
use crate::files::ConfigFile;
use crate::hub::{Hub, PublishError};
use crate::orders::Order;
use crate::reload::ReloadError;
use crate::sync::lock;
use crate::telemetry::Telemetry;

pub(crate) struct Core {
    pub hub: Arc<Hub>,
    pub components: Arc<Components>,
    pub clouds: Clouds,
    pub telemetry: Telemetry,
    pub file: ConfigFile,
    pub dev: bool,
    config: Mutex<Arc<Config>>,
    /// One reload at a time.
    pub reloading: tokio::sync::Mutex<()>,
    /// Somebody asked for the end.
    pub ending: Notify,
}

impl Core {
    pub fn new(
        hub: Arc<Hub>,
        (components, clouds): (Arc<Components>, Clouds),
        telemetry: Telemetry,
        file: ConfigFile,
        config: Arc<Config>,
        dev: bool,
    ) -> Self {
        let (reloading, ending) = (tokio::sync::Mutex::new(()), Notify::new());
        Core { hub, components, clouds, telemetry, file, dev, config: Mutex::new(config), reloading, ending }
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        lock(&self.config).clone()
    }

    pub fn set_config(&self, config: Arc<Config>) {
        *lock(&self.config) = config;
    }

    pub fn grace(&self) -> Duration {
        lock(&self.config).gateway.grace
    }

    /// Every command that has one reply.
    pub async fn command(&self, command: Command) -> Reply {
        match command {
            Command::Status => Reply::Status(Box::new(self.status())),
            Command::Publish { topic, payload, qos, retain } => match Topic::parse(topic.clone()) {
                Ok(topic) => {
                    self.publish_as(Message { qos, retain, ..Message::new(topic, payload) }, Origin::Operator).await
                }
                Err(error) => {
                    let (problem, cure) = error.parts();
                    refused(format!("`{topic}` is no topic: {problem}"), cure)
                }
            },
            Command::Restart { component } => self.order(&component, Order::Restart).await,
            Command::Stop { component } => self.order(&component, Order::Stop).await,
            Command::Start { component } => self.order(&component, Order::Start).await,
            Command::Queues => self.queues().await,
            Command::Rows { queue, from, count } => self.rows(queue, from, count).await,
            Command::DropRows { queue } => self.drop_rows(queue).await,
            Command::Replay { queue, sequence } => self.replay(queue, sequence).await,
            Command::Shadow { thing, name, verb, document } => self.shadow((thing, name), verb, &document).await,
            Command::Shadows { thing, after } => self.shadows(thing, after).await,
            Command::SyncedShadows { thing, after } => self.synced_shadows(thing, after),
            Command::Reload => match self.reload().await {
                Ok(mut reloading) => {
                    reloading.answered().await;
                    Reply::Reloaded(Box::new(reloading.report()))
                }
                Err(error) => not_reloaded(&error),
            },
            Command::Shutdown => {
                self.ending.notify_one();
                Reply::Done
            }
            Command::Logs { .. } | Command::Subscribe { .. } => {
                refused("this command has more than one reply", "send it to the control socket")
            }
        }
    }

    pub(crate) async fn publish_as(&self, message: Message, origin: Origin) -> Reply {
        let (told, outcome) = oneshot::channel();
        self.hub.publish_then(message, origin, move |outcome| {
            // Who does not wait any more does not want to know.
            let _ = told.send(outcome);
        });
        match outcome.await.unwrap_or(Err(PublishError::Unknown)) {
            Ok(_) => Reply::Done,
            Err(error) => {
                let cure = match error {
                    PublishError::Reserved { .. } => "choose another topic",
                    PublishError::TooLarge { .. } => "send a smaller payload",
                    PublishError::TooManyProperties { .. } => "send fewer user properties",
                    PublishError::NotForCloud(_) => "publish what it takes, or narrow the rule's `filter`",
                    PublishError::NoRoom(_) => "wait until its reader has caught up, or see `edgewit queue ls`",
                    PublishError::Refused(_) => "see `edgewit queue ls` and the gateway's log",
                    PublishError::Unknown => "see to the disk, and start the gateway again",
                    PublishError::Closed => "publish again when it runs",
                };
                refused(error, cure)
            }
        }
    }

    async fn order(&self, component: &str, order: Order) -> Reply {
        match self.components.order(component, order, self.grace()).await {
            Ok(()) => Reply::Done,
            Err(error) => refused(&error, error.cure()),
        }
    }

    pub fn status(&self) -> Status {
        let counts = self.hub.counts();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            thing: self.config().gateway.thing.to_string(),
            dev: self.dev,
            uptime_ms: millis(self.hub.since_start()),
            messages: counts.taken,
            circles: counts.circles,
            components: self.components.status(),
            clouds: self.clouds.status(),
            models: self.components.models().status(),
        }
    }
}

pub(crate) fn not_reloaded(error: &ReloadError) -> Reply {
    refused(chain(error), "nothing was changed; `edgewit check` shows the same")
}

pub(crate) fn refused(reason: impl ToString, cure: impl ToString) -> Reply {
    Reply::Refused { reason: reason.to_string(), cure: cure.to_string() }
}
