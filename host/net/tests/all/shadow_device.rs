//! A device that nobody here wrote, and the cloud that tests keep shadows in: AWS's own SDK asks for everything that it
//! can, through a broker and with mutual TLS, and understands every answer.

use edgewit_testbed::{Authority, Broker, Client, Device, ShadowCloud};
use serde_json::{Value, json};

const THING: &str = "lamp-7";

/// What came of an update, as the device heard it: what differs, the documents, and the answer. The SDK's client of old
/// hears the token in each.
struct Heard {
    delta: Option<Value>,
    documents: Value,
    accepted: Value,
}

async fn update(device: &mut Device, shadow: Option<&str>, what: Value, differs: bool) -> Heard {
    device.does("update", shadow, what);
    Heard {
        delta: if differs { Some(device.hears(shadow, "update/delta").await) } else { None },
        documents: device.hears(shadow, "update/documents").await,
        accepted: device.hears(shadow, "update/accepted").await,
    }
}

/// The times are those of now; without them, and without the token that a client chose, the rest is known beforehand.
fn timeless(mut said: Value) -> Value {
    let said_at = said["timestamp"].as_u64().unwrap_or_else(|| panic!("without its time: {said}"));
    let object = said.as_object_mut().unwrap();
    object.remove("timestamp");
    object.remove("client_token");
    if let Some(metadata) = object.remove("metadata") {
        check_times(&metadata, said_at);
    }
    said
}

/// Every leaf has a time, and none is of tomorrow.
fn check_times(metadata: &Value, now: u64) {
    match metadata["timestamp"].as_u64() {
        Some(at) => assert!(at <= now && now - at < 600, "{metadata} at {now}"),
        None => metadata.as_object().unwrap().values().for_each(|inner| check_times(inner, now)),
    }
}

/// A document before or after.
fn snapshot(documents: &Value, which: &str) -> Value {
    json!({"state": documents[which]["state"], "version": documents[which]["version"]})
}

async fn is_absent(device: &mut Device, shadow: Option<&str>) {
    device.does("get", shadow, json!({}));
    let mut refused = device.hears(shadow, "get/rejected").await;
    refused.as_object_mut().unwrap().remove("client_token");
    let named = shadow.map(|name| format!("~{name}")).unwrap_or_default();
    assert_eq!(refused, json!({"code": 404, "message": format!("No shadow exists with name: '{THING}{named}'")}));
}

/// From nothing to a document, through wishes, reports and a conflict, to its deletion, and back again.
async fn live(device: &mut Device, shadow: Option<&str>) {
    is_absent(device, shadow).await;

    let wish = json!({"on": true, "color": {"r": 255, "g": 0}});
    let wished = update(device, shadow, json!({"desired": wish, "token": "a wish"}), true).await;
    assert!(wished.accepted["client_token"].is_string(), "{}", wished.accepted);
    assert_eq!(timeless(wished.delta.unwrap()), json!({"state": wish, "version": 1}));
    assert_eq!(wished.documents["previous"], Value::Null);
    assert_eq!(snapshot(&wished.documents, "current"), json!({"state": {"desired": wish}, "version": 1}));
    assert_eq!(timeless(wished.accepted), json!({"state": {"desired": wish}, "version": 1}));

    let report = json!({"on": true, "color": {"r": 1}});
    let reported = update(device, shadow, json!({"reported": report, "version": 1}), true).await;
    assert_eq!(timeless(reported.delta.unwrap()), json!({"state": {"color": {"r": 255, "g": 0}}, "version": 2}));
    let both = json!({"desired": wish, "reported": report});
    assert_eq!(snapshot(&reported.documents, "previous"), json!({"state": {"desired": wish}, "version": 1}));
    assert_eq!(snapshot(&reported.documents, "current"), json!({"state": both, "version": 2}));
    assert_eq!(timeless(reported.accepted), json!({"state": {"reported": report}, "version": 2}));

    device.does("get", shadow, json!({}));
    let got = timeless(device.hears(shadow, "get/accepted").await);
    let delta = json!({"color": {"r": 255, "g": 0}});
    assert_eq!(got, json!({"state": {"desired": wish, "reported": report, "delta": delta}, "version": 2}));

    device.does("update", shadow, json!({"reported": {"on": false}, "version": 1}));
    let refused = device.hears(shadow, "update/rejected").await;
    assert_eq!((&refused["code"], &refused["message"]), (&json!(409), &json!("Version conflict")));

    let agreed = update(device, shadow, json!({"reported": wish}), false).await;
    assert_eq!(timeless(agreed.accepted), json!({"state": {"reported": wish}, "version": 3}));
    device.does("get", shadow, json!({}));
    let got = timeless(device.hears(shadow, "get/accepted").await);
    assert_eq!(got, json!({"state": {"desired": wish, "reported": wish}, "version": 3}));

    let removed = update(device, shadow, json!({"desired": null}), false).await;
    assert_eq!(snapshot(&removed.documents, "current"), json!({"state": {"reported": wish}, "version": 4}));

    device.does("delete", shadow, json!({}));
    assert_eq!(timeless(device.hears(shadow, "delete/accepted").await), json!({"version": 4}));
    is_absent(device, shadow).await;

    // The numbers go on, so that nobody takes the new document for the old one.
    let again = update(device, shadow, json!({"desired": {"on": false}}), true).await;
    assert_eq!(again.documents["previous"], Value::Null);
    assert_eq!(again.accepted["version"], 5);
}

#[tokio::test]
async fn a_device_of_aws_s_own_sdk_understands_everything_that_it_is_answered() {
    let authority = Authority::new("test");
    let broker = Broker::start(&authority, &authority.server("localhost")).await;
    for client in [Client::First, Client::Second] {
        let cloud = ShadowCloud::new(broker.plain).await;
        let identity = authority.client(THING);
        let mut device = Device::start(client, broker.tls, &authority, &identity, THING, &["mood"]).await;
        for shadow in [None, Some("mood")] {
            live(&mut device, shadow).await;
        }
        assert_eq!(device.unheard(), Vec::<Value>::new(), "{client:?} heard what nobody had expected");
        assert_eq!(cloud.requests(), 22, "{client:?}");
        device.end().await;
    }
}
