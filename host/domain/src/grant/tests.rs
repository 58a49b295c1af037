//! Denial first, then the permission; and that the lines which a denial prints are the permission.

mod models;

use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::limits::{KV_BYTES, MIB, TIMERS_PENDING};
use crate::shadow::{Limits, Update};
use crate::topic::Filter;

/// The grants of the component `alarm` whose configuration has these lines for it.
fn grants(lines: &str) -> Grants {
    let table = "[component.alarm.grant]\n";
    let text = format!(
        "schema = 1\n[gateway]\nthing = \"gw\"\ndata = \"/tmp\"\n[component.alarm]\nartifact = \"a.wasm\"\n{table}{lines}"
    );
    let config = Config::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
    Grants::new("alarm".into(), config.components["alarm"].grants.clone())
}

fn topic(text: &str) -> Topic {
    Topic::parse(text).unwrap()
}

fn check<T: std::fmt::Debug>(found: Result<T, Denied>, expected: &str) {
    assert_eq!(found.unwrap_err().to_string(), expected);
}

/// Nothing is permitted by default, and each refusal ends in the lines that would permit it.
#[test]
fn what_is_not_granted_is_denied_with_its_cure() {
    let none = grants("");
    check(
        none.publish(&topic("alerts/kitchen")),
        "component `alarm` may not publish to `alerts/kitchen`; these lines would permit it:\n\
         [component.alarm.grant.publish]\nalerts = \"alerts/kitchen\"",
    );
    check(
        none.timer_pending(),
        "component `alarm` may not set timers; these lines would permit it:\n\
         [component.alarm.grant.timer]\npending = 16",
    );
    check(
        none.http(true, "API.example.com", 443),
        "component `alarm` may not send requests to `https://api.example.com`; these lines would permit it:\n\
         [component.alarm.grant.http]\napi = \"https://api.example.com\"",
    );
    check(
        none.http(false, "[fd00::1]", 8080),
        "component `alarm` may not send requests to `http://[fd00::1]:8080`; these lines would permit it:\n\
         [component.alarm.grant.http]\nfd00--1 = \"http://[fd00::1]:8080\"",
    );
    check(
        none.kv("state"),
        "component `alarm` may not open the bucket `state`; these lines would permit it:\n\
         [component.alarm.grant.kv]\nstate = \"own\"",
    );
    check(
        none.kv("State 1\n"),
        "component `alarm` may not open the bucket `State 1\\n`: no configuration can name that, choose another name \
         for it",
    );
    assert!(none.dirs().is_empty());
}

/// A bucket that may only be read is not changed, and the cure keeps whose it is and how much it holds.
#[test]
fn a_bucket_is_changed_only_where_that_is_granted() {
    let all = grants("kv.plant = { bucket = \"shared\", bytes = \"2MiB\", read-only = true }\nkv.state = \"own\"\n");
    check(
        all.kv_write("plant"),
        "component `alarm` may not change the bucket `plant`; these lines would permit it:\n\
         [component.alarm.grant.kv]\nplant = { bucket = \"shared\", bytes = \"2MiB\" }",
    );
    let plant = all.kv("plant").unwrap();
    assert_eq!((plant.bucket.id.to_string().as_str(), plant.bucket.quota), ("shared/plant", 2 * MIB));
    let state = all.kv_write("state").unwrap();
    assert_eq!((state.bucket.id.to_string().as_str(), state.bucket.quota), ("own/alarm/state", KV_BYTES.default));
    assert!(all.kv("other").is_err() && all.kv_write("other").is_err());
    let writable = grants(all.kv_write("plant").unwrap_err().cure().unwrap());
    assert_eq!(writable.kv_write("plant"), writable.kv("plant"));
}

fn update(state: &str) -> Update {
    Update::of_state(state.as_bytes(), &Limits::default()).unwrap()
}

