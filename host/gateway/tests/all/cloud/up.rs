//! [C1] What components say goes up once and in order, whatever happens to the broker meanwhile; and the link tells how
//! it is.

use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::topic::Topic;

use crate::far::{Far, is_connected, until, until_connected, until_drained, uplink};
use crate::world::{Running, World, eventually};

/// An echo with a durable queue for `NAME/in`, which answers at `up/NAME`.
pub fn echo(name: &str) -> String {
    format!(
        "[component.{name}]\nartifact = \"echo.wasm\"\nconfig.to = \"up/{name}\"\ngrant.publish.to = \"up/{name}\"\n\
         subscribe.in = {{ filter = \"{name}/in\", delivery = \"durable\" }}\n"
    )
}

/// An operator's word with an acknowledgement.
pub fn publish(running: &Running<'_>, topic: &str, number: u64) {
    let message = Message { qos: Qos::AtLeastOnce, ..Message::new(Topic::parse(topic).unwrap(), number.to_string()) };
    running.gateway.hub().publish(message, Origin::Operator, None).unwrap();
}

#[test]
fn c1_what_a_component_says_goes_up_once_and_in_order_through_an_outage_of_the_broker() {
    let mut far = Far::new();
    let world = far.world("[uplink.all]\nfilter = \"up/#\"\n", &[echo("a")]);
    let running = world.run(&["a"]);
    until_connected(&running);
    (0..100).for_each(|number| publish(&running, "a/in", number));
    far.until_kept("up/a", 100);

    far.end_broker();
    (100..300).for_each(|number| publish(&running, "a/in", number));
    let cloud = until(&running, "the queue grows", |cloud| uplink(cloud, "all").queued == 200);
    assert!(!is_connected(&cloud) && uplink(&cloud, "all").queued_bytes > 200, "{cloud:?}");
    until(&running, "the trouble is said", |cloud| {
        cloud.trouble.as_ref().is_some_and(|trouble| trouble.contains("127.0.0.1") || trouble.contains("ended"))
    });

    far.begin_broker();
    until_drained(&running);
    far.until_kept("up/a", 300);
    let cloud = until(&running, "all is acknowledged", |cloud| uplink(cloud, "all").acknowledged == 300);
    let all = uplink(&cloud, "all");
    let arrived = far.arrived().len() as u64;
    assert!(cloud.connections >= 2 && all.sent >= arrived && arrived >= 300, "{cloud:?}");
    assert_eq!((all.in_flight, all.given_up, all.queued_bytes), (0, 0, 0));
}

/// A long outage, seen by a gateway that starts in the middle of it.
#[test]
fn c1_a_gateway_that_starts_without_a_network_sends_what_it_kept_when_there_is_one() {
    let far = Far::new();
    far.cut();
    let world = far.world("[uplink.all]\nfilter = \"up/#\"\n", &[echo("a")]);
    for round in 0..3 {
        let running = world.run(&["a"]);
        (0..100).for_each(|number| publish(&running, "a/in", round * 100 + number));
        running.gateway.shutdown();
    }
    far.mend();
    let running = world.run(&["a"]);
    far.until_kept("up/a", 300);
    until_drained(&running);
    assert_eq!(far.arrived().len(), 300, "nothing was on its way before, so nothing comes twice");
}

#[test]
fn rules_of_one_link_each_have_their_own_queue_format_and_figures() {
    let far = Far::new();
    let rules = "[uplink.one]\nfilter = \"up/one\"\n[uplink.two]\nfilter = \"up/#\"\ntopic = \"up/second\"\n\
                 queue = { messages = 1000, full = \"drop-oldest\" }\n";
    let world = far.world(rules, &[]);
    let running = world.start();
    far.cut();
    until(&running, "the cut is noticed", |cloud| !is_connected(cloud));
    (0..20).for_each(|number| publish(&running, "up/one", number));
    let cloud = until(&running, "both collect", |cloud| cloud.uplinks.values().all(|uplink| uplink.queued == 20));
    let counted: Vec<_> = cloud.uplinks.values().map(|uplink| (uplink.sent, uplink.acknowledged)).collect();
    assert_eq!(counted, [(0, 0), (0, 0)]);
    far.mend();
    far.until_kept("up/one", 20);
    far.until_kept("up/second/one", 20);
    let cloud = until(&running, "all is counted", |cloud| {
        cloud.uplinks.values().all(|uplink| (uplink.sent, uplink.acknowledged, uplink.queued) == (20, 20, 0))
    });
    let sent: u64 = cloud.uplinks.values().map(|uplink| uplink.sent_bytes).sum();
    // A message is counted with the longest header that it may have.
    assert!(sent > 40 * 100 && cloud.bytes_out > sent - 40 * 9 && cloud.bytes_in > 40 * 4, "{cloud:?}");
}

/// The words at `$edgewit/cloud/main` up to now, without what comes again.
fn words(told: &crate::world::Listener) -> Vec<String> {
    let mut words: Vec<String> = told.rest();
    words.dedup();
    words
}

#[test]
fn the_retained_topic_of_a_link_follows_its_state() {
    let far = Far::new();
    let world = far.world("", &[]);
    let running = world.start();
    let retained = |running: &Running<'_>, expected: &str| {
        eventually(expected, || match words(&running.listen("$edgewit/cloud/main")).pop() {
            Some(word) if word.contains(expected) => Ok(()),
            other => Err(other),
        });
    };
    let heard = running.listen("$edgewit/cloud/+");
    retained(&running, r#""state":"connected","trouble":null"#);
    far.cut();
    retained(&running, r#""state":"backoff""#);
    far.mend();
    retained(&running, r#""state":"connected""#);
    let states = ["connected", "backoff", "connecting", "connected"];
    let mut heard = words(&heard).into_iter();
    for state in states {
        assert!(heard.any(|word| word.contains(state)), "{states:?} come in this order; {state} did not");
    }

    let cloud = world.path("edgewit.toml");
    let whole = std::fs::read_to_string(&cloud).unwrap();
    world.configure("", &[]);
    running.command(edgewit_domain::control::Command::Reload);
    let told = running.listen("$edgewit/cloud/+");
    assert!(told.rest().is_empty(), "a link that is gone has no state");
    std::fs::write(&cloud, whole).unwrap();
    running.command(edgewit_domain::control::Command::Reload);
    retained(&running, r#""state":"connected""#);
    running.gateway.shutdown();

    left_stopped(&world);
}

/// A gateway that ended in good order has left the word `stopped`, which the next one finds: it has the link no more.
fn left_stopped(world: &World) {
    world.configure("", &[]);
    let running = world.start();
    let told = running.listen("$edgewit/cloud/main").rest();
    assert!(told.len() == 1 && told[0].contains(r#""state":"stopped""#), "{told:?}");
}
