//! Mistakes that no table has alone: what one says is wrong beside what another says.
//!
//! Each takes what was read without a mistake, so that nothing is told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::source::Table;
use super::values::show_size;
use super::{Config, Delivery, DurableQueue, ShadowSync};
use crate::ledger::BucketId;
use crate::limits;
use crate::queue::FullRule;
use crate::shadow::ThingName;
use crate::shadow::sync::{Which, fit};

type Name = Arc<str>;

pub(super) fn all(t: &mut Table, config: &Config) {
    shared_buckets(t, config);
    granted_models(t, config);
    queues_in_store(t, config);
    answers_of_shadows(t, config);
    shadow_syncs(t, config);
    downlink_targets(t, config);
    client_ids(t, config);
    profiles(t, config);
}

impl Config {
    /// Each durable subscription, with its component's name and its own.
    pub(super) fn durable_queues(&self) -> impl Iterator<Item = (&Name, &Name, &DurableQueue)> {
        self.components.values().flat_map(|component| {
            component.subscriptions.iter().filter_map(|(name, subscription)| match &subscription.delivery {
                Delivery::Durable(queue) => Some((&component.name, name, queue)),
                Delivery::Live { .. } => None,
            })
        })
    }
}

/// A bucket has one size, whoever writes it down.
fn shared_buckets(t: &mut Table, config: &Config) {
    let mut first: BTreeMap<&Name, (&Name, u64)> = BTreeMap::new();
    let grants = config.components.values().flat_map(|of| of.grants.kv.values().map(|grant| (&of.name, grant)));
    for (component, grant) in grants {
        let BucketId::Shared(bucket) = &grant.bucket.id else { continue };
        let (other, bytes) = *first.entry(bucket).or_insert((component, grant.bucket.quota));
        if bytes != grant.bucket.quota {
            let (here, there) = (show_size(grant.bucket.quota), show_size(bytes));
            t.mistake_at(
                &["component", component, "grant", "kv", bucket],
                format!("the shared bucket has {here} here, and {there} in component.{other}.grant.kv"),
                format!("write {{ bucket = \"shared\", bytes = \"{there}\" }} here, or the same other size in both"),
            );
        }
    }
}

/// A grant for a model that is not there would be found out only when a component asks for it.
fn granted_models(t: &mut Table, config: &Config) {
    for component in config.components.values() {
        for (name, model) in component.grants.model.iter().filter(|(_, model)| !config.models.contains_key(*model)) {
            let known: Vec<&str> = config.models.keys().map(|name| &**name).collect();
            let cure = match known.is_empty() {
                true => format!("add [model.{model}] and its `file`"),
                false => format!("add [model.{model}] and its `file`, or name one of {}", known.join(", ")),
            };
            let place = ["component", &component.name, "grant", "model", name];
            t.mistake_at(&place, format!("there is no [model.{model}]"), cure);
        }
    }
}

/// What a shadow answers is decided when it is committed: then nobody is left to be told that there was no room.
fn answers_of_shadows(t: &mut Table, config: &Config) {
    for component in config.components.values() {
        for (name, subscription) in &component.subscriptions {
            let Delivery::Durable(queue) = &subscription.delivery else { continue };
            let hears_shadows = subscription.filter.as_str().starts_with("$aws/");
            if hears_shadows && queue.limits.full == FullRule::Refuse {
                t.mistake_at(
                    &["component", &component.name, "subscribe", name, "queue", "full"],
                    "what a shadow says cannot be refused by who hears it".to_owned(),
                    "write `full = \"last-per-topic\"` where the last word is enough, or `full = \"drop-oldest\"`"
                        .to_owned(),
                );
            }
        }
    }
}

/// No queue is promised more than there is for all of them, and there is a number for each.
fn queues_in_store(t: &mut Table, config: &Config) {
    let mut fits = |place: &[&str], bytes: u64| {
        if bytes > config.store.bytes {
            let most = show_size(config.store.bytes);
            let problem = format!("{} is never reached: store.bytes is {most}", show_size(bytes));
            t.mistake_at(place, problem, format!("choose at most {most}, or raise store.bytes"));
        }
    };
    for (component, name, queue) in config.durable_queues() {
        fits(&["component", component, "subscribe", name, "queue", "bytes"], queue.limits.bytes);
    }
    for uplink in config.uplinks.values() {
        fits(&["uplink", &uplink.name, "queue", "bytes"], uplink.queue.bytes);
    }
    // Each uplink and each component may also have a dead-letter queue, each downlink has nothing else.
    let rules = config.uplinks.len() * 2 + config.downlinks.len();
    let queues = config.durable_queues().count() + config.components.len() + rules;
    if queues > limits::QUEUES {
        let problem = format!("{queues} durable queues are too many, dead letters included");
        t.mistake_at(&["component"], problem, format!("at most {} can be stored", limits::QUEUES));
    }
}

