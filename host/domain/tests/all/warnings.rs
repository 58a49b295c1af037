//! What `edgewit check` warns of.

use edgewit_domain::limits;

use crate::config::{MINIMAL, good};

fn warned(text: &str) -> Vec<String> {
    good(text).warnings().iter().map(ToString::to_string).collect()
}

/// What is allowed and looks like a slip is said, with what ends it.
#[test]
fn a_possible_circle_and_a_component_that_nothing_calls_get_a_warning() {
    let component = |name: &str, hears: &str, says: &str| {
        format!(
            "[component.{name}]\nartifact = \"a.wasm\"\ngrant.publish.x = {says:?}\n\
             subscribe.x = {{ filter = {hears:?}, delivery = \"live\" }}\n"
        )
    };
    let circle = format!("{MINIMAL}{}{}", component("a", "one/#", "two/x"), component("b", "two/+", "one/y"));
    let expected = format!(
        "a -> b -> a: messages may run in this circle, by the grants; one that does is dropped after {} hops",
        limits::HOPS
    );
    assert_eq!(warned(&circle), [expected]);
    let line = format!("{MINIMAL}{}{}", component("a", "one/#", "two/x"), component("b", "two/+", "three/y"));
    assert!(warned(&line).is_empty());
    let idle = format!("{MINIMAL}[component.idle]\nartifact = \"a.wasm\"\n");
    let expected = "component.idle: nothing ever calls it: it has neither a subscription nor a timer";
    assert_eq!(warned(&idle), [expected]);
    for called in ["timer.t.every = \"1s\"", "grant.timer.pending = 1"] {
        assert!(warned(&format!("{idle}{called}\n")).is_empty(), "{called}");
    }
    assert_eq!(warned(MINIMAL), ["component: there is none, and nothing to run; add a [component.NAME]"]);
}

/// Each thing about the store and the clouds that is allowed and looks like a slip.
#[test]
fn what_is_weak_or_useless_about_store_and_clouds_gets_a_warning() {
    let component = |name: &str, lines: &str| {
        format!("[component.{name}]\nartifact = \"a.wasm\"\ntimer.t.every = \"1s\"\n{lines}\n")
    };
    let check = |text: &str, expected: &[&str]| {
        let told = warned(&format!("{MINIMAL}{text}"));
        assert_eq!(told.len(), expected.len(), "{text}{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{told} lacks {expected}");
        }
    };
    let shared = component("a", "grant.kv.plant = \"shared\"\ngrant.kv.own = \"own\"");
    check(&shared, &["component.a.grant.kv.plant: shared with nobody"]);
    check(&(shared + &component("b", "grant.kv.plant = \"shared\"")), &[]);
    let sled = format!("[store]\nengine = \"sled\"\n{}", component("a", ""));
    check(&sled, &["store.engine: sled is weaker against power cuts"]);
    let durable =
        "subscribe.s = { filter = \"x\", delivery = \"durable\", queue.bytes = \"7MiB\" }\ngrant.kv.k = \"own\"";
    let store = |mib: u64| format!("[store]\nbytes = \"{mib}MiB\"\n{}", component("a", durable));
    check(&store(12), &[]);
    check(
        &store(11),
        &["store.bytes: queues, dead letters and buckets may hold 12MiB together, and all of the store 11MiB"],
    );

    let cloud = |lines: &str| format!("[cloud.main]\n{lines}\n[uplink.u]\nfilter = \"up/#\"\n");
    check(&cloud("broker = \"mqtt://broker.example\""), &["cloud.main.broker: no TLS"]);
    for good in ["mqtts://broker.example", "mqtt://localhost", "mqtt://127.0.0.1:1884", "ws://[::1]"] {
        check(&cloud(&format!("broker = \"{good}\"")), &[]);
    }
    let aws = "broker = \"mqtts://broker.example\"\nprofile = \"aws-iot-core\"";
    check(&cloud(aws), &["cloud.main: a broker of the profile `aws-iot-core` wants a certificate"]);
    check(&cloud(&format!("{aws}\nusername = \"x\"")), &[]);
    check(&cloud(&format!("{aws}\ncertificate = \"file:c\"\nkey = \"file:k\"")), &[]);
    check("[cloud.main]\nbroker = \"mqtts://x\"\n", &["cloud.main: nothing goes there"]);
    check("[cloud.main]\nbroker = \"mqtts://x\"\n[shadow.sync.own]\nthing = \"x\"\n", &[]);
    let down = |name: &str, filter: &str| format!("[downlink.{name}]\nfilter = {filter:?}\n");
    let two = |one: &str, other: &str| {
        format!("[cloud.main]\nbroker = \"mqtts://x\"\n{}{}", down("a", one), down("b", other))
    };
    check(&two("x/+", "x/y"), &["downlink.a and downlink.b: their filters meet"]);
    check(&two("x/+", "y/+"), &[]);
    let back = cloud("broker = \"mqtts://x\"\n") + "queue.full = \"drop-oldest\"\n" + &down("d", "up/x");
    check(&back, &["uplink.u -> downlink.d -> uplink.u: messages may run in this circle, and no count of hops"]);
    let both = |name: &str, hears: &str, says: &str| {
        let subscribe = format!("subscribe.s = {{ filter = {hears:?}, delivery = \"durable\" }}");
        component(name, &format!("{subscribe}\ngrant.publish.p = {says:?}"))
    };
    let circle = [
        "a -> b -> a: messages may run in this circle, by the grants",
        "a -> b -> a: every queue of this circle refuses",
    ];
    check(&(both("a", "x", "y") + &both("b", "y", "x")), &circle);
}
