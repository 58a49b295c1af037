//! The configuration, through its public face: a folder of broken files with the text that each gets, the
//! good files, and whatever a random change to a good file does.
//!
//! `UPDATE_EXPECT=1` writes the texts anew; read the difference before it is committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgewit_domain::config::{
    Allow, Config, DeadFullRule, DeadLetter, Delivery, DurableQueue, GrantTable, LiveFullRule, LogFormat, LogLevel,
    Profile, StoreEngine, Which, line_of,
};
use edgewit_domain::delivery::Policy;
use edgewit_domain::limits;
use edgewit_domain::queue::{FullRule, QueueLimits};
use edgewit_domain::shadow::ThingName;
use expect_test::expect_file;
use proptest::prelude::*;

pub const MINIMAL: &str = include_str!("../config/good/minimal.toml");
pub const FULL: &str = include_str!("../config/good/full.toml");

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

/// The names, without extension, of the files in a folder that have this extension.
fn stems(folder: &Path, extension: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|found| found == extension));
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

pub fn good(text: &str) -> Config {
    Config::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// A broken file gets exactly the text beside it: every mistake, with line, key, problem and cure.
#[test]
fn every_broken_file_gets_the_text_beside_it() {
    let folder = folder("broken");
    let files = stems(&folder, "toml");
    assert!(files.len() >= 30, "only {} broken files found", files.len());
    for name in &files {
        let text = fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        let Err(mistakes) = Config::parse(&text) else { panic!("{name}.toml has no mistake") };
        let told = format!("{}\n", mistakes.in_file(&format!("{name}.toml")));
        expect_file![folder.join(format!("{name}.txt"))].assert_eq(&told);
    }
    assert_eq!(stems(&folder, "txt"), files, "each broken file has its text, and each text its file");
}

/// Where a mistake is reported, the file has that line, and what to do about it is said.
#[test]
fn every_mistake_has_its_place_and_its_cure() {
    let folder = folder("broken");
    for name in stems(&folder, "toml") {
        let text = fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        for mistake in Config::parse(&text).unwrap_err().iter() {
            assert!(mistake.line.is_none_or(|line| (1..=text.lines().count() + 1).contains(&line)), "{mistake:?}");
            assert!(!mistake.problem.is_empty() && !mistake.cure.is_empty(), "{mistake:?}");
        }
    }
}

/// A file written elsewhere gets the same mistakes at the same lines.
#[test]
fn the_kind_of_line_ending_makes_no_difference() {
    let folder = folder("broken");
    for name in stems(&folder, "toml") {
        let text = fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap();
        assert_eq!(Config::parse(&text.replace('\n', "\r\n")), Config::parse(&text), "{name}");
    }
    assert_eq!(Config::parse(&FULL.replace('\n', "\r\n")), Config::parse(FULL));
}

/// Neither a value in place of a reference nor a password in an origin comes back in a message.
#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let cloud = |line: &str| format!("cloud.c = {{ broker = \"mqtts://a\", {line} }}");
    let (password, proxy) = (cloud("password = \"hunter2\""), cloud("proxy = \"http://gw:hunter2@proxy\""));
    let broker = "cloud.c.broker = \"mqtts://gw:hunter2@broker.example\"";
    for line in [
        &password,
        &proxy,
        broker,
        "http.ca = \"hunter2\"",
        "component.a.grant.http.x = \"https://user:hunter2@api.example\"",
    ] {
        let told = Config::parse(&format!("{line}\n{MINIMAL}")).unwrap_err().to_string();
        assert!(!told.contains("hunter2"), "{told}");
    }
}

/// Nesting is followed only as deep as TOML's reader allows: no file can exhaust the stack.
#[test]
fn deep_nesting_is_refused_and_not_followed() {
    let (keys, brackets) = (vec!["a"; 100_000].join("."), "[".repeat(100_000));
    for line in
        [format!("[component.a.config.{keys}]"), format!("component.a.config.{keys} = 1"), format!("x = {brackets}")]
    {
        assert!(Config::parse(&format!("schema = 1\n{line}\n")).is_err());
    }
}

#[test]
fn every_good_file_is_read() {
    let folder = folder("good");
    for name in stems(&folder, "toml") {
        good(&fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap());
    }
}

