//! Reading the configuration again, and changing only what changed.
//!
//! All or nothing up to one point: a file with a mistake changes nothing at all. After it each component goes its
//! own way, and one that cannot take what is new keeps its old instance where it has one. Whatever is the same in
//! both files keeps its instance, its queues with what waits in them, and its counters.
//!
//! What changed is judged by what the components really run and are about to run, never by what an earlier reload was
//! asked for: a file that was put back takes back what is still under way.

mod outcome;

use std::path::PathBuf;
use std::sync::Arc;

use edgewit_domain::config::{Component, Config, Gateway, Log, Mistakes};
use edgewit_sandbox::artifact::Digest;

use crate::core::Core;
use crate::desk::Desk;
use crate::error::chain;
use crate::files::{ConfigFile, FileError};
use crate::models::Digests;
use outcome::Changing;
pub(crate) use outcome::Reloading;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}", mistakes.in_file(&file.display().to_string()))]
    Mistakes { file: PathBuf, mistakes: Mistakes },
    #[error("the file could not be read because the gateway is shutting down")]
    Ending,
}

/// A component that is to change, and the digest of its artifact.
type Differing = (Arc<Component>, Option<Digest>);

impl Core {
    /// Gives every component that is not as the file says its orders, one reload after another. Who waits for what
    /// comes of them holds up neither the next reload nor the end.
    pub async fn reload(&self) -> Result<Reloading, ReloadError> {
        let _alone = self.reloading.lock().await;
        let begun = self.begin().await;
        if let Err(error) = &begun {
            tracing::error!(error = chain(error), "Reload refused; nothing was changed");
        }
        begun
    }

    async fn begin(&self) -> Result<Reloading, ReloadError> {
        let file = self.file.clone();
        let thing = self.config().gateway.thing.clone();
        let new = blocking(move || parse(&file, &thing)).await??;
        let running = self.running();
        let changes = running.changes(&new);
        let (differing, digests) = self.differing(&new).await?;
        for key in &changes.needs_restart {
            tracing::warn!(key, "Changed, and takes effect only when the gateway starts again");
        }
        self.telemetry.set_level(new.log.level);
        self.set_config(Arc::new(in_force(&running, &new)));
        // Before any component is loaded that is granted a new one.
        let models = self.components.models().apply(&new, &digests);
        self.components.end(&changes.removed, self.grace(), true).await;
        let added = changes.added.iter().filter_map(|name| new.components.get(name));
        let seats: Vec<_> = added.map(|component| (component, self.components.seat(component.clone()))).collect();
        self.clouds.apply(&new).await;
        let mut reloading = Reloading::new(&changes);
        for (name, answer) in models {
            reloading.wait_for(Changing::Model(name), answer);
        }
        for (component, digest) in differing {
            if let Some(answer) = self.components.change(&component, digest) {
                reloading.wait_for(Changing::Component(component.name.clone()), answer);
            }
        }
        for (component, seat) in seats {
            if let Err(error) = self.components.start(seat) {
                reloading.is_missing(&component.name, &error);
            }
        }
        self.components.sweep(new.components.into_values().collect());
        Ok(reloading)
    }

    /// The configuration as the components have really taken it.
    fn running(&self) -> Config {
        let components = self.components.desks().iter().map(|desk| (desk.name.clone(), desk.component())).collect();
        Config { components, ..(*self.config()).clone() }
    }

    /// Those that do not run as the file says, or have not yet taken what an earlier reload said; and the digest of
    /// each one's artifact and of each model's file, since the same configuration may name a file with other content.
    async fn differing(&self, new: &Config) -> Result<(Vec<Differing>, Digests), ReloadError> {
        let source = self.components.source().clone();
        let desk = |component: &Arc<Component>| self.components.desk(&component.name);
        let known: Vec<(Arc<Component>, Arc<Desk>)> =
            new.components.values().filter_map(|component| Some((component.clone(), desk(component)?))).collect();
        let new = new.clone();
        blocking(move || {
            let look = |(component, desk): (Arc<Component>, Arc<Desk>)| {
                let digest = source.digest(&component);
                desk.differs(&component, digest).then_some((component, digest))
            };
            (known.into_iter().filter_map(look).collect(), source.models.digests(&new))
        })
        .await
    }
}

fn parse(file: &ConfigFile, thing: &Arc<str>) -> Result<Config, ReloadError> {
    let text = file.read()?;
    Config::parse_for(&text, Some(thing)).map_err(|mistakes| ReloadError::Mistakes { file: file.path(), mistakes })
}

/// What only a start of the gateway can change stays as it is.
fn in_force(running: &Config, new: &Config) -> Config {
    Config {
        gateway: Gateway { grace: new.gateway.grace, ..running.gateway.clone() },
        log: Log { level: new.log.level, format: running.log.format },
        metrics: running.metrics,
        http: running.http.clone(),
        store: running.store,
        shadow: running.shadow,
        shadow_syncs: new.shadow_syncs.clone(),
        clouds: new.clouds.clone(),
        uplinks: new.uplinks.clone(),
        downlinks: new.downlinks.clone(),
        onnxruntime: new.onnxruntime.clone(),
        models: new.models.clone(),
        components: new.components.clone(),
    }
}

async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, ReloadError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ReloadError::Ending)
}
