//! The far side of a gateway's cloud link: a real broker that wants a client certificate, a network that fails as told
//! before it, and a subscriber that is no part of the gateway.

use std::collections::{BTreeMap, BTreeSet};

use edgewit_domain::control::{CloudStatus, LinkState, Status, UplinkStatus};
use edgewit_testbed::{Authority, Broker, Client, Device, Identity, Mood, Network, Observer, ShadowCloud};
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::world::{Running, World, eventually};

pub struct Far {
    pub authority: Authority,
    pub broker: Broker,
    pub network: Network,
    observer: Observer,
    runtime: Runtime,
}

/// What a subscriber in the cloud reads of `format = "envelope"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Arrival {
    #[serde(skip)]
    pub at: String,
    pub rule: String,
    pub epoch: String,
    pub sequence: u64,
    pub payload: serde_json::Value,
}

pub struct Sdk<'a> {
    device: Device,
    runtime: &'a Runtime,
}

impl Sdk<'_> {
    pub fn does(&mut self, verb: &str, more: serde_json::Value) {
        self.device.does(verb, None, more);
    }

    pub fn hears(&mut self, event: &str) -> serde_json::Value {
        self.runtime.block_on(self.device.hears(None, event))
    }
}

impl Far {
    pub fn new() -> Far {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let authority = Authority::new("test");
        let (broker, network, observer) = runtime.block_on(async {
            let broker = Broker::start(&authority, &authority.server("localhost")).await;
            let network = Network::new(broker.tls).await;
            let observer = Observer::new(broker.plain).await;
            (broker, network, observer)
        });
        Far { authority, broker, network, observer, runtime }
    }

    /// `[cloud.main]` with files that it believes, and what stands in `further`: keys of that table, and tables after it.
    pub fn cloud(&self, further: &str) -> String {
        format!(
            "[cloud.main]\nbroker = \"mqtts://127.0.0.1:{}\"\nserver-name = \"localhost\"\nca = \"file:ca.pem\"\n\
             certificate = \"file:device.pem\"\nkey = \"file:device.key\"\n\
             backoff = \"10ms\"\nbackoff-max = \"100ms\"\n{further}\n",
            self.network.port
        )
    }

    /// A gateway's folder with the cloud and these components in its configuration.
    pub fn world(&self, further: &str, components: &[String]) -> World {
        let world = World::with(&self.cloud(further), components);
        believe(&world, &self.authority);
        show(&world, &self.authority.client("gw"));
        world
    }

    /// A way to the broker without TLS, of which the network can read what it forbids.
    pub fn open_network(&self) -> Network {
        self.runtime.block_on(Network::new(self.broker.plain))
    }

    /// What is there is reset; who comes is let in, or not.
    pub fn cut(&self) {
        self.network.set(Mood::Refuse);
    }

    pub fn mend(&self) {
        self.network.set(Mood::Well);
    }

    pub fn end_broker(&mut self) {
        self.broker.end();
    }

    pub fn begin_broker(&mut self) {
        self.runtime.block_on(self.broker.begin());
    }

    /// From the cloud's side, by QoS 1.
    pub fn publish(&self, topic: &str, payload: &str) {
        self.runtime.block_on(self.observer.publish(topic, payload));
    }

    /// The cloud's shadows from now on.
    pub fn shadows(&self) -> ShadowCloud {
        self.runtime.block_on(ShadowCloud::new(self.broker.plain))
    }

    /// AWS's own SDK, as somebody in the cloud who follows the classic shadow of a thing.
    pub fn sdk(&self, thing: &str) -> Sdk<'_> {
        // One with the authority's own name would count as signed by itself.
        let identity = self.authority.client("sdk");
        let started = Device::start(Client::First, self.broker.tls, &self.authority, &identity, thing, &[]);
        Sdk { device: self.runtime.block_on(started), runtime: &self.runtime }
    }

    /// Everything that came, in the order in which it came.
    pub fn arrived(&self) -> Vec<Arrival> {
        let arrived = self.observer.arrived().into_iter().map(|(at, payload)| {
            let arrival: Arrival = serde_json::from_slice(&payload).unwrap();
            Arrival { at, ..arrival }
        });
        arrived.collect()
    }

    /// The payloads by topic, as a consumer has them that drops what it has seen. Within a rule and an epoch nothing new
    /// may come behind what came after it.
    pub fn kept(&self) -> BTreeMap<String, Vec<serde_json::Value>> {
        let mut seen: BTreeSet<(String, String, u64)> = BTreeSet::new();
        let mut last: BTreeMap<(String, String), u64> = BTreeMap::new();
        let mut kept: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
        for Arrival { at, rule, epoch, sequence, payload } in self.arrived() {
            if seen.insert((rule.clone(), epoch.clone(), sequence)) {
                let before = last.insert((rule.clone(), epoch), sequence);
                assert!(before.is_none_or(|before| before < sequence), "{rule}: {sequence} came behind {before:?}");
                kept.entry(at).or_default().push(payload);
            }
        }
        kept
    }

    /// Waits until exactly the numbers from 0 have come to a topic, in their order and each once but for duplicates that
    /// their sequence numbers show.
    pub fn until_kept(&self, topic: &str, count: u64) {
        let expected: Vec<serde_json::Value> = (0..count).map(Into::into).collect();
        eventually(topic, || match self.kept().remove(topic).unwrap_or_default() {
            kept if kept == expected => Ok(()),
            kept => {
                assert!(expected.starts_with(&kept), "{topic}: {kept:?}");
                Err(kept.len())
            }
        });
    }
}

/// Puts the authority into the file that the gateway believes.
pub fn believe(world: &World, authority: &Authority) {
    std::fs::write(world.path("ca.pem"), authority.pem()).unwrap();
}

/// Puts a certificate and its key into the files that the gateway shows.
pub fn show(world: &World, identity: &Identity) {
    identity.write(world.path("edgewit.toml").parent().unwrap(), "device");
}

pub fn cloud_of(status: &Status) -> &CloudStatus {
    status.clouds.get("main").unwrap()
}

/// Waits until the link's status is as it should be.
pub fn until(running: &Running<'_>, what: &str, holds: impl Fn(&CloudStatus) -> bool) -> CloudStatus {
    eventually(what, || {
        // While it is made anew there is none.
        let cloud = running.status().clouds.remove("main").ok_or(None)?;
        if holds(&cloud) { Ok(cloud) } else { Err(Some(Box::new(cloud))) }
    })
}

pub fn until_connected(running: &Running<'_>) -> CloudStatus {
    until(running, "the link stands", is_connected)
}

pub fn until_drained(running: &Running<'_>) -> CloudStatus {
    until(running, "the queues are empty", |cloud| cloud.uplinks.values().all(|uplink| uplink.queued == 0))
}

/// Waits for trouble of which `text` is a part.
pub fn until_trouble(running: &Running<'_>, text: &str) {
    until(running, text, |cloud| cloud.trouble.as_ref().is_some_and(|trouble| trouble.contains(text)));
}

pub fn is_connected(cloud: &CloudStatus) -> bool {
    matches!(cloud.state, LinkState::Connected { .. })
}

pub fn uplink(cloud: &CloudStatus, name: &str) -> UplinkStatus {
    *cloud.uplinks.get(name).unwrap()
}