#[test]
fn what_the_minimal_file_leaves_out_is_the_default() {
    let config = good(&format!("{MINIMAL}\n[component.a]\nartifact = \"a.wasm\""));
    assert_eq!(config.gateway.control, Path::new("/var/lib/edgewit/control.sock"));
    assert_eq!((config.gateway.profile, config.gateway.grace), (Profile::Standard, limits::GRACE.default));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Text));
    assert_eq!((config.metrics, config.http.ca), (None, None));
    assert_eq!((config.store.engine, config.store.bytes), (StoreEngine::Sqlite, limits::STORE_BYTES.default));
    assert_eq!(config.store.keep, limits::STORE_KEEP.default);
    let a = &config.components["a"];
    let (messages, bytes) = (limits::DEAD_MESSAGES.default, limits::DEAD_BYTES.default);
    assert_eq!(a.dead_letter, DeadLetter { messages, bytes, full: DeadFullRule::Stop });
    assert!(a.enabled && !a.stateless);
    assert!(a.config.is_empty() && a.subscriptions.is_empty() && a.timers.is_empty());
    let nothing = GrantTable { thing: ThingName::parse("gw-cellar-7").ok(), ..GrantTable::default() };
    assert_eq!(a.grants, nothing, "nothing is granted that is not written");
    assert_eq!(a.limits.memory, limits::MEMORY.default);
    assert_eq!((a.limits.cpu, a.limits.wall), (limits::CPU.default, limits::WALL.default));
    assert_eq!(
        (a.limits.publishes, a.limits.publish_bytes),
        (limits::PUBLISHES.default, limits::PUBLISH_BYTES.default)
    );
    assert_eq!(a.limits.log_lines, limits::LOG_LINES_PER_SECOND.default);
    assert_eq!(a.recycle, Default::default());
    assert_eq!((a.restart.backoff, a.restart.backoff_max), (limits::BACKOFF.default, limits::BACKOFF_MAX.default));
    assert_eq!(a.restart.quarantine_after, Some(limits::QUARANTINE_AFTER.default));
    assert_eq!(a.health_every, limits::HEALTH_EVERY.default);
}

/// Without a thing it is the gateway's own, without a shadow the classic one, and `+` is every one.
#[test]
fn grants_for_shadows_are_read_key_by_key() {
    let config = good(FULL);
    let a = &config.components["average"];
    let shadows = ["own", "lamp", "all"].map(|name| &a.grants.shadow[name]);
    let things = shadows.map(|grant| grant.thing.as_ref().map(ThingName::as_str));
    assert_eq!(things, [Some("gw-cellar-7"), Some("lamp-7"), None]);
    assert!(
        shadows[0].which == Which::Classic
            && matches!(&shadows[1].which, Which::Named(name) if name.as_str() == "config")
    );
    assert_eq!(shadows[2].which, Which::EveryNamed);
    assert_eq!(shadows[0].allow, Allow { read: true, report: true, desire: false });
    assert_eq!((shadows[1].allow.desire, shadows[2].allow), (true, Allow::READ));
}