/// [C3] The cloud cannot be made to wait, since all that it sends over one connection would wait with it.
fn downlink_targets(t: &mut Table, config: &Config) {
    for downlink in config.downlinks.values() {
        let mut refuse = |place: &[&str]| {
            let problem =
                format!("`refuse` is no rule for what downlink.{} brings: a cloud cannot wait", downlink.name);
            let cure =
                "say full = \"drop-oldest\" or \"last-per-topic\" in `queue`, or use a filter that it does not meet";
            t.mistake_at(place, problem, cure);
        };
        for component in config.components.values() {
            for (name, subscription) in &component.subscriptions {
                let Delivery::Durable(queue) = &subscription.delivery else { continue };
                if queue.limits.full == FullRule::Refuse && subscription.filter.overlaps(&downlink.image) {
                    refuse(&["component", &component.name, "subscribe", name, "queue", "full"]);
                }
            }
        }
        for uplink in config.uplinks.values() {
            if uplink.queue.full == FullRule::Refuse && uplink.filter.overlaps(&downlink.image) {
                refuse(&["uplink", &uplink.name, "queue", "full"]);
            }
        }
    }
}

/// Two connections with one name end each other for ever.
fn client_ids(t: &mut Table, config: &Config) {
    let mut first: BTreeMap<(String, &Name), &Name> = BTreeMap::new();
    for cloud in config.clouds.values() {
        let other = *first.entry((cloud.broker.authority(), &cloud.client_id)).or_insert(&cloud.name);
        if *other != cloud.name {
            t.mistake_at(
                &["cloud", &cloud.name, "client-id"],
                format!("cloud.{other} has the same at the same broker, and each would end the other's connection"),
                "choose another for one of the two",
            );
        }
    }
}

/// [C2] What a broker of the profile would end the connection for.
fn profiles(t: &mut Table, config: &Config) {
    let profile = |cloud: &Name| config.clouds.get(cloud).map(|cloud| cloud.profile);
    for uplink in config.uplinks.values() {
        if let Some(Err(unfit)) = profile(&uplink.cloud).map(|profile| profile.permits_topic(uplink.image.as_str())) {
            let told = unfit.to_string();
            let (problem, cure) = told.split_once("; ").unwrap_or((&told, "use shorter topics"));
            t.mistake_at(&["uplink", &uplink.name, "filter"], problem, cure);
        }
    }
    let mut subscribed: BTreeMap<&Name, usize> = BTreeMap::new();
    for downlink in config.downlinks.values() {
        let Some(profile) = profile(&downlink.cloud) else { continue };
        if let Err(unfit) = profile.permits_topic(downlink.filter.as_str()) {
            let told = unfit.to_string();
            let problem = told.split_once("; ").map_or(told.as_str(), |(problem, _)| problem);
            t.mistake_at(&["downlink", &downlink.name, "filter"], problem, "use a shorter filter");
        }
        let count = subscribed.entry(&downlink.cloud).or_default();
        *count += 1;
        if *count == profile.subscriptions + 1 {
            let problem = format!("the profile `{}` permits {} filters", profile.name, profile.subscriptions);
            t.mistake_at(&["downlink", &downlink.name], problem, "join rules by wider filters, or use a second cloud");
        }
    }
}

/// A thing has one cloud, since two would each undo what the other did, and one connection hears of so many things.
fn shadow_syncs(t: &mut Table, config: &Config) {
    let mut rules: BTreeMap<(&ThingName, &Which), &Name> = BTreeMap::new();
    let mut clouds: BTreeMap<&ThingName, &ShadowSync> = BTreeMap::new();
    for sync in config.shadow_syncs.values() {
        let same = *rules.entry((&sync.thing, &sync.which)).or_insert(&sync.name);
        let other = *clouds.entry(&sync.thing).or_insert(sync);
        if *same != sync.name {
            let problem = format!("shadow.sync.{same} names the same shadow");
            t.mistake_at(&["shadow", "sync", &sync.name], problem, "remove one of the two, or name another `shadow`");
        } else if other.cloud != sync.cloud {
            let problem =
                format!("shadow.sync.{} takes the shadows of {} to cloud.{}", other.name, sync.thing, other.cloud);
            let cure = format!("write cloud = \"{}\" here, or another in both", other.cloud);
            t.mistake_at(&["shadow", "sync", &sync.name, "cloud"], problem, cure);
        }
    }
    for cloud in config.clouds.values() {
        let syncs = || config.shadow_syncs.values().filter(|sync| sync.cloud == cloud.name);
        let things: BTreeSet<&ThingName> = syncs().map(|sync| &sync.thing).collect();
        let things: Vec<&ThingName> = things.into_iter().collect();
        let downlinks = config.downlinks.values().filter(|downlink| downlink.cloud == cloud.name).count();
        if let (Err(unfit), Some(last)) = (fit(&things, downlinks, cloud.profile), syncs().next_back()) {
            let told = unfit.to_string();
            let (problem, cure) = told.split_once("; ").unwrap_or((&told, "synchronise fewer on this link"));
            t.mistake_at(&["shadow", "sync", &last.name], problem, cure);
        }
    }
}
