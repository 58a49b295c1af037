//! [A1] [C1] [C3] A real gateway, ended by SIGKILL at random moments under load, round after round: what a publisher got
//! an acknowledgement for reaches the cloud, and what the cloud got one for is kept.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use edgewit_domain::control::{Command, Reply, Status};
use edgewit_domain::message::Qos;
use edgewit_gateway::control::Client;

use super::down::{collector, rows};
use super::up::echo;
use crate::far::{Far, cloud_of, is_connected};
use crate::process::Process;
use crate::world::{World, eventually};

/// The usual number of cases of a property makes 10, that of a long run hundreds.
pub fn rounds() -> u64 {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(256u64);
    cases.div_ceil(26)
}

/// Numbers said to a topic, and which of them were acknowledged.
struct Publisher {
    topic: &'static str,
    next: AtomicU64,
    acknowledged: std::sync::Mutex<BTreeSet<u64>>,
}

impl Publisher {
    fn new(topic: &'static str) -> Publisher {
        Publisher { topic, next: AtomicU64::new(0), acknowledged: Default::default() }
    }

    /// Until the gateway is gone. What it did not answer may have been kept or not.
    fn publish(&self, world: &World) {
        let Ok(mut client) = Client::connect(&world.socket()) else { return };
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let payload = number.to_string().into_bytes();
            let publish = Command::Publish { topic: self.topic.into(), payload, qos: Qos::AtLeastOnce, retain: false };
            match client.ask(&publish) {
                Ok(Reply::Done) => self.acknowledged.lock().unwrap().insert(number),
                Ok(other) => panic!("{other:?}"),
                Err(_) => return,
            };
        }
    }

    fn count(&self) -> u64 {
        self.acknowledged.lock().unwrap().len() as u64
    }

    /// What arrived has all that was acknowledged, in order, and nothing twice that is not the same message.
    fn check(&self, arrived: &[u64]) {
        assert!(arrived.is_sorted_by(|one, next| one < next), "{}: {arrived:?}", self.topic);
        let arrived: BTreeSet<u64> = arrived.iter().copied().collect();
        let lost: Vec<_> = self.acknowledged.lock().unwrap().difference(&arrived).copied().collect();
        assert!(lost.is_empty(), "{}: {lost:?} were acknowledged and are lost", self.topic);
    }
}

/// Where the round is ended, and whether the network is away: numbers without a pattern, the same in every run.
pub fn moment(round: u64) -> u64 {
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40
}

fn numbers(payloads: &[serde_json::Value]) -> Vec<u64> {
    payloads.iter().map(|payload| payload.as_u64().unwrap()).collect()
}

#[test]
fn c1_a_gateway_killed_again_and_again_loses_nothing_on_the_way_up_or_down() {
    let far = Far::new();
    let rules = "[uplink.all]\nfilter = \"up/#\"\nqueue = { bytes = \"64MiB\", messages = 1000000 }\n\
                 [downlink.commands]\nfilter = \"cmd/#\"\n";
    let commands = collector("b", "cmd/#", "bytes = \"64MiB\", messages = 1000000, full = \"drop-oldest\"");
    let world = far.world(rules, &[echo("a"), commands]);
    let (through, straight) = (Publisher::new("a/in"), Publisher::new("up/straight"));
    let mut commanded = 0;
    for round in 0..rounds() {
        let process = Process::start(&world, "a");
        if round == 0 {
            until_subscribed(&far, &process);
        }
        let moment = moment(round);
        if moment.is_multiple_of(3) {
            far.cut();
        }
        let enough = through.count() + straight.count() + 1 + moment % 150;
        std::thread::scope(|scope| {
            scope.spawn(|| through.publish(&world));
            scope.spawn(|| straight.publish(&world));
            for _ in 0..moment / 150 % 40 {
                far.publish("cmd/x", &commanded.to_string());
                commanded += 1;
            }
            eventually("enough for this round", || match through.count() + straight.count() {
                count if count >= enough => Ok(()),
                count => Err(count),
            });
            if moment % 3 == 1 {
                far.cut();
            }
            drop(process);
        });
        far.mend();
    }
    let process = Process::start(&world, "a");
    eventually("all is sent", || {
        let status = process.status()?;
        let waiting = status.components.get("a").unwrap().queued + cloud_of(&status).uplinks["all"].queued;
        if waiting == 0 { Ok(()) } else { Err(format!("{status:?}")) }
    });
    let (kept, acknowledged) = (far.kept(), through.count() + straight.count());
    println!(
        "{} rounds: {acknowledged} acknowledged, {} arrived, {commanded} came down",
        rounds(),
        far.arrived().len()
    );
    through.check(&numbers(&kept["up/a"]));
    straight.check(&numbers(&kept["up/straight"]));
    eventually("all commands", || {
        let rows = rows(|command| process.ask(command).unwrap(), "component/b/in");
        let mut seen = BTreeSet::new();
        let numbers = rows.iter().filter_map(|row| std::str::from_utf8(&row.message.payload).unwrap().parse().ok());
        let first: Vec<u64> = numbers.filter(|number| seen.insert(*number)).collect();
        assert!(first.is_sorted(), "{first:?}");
        if first.len() as u64 == commanded { Ok(()) } else { Err(first.len()) }
    });
}

/// The broker has its session from then on.
fn until_subscribed(far: &Far, process: &Process<'_>) {
    let received = |status: &Status| cloud_of(status).downlinks["commands"].received;
    eventually("the link is subscribed", || {
        let status = process.status()?;
        if is_connected(cloud_of(&status)) {
            far.publish("cmd/probe", "?");
        }
        if received(&status) > 0 { Ok(()) } else { Err(format!("{status:?}")) }
    });
}
