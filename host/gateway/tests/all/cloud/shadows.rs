//! Shadows that are kept the same as a cloud's, by a real gateway over a real broker.

use edgewit_domain::control::{Command, Reply, SyncedShadow};
use edgewit_domain::shadow::{Limits, RequestTopic, ShadowId, ShadowName, ThingName, Verb, answer};
use edgewit_testbed::{Faults, ShadowCloud};
use serde_json::{Value, json};

use super::down::damage;
use super::killed::{moment, rounds};
use crate::far::{Far, cloud_of, until_connected};
use crate::process::Process;
use crate::world::{Running, World, echo, eventually};

pub const OWN: &str = "[shadow.sync.own]\n[shadow.sync.named]\nshadow = \"+\"\n";
const SYNCED: Command = Command::SyncedShadows { thing: None, after: None };
const CLASSIC: Option<&str> = None;

pub fn id(name: Option<&str>) -> ShadowId {
    let name = name.map(|name| ShadowName::parse(name).unwrap());
    ShadowId { thing: ThingName::parse("test").unwrap(), name }
}

/// What the cloud's document says; null where it has none.
pub fn in_cloud(cloud: &ShadowCloud, name: Option<&str>) -> Value {
    let (id, stored) = (id(name), cloud.stored(&id(name)));
    let outcome = answer(&RequestTopic { id, verb: Verb::Get }, b"", stored.as_ref(), 0, &Limits::default());
    let (_, body) = outcome.answers.first().unwrap();
    serde_json::from_slice::<Value>(body).unwrap()["state"].clone()
}

/// The same of the document here.
fn here(running: &Running<'_>, name: Option<&str>) -> Value {
    match ask(running, name, Verb::Get, "") {
        Reply::Shadow { body } => serde_json::from_str::<Value>(&body).unwrap()["state"].clone(),
        Reply::Refused { .. } => Value::Null,
        other => panic!("{other:?}"),
    }
}

fn ask(running: &Running<'_>, name: Option<&str>, verb: Verb, document: &str) -> Reply {
    running.command(command(name, verb, document))
}

fn command(name: Option<&str>, verb: Verb, document: &str) -> Command {
    Command::Shadow { thing: None, name: name.map(str::to_owned), verb, document: document.as_bytes().to_vec() }
}

pub fn update(running: &Running<'_>, name: Option<&str>, state: &Value) {
    let reply = ask(running, name, Verb::Update, &json!({ "state": state }).to_string());
    assert!(matches!(reply, Reply::Shadow { .. }), "{reply:?}");
}

/// By somebody in the cloud.
fn update_there(far: &Far, name: Option<&str>, state: &Value) {
    far.publish(&topic(name, "update"), &json!({ "state": state }).to_string());
}

fn topic(name: Option<&str>, verb: &str) -> String {
    let name = name.map_or_else(String::new, |name| format!("/name/{name}"));
    format!("$aws/things/test/shadow{name}/{verb}")
}

/// Without what differs, which follows from the rest.
fn sections(state: &Value) -> Value {
    let mut state = state.clone();
    state.as_object_mut().map(|state| state.remove("delta"));
    state
}

pub fn until_both(running: &Running<'_>, cloud: &ShadowCloud, name: Option<&str>, expected: &Value) {
    eventually("both sides say the same", || match (sections(&here(running, name)), in_cloud(cloud, name)) {
        (here, there) if here == *expected && sections(&there) == *expected => Ok(()),
        other => Err((other, synced(running))),
    });
}

pub fn synced(running: &Running<'_>) -> Vec<SyncedShadow> {
    match running.command(SYNCED) {
        Reply::SyncedShadows { shadows, more: false } => shadows,
        other => panic!("{other:?}"),
    }
}

fn until_in_sync(running: &Running<'_>, count: usize) -> Vec<SyncedShadow> {
    eventually("all are in sync", || match synced(running) {
        all if all.len() == count && all.iter().all(|shadow| shadow.state == "in-sync") => Ok(all),
        all => Err(all),
    })
}

