//! What a configuration may mean and probably does not: shown by `edgewit check`, and no reason not to start.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::values::{show_duration, show_size};
use super::{Backend, Cloud, Component, Config, Precision, StoreEngine};
use crate::ledger::BucketId;
use crate::limits::HOPS;
use crate::routing::{Station, Through, possible_circles};

/// Something that is allowed and looks like a slip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key in the configuration; empty where more than one is to blame.
    pub path: String,
    pub problem: String,
}

impl Warning {
    fn at(path: impl Into<String>, problem: impl Into<String>) -> Self {
        Warning { path: path.into(), problem: problem.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

impl Config {
    pub fn warnings(&self) -> Vec<Warning> {
        let mut told = Vec::new();
        if self.components.is_empty() && self.clouds.is_empty() {
            told.push(Warning::at("component", "there is none, and nothing to run; add a [component.NAME]"));
        }
        told.extend(self.components.values().filter(|component| component.is_never_called()).map(|component| {
            let path = format!("component.{}", component.name);
            Warning::at(path, "nothing ever calls it: it has neither a subscription nor a timer")
        }));
        told.extend(possible_circles(self, Through::All).iter().map(|circle| Warning::at("", circle_warning(circle))));
        told.extend(
            possible_circles(self, Through::Refusing).iter().map(|circle| Warning::at("", refusing_warning(circle))),
        );
        told.extend(self.lonely_buckets());
        told.extend(self.model_warnings());
        told.extend(self.store_warnings());
        told.extend(self.clouds.values().flat_map(|cloud| self.cloud_warnings(cloud)));
        told.extend(self.overlapping_downlinks());
        told
    }

    fn lonely_buckets(&self) -> impl Iterator<Item = Warning> {
        let mut users: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
        for component in self.components.values() {
            for grant in component.grants.kv.values() {
                if let BucketId::Shared(bucket) = &grant.bucket.id {
                    users.entry(bucket).or_insert((&component.name, 0)).1 += 1;
                }
            }
        }
        let lonely = users.into_iter().filter(|(_, (_, count))| *count == 1);
        lonely.map(|(bucket, (component, _))| {
            let path = format!("component.{component}.grant.kv.{bucket}");
            Warning::at(path, "shared with nobody: no other component is granted it")
        })
    }

    fn model_warnings(&self) -> Vec<Warning> {
        let mut told = Vec::new();
        for model in self.models.values() {
            let users =
                || self.components.values().filter(|of| of.grants.model.values().any(|name| *name == model.name));
            if users().next().is_none() {
                let idle = "loaded for nobody: no component is granted it";
                told.push(Warning::at(format!("model.{}", model.name), idle));
            }
            if model.backend == (Backend::Tract { precision: Precision::Half }) {
                let slow = "only a processor that computes with 16 bits is fast at it, as newer ones of ARM are; others \
                            take a hundred times as long: measure it with `edgewit model bench`";
                told.push(Warning::at(format!("model.{}.precision", model.name), slow));
            }
            for component in users().filter(|component| component.limits.wall < model.time) {
                let (time, wall) = (show_duration(model.time), show_duration(component.limits.wall));
                let path = format!("component.{}.limits.wall", component.name);
                let early = format!("{wall} end a handling before model.{} may take its {time}", model.name);
                told.push(Warning::at(path, early));
            }
        }
        told
    }

    fn store_warnings(&self) -> Vec<Warning> {
        let mut told = Vec::new();
        if self.store.engine == StoreEngine::Sled {
            let weaker = "sled is weaker against power cuts than sqlite; docs/guide/durability.md says where";
            told.push(Warning::at("store.engine", weaker));
        }
        let promised = self.promised();
        if promised > self.store.bytes {
            let (promised, most) = (show_size(promised), show_size(self.store.bytes));
            let problem = format!(
                "queues, dead letters and buckets may hold {promised} together, and all of the store {most}: \
                 once it is full, what would add to any of them is refused, whatever their own rules say"
            );
            told.push(Warning::at("store.bytes", problem));
        }
        told
    }

    /// What durable queues, their dead letters and buckets may hold, if each is filled to its limit.
    fn promised(&self) -> u64 {
        let queues = self.durable_queues().map(|(_, _, queue)| queue.limits.bytes);
        let durable = |component: &&Arc<Component>| component.subscriptions.values().any(|heard| heard.is_durable());
        let dead = self.components.values().filter(durable).map(|component| component.dead_letter.bytes);
        let up = self.uplinks.values().flat_map(|uplink| [uplink.queue.bytes, uplink.dead_letter.bytes]);
        let down = self.downlinks.values().map(|downlink| downlink.dead_letter.bytes);
        let grants = self.components.values().flat_map(|component| component.grants.kv.values());
        let buckets: BTreeMap<_, u64> = grants.map(|grant| (&grant.bucket.id, grant.bucket.quota)).collect();
        queues.chain(dead).chain(up).chain(down).chain(buckets.into_values()).fold(0, u64::saturating_add)
    }

    fn cloud_warnings(&self, cloud: &Cloud) -> Vec<Warning> {
        let mut told = Vec::new();
        let name = &cloud.name;
        if cloud.is_open() {
            let open = "no TLS: everyone on the way can read and change what is sent, and take the gateway's place; write \
                        mqtts:// or wss://";
            told.push(Warning::at(format!("cloud.{name}.broker"), open));
        }
        let nameless = cloud.login.is_none() && cloud.tls.as_ref().is_none_or(|tls| tls.identity.is_none());
        if nameless && cloud.profile.alpn_443.is_some() {
            let profile = cloud.profile.name;
            let problem = format!("a broker of the profile `{profile}` wants a certificate and key, or a username");
            told.push(Warning::at(format!("cloud.{name}"), problem));
        }
        let up = self.uplinks.values().any(|uplink| uplink.cloud == *name);
        let down = self.downlinks.values().any(|downlink| downlink.cloud == *name);
        if !up && !down && !self.shadow_syncs.values().any(|sync| sync.cloud == *name) {
            let useless = "nothing goes there: no uplink, no downlink and no shadow.sync names it";
            told.push(Warning::at(format!("cloud.{name}"), useless));
        }
        told
    }

    fn overlapping_downlinks(&self) -> Vec<Warning> {
        let mut told = Vec::new();
        for one in self.downlinks.values() {
            let after = self.downlinks.values().filter(|other| other.name > one.name && other.cloud == one.cloud);
            for other in after.filter(|other| other.filter.overlaps(&one.filter)) {
                let problem = format!(
                    "downlink.{} and downlink.{}: their filters meet; what matches both goes by the first, and a broker \
                     may send it twice",
                    one.name, other.name
                );
                told.push(Warning::at("", problem));
            }
        }
        told
    }
}

impl Component {
    fn is_never_called(&self) -> bool {
        self.subscriptions.is_empty() && self.timers.is_empty() && self.grants.timer_pending.is_none()
    }
}

fn path(circle: &[Station]) -> String {
    let names: Vec<String> = circle.iter().chain(circle.first()).map(Station::to_string).collect();
    names.join(" -> ")
}

fn circle_warning(circle: &[Station]) -> String {
    let path = path(circle);
    if circle.iter().any(|station| matches!(station, Station::Uplink(_))) {
        return format!(
            "{path}: messages may run in this circle, and no count of hops ends one that comes back from a cloud; use \
             other topics on the way up or down"
        );
    }
    format!("{path}: messages may run in this circle, by the grants; one that does is dropped after {HOPS} hops")
}

fn refusing_warning(circle: &[Station]) -> String {
    format!(
        "{}: every queue of this circle refuses when it is full, so that once all are, each waits for the next; give one \
         of them full = \"drop-oldest\" or \"last-per-topic\"",
        path(circle)
    )
}