/// Nobody else's shadow, no other of the same thing, and there only what is allowed; each refusal says the line.
#[test]
fn a_shadow_is_denied_by_thing_by_name_and_by_what_is_done_with_it() {
    let own = grants("shadow.own = { allow = [\"read\", \"report\"] }");
    let id = |thing, name| own.shadow_id(thing, name).unwrap();
    let classic = id(None, None);
    assert_eq!(classic, id(Some("gw"), None), "without a thing it is the gateway's own");
    assert_eq!(
        (own.shadow_read(&classic), own.shadow_update(&classic, &update("{\"reported\":{}}"))),
        (Ok(()), Ok(()))
    );
    let told = |denied: Result<(), Denied>| {
        let denied = denied.unwrap_err();
        let text = denied.to_string();
        let lines = denied.cure().unwrap().strip_prefix("[component.alarm.grant.shadow]\n").unwrap().to_owned();
        (text.split(';').next().unwrap().strip_prefix("component `alarm` may not ").unwrap().to_owned(), lines)
    };
    for (denied, problem, line) in [
        (
            own.shadow_update(&classic, &update("{\"desired\":{}}")),
            "desire the classic shadow of `gw`",
            "own = { allow = [\"read\", \"report\", \"desire\"] }",
        ),
        (
            own.shadow_update(&classic, &update("null")),
            "report and desire the classic shadow of `gw`",
            "own = { allow = [\"read\", \"report\", \"desire\"] }",
        ),
        (
            own.shadow_update(&classic, &update("{}")),
            "report and desire the classic shadow of `gw`",
            "own = { allow = [\"read\", \"report\", \"desire\"] }",
        ),
        (
            own.shadow_delete(&classic),
            "report and desire the classic shadow of `gw`",
            "own = { allow = [\"read\", \"report\", \"desire\"] }",
        ),
        (
            own.shadow_read(&id(None, Some("lamp"))),
            "read the shadow `lamp` of `gw`",
            "lamp = { shadow = \"lamp\", allow = [\"read\"] }",
        ),
        (
            own.shadow_read(&id(Some("gw2"), None)),
            "read the classic shadow of `gw2`",
            "gw2 = { thing = \"gw2\", allow = [\"read\"] }",
        ),
        (
            own.shadow_list(&id(Some("x"), None).thing),
            "read every named shadow of `x`",
            "x = { thing = \"x\", shadow = \"+\", allow = [\"read\"] }",
        ),
        (
            own.shadow_list(&classic.thing),
            "read every named shadow of `gw`",
            "own-2 = { shadow = \"+\", allow = [\"read\"] }",
        ),
    ] {
        assert_eq!(told(denied), (problem.to_owned(), line.to_owned()));
    }
}

/// Several lines permit together what none of them does alone, and `+` is every thing but never the other kind.
#[test]
fn shadows_are_permitted_by_all_lines_together() {
    let all = grants(
        "shadow.a = { allow = [\"report\"] }\nshadow.b = { thing = \"+\", allow = [\"desire\"] }\n\
         shadow.c = { thing = \"+\", shadow = \"+\", allow = [\"read\"] }",
    );
    let (own, other) = (all.shadow_id(None, None).unwrap(), all.shadow_id(Some("other"), None).unwrap());
    assert_eq!(all.shadow_delete(&own), Ok(()));
    assert_eq!(all.shadow_update(&other, &update("{\"desired\":null}")), Ok(()));
    assert!(all.shadow_delete(&other).is_err() && all.shadow_read(&own).is_err());
    assert_eq!(all.shadow_read(&all.shadow_id(Some("other"), Some("any")).unwrap()), Ok(()));
    assert_eq!(all.shadow_list(&other.thing), Ok(()));
    assert!(all.shadow_id(Some("no/thing"), None).is_err() && all.shadow_id(None, Some("+")).is_err());
}

