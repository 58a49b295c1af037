//! A cloud that closes the connection on a request about one shadow, as AWS IoT does where a policy does not permit it.

use serde_json::json;

use super::shadows::{OWN, synced, until_both, update};
use super::up::publish;
use crate::far::{Far, until_connected};
use crate::world::{World, eventually};

#[test]
fn a_shadow_on_which_the_broker_closes_the_connection_is_in_error_by_name_and_all_else_goes_on() {
    let far = Far::new();
    let cloud = far.shadows();
    let network = far.open_network();
    network.forbid("$aws/things/test/shadow/name/secret/");
    let world = World::with(
        &format!(
            "[cloud.main]\nbroker = \"mqtt://127.0.0.1:{}\"\nbackoff = \"10ms\"\nbackoff-max = \"100ms\"\n{OWN}\
             [uplink.all]\nfilter = \"up/#\"\n",
            network.port
        ),
        &[],
    );
    let running = world.start();
    until_connected(&running);
    let names = ["a", "b", "secret", "c", "d"];
    for (value, name) in names.into_iter().enumerate() {
        update(&running, Some(name), &json!({"reported": {"value": value}}));
        publish(&running, "up/a", value as u64);
    }
    let error = eventually("the shadow is in error", || {
        let all = synced(&running);
        let secret = all.iter().find(|shadow| shadow.name.as_deref() == Some("secret"));
        match secret.filter(|secret| secret.state == "in-error").and_then(|secret| secret.error.clone()) {
            Some(error) => Ok(error),
            None => Err(all),
        }
    });
    let asked = "nothing but $aws/things/test/shadow/name/secret/get was asked; permit this client there";
    assert!(error.contains(asked), "{error}");
    for (value, name) in names.into_iter().enumerate().filter(|(_, name)| *name != "secret") {
        until_both(&running, &cloud, Some(name), &json!({"reported": {"value": value}}));
    }
    far.until_kept("up/a", names.len() as u64);

    // A change here does not try it again, and the others are kept the same.
    let before = until_connected(&running).connections;
    assert!(before <= 1 + 3 + 3, "{before} connections");
    update(&running, Some("secret"), &json!({"reported": {"value": 9}}));
    update(&running, Some("a"), &json!({"reported": {"value": 9}}));
    until_both(&running, &cloud, Some("a"), &json!({"reported": {"value": 9}}));
    assert_eq!(until_connected(&running).connections, before);
}