#[test]
fn what_either_side_says_of_a_shadow_is_soon_said_by_both() {
    let far = Far::new();
    let cloud = far.shadows();
    let world = far.world(OWN, &[]);
    let running = world.start();
    let deltas = running.listen("$aws/things/test/shadow/update/delta");
    update(&running, CLASSIC, &json!({"reported": {"temperature": 21.5}}));
    until_both(&running, &cloud, CLASSIC, &json!({"reported": {"temperature": 21.5}}));
    update_there(&far, CLASSIC, &json!({"desired": {"setpoint": 4}}));
    let delta: Value = serde_json::from_str(&deltas.next()).unwrap();
    assert_eq!(delta["state"], json!({"setpoint": 4}), "what the cloud wishes reaches who hears deltas here");
    until_both(&running, &cloud, CLASSIC, &json!({"desired": {"setpoint": 4}, "reported": {"temperature": 21.5}}));
    update(&running, CLASSIC, &json!({"reported": {"setpoint": 4}}));
    let agreed = json!({"desired": {"setpoint": 4}, "reported": {"temperature": 21.5, "setpoint": 4}});
    until_both(&running, &cloud, CLASSIC, &agreed);

    // Named ones are found where they appear first.
    update(&running, Some("here"), &json!({"reported": {"a": 1}}));
    update_there(&far, Some("there"), &json!({"desired": {"b": 2}}));
    until_both(&running, &cloud, Some("here"), &json!({"reported": {"a": 1}}));
    until_both(&running, &cloud, Some("there"), &json!({"desired": {"b": 2}}));
    let all = until_in_sync(&running, 3);
    assert!(all.iter().all(|shadow| shadow.dirty_ms.is_none() && shadow.error.is_none()), "{all:?}");
    let counted = cloud_of(&running.status()).shadows.clone().unwrap();
    assert_eq!((counted.states["in-sync"], counted.dirty), (3, 0));
    assert!(counted.requests > 0 && counted.request_bytes > 0);

    // Each side deletes what the other has made.
    assert!(matches!(ask(&running, Some("there"), Verb::Delete, ""), Reply::Shadow { .. }));
    far.publish(&topic(Some("here"), "delete"), "");
    until_both(&running, &cloud, Some("there"), &Value::Null);
    until_both(&running, &cloud, Some("here"), &Value::Null);
    eventually("what nobody has makes room; our own deletion may still come about", || {
        let left: Vec<_> = synced(&running).into_iter().map(|shadow| shadow.name).collect();
        if left == [None, Some("there".to_owned())] { Ok(()) } else { Err(left) }
    });
}

#[test]
fn what_both_sides_said_while_the_link_was_cut_is_merged_and_costs_one_update() {
    let far = Far::new();
    let cloud = far.shadows();
    let world = far.world(OWN, &[]);
    let running = world.start();
    update(&running, CLASSIC, &json!({"desired": {"setpoint": 4, "mode": "eco"}, "reported": {"count": 0}}));
    until_in_sync(&running, 1);
    far.cut();
    eventually("the link is down", || match &synced(&running)[..] {
        [shadow] if shadow.state == "offline" => Ok(()),
        other => Err(other.to_vec()),
    });
    let before = cloud.requests();
    for count in 1..=50 {
        update(&running, CLASSIC, &json!({"desired": {"mode": "boost", "fan": count}, "reported": {"count": count}}));
    }
    update_there(&far, CLASSIC, &json!({"desired": {"setpoint": 7, "mode": "off"}, "reported": {"count": -1}}));
    eventually("it is seen what is not in the cloud", || match &synced(&running)[..] {
        [shadow] if (shadow.local, shadow.remote, shadow.dirty_ms.is_some()) == (Some(51), Some(1), true) => Ok(()),
        other => Err(other.to_vec()),
    });
    eventually("the cloud has its own update", || match cloud.requests() - before {
        1 => Ok(()),
        other => Err(other),
    });
    far.mend();
    // The cloud wins what is desired, the device what is reported, and neither loses what it alone has said.
    let merged = json!({"desired": {"setpoint": 7, "mode": "off", "fan": 50}, "reported": {"count": 50}});
    until_both(&running, &cloud, CLASSIC, &merged);
    assert_eq!(until_in_sync(&running, 1)[0].remote, Some(3), "the cloud's own update, and one of ours");
    let requests = cloud.requests() - before;
    assert!(requests <= 1 + 3, "{requests} requests: its own; a conflict if we had not heard of it, a get, an update");
}

#[test]
fn a_gateway_that_starts_again_asks_for_each_shadow_once_and_changes_nothing() {
    let far = Far::new();
    let cloud = far.shadows();
    let world = far.world(OWN, &[]);
    let running = world.start();
    for name in [CLASSIC, Some("a"), Some("b")] {
        update(&running, name, &json!({"desired": {"x": 1}}));
    }
    let before = until_in_sync(&running, 3);
    drop(running);
    let requests = cloud.requests();
    let running = world.start();
    until_connected(&running);
    let after = until_in_sync(&running, 3);
    assert_eq!(cloud.requests() - requests, 3);
    assert_eq!(after, before, "no document has another version");
}

