//! What this version reads and cannot do: refused where a gateway would run with it, and nowhere else.
//!
//! The configuration's language is whole, so that files can be written and checked by other means; a gateway that
//! accepted a durable queue and kept it in memory would break the one promise that the word makes.

use super::{Config, Mistake, Mistakes};

impl Config {
    /// Reads a configuration that a gateway is to run with.
    pub fn parse_served(text: &str) -> Result<Config, Mistakes> {
        let config = Config::parse(text)?;
        let unserved = config.unserved();
        if unserved.is_empty() { Ok(config) } else { Err(Mistakes::new(unserved)) }
    }

    fn unserved(&self) -> Vec<Mistake> {
        let durable = self.components.values().flat_map(|component| {
            let durable = component.subscriptions.iter().filter(|(_, subscription)| subscription.is_durable());
            durable.map(|(name, _)| format!("component.{}.subscribe.{name}.delivery", component.name))
        });
        let refuse = |path| Mistake {
            line: None,
            path,
            problem: "durable queues need the store, which this version does not have".to_owned(),
            cure: "say delivery = \"live\"".to_owned(),
        };
        let buckets = self.components.values().flat_map(|component| {
            component.grants.kv.keys().map(|name| format!("component.{}.grant.kv.{name}", component.name))
        });
        let no_bucket = |path| Mistake {
            line: None,
            path,
            problem: "buckets need the store, which this version does not have".to_owned(),
            cure: "remove the line".to_owned(),
        };
        let clouds = self.clouds.keys().map(|name| Mistake {
            line: None,
            path: format!("cloud.{name}"),
            problem: "links to a cloud need the store, which this version does not have".to_owned(),
            cure: "remove it with its rules".to_owned(),
        });
        durable.map(refuse).chain(buckets.map(no_bucket)).chain(clouds).collect()
    }
}
