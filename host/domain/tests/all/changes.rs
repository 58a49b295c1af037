//! What a reload makes of the difference between two configurations.

use edgewit_domain::config::{Change, Changes, Config, Differences};

use crate::config::{FULL, MINIMAL, good};

/// The full file with one text replaced by another.
fn edited(old: &str, new: &str) -> Config {
    assert!(FULL.contains(old), "{old} is not in the full file");
    good(&FULL.replacen(old, new, 1))
}

/// What can be changed around a running instance is, and what it was made from makes a new one.
#[test]
fn a_reload_replaces_an_instance_only_for_what_it_was_made_from() {
    let cases = [
        ("enabled = false", "enabled = true", Change::Adjust),
        ("stateless = true", "stateless = false", Change::Adjust),
        ("sensors/+/temperature", "sensors/#", Change::Adjust),
        ("own = true", "own = false", Change::Adjust),
        ("messages = 16", "messages = 17", Change::Adjust),
        ("every = \"10s\"", "every = \"11s\"", Change::Adjust),
        ("attempts = 5", "attempts = 6", Change::Adjust),
        ("qos0 = true", "qos0 = false", Change::Adjust),
        ("messages = 50\n", "messages = 51\n", Change::Adjust),
        ("calls = 1_000_000", "calls = 1", Change::Adjust),
        ("quarantine = \"never\"", "quarantine = 3", Change::Adjust),
        ("every = \"30s\"", "every = \"31s\"", Change::Adjust),
        ("log-lines = 20", "log-lines = 21", Change::Adjust),
        ("components/window.wasm", "components/window-2.wasm", Change::Replace),
        ("field = \"value\"", "field = \"other\"", Change::Replace),
        ("averages = \"averages/#\"", "averages = \"averages/a\"", Change::Replace),
        ("pending = 32", "pending = 33", Change::Replace),
        ("https://api.example", "https://api2.example", Change::Replace),
        ("write = true", "write = false", Change::Replace),
        ("state = \"own\"", "state = \"shared\"", Change::Replace),
        ("read-only = true", "read-only = false", Change::Replace),
        ("memory = \"16MiB\"", "memory = \"17MiB\"", Change::Replace),
        ("cpu = \"50ms\"", "cpu = \"51ms\"", Change::Replace),
        ("wall = \"1s\"", "wall = \"2s\"", Change::Replace),
        ("publishes = 512", "publishes = 513", Change::Replace),
        ("publish-bytes = 1048576", "publish-bytes = 1048577", Change::Replace),
    ];
    for (old, new, expected) in cases {
        let changes = good(FULL).changes(&edited(old, new));
        let only = Changes { changed: [("average".into(), expected)].into(), ..Changes::default() };
        assert_eq!(changes, only, "{old} -> {new}");
    }
}

#[test]
fn a_reload_names_the_keys_of_the_gateway_that_it_changes_and_those_it_cannot() {
    let cases = [
        ("grace = \"20s\"", "grace = \"21s\"", vec!["gateway.grace"], vec![]),
        ("level = \"debug\"", "level = \"warn\"", vec!["log.level"], vec![]),
        ("format = \"json\"", "format = \"text\"", vec![], vec!["log.format"]),
        ("edgewit/${thing}", "edgewit", vec![], vec!["gateway.data"]),
        ("/run/edgewit.sock", "/run/e.sock", vec![], vec!["gateway.control"]),
        ("profile = \"small\"", "", vec![], vec!["gateway.profile"]),
        ("127.0.0.1:9100", "127.0.0.1:9101", vec![], vec!["metrics.listen"]),
        ("[metrics]\nlisten = \"127.0.0.1:9100\"", "", vec![], vec!["metrics.listen"]),
        ("file:ca.pem", "file:ca2.pem", vec![], vec!["http.ca"]),
        ("engine = \"sled\"", "", vec![], vec!["store.engine"]),
        ("512MiB", "513MiB", vec![], vec!["store.bytes"]),
        ("keep = \"3d\"", "keep = \"4d\"", vec![], vec!["store.keep"]),
    ];
    for (old, new, gateway, needs_restart) in cases {
        let changes = good(FULL).changes(&edited(old, new));
        assert_eq!(changes, Changes { gateway, needs_restart, ..Changes::default() }, "{old} -> {new}");
    }
    let renamed = good(FULL).changes(&edited("gw-cellar-7", "gw-cellar-8"));
    assert_eq!(renamed.needs_restart, ["gateway.thing", "gateway.data"]);
}

#[test]
fn a_reload_tells_new_components_from_those_that_went() {
    let (full, minimal) = (good(FULL), good(MINIMAL));
    let names = ["alarm".into(), "average".into()];
    assert_eq!(minimal.changes(&full).added, names);
    assert_eq!(full.changes(&minimal).removed, names);
    assert!(full.changes(&full).is_empty());
}

/// Clouds and rules are named by what became of them; what is the same is not.
#[test]
fn a_reload_names_the_clouds_and_rules_that_differ() {
    let changed = |name: &str| Differences { changed: vec![name.into()], ..Differences::default() };
    let clouds = |clouds| Changes { clouds, ..Changes::default() };
    let uplinks = |uplinks| Changes { uplinks, ..Changes::default() };
    let downlinks = |downlinks| Changes { downlinks, ..Changes::default() };
    let cases = [
        ("broker.example:8443", "broker.example:443", clouds(changed("main"))),
        ("file:device.pem", "file:device-2.pem", clouds(changed("main"))),
        ("messages = 20,", "messages = 21,", clouds(changed("main"))),
        ("mqtts://10.0.0.9", "mqtts://10.0.0.10", clouds(changed("spare"))),
        ("priority = \"high\"", "priority = \"low\"", uplinks(changed("alerts"))),
        ("messages = 2000", "messages = 2001", uplinks(changed("alerts"))),
        ("averages/+/hourly", "averages/+/daily", uplinks(changed("readings"))),
        ("topic = \"orders\"", "topic = \"tasks\"", downlinks(changed("orders"))),
    ];
    for (old, new, expected) in cases {
        assert_eq!(good(FULL).changes(&edited(old, new)), expected, "{old} -> {new}");
    }
    let (full, minimal) = (good(FULL), good(MINIMAL));
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let added = minimal.changes(&full);
    assert_eq!(added.clouds, Differences { added: names(&["main", "spare"]), ..Differences::default() });
    assert_eq!(added.uplinks, Differences { added: names(&["alerts", "readings"]), ..Differences::default() });
    let removed = full.changes(&minimal);
    assert_eq!(removed.downlinks, Differences { removed: names(&["orders"]), ..Differences::default() });
}