/// A name that leads inside is denied with the very address, which keeps the networks there are.
#[test]
fn an_address_is_denied_with_its_cure() {
    let plc = grants("http.plc = \"http://plc.local:8080\"");
    let grant = plc.http(false, "plc.local", 8080).unwrap();
    assert!(plc.http_address(grant, "1.1.1.1".parse().unwrap()).is_ok());
    check(
        plc.http_address(grant, "::ffff:10.0.0.5".parse().unwrap()),
        "component `alarm` may not connect to 10.0.0.5, where `http://plc.local:8080` leads; these lines would \
         permit it:\n[component.alarm.grant.http]\n\
         plc = { origin = \"http://plc.local:8080\", networks = [\"10.0.0.5/32\"] }",
    );
    let two = grants("http.plc = { origin = \"http://plc.local\", networks = [\"10.0.0.0/8\"] }");
    let grant = two.http(false, "plc.local", 80).unwrap();
    assert!(two.http_address(grant, "10.0.0.5".parse().unwrap()).is_ok());
    let denied = two.http_address(grant, "fd00::1".parse().unwrap()).unwrap_err();
    let cure = "plc = { origin = \"http://plc.local\", networks = [\"10.0.0.0/8\", \"fd00::1/128\"] }";
    assert_eq!(denied.cure(), Some(format!("[component.alarm.grant.http]\n{cure}").as_str()));
}

/// [M2] No grant gives what only services publish, and none is offered; requests to services are like any topic.
#[test]
fn reserved_topics_are_denied_whatever_is_granted() {
    let mut all = grants("publish.all = \"#\"");
    for (name, filter) in [("aws", "$aws/#"), ("edgewit", "$edgewit/#")] {
        all.table.publish.insert(name.into(), Filter::parse(filter).unwrap());
    }
    assert!(all.publish(&topic("$aws/things/gw/shadow/update")).is_ok());
    let answer = "$aws/things/gw/shadow/update/accepted";
    check(
        all.publish(&topic(answer)),
        "component `alarm` may not publish to `$aws/things/gw/shadow/update/accepted`: only the gateway's services \
         do, and no grant changes that",
    );
    assert_eq!(all.publish(&topic("$edgewit/dead/x")).unwrap_err().cure(), None);
}

/// A guest cannot write lines into the log by what it asks for.
#[test]
fn a_denial_is_one_line_and_its_cure() {
    let topic = topic("a\n[component.alarm.grant.publish]\nall = \"x\"\r\u{1b}[2J");
    let text = grants("").publish(&topic).unwrap_err().to_string();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(!text.contains(['\r', '\u{1b}']), "{text:?}");
}

/// An origin is permitted in scheme, host and port together.
#[test]
fn an_origin_is_granted_as_a_whole() {
    let api = grants("http.api = \"https://api.example:8443\"\nhttp.six = \"http://[fd00::1]\"");
    for (https, host, port, expected) in [
        (true, "api.example", 8443, true),
        (true, "API.Example", 8443, true),
        (false, "api.example", 8443, false),
        (true, "api.example", 443, false),
        (true, "xapi.example", 8443, false),
        (true, "api.example.", 8443, false),
        (false, "[fd00:0::1]", 80, true),
        (false, "fd00::1", 80, true),
        (false, "fd00::2", 80, false),
    ] {
        assert_eq!(api.http(https, host, port).is_ok(), expected, "{https} {host} {port}");
    }
}