#[test]
fn a_rule_says_which_way_changes_go_and_a_reload_changes_it() {
    let far = Far::new();
    let cloud = far.shadows();
    let rule = |direction: &str| format!("[shadow.sync.own]\ndirection = \"{direction}\"\n");
    let world = far.world(&rule("to-cloud"), &[]);
    let running = world.start();
    update(&running, CLASSIC, &json!({"desired": {"mode": "eco"}}));
    until_in_sync(&running, 1);
    update_there(&far, CLASSIC, &json!({"desired": {"mode": "off", "more": 1}}));
    eventually("the cloud's change is taken back", || match in_sync_version(&running) {
        Some(3) => Ok(()),
        other => Err(other),
    });
    until_both(&running, &cloud, CLASSIC, &json!({"desired": {"mode": "eco"}}));
    world.configure(&far.cloud(&rule("from-cloud")), &[]);
    let Reply::Reloaded(reloaded) = running.command(Command::Reload) else { panic!("not reloaded") };
    assert_eq!(reloaded.settings, ["shadow.sync.own"]);
    until_in_sync(&running, 1);
    update(&running, CLASSIC, &json!({"desired": {"mode": "boost"}}));
    until_both(&running, &cloud, CLASSIC, &json!({"desired": {"mode": "eco"}}));
    world.configure(&far.cloud(""), &[]);
    assert!(matches!(running.command(Command::Reload), Reply::Reloaded(_)));
    assert_eq!(synced(&running), []);
    update(&running, CLASSIC, &json!({"desired": {"mode": "night"}}));
    assert_eq!(cloud_of(&running.status()).shadows, None);
}

/// The cloud's version that was last merged.
fn in_sync_version(running: &Running<'_>) -> Option<u64> {
    synced(running).first()?.remote
}

/// What was agreed on once says nothing of what was said while nobody kept the two the same.
#[test]
fn what_is_remembered_of_a_cloud_goes_with_its_last_rule_in_a_reload_and_at_a_start() {
    let far = Far::new();
    let cloud = far.shadows();
    let world = far.world(OWN, &[]);
    let mut running = world.start();
    update(&running, CLASSIC, &json!({"reported": {"a": 1}}));
    until_in_sync(&running, 1);
    for restarts in [false, true] {
        running = configured(running, &world, &far.cloud(""), restarts);
        assert!(matches!(ask(&running, CLASSIC, Verb::Delete, ""), Reply::Shadow { .. }));
        running = configured(running, &world, &far.cloud(OWN), restarts);
        // It is no deletion of anything that both had.
        until_both(&running, &cloud, CLASSIC, &json!({"reported": {"a": 1}}));
        until_in_sync(&running, 1);
    }
}

fn configured<'a>(running: Running<'a>, world: &'a World, head: &str, restarts: bool) -> Running<'a> {
    world.configure(head, &[]);
    if restarts {
        drop(running);
        return world.start();
    }
    assert!(matches!(running.command(Command::Reload), Reply::Reloaded(_)));
    running
}

#[test]
fn a_shadow_that_cannot_be_read_is_shown_as_in_error() {
    let far = Far::new();
    let _cloud = far.shadows();
    let world = far.world(OWN, &[]);
    let running = world.start();
    update(&running, CLASSIC, &json!({"reported": {"a": "needle"}}));
    until_in_sync(&running, 1);
    running.gateway.shutdown();
    damage(&world, "needle");
    let running = world.start();
    let shadow = eventually("it is shown", || match &synced(&running)[..] {
        [shadow] => Ok(shadow.clone()),
        other => Err(other.to_vec()),
    });
    assert_eq!((shadow.state.as_str(), shadow.name), ("in-error", None));
    assert!(shadow.error.is_some_and(|error| error.contains("damaged")));
    assert_eq!(cloud_of(&running.status()).shadows.clone().unwrap().states["in-error"], 1);
}

#[test]
fn a_refusal_of_the_cloud_is_shown_and_passes() {
    let far = Far::new();
    let cloud = far.shadows();
    let world = far.world(OWN, &[]);
    let running = world.start();
    update(&running, CLASSIC, &json!({"desired": {"mode": "eco"}}));
    until_in_sync(&running, 1);
    cloud.set(Faults { reject: Some(429), ..Faults::default() });
    update(&running, CLASSIC, &json!({"desired": {"mode": "off"}}));
    eventually("the refusal is shown", || match &synced(&running)[..] {
        [shadow] if shadow.error.as_ref().is_some_and(|error| error.contains("the cloud refused: 429")) => Ok(()),
        other => Err(other.to_vec()),
    });
    cloud.set(Faults::default());
    until_both(&running, &cloud, CLASSIC, &json!({"desired": {"mode": "off"}}));
    assert_eq!(until_in_sync(&running, 1)[0].error, None);
}