/// Every key of the full file arrives where it belongs, none at its neighbour's place.
#[test]
fn the_full_file_is_read_key_by_key() {
    let config = good(FULL);
    assert_eq!(config.gateway.data, Path::new("/var/lib/edgewit/gw-cellar-7"));
    assert_eq!(config.gateway.control, Path::new("/run/edgewit.sock"));
    assert_eq!((config.gateway.profile, config.gateway.grace), (Profile::Small, Duration::from_secs(20)));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Debug, LogFormat::Json));
    assert_eq!(config.metrics.unwrap().listen, "127.0.0.1:9100".parse().unwrap());
    assert_eq!(config.http.ca.as_deref(), Some(Path::new("ca.pem")));
    assert_eq!((config.store.engine, config.store.bytes), (StoreEngine::Sled, 512 * limits::MIB));
    assert_eq!(config.store.keep, Duration::from_secs(3 * 24 * 3600));
    let a = &config.components["average"];
    assert!(!a.enabled && a.stateless);
    let pairs: Vec<_> = a.config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let expected = [
        ("alert.levels.high", "32"),
        ("every", "10"),
        ("exact", "true"),
        ("factor", "1.5"),
        ("field", "value"),
        ("prefix", "gw-cellar-7/average"),
        ("since", "2026-01-01"),
    ];
    assert_eq!(pairs, expected);
    let readings = &a.subscriptions["readings"];
    assert_eq!((readings.filter.as_str(), readings.own), ("sensors/+/temperature", true));
    let live = |messages, bytes, full| Delivery::Live { messages, bytes, full };
    assert_eq!(readings.delivery, live(16, limits::MIB, LiveFullRule::DropNewest));
    let commands = &a.subscriptions["commands"];
    assert_eq!((commands.filter.as_str(), commands.own), ("commands/gw-cellar-7/average/#", false));
    let (messages, bytes) = (limits::QUEUE_MESSAGES.default, limits::QUEUE_BYTES.default);
    assert_eq!(commands.delivery, live(messages, bytes, LiveFullRule::DropOldest));
    let age = Some(Duration::from_secs(2 * 24 * 3600));
    let limits = QueueLimits { messages: 5000, bytes: 32 * limits::MIB, age, full: FullRule::LastPerTopic };
    let orders = DurableQueue { limits, qos0: true, policy: Policy { attempts: 5, relaxed: true } };
    assert_eq!(a.subscriptions["orders"].delivery, Delivery::Durable(orders));
    let (messages, bytes) = (limits::DURABLE_MESSAGES.default, limits::DURABLE_BYTES.default);
    let limits = QueueLimits { messages, bytes, age: None, full: FullRule::Refuse };
    let policy = Policy { attempts: 10, relaxed: false };
    let plans = DurableQueue { limits, qos0: false, policy };
    assert_eq!(a.subscriptions["plans"].delivery, Delivery::Durable(plans), "what a durable queue leaves out");
    let given_up = DeadLetter { messages: 50, bytes: 2 * limits::MIB, full: DeadFullRule::DropOldest };
    assert_eq!(a.dead_letter, given_up);
    assert_eq!(a.timers["flush"], Duration::from_secs(10));
    assert_eq!(a.grants.publish["own"].as_str(), "state/gw-cellar-7/average");
    assert_eq!(a.grants.timer_pending, Some(32));
    let plc = &a.grants.http["plc"];
    assert_eq!((plc.https, plc.host.as_str(), plc.port), (false, "plc.local", 8080));
    assert_eq!(plc.networks, [("10.0.0.0".parse().unwrap(), 8), ("fd00::".parse().unwrap(), 8)]);
    let spool = &a.grants.dir["spool"];
    assert_eq!((spool.path.as_path(), spool.write), (Path::new("/var/spool/average"), true));
    let state = &a.grants.kv["state"];
    assert_eq!(
        (state.bucket.id.to_string().as_str(), state.bucket.quota),
        ("own/average/state", limits::KV_BYTES.default)
    );
    assert!(!state.read_only);
    let plant = &a.grants.kv["plant"];
    assert_eq!((plant.bucket.id.to_string().as_str(), plant.bucket.quota), ("shared/plant", 4 * limits::MIB));
    assert!(plant.read_only);
    assert!(!a.grants.dir["tables"].write, "a directory is read-only unless it says otherwise");
    assert_eq!(a.limits.memory, 16 * limits::MIB);
    assert_eq!((a.limits.cpu, a.limits.wall), (Duration::from_millis(50), Duration::from_secs(1)));
    assert_eq!((a.limits.publishes, a.limits.publish_bytes, a.limits.log_lines), (512, limits::MIB, 20));
    assert_eq!((a.recycle.age, a.recycle.calls), (Some(Duration::from_secs(24 * 3600)), Some(1_000_000)));
    assert_eq!(a.recycle.memory, Some(12 * limits::MIB));
    assert_eq!((a.restart.backoff, a.restart.backoff_max), (Duration::from_millis(100), Duration::from_secs(30)));
    assert_eq!(a.restart.quarantine_after, None);
    assert_eq!(a.health_every, Duration::from_secs(30));
}

