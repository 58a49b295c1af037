//! [C2] What the cloud does not take is refused when it is published; what was queued before is given up by the link.

use edgewit_domain::control::{Command, Reply};
use edgewit_domain::message::{Message, Origin, Qos};
use edgewit_domain::topic::Topic;
use edgewit_gateway::PublishError;

use super::changes::reload;
use super::down::rows;
use super::up::publish;
use crate::far::{Far, until, until_connected, uplink};
use crate::world::Running;

const AWS: &str = "profile = \"aws-iot-core\"\n[uplink.all]\nfilter = \"up/#\"\n";
const GENERIC: &str = "[uplink.all]\nfilter = \"up/#\"\n";
const DEEP: &str = "up/2/3/4/5/6/7/8/9";
const WHY: &str = "uplink.all cannot send this: the topic `up/2/3/4/5/6/7/8/9` has 8 slashes and the profile \
                   `aws-iot-core` permits 7; set a shorter `topic` in the uplink rule";

fn said(running: &Running<'_>, topic: &str, bytes: usize) -> Result<(), PublishError> {
    let message = Message { qos: Qos::AtLeastOnce, ..Message::new(Topic::parse(topic).unwrap(), vec![b'1'; bytes]) };
    running.gateway.hub().publish(message, Origin::Operator, None).map(drop)
}

#[test]
fn c2_what_the_profile_forbids_is_refused_to_whoever_publishes_it() {
    let far = Far::new();
    let deep = format!(
        "[component.deep]\nartifact = \"echo.wasm\"\nconfig.to = \"{DEEP}\"\ngrant.publish.to = \"{DEEP}\"\n\
         subscribe.in = {{ filter = \"deep/in\", delivery = \"durable\" }}\n"
    );
    let world = far.world(AWS, &[deep]);
    let running = world.run(&["deep"]);
    let heard = running.listen("#");
    let refused = said(&running, DEEP, 1).unwrap_err();
    assert!(matches!(&refused, PublishError::NotForCloud(_)) && refused.to_string() == WHY, "{refused}");
    let refused = said(&running, "up/large", 128 * 1024).unwrap_err().to_string();
    assert!(refused.contains("bytes in the uplink's format") && refused.contains("publish less at once"), "{refused}");
    assert!(heard.is_empty(), "nobody gets what one of its readers may not have");
    let (topic, payload) = (DEEP.to_owned(), b"1".to_vec());
    match running.command(Command::Publish { topic, payload, qos: Qos::AtLeastOnce, retain: false }) {
        Reply::Refused { reason, cure } => assert!(reason == WHY && cure.contains("`filter`"), "{reason} {cure}"),
        other => panic!("{other:?}"),
    }

    // A guest is told so, and that trying again is no use.
    publish(&running, "deep/in", 1);
    running.until("deep", |status| status.queued == 0);
    let dead = rows(|command| running.command(command.clone()), "dead/component/deep").pop().unwrap().dead.unwrap();
    assert!(dead.reason.contains(WHY) && dead.attempts == 1, "{dead:?}");

    let cloud = until_connected(&running);
    assert_eq!((uplink(&cloud, "all").queued, uplink(&cloud, "all").given_up), (0, 0));
    publish(&running, "up/2/3/4/5/6/7/8", 0);
    far.until_kept("up/2/3/4/5/6/7/8", 1);
}

#[test]
fn c2_what_was_queued_under_another_profile_is_given_up_and_the_rest_flows() {
    let far = Far::new();
    far.cut();
    let world = far.world(GENERIC, &[]);
    let running = world.start();
    publish(&running, "up/n", 0);
    publish(&running, DEEP, 0);
    publish(&running, "up/n", 1);
    world.configure(&far.cloud(AWS), &[]);
    reload(&running);
    assert!(said(&running, DEEP, 1).is_err());
    far.mend();
    far.until_kept("up/n", 2);
    until(&running, "one is given up", |cloud| uplink(cloud, "all").given_up == 1);
    let dead = rows(|command| running.command(command.clone()), "dead/uplink/all");
    assert_eq!(dead.iter().map(|row| row.message.topic.as_str()).collect::<Vec<_>>(), [DEEP]);

    world.configure(&far.cloud(GENERIC), &[]);
    reload(&running);
    publish(&running, DEEP, 0);
    far.until_kept(DEEP, 1);
}

#[test]
fn q6_what_an_uplink_gives_up_without_room_waits_in_its_queue_for_an_operator() {
    let far = Far::new();
    far.cut();
    let world = far.world(GENERIC, &[]);
    let running = world.start();
    (0..3).for_each(|number| publish(&running, DEEP, number));
    (0..2).for_each(|number| publish(&running, "up/n", number));
    world.configure(&far.cloud(&format!("{AWS}dead-letter = {{ messages = 1 }}\n")), &[]);
    reload(&running);
    far.mend();
    far.until_kept("up/n", 2);
    let dead = || {
        let rows = rows(|command| running.command(command.clone()), "dead/uplink/all");
        rows.into_iter().map(|row| String::from_utf8(row.message.payload).unwrap()).collect::<Vec<_>>()
    };
    let mut looked_at = Vec::new();
    for waiting in [2, 1, 0] {
        let cloud = until(&running, "the others wait", |cloud| uplink(cloud, "all").queued == waiting);
        assert_eq!(uplink(&cloud, "all").given_up, 3);
        looked_at.extend(dead());
        let dropped = running.command(Command::DropRows { queue: "dead/uplink/all".into() });
        assert_eq!(dropped, Reply::Counted { rows: 1, left: None });
    }
    looked_at.sort();
    assert_eq!(looked_at, ["0", "1", "2"]);
}
