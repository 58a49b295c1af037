//! The cloud that tests keep shadows in: it answers as the document engine says, and fails as it is told.

use std::time::Duration;

use edgewit_domain::shadow::{ShadowId, ThingName};
use edgewit_testbed::{Authority, Broker, Faults, Observer, ShadowCloud, until};

const SHADOW: &str = "$aws/things/t/shadow";
const PATIENCE: Duration = Duration::from_secs(30);

/// What was heard of `shadow`, by the ends of the topics, its requests left out.
async fn heard(observer: &Observer, shadow: &str, count: usize) -> Vec<(String, String)> {
    let answers = || -> Vec<(String, String)> {
        let arrived = observer.arrived().into_iter().filter_map(|(topic, payload)| {
            let answer = topic.strip_prefix(&format!("{SHADOW}/name/{shadow}/"))?.to_owned();
            answer.contains('/').then(|| (answer, String::from_utf8(payload).unwrap()))
        });
        arrived.collect()
    };
    until(shadow, PATIENCE, async || answers().len() >= count).await;
    answers()
}

fn ends(answers: &[(String, String)]) -> Vec<&str> {
    answers.iter().map(|(topic, _)| topic.split_once('/').unwrap().1).collect()
}

#[tokio::test]
async fn the_test_cloud_answers_as_the_engine_does_and_fails_as_told() {
    let authority = Authority::new("test");
    let broker = Broker::start(&authority, &authority.server("localhost")).await;
    let cloud = ShadowCloud::new(broker.plain).await;
    let observer = Observer::hearing(broker.plain, "$aws/#").await;
    let all = ["delta", "documents", "accepted"];
    let reversed = ["accepted", "documents", "delta"];
    let twice = ["delta", "delta", "documents", "documents", "accepted", "accepted"];
    let sound = Faults::default();
    let cases: [(&str, Faults, &[&str]); 5] = [
        ("sound", sound, &all),
        ("delayed", Faults { delay: Some(Duration::from_millis(50)), ..sound }, &all),
        ("doubled", Faults { duplicate: true, ..sound }, &twice),
        ("reordered", Faults { reorder: true, ..sound }, &reversed),
        ("rejected", Faults { reject: Some(429), ..sound }, &["rejected"]),
    ];
    for (shadow, faults, expected) in cases {
        cloud.set(faults);
        let update = r#"{"state":{"desired":{"a":1}},"clientToken":"mine"}"#;
        observer.publish(&format!("{SHADOW}/name/{shadow}/update"), update).await;
        let answers = heard(&observer, shadow, expected.len()).await;
        assert_eq!(ends(&answers), expected, "{shadow}");
        assert!(answers.iter().all(|(_, body)| body.contains("\"clientToken\":\"mine\"")), "{shadow}: {answers:?}");
    }

    // What is lost is the answer: the document is there, and is told of by what comes next.
    cloud.set(Faults { drop: true, ..sound });
    observer.publish(&format!("{SHADOW}/name/dropped/update"), r#"{"state":{"desired":{"a":1}}}"#).await;
    until("the request", PATIENCE, async || cloud.requests() == 6).await;
    cloud.set(sound);
    observer.publish(&format!("{SHADOW}/name/dropped/get"), "").await;
    let answers = heard(&observer, "dropped", 1).await;
    assert!(answers[0].0 == "get/accepted" && answers[0].1.contains("\"version\":1"), "{answers:?}");

    observer.publish(&format!("{SHADOW}/update"), r#"{"state":{"desired":{"a":1}}}"#).await;
    let classic = ShadowId::classic(ThingName::parse("t").unwrap());
    until("the classic shadow", PATIENCE, async || cloud.stored(&classic).is_some()).await;
    cloud.forget();
    assert_eq!(cloud.stored(&classic), None);
}
