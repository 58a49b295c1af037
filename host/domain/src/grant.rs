//! What a component may do: nothing, but for what its table of grants says.
//!
//! Every question ends in yes or in a [`Denied`], which carries the lines of configuration that would turn
//! it into a yes. Whoever acts for a guest asks here first, with the very value it is about to act on, and
//! nothing in here may answer from anything but the table: no list of exceptions, no mode that permits all.

mod address;
mod denied;
mod import;
mod shadow;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::{DirGrant, GrantTable, HttpGrant, KvGrant, ModelLoadGrant};
use crate::topic::Topic;

pub use denied::{Denied, EXAMPLE, Refused};
pub use import::Import;

/// The grants of one component.
#[derive(Clone, Debug)]
pub struct Grants {
    component: Arc<str>,
    table: GrantTable,
}

impl Grants {
    pub fn new(component: Arc<str>, table: GrantTable) -> Grants {
        Grants { component, table }
    }

    pub fn component(&self) -> &Arc<str> {
        &self.component
    }

    /// Whether it may publish to this topic. A reserved one is refused whatever is granted.
    pub fn publish(&self, topic: &Topic) -> Result<(), Denied> {
        if topic.is_reserved() {
            return Err(self.deny(Refused::Reserved(topic.clone())));
        }
        if self.table.publish.values().any(|filter| filter.matches(topic)) {
            return Ok(());
        }
        Err(self.deny(Refused::Publish(topic.clone())))
    }

    /// How many one-shot timers it may have pending.
    pub fn timer_pending(&self) -> Result<u64, Denied> {
        self.table.timer_pending.ok_or_else(|| self.deny(Refused::Timers))
    }

    /// The grant under which it may send a request there. `host` is what the guest named: the address that it
    /// resolves to is for [`Grants::http_address`] to judge.
    pub fn http(&self, https: bool, host: &str, port: u16) -> Result<&HttpGrant, Denied> {
        let permits =
            |grant: &&HttpGrant| grant.https == https && grant.port == port && address::same_host(&grant.host, host);
        self.table
            .http
            .values()
            .find(permits)
            .ok_or_else(|| self.deny(Refused::Http { https, host: address::bare(host).to_ascii_lowercase(), port }))
    }

    /// Whether a request under this grant may connect to this address.
    pub fn http_address(&self, grant: &HttpGrant, address: IpAddr) -> Result<(), Denied> {
        if address::permits(grant, address) {
            return Ok(());
        }
        Err(self.deny(Refused::Address { grant: grant.clone(), address: address.to_canonical() }))
    }

    /// The directories it may open, by the name that the guest sees.
    pub fn dirs(&self) -> &BTreeMap<Arc<str>, DirGrant> {
        &self.table.dir
    }

    /// The grant under which it may open the bucket that it calls by this name.
    pub fn kv(&self, bucket: &str) -> Result<&KvGrant, Denied> {
        self.table.kv.get(bucket).ok_or_else(|| self.deny(Refused::Bucket(bucket.to_owned())))
    }

    /// The same, to change what is in it.
    pub fn kv_write(&self, bucket: &str) -> Result<&KvGrant, Denied> {
        let grant = self.kv(bucket)?;
        if grant.read_only { Err(self.deny(Refused::ReadOnly(bucket.to_owned()))) } else { Ok(grant) }
    }

    /// What configuration calls the model that the guest calls by this name.
    pub fn model(&self, name: &str) -> Result<&Arc<str>, Denied> {
        self.table.model.get(name).ok_or_else(|| self.deny(Refused::Model(name.to_owned())))
    }

    /// What a model that the guest brings itself may take.
    pub fn model_load(&self) -> Result<&ModelLoadGrant, Denied> {
        self.table.model_load.as_ref().ok_or_else(|| self.deny(Refused::ModelLoad))
    }

    /// What to link for an interface that it imports, named as in `edgewit:pubsub/publisher@0.1.0`.
    pub fn import(&self, interface: &str) -> Import {
        import::judge(self, interface)
    }

    fn deny(&self, refused: Refused) -> Denied {
        Denied::new(&self.component, &self.table, refused)
    }
}

#[cfg(test)]
mod tests;