/// What each import needs: first of a component without any grant, then of one with all.
#[test]
fn an_import_is_linked_by_grant() {
    let none = grants("");
    let all = grants(
        "publish.all = \"#\"\ntimer.pending = 3\nhttp.api = \"https://api.example\"\ndir.data = { path = \"/data\" }\n\
         kv.state = \"own\"\nshadow.own.allow = [\"read\"]\nmodel-load.bytes = \"1MiB\"",
    );
    assert_eq!(all.timer_pending(), Ok(3));
    let word = |import: Import| match import {
        Import::Free => "free",
        Import::Granted => "granted",
        Import::Stub => "stub",
        Import::Denied(_) => "denied",
        Import::Unknown => "unknown",
    };
    for (import, without, with) in [
        ("edgewit:pubsub/publisher@0.1.0", "denied", "granted"),
        ("edgewit:pubsub/publisher@0.1.7", "denied", "granted"),
        ("edgewit:pubsub/types@0.1.0", "free", "free"),
        ("edgewit:timer/scheduler@0.1.0", "denied", "granted"),
        ("edgewit:shadow/store@0.1.0", "denied", "granted"),
        ("edgewit:shadow/types@0.1.0", "free", "free"),
        ("wasi:nn/graph@0.2.0-rc-2024-10-28", "denied", "granted"),
        ("wasi:nn/errors@0.2.0-rc-2024-10-28", "denied", "granted"),
        ("wasi:nn/graph@0.2.0-rc-2024-06-25", "unknown", "unknown"),
        ("wasi:http/outgoing-handler@0.2.12", "stub", "granted"),
        ("wasi:http/types@0.2.0", "free", "free"),
        ("wasi:filesystem/preopens@0.2.3", "stub", "granted"),
        ("wasi:filesystem/types@0.2.3", "free", "free"),
        ("wasi:sockets/tcp@0.2.0", "stub", "stub"),
        ("wasi:config/store@0.2.0-rc.1", "free", "free"),
        ("wasi:logging/logging@0.1.0-draft", "free", "free"),
        ("wasi:cli/environment@0.2.0", "free", "free"),
        ("wasi:io/poll@0.2.0", "free", "free"),
        ("edgewit:pubsub/publisher@0.2.0", "unknown", "unknown"),
        ("edgewit:pubsub/publisher@0.1.0-rc.1", "unknown", "unknown"),
        ("edgewit:pubsub/publisher@0.1.", "unknown", "unknown"),
        ("edgewit:pubsub/publisher", "unknown", "unknown"),
        ("edgewit:pubsub/publishers@0.1.0", "unknown", "unknown"),
        ("edgewit:unheard/of@0.1.0", "unknown", "unknown"),
        ("wasi:config/store@0.2.0", "unknown", "unknown"),
        ("wasi:io/poll@0.3.0", "unknown", "unknown"),
        ("wasi:http/incoming-handler@0.2.0", "unknown", "unknown"),
        ("wasi:keyvalue/store@0.2.0-draft", "denied", "granted"),
        ("wasi:keyvalue/atomics@0.2.0-draft", "denied", "granted"),
        ("wasi:keyvalue/batch@0.2.0-draft", "denied", "granted"),
        ("wasi:keyvalue/watcher@0.2.0-draft", "unknown", "unknown"),
        ("wasi:keyvalue/store@0.2.0-draft2", "unknown", "unknown"),
        ("", "unknown", "unknown"),
        ("/@", "unknown", "unknown"),
    ] {
        assert_eq!((word(none.import(import)), word(all.import(import))), (without, with), "{import}");
    }
}

/// The lines that a refused import prints let it be imported.
#[test]
fn a_refused_import_says_what_to_grant() {
    for import in [
        "edgewit:pubsub/publisher@0.1.0",
        "edgewit:timer/scheduler@0.1.0",
        "wasi:keyvalue/atomics@0.2.0-draft",
        "edgewit:shadow/store@0.1.0",
    ] {
        let Import::Denied(denied) = grants("").import(import) else { panic!("{import}") };
        assert_eq!(grants(denied.cure().unwrap()).import(import), Import::Granted, "{import}");
    }
    let Import::Denied(publisher) = grants("").import("edgewit:pubsub/publisher@0.1.0") else { panic!() };
    assert!(publisher.to_string().contains("lines such as these"), "{publisher}");
    assert!(publisher.cure().unwrap().ends_with(EXAMPLE), "{publisher}");
    let timers = grants(grants("").timer_pending().unwrap_err().cure().unwrap());
    assert_eq!(timers.timer_pending(), Ok(TIMERS_PENDING.default));
}

/// A second cure does not take the name of the first; what configuration would substitute is covered instead, or
/// said to be beyond it.
#[test]
fn a_cure_stays_clear_of_what_is_there() {
    let cure = |lines: &str, text: &str| grants(lines).publish(&topic(text)).unwrap_err().cure().map(String::from);
    let line = |line: &str| Some(format!("[component.alarm.grant.publish]\n{line}"));
    assert_eq!(cure("publish.alerts = \"x\"", "alerts/a"), line("alerts-2 = \"alerts/a\""));
    assert_eq!(cure("", "//"), line("granted = \"//\""));
    assert_eq!(cure("", "/Öl 1/x"), line("l-1 = \"/Öl 1/x\""));
    assert_eq!(cure("", "a/${x}/b"), line("a = \"a/+/b\""));
    assert_eq!(cure("", "${x}/b"), None);
    let long = "x".repeat(100);
    assert_eq!(cure("", &long), line(&format!("{} = \"{long}\"", "x".repeat(59))));
}