#[test]
fn a_limit_can_be_chosen_up_to_its_ends_and_no_further() {
    let with = |key: &str, value: String| {
        Config::parse(&format!("{MINIMAL}\n[component.a]\nartifact = \"a.wasm\"\nlimits.{key} = {value}")).is_ok()
    };
    let sizes = [("memory", limits::MEMORY), ("publish-bytes", limits::PUBLISH_BYTES)];
    let counts = [("publishes", limits::PUBLISHES), ("log-lines", limits::LOG_LINES_PER_SECOND)];
    for (key, range) in sizes.into_iter().chain(counts) {
        for (value, fits) in [(range.min, true), (range.min - 1, false), (range.max, true), (range.max + 1, false)] {
            assert_eq!(with(key, value.to_string()), fits, "{key} = {value}");
        }
    }
    for (key, range) in [("cpu", limits::CPU), ("wall", limits::WALL)] {
        let (min, max) = (range.min.as_millis(), range.max.as_millis());
        for (value, fits) in [(min, true), (min - 1, false), (max, true), (max + 1, false)] {
            assert_eq!(with(key, format!("\"{value}ms\"")), fits, "{key} = {value}ms");
        }
    }
}

#[test]
fn a_file_or_table_beyond_its_size_is_refused() {
    let large = format!("{MINIMAL}#{}", "x".repeat(limits::CONFIG_BYTES as usize));
    assert!(Config::parse(&large).unwrap_err().to_string().contains("larger than 4MiB"));
    let component = |index: usize| format!("[component.c{index}]\nartifact = \"a.wasm\"\n");
    let many = |count: usize| format!("{MINIMAL}{}", (0..count).map(component).collect::<String>());
    assert!(Config::parse(&many(limits::COMPONENTS)).is_ok());
    assert!(Config::parse(&many(limits::COMPONENTS + 1)).unwrap_err().to_string().contains("at most 512"));
    let timer = |index: usize| format!("timer.t{index}.every = \"1s\"\n");
    let timers = |count: usize| format!("{}{}", many(1), (0..count).map(timer).collect::<String>());
    assert!(Config::parse(&timers(limits::ENTRIES_PER_COMPONENT)).is_ok());
    assert!(Config::parse(&timers(limits::ENTRIES_PER_COMPONENT + 1)).unwrap_err().to_string().contains("at most 256"));
}

/// What is found later than a mistake, such as a file that is not there, has its line as well.
#[test]
fn a_key_has_its_line_or_that_of_the_nearest_table() {
    let text = "schema = 1\n[component.a]\nartifact = \"a.wasm\"\ngrant.dir.tables.path = \"t\"\n[component.b.grant]\n";
    let cases = [
        ("component.a.artifact", Some(3)),
        ("component.a.grant.dir.tables", Some(4)),
        ("component.a.recycle", Some(2)),
        ("component.b.artifact", Some(5)),
        ("gateway.data", None),
    ];
    for (key, expected) in cases {
        assert_eq!(line_of(text, &key.split('.').collect::<Vec<_>>()), expected, "{key}");
    }
}

/// The text with one stretch of it cut out, doubled, or replaced by something that TOML likes.
fn mutated() -> impl Strategy<Value = String> {
    const PIECES: [&str; 17] = [
        "",
        "\"",
        "=",
        "[",
        "]]",
        "{",
        "}",
        ".",
        "\n",
        "#",
        "-1",
        "\"\"",
        "true",
        "[component.a.b]\n",
        "${",
        "\0",
        "é",
    ];
    (0..FULL.len(), 0..40_usize, prop::sample::select(&PIECES[..]), any::<bool>()).prop_map(
        |(at, length, piece, twice)| {
            let (before, rest) = FULL.split_at(at);
            let (cut, after) = rest.split_at(length.min(rest.len()));
            format!("{before}{piece}{}{after}", if twice { cut.repeat(2) } else { String::new() })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any text is either a configuration or has at least one mistake, and the mistakes can be printed.
    #[test]
    fn a_random_change_is_read_or_has_its_mistakes_named(text in mutated()) {
        match Config::parse(&text) {
            Ok(config) => prop_assert!(config.changes(&config).is_empty()),
            Err(mistakes) => {
                prop_assert!(mistakes.iter().count() > 0);
                prop_assert!(!mistakes.in_file("x.toml").to_string().is_empty());
            }
        }
    }

    /// Reading takes any text at all.
    #[test]
    fn any_text_is_answered(text in "\\PC*") {
        prop_assert!(Config::parse(&text).is_err());
    }
}
