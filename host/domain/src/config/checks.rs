//! Mistakes that no table has alone: what one says is wrong beside what another says.
//!
//! Each takes what was read without a mistake, so that nothing is told twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::source::Table;
use super::values::show_size;
use super::{Component, Delivery, Store};
use crate::ledger::BucketId;

type Components = BTreeMap<Arc<str>, Arc<Component>>;

/// A bucket has one size, whoever writes it down.
pub(super) fn shared_buckets(t: &mut Table, components: &Components) {
    let mut first: BTreeMap<&Arc<str>, (&Arc<str>, u64)> = BTreeMap::new();
    for (component, grant) in components.values().flat_map(|of| of.grants.kv.values().map(|grant| (&of.name, grant))) {
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

/// No queue is promised more than there is for all of them.
pub(super) fn queues_in_store(t: &mut Table, components: &Components, store: &Store) {
    for component in components.values() {
        for (name, subscription) in &component.subscriptions {
            if let Delivery::Durable(queue) = &subscription.delivery {
                fits(
                    t,
                    &["component", &component.name, "subscribe", name, "queue", "bytes"],
                    queue.limits.bytes,
                    store,
                );
            }
        }
    }
}

fn fits(t: &mut Table, place: &[&str], bytes: u64, store: &Store) {
    if bytes > store.bytes {
        let most = show_size(store.bytes);
        let problem = format!("{} is never reached: store.bytes is {most}", show_size(bytes));
        t.mistake_at(place, problem, format!("choose at most {most}, or raise store.bytes"));
    }
}
