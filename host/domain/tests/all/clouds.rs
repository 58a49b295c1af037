//! Clouds and their rules, key by key.

use std::time::Duration;

use edgewit_domain::config::{CloudTls, DeadFullRule, DeadLetter, Identity, Login};
use edgewit_domain::limits;
use edgewit_domain::link::{Format, Priority, Rate};
use edgewit_domain::queue::{FullRule, QueueLimits};
use edgewit_domain::topic::Topic;

use crate::config::{FULL, good};

/// What a cloud and its rules leave out is the default, and the only cloud need not be named.
#[test]
fn a_cloud_and_its_rules_are_read_key_by_key() {
    let config = good(FULL);
    let main = &config.clouds["main"];
    assert_eq!((main.broker.to_string().as_str(), &*main.name), ("wss://broker.example:8443/mqtt/v1", "main"));
    assert_eq!(&*main.client_id, "gw-cellar-7-up");
    let login = Login { username: "gw-cellar-7".into(), password: Some("password".into()) };
    assert_eq!(main.login, Some(login));
    let identity = Identity { certificate: "device.pem".into(), key: "device.key".into() };
    let server_name = Some("broker.internal".into());
    let tls = CloudTls { identity: Some(identity), ca: Some("cloud-ca.pem".into()), server_name };
    assert_eq!(main.tls, Some(tls));
    assert_eq!((main.keep_alive, main.profile.name), (Duration::from_secs(45), "aws-iot-core"));
    assert_eq!(main.proxy.as_ref().map(ToString::to_string).as_deref(), Some("http://proxy.example:3128"));
    assert_eq!((main.backoff, main.backoff_max), (Duration::from_secs(2), Duration::from_secs(120)));
    assert_eq!(main.rate, Rate { messages: Some(20), bytes: Some(64 * limits::KIB) });
    let spare = &config.clouds["spare"];
    assert_eq!((&*spare.client_id, spare.login.as_ref(), spare.proxy.as_ref()), ("gw-cellar-7", None, None));
    assert_eq!((spare.tls.as_ref(), spare.profile.name), (Some(&CloudTls::default()), "generic"));
    assert_eq!((spare.keep_alive, spare.rate), (limits::KEEP_ALIVE.default, Rate::default()));
    let backoff = (limits::LINK_BACKOFF.default, limits::LINK_BACKOFF_MAX.default);
    assert_eq!((spare.backoff, spare.backoff_max), backoff);

    let alerts = &config.uplinks["alerts"];
    assert_eq!((alerts.filter.as_str(), &*alerts.cloud), ("alerts/#", "main"));
    assert_eq!(alerts.image.as_str(), "plant/gw-cellar-7/alerts/#");
    let kitchen = Topic::parse("alerts/kitchen").unwrap();
    assert_eq!(alerts.rewrite.apply(&kitchen).unwrap().as_str(), "plant/gw-cellar-7/alerts/kitchen");
    assert_eq!((alerts.priority, alerts.format, alerts.qos0), (Priority::High, Format::Raw, true));
    let age = Some(Duration::from_secs(7 * 24 * 3600));
    let queue = QueueLimits { messages: 2000, bytes: 64 * limits::MIB, age, full: FullRule::DropOldest };
    assert_eq!(alerts.queue, queue);
    let dead = |messages, mib, full| DeadLetter { messages, bytes: mib * limits::MIB, full };
    assert_eq!(alerts.dead_letter, dead(20, 3, DeadFullRule::DropOldest));
    let readings = &config.uplinks["readings"];
    assert_eq!((readings.image.as_str(), &*readings.cloud), ("averages/+/hourly", "spare"));
    assert_eq!((readings.priority, readings.format, readings.qos0), (Priority::Normal, Format::Envelope, false));
    assert_eq!((readings.queue.full, readings.queue.age), (FullRule::Refuse, None));
    assert_eq!((readings.queue.messages, readings.queue.bytes), (100_000, 16 * limits::MIB));
    assert_eq!(readings.dead_letter.full, DeadFullRule::Stop);
    let orders = &config.downlinks["orders"];
    assert_eq!((orders.filter.as_str(), orders.image.as_str()), ("plant/gw-cellar-7/orders/#", "orders/#"));
    assert_eq!((&*orders.cloud, orders.dead_letter), ("main", dead(30, 5, DeadFullRule::DropOldest)));
    let only = good(include_str!("../config/good/design.toml"));
    assert_eq!(&*only.uplinks["alerts"].cloud, "main");
}