fn any_topic() -> impl Strategy<Value = Topic> {
    "[a-c$/{}\"\\\\ \u{1}\u{7f}\u{85}é\n]{1,20}|(\\$aws/things/g/(shadow|jobs)/[a-c]{1,3}(/get)?)"
        .prop_filter_map("no topic", |text| Topic::parse(text).ok())
}

fn any_filter() -> impl Strategy<Value = Filter> {
    "([a-c+]/){0,3}[a-c+#]".prop_filter_map("no filter", |text| Filter::parse(text).ok())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// The lines that a denial prints, added to the configuration, permit just what was denied.
    #[test]
    fn a_cure_permits(topic in any_topic(), taken in "[a-c]") {
        let before = format!("publish.{taken} = \"taken\"\n");
        let denied = grants(&before).publish(&topic).unwrap_err();
        if let Some(cure) = denied.cure() {
            let line = cure.lines().nth(1).unwrap();
            let after = grants(&format!("{before}publish.{line}"));
            prop_assert_eq!(after.publish(&topic), Ok(()));
            prop_assert_eq!(after.table.publish.len(), 2);
        } else {
            prop_assert!(topic.as_str().starts_with('$'));
        }
    }

    /// So do those for a shadow, whatever is granted already.
    #[test]
    fn a_cure_permits_shadows(thing in "gw|[a-c:]{1,2}", name in proptest::option::of("[a-b$]{1,2}"),
        granted in "gw|[a-c]", which in "[a-b]|\\+", word in "read|report|desire", ask in 0..4) {
        let before = format!("shadow.one = {{ thing = \"{granted}\", shadow = \"{which}\", allow = [\"{word}\"] }}\n");
        let ask = |grants: &Grants| {
            let id = grants.shadow_id(Some(&thing), name.as_deref()).unwrap();
            match ask {
                0 => grants.shadow_read(&id),
                1 => grants.shadow_update(&id, &update("{\"desired\":{\"a\":1},\"reported\":null}")),
                2 => grants.shadow_delete(&id),
                _ => grants.shadow_list(&id.thing),
            }
        };
        if let Err(denied) = ask(&grants(&before)) {
            let line = denied.cure().unwrap().lines().nth(1).unwrap();
            let kept = if line.starts_with("one =") { "" } else { &before };
            prop_assert_eq!(ask(&grants(&format!("{kept}shadow.{line}"))), Ok(()));
        }
    }

    /// So do those for a request and its address, be it outside or inside.
    #[test]
    fn a_cure_permits_requests(https: bool, host in "[a-z]{1,9}(\\.[a-z]{1,3})?|10\\.0\\.0\\.[0-9]|\\[fd00::[1-9]\\]",
        port in 1..=u16::MAX, address: IpAddr) {
        let cure = grants("").http(https, &host, port).unwrap_err();
        let named = grants(cure.cure().unwrap());
        let grant = named.http(https, &host, port).unwrap();
        if let Err(denied) = named.http_address(grant, address) {
            let within = grants(denied.cure().unwrap());
            let grant = within.http(https, &host, port).unwrap();
            prop_assert_eq!(within.http_address(grant, address), Ok(()));
        }
    }

    /// A grant permits every topic of every filter that it covers, and no topic that it does not match.
    #[test]
    fn a_grant_permits_what_it_covers(granted in any_filter(), narrower in any_filter(), topic in any_topic()) {
        let grants = grants(&format!("publish.g = \"{granted}\""));
        if granted.covers(&narrower) && narrower.matches(&topic) && !topic.is_reserved() {
            prop_assert_eq!(grants.publish(&topic), Ok(()));
        }
        prop_assert_eq!(grants.publish(&topic).is_ok(), granted.matches(&topic) && !topic.is_reserved());
    }
}
