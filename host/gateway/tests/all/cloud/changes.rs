//! A reload changes rules and the link itself while messages are on their way, and loses none of them.

use edgewit_domain::control::{Command, QueueStatus, Reply};

use super::up::publish;
use crate::far::{Far, is_connected, until, until_connected, until_drained, uplink};
use crate::world::{Running, World, eventually, numbers_until};

const ALL: &str = "[uplink.all]\nfilter = \"up/#\"\nqueue = { messages = 1000000, bytes = \"256MiB\" }\n";

pub fn reload(running: &Running<'_>) {
    let reply = running.command(Command::Reload);
    assert!(matches!(reply, Reply::Reloaded(_)), "{reply:?}");
}

fn change(world: &World, far: &Far, running: &Running<'_>, further: &str) {
    world.configure(&far.cloud(further), &[]);
    reload(running);
}

fn queue(running: &Running<'_>, name: &str) -> Option<QueueStatus> {
    match running.command(Command::Queues) {
        Reply::Queues { queues } => queues.into_iter().find(|queue| queue.queue == name),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rules_and_the_link_may_change_while_messages_are_on_their_way() {
    let far = Far::new();
    let world = far.world(ALL, &[]);
    let running = world.start();
    until_connected(&running);
    let changes = [
        // Another rule comes, goes up under another name, and hears more.
        format!("{ALL}[uplink.other]\nfilter = \"up/n\"\ntopic = \"up/other\"\n"),
        format!("{ALL}[uplink.other]\nfilter = \"up/n\"\ntopic = \"up/other/again\"\npriority = \"high\"\n"),
        format!("{ALL}[uplink.other]\nfilter = \"up/+\"\ntopic = \"up/wide\"\n"),
        // It goes, and with it a reason to subscribe comes.
        format!("{ALL}[downlink.commands]\nfilter = \"cmd/#\"\n"),
        // The link itself.
        format!("keep-alive = \"7s\"\nclient-id = \"somebody-else\"\n{ALL}"),
        format!("rate = {{ messages = 100000 }}\n{ALL}"),
        ALL.to_owned(),
    ];
    let count = numbers_until(
        |number| publish(&running, "up/n", number),
        || {
            for further in changes.iter().cycle().take(2 * changes.len()) {
                change(&world, &far, &running, further);
                until(&running, "each rule goes as it is now", |cloud| {
                    is_connected(cloud) && cloud.uplinks.values().all(|uplink| uplink.acknowledged > 0)
                });
            }
        },
    );
    far.until_kept("up/n", count);
    until_drained(&running);
    // What the other rule got under each of its names is a part of the whole, in order.
    let kept = far.kept();
    for topic in ["up/other", "up/other/again", "up/wide/n"] {
        let got: Vec<u64> = kept.get(topic).unwrap().iter().map(|number| number.as_u64().unwrap()).collect();
        assert!(got.len() > 1 && got.is_sorted_by(|one, next| one < next), "{topic}: {got:?}");
    }
}

#[test]
fn q2_the_queue_of_a_removed_rule_is_kept_and_listed_and_goes_on_when_the_rule_comes_back() {
    let far = Far::new();
    let extra = format!("{ALL}[uplink.extra]\nfilter = \"up/n\"\ntopic = \"up/extra\"\n");
    let world = far.world(&extra, &[]);
    let running = world.start();
    until_connected(&running);
    far.cut();
    until(&running, "the cut is noticed", |cloud| cloud.trouble.is_some());
    (0..50).for_each(|number| publish(&running, "up/n", number));
    until(&running, "both collect", |cloud| cloud.uplinks.values().all(|uplink| uplink.queued == 50));

    change(&world, &far, &running, ALL);
    (50..60).for_each(|number| publish(&running, "up/n", number));
    let left = queue(&running, "uplink/extra").unwrap();
    assert_eq!((left.messages, left.read), (50, false), "it collects nothing more, and keeps what it has");
    far.mend();
    far.until_kept("up/n", 60);
    assert_eq!(queue(&running, "uplink/extra").unwrap().messages, 50, "nobody reads it");
    assert_eq!(far.kept().get("up/extra"), None);

    change(&world, &far, &running, &extra);
    far.until_kept("up/extra", 50);
    assert_eq!(queue(&running, "uplink/extra").map(|queue| queue.read), Some(true));
    until_drained(&running);
}

#[test]
fn a_rule_that_goes_by_another_cloud_takes_its_queue_with_it() {
    let (far, other) = (Far::new(), Far::new());
    let clouds =
        |rule: &str| format!("{}{}{rule}", far.cloud(""), other.cloud("").replace("cloud.main", "cloud.other"));
    let by = |cloud: &str| clouds(&format!("[uplink.all]\nfilter = \"up/#\"\ncloud = \"{cloud}\"\n"));
    let world = far.world("", &[]);
    world.configure(&by("main"), &[]);
    far.cut();
    let running = world.start();
    (0..30).for_each(|number| publish(&running, "up/n", number));
    // Both brokers have authorities of their own, and one file cannot name both at once.
    let both = format!("{}{}", far.authority.pem(), other.authority.pem());
    std::fs::write(world.path("ca.pem"), both).unwrap();
    std::fs::write(other.broker.path().join("clients.pem"), far.authority.pem()).unwrap();
    world.configure(&by("other"), &[]);
    let mut other = other;
    other.end_broker();
    other.begin_broker();
    reload(&running);
    other.until_kept("up/n", 30);
    eventually("it is drained", || {
        match running.status().clouds.get("other").map(|cloud| uplink(cloud, "all").queued) {
            Some(0) => Ok(()),
            queued => Err(queued),
        }
    });
    assert_eq!(far.arrived(), []);
}
