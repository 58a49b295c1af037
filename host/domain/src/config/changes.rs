//! What a reload has to do: the difference between the configuration that runs and a new one.
//!
//! Pure: says what differs and how far each difference reaches, and carries nothing out. Every struct is
//! taken apart field by field, so that a new key does not compile until someone decided how it changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Component, ComponentLimits, Config, Gateway, Log, Store};

/// The difference between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<Arc<str>>,
    pub removed: Vec<Arc<str>>,
    pub changed: BTreeMap<Arc<str>, Change>,
    pub clouds: Differences,
    pub uplinks: Differences,
    pub downlinks: Differences,
    pub shadow_syncs: Differences,
    pub models: Differences,
    /// Keys of the gateway itself that differ and take effect at once.
    pub gateway: Vec<&'static str>,
    /// Keys that differ and take effect only when the gateway starts again.
    pub needs_restart: Vec<&'static str>,
}

/// What differs between two tables of one kind, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    pub added: Vec<Arc<str>>,
    pub removed: Vec<Arc<str>>,
    pub changed: Vec<Arc<str>>,
}

impl Differences {
    fn of<T: PartialEq>(old: &BTreeMap<Arc<str>, T>, new: &BTreeMap<Arc<str>, T>) -> Differences {
        let names = |keep: &dyn Fn(&Arc<str>, &T) -> bool, of: &BTreeMap<Arc<str>, T>| {
            of.iter().filter(|(name, value)| keep(name, value)).map(|(name, _)| Arc::clone(name)).collect()
        };
        Differences {
            added: names(&|name, _| !old.contains_key(name), new),
            removed: names(&|name, _| !new.contains_key(name), old),
            changed: names(&|name, value| new.get(name).is_some_and(|new| new != value), old),
        }
    }
}

/// How far the change of one component reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The instance goes on; what is around it changes.
    Adjust,
    /// The instance was made from what changed, and has to be made again.
    Replace,
}

impl Changes {
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// Everything that takes effect at once and is no component, as it is called in the file.
    pub fn settings(&self) -> Vec<String> {
        let tables = [
            ("cloud", &self.clouds),
            ("uplink", &self.uplinks),
            ("downlink", &self.downlinks),
            ("shadow.sync", &self.shadow_syncs),
            ("model", &self.models),
        ];
        let tables = tables.into_iter().flat_map(|(kind, Differences { added, removed, changed })| {
            [added, removed, changed].into_iter().flatten().map(move |name| format!("{kind}.{name}"))
        });
        self.gateway.iter().map(|key| (*key).to_owned()).chain(tables).collect()
    }
}

impl Config {
    /// What it takes to get from this configuration to `new`.
    pub fn changes(&self, new: &Config) -> Changes {
        let mut changes = Changes::default();
        self.gateway_changes(new, &mut changes);
        for (name, old) in &self.components {
            match new.components.get(name) {
                None => changes.removed.push(Arc::clone(name)),
                Some(new) => changes.changed.extend(old.change(new).map(|change| (Arc::clone(name), change))),
            }
        }
        changes.added = new.components.keys().filter(|name| !self.components.contains_key(*name)).cloned().collect();
        changes
    }

    fn gateway_changes(&self, new: &Config, changes: &mut Changes) {
        let Config {
            gateway,
            log,
            metrics,
            http,
            store,
            shadow,
            shadow_syncs,
            clouds,
            uplinks,
            downlinks,
            onnxruntime,
            models,
            components: _,
        } = self;
        let Gateway { thing, data, control, profile, grace } = gateway;
        let Log { level, format } = log;
        let Store { engine, bytes, keep } = store;
        let at_once = [
            ("gateway.grace", *grace != new.gateway.grace),
            ("log.level", *level != new.log.level),
            ("onnxruntime", *onnxruntime != new.onnxruntime),
        ];
        let at_start = [
            ("gateway.thing", *thing != new.gateway.thing),
            ("gateway.data", *data != new.gateway.data),
            ("gateway.control", *control != new.gateway.control),
            ("gateway.profile", *profile != new.gateway.profile),
            ("log.format", *format != new.log.format),
            ("metrics.listen", *metrics != new.metrics),
            ("http.ca", *http != new.http),
            ("store.engine", *engine != new.store.engine),
            ("store.bytes", *bytes != new.store.bytes),
            ("store.keep", *keep != new.store.keep),
            ("shadow", *shadow != new.shadow),
        ];
        let differing = |keys: &[(&'static str, bool)]| keys.iter().filter(|key| key.1).map(|key| key.0).collect();
        changes.clouds = Differences::of(clouds, &new.clouds);
        changes.uplinks = Differences::of(uplinks, &new.uplinks);
        changes.downlinks = Differences::of(downlinks, &new.downlinks);
        changes.shadow_syncs = Differences::of(shadow_syncs, &new.shadow_syncs);
        changes.models = Differences::of(models, &new.models);
        changes.gateway = differing(&at_once);
        changes.needs_restart = differing(&at_start);
    }
}

impl Component {
    /// What it takes to get from this component to `new`; none where they are the same.
    pub fn change(&self, new: &Component) -> Option<Change> {
        let Component {
            name: _,
            enabled: _,
            stateless: _,
            subscriptions: _,
            dead_letter: _,
            timers: _,
            recycle: _,
            restart: _,
            health_every: _,
            artifact,
            config,
            grants,
            limits,
        } = self;
        let same_instance = *artifact == new.artifact
            && *config == new.config
            && *grants == new.grants
            && limits.same_instance(&new.limits);
        match (self == new, same_instance) {
            (true, _) => None,
            (false, true) => Some(Change::Adjust),
            (false, false) => Some(Change::Replace),
        }
    }
}

impl ComponentLimits {
    fn same_instance(&self, new: &ComponentLimits) -> bool {
        let ComponentLimits { memory, cpu, wall, publishes, publish_bytes, log_lines: _ } = self;
        (memory, cpu, wall, publishes, publish_bytes)
            == (&new.memory, &new.cpu, &new.wall, &new.publishes, &new.publish_bytes)
    }
}