/// Nobody here wrote the client: what it asks of the cloud reaches the gateway, and what the gateway says reaches it, in
/// words that it understands.
#[test]
fn a_client_of_aws_s_own_sdk_and_the_gateway_follow_each_other() {
    let far = Far::new();
    let cloud = far.shadows();
    let world = far.world(&format!("client-id = \"gw\"\n{OWN}"), &[]);
    let mut sdk = far.sdk("test");
    let running = world.start();
    sdk.does("update", json!({"desired": {"setpoint": 4, "mode": "eco"}}));
    sdk.hears("update/accepted");
    until_both(&running, &cloud, CLASSIC, &json!({"desired": {"setpoint": 4, "mode": "eco"}}));
    let wished = sdk.hears("update/delta");
    assert_eq!((&wished["state"], &wished["version"]), (&json!({"setpoint": 4, "mode": "eco"}), &json!(1)));

    update(&running, CLASSIC, &json!({"reported": {"setpoint": 4}}));
    let reported = sdk.hears("update/accepted");
    assert_eq!((&reported["state"], &reported["version"]), (&json!({"reported": {"setpoint": 4}}), &json!(2)));
    assert_eq!(sdk.hears("update/delta")["state"], json!({"mode": "eco"}));
    sdk.hears("update/documents");
    assert_eq!(sdk.hears("update/documents")["current"]["version"], 2);

    // While the gateway is away both sides go on, and meet again.
    far.cut();
    update(&running, CLASSIC, &json!({"desired": {"mode": "boost"}, "reported": {"mode": "boost"}}));
    sdk.does("update", json!({"desired": {"mode": "off"}, "version": 2}));
    sdk.hears("update/accepted");
    far.mend();
    let merged = json!({"desired": {"setpoint": 4, "mode": "off"}, "reported": {"setpoint": 4, "mode": "boost"}});
    until_both(&running, &cloud, CLASSIC, &merged);
    assert_eq!(sdk.hears("update/accepted")["state"], json!({"reported": {"mode": "boost"}}));

    sdk.does("delete", json!({}));
    sdk.hears("delete/accepted");
    until_both(&running, &cloud, CLASSIC, &Value::Null);
    update(&running, CLASSIC, &json!({"reported": {"again": true}}));
    until_both(&running, &cloud, CLASSIC, &json!({"reported": {"again": true}}));
    sdk.does("get", json!({}));
    let got = eventually("it gets what was made again", || {
        let got = sdk.hears("get/accepted");
        if got["state"] == json!({"reported": {"again": true}}) { Ok(got) } else { Err(got) }
    });
    assert_eq!(got["version"], 5, "the numbers go on");
}

/// The device says what it measures, the cloud what it wants, and the gateway ends by SIGKILL wherever it is.
#[test]
fn a_gateway_killed_again_and_again_takes_up_every_synchronisation() {
    let far = Far::new();
    let cloud = far.shadows();
    let world = far.world(OWN, &[echo("a", "")]);
    let (mut reported, mut desired) = (0_u64, 0_u64);
    for round in 0..rounds() {
        let process = Process::start(&world, "a");
        let moment = moment(round);
        let (steps, is_cut) = (1 + moment % 12, moment.is_multiple_of(3));
        if is_cut {
            far.cut();
        }
        let before = cloud.requests();
        if !is_cut && moment % 4 < 2 {
            eventually("they were the same once", || match process.ask(&SYNCED)? {
                Reply::SyncedShadows { shadows, .. } if shadows.iter().all(|one| one.state == "in-sync") => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
        for step in 0..steps {
            reported += 1;
            let state = json!({"state": {"reported": {"n": reported}}}).to_string();
            let reply = process.ask(&command(CLASSIC, Verb::Update, &state)).unwrap();
            assert!(matches!(reply, Reply::Shadow { .. }), "{reply:?}");
            desired += 1;
            update_there(&far, CLASSIC, &json!({"desired": {"m": desired}}));
            if step == moment % 7 {
                far.mend();
            }
        }
        // Somewhere between its first request of this round and the one behind.
        eventually("it asks", || match (cloud.requests() - before).saturating_sub(steps) {
            asked if is_cut || asked > moment / 12 % 2 => Ok(()),
            asked => Err(asked),
        });
        drop(process);
        far.mend();
    }
    let process = Process::start(&world, "a");
    let expected = json!({"desired": {"m": desired}, "reported": {"n": reported}});
    eventually("both sides say what was said last", || {
        let here = match process.ask(&command(CLASSIC, Verb::Get, "")) {
            Ok(Reply::Shadow { body }) => serde_json::from_str::<Value>(&body).unwrap()["state"].clone(),
            other => json!(format!("{other:?}")),
        };
        let there = in_cloud(&cloud, CLASSIC);
        if sections(&here) == expected && sections(&there) == expected { Ok(()) } else { Err((here, there)) }
    });
    println!("{} rounds: {reported} reports, {desired} wishes, {} requests", rounds(), cloud.requests());
}
