//! Reading the configuration again, and changing only what changed.
//!
//! All or nothing up to one point: a file with a mistake changes nothing at all. After it each component goes its
//! own way, and one that cannot take what is new keeps its old instance where it has one. Whatever is the same in
//! both files keeps its instance, its queues with what waits in them, and its counters.

use std::path::PathBuf;
use std::sync::Arc;

use edgewit_domain::config::{Change, Changes, Component, Config, Gateway, Log, Mistakes};
use edgewit_domain::control::{ComponentState, Reloaded};
use edgewit_sandbox::artifact::Digest;

use crate::core::Core;
use crate::files::{ConfigFile, FileError};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}", mistakes.in_file(&file.display().to_string()))]
    Mistakes { file: PathBuf, mistakes: Mistakes },
    #[error("the file could not be read because the gateway is shutting down")]
    Ending,
}

impl Core {
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let _alone = self.reloading.lock().await;
        let outcome = self.reload_alone().await;
        match &outcome {
            Ok(reloaded) => tracing::info!(
                added = reloaded.added.join(" "),
                removed = reloaded.removed.join(" "),
                changed = reloaded.changed.join(" "),
                "Reloaded"
            ),
            Err(error) => tracing::error!(%error, "Reload refused; nothing was changed"),
        }
        outcome
    }

    async fn reload_alone(&self) -> Result<Reloaded, ReloadError> {
        let file = self.file.clone();
        let new = blocking(move || parse(&file)).await??;
        let running = self.running();
        let mut changes = running.changes(&new);
        self.find_changed_files(&new, &mut changes).await?;
        for key in &changes.needs_restart {
            tracing::warn!(key, "Changed, and takes effect only when the gateway starts again");
        }
        self.telemetry.set_level(new.log.level);
        self.set_config(Arc::new(in_force(&running, &new)));
        self.apply(&new, &changes).await;
        Ok(report(&changes))
    }

    /// The configuration as the components have really taken it: one that kept its old instance is tried again.
    fn running(&self) -> Config {
        let components = self.components.desks().iter().map(|desk| (desk.name.clone(), desk.component())).collect();
        Config { components, ..(*self.config()).clone() }
    }

    /// The same configuration may name a file with other content; and what was refused for its file may be good now.
    async fn find_changed_files(&self, new: &Config, changes: &mut Changes) -> Result<(), ReloadError> {
        let source = self.components.source().clone();
        let same = new.components.values().filter(|component| !changes.changed.contains_key(&component.name));
        let tried: Vec<(Arc<Component>, Option<Digest>)> = same
            .filter_map(|component| Some((component.clone(), self.components.desk(&component.name)?)))
            .filter(|(_, desk)| desk.digest().is_some() || matches!(desk.state(), ComponentState::Refused { .. }))
            .map(|(component, desk)| (component, desk.digest()))
            .collect();
        let differing = blocking(move || {
            let differs = tried.into_iter().filter(|(component, loaded)| source.digest(component) != *loaded);
            differs.map(|(component, _)| component.name.clone()).collect::<Vec<_>>()
        });
        for name in differing.await? {
            changes.changed.insert(name, Change::Replace);
        }
        Ok(())
    }

    async fn apply(&self, new: &Config, changes: &Changes) {
        self.components.end(&changes.removed, self.grace()).await;
        let of = |name: &Arc<str>| new.components.get(name);
        for (component, change) in changes.changed.iter().filter_map(|(name, change)| Some((of(name)?, change))) {
            match change {
                Change::Adjust => self.components.adjust(component),
                Change::Replace => self.components.replace(component),
            }
        }
        for component in changes.added.iter().filter_map(of) {
            if let Err(error) = self.components.add(component.clone()) {
                let name = &*component.name;
                tracing::error!(component = name, %error, "No thread can be started for it; raise the limit of processes");
            }
        }
        let all: Vec<Arc<Component>> = new.components.values().cloned().collect();
        self.components.sweep(all);
    }
}

fn parse(file: &ConfigFile) -> Result<Config, ReloadError> {
    let text = file.read()?;
    Config::parse_served(&text).map_err(|mistakes| ReloadError::Mistakes { file: file.path(), mistakes })
}

/// What only a start of the gateway can change stays as it is.
fn in_force(running: &Config, new: &Config) -> Config {
    Config {
        gateway: Gateway { grace: new.gateway.grace, ..running.gateway.clone() },
        log: Log { level: new.log.level, format: running.log.format },
        metrics: running.metrics,
        http: running.http.clone(),
        store: running.store,
        components: new.components.clone(),
    }
}

fn report(changes: &Changes) -> Reloaded {
    let texts = |names: &[Arc<str>]| names.iter().map(|name| name.to_string()).collect();
    Reloaded {
        added: texts(&changes.added),
        removed: texts(&changes.removed),
        changed: changes.changed.keys().map(|name| name.to_string()).collect(),
        needs_restart: changes.needs_restart.iter().map(|key| (*key).to_owned()).collect(),
    }
}

async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, ReloadError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| ReloadError::Ending)
}
