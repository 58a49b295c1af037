//! [H1]: what a handling asks for leaves the instance only when the handler has returned well, and within its quotas.

use std::time::Duration;

use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Outcome, Tick, TimerChange};
use edgewit_domain::limits;

use crate::support::{bed, component, delivery, load, services};

const PUBLISH: &str = "[component.it.grant.publish]\nall = \"#\"\n";

#[test]
fn h1_a_trap_half_way_leaves_no_effect() {
    let mut bed = bed("trap-half", PUBLISH);
    assert_eq!(bed.published("fine"), [("trap-half/out".into(), "fine".into())]);
    assert!(matches!(bed.message("now"), Err(Fault::Trap { .. })));
}

#[test]
fn h1_retry_and_reject_leave_no_effect() {
    let mut bed = bed("error", PUBLISH);
    assert_eq!(bed.message("reject").unwrap(), Outcome::Rejected { reason: "reject as told".into() });
    assert_eq!(bed.message("retry").unwrap_err(), Fault::Retry { reason: "retry as told".into() });
    // What the two asked for must not come out with the next one's.
    assert_eq!(bed.published("fine").len(), 1);
}

#[test]
fn a_guest_sees_every_field_of_a_delivery_and_can_publish_every_field_of_a_message() {
    let mut bed = bed("echo", &format!("{PUBLISH}[component.it.config]\nto = \"out\"\n"));
    let mut sent = delivery("in/a", b"payload");
    let envelope = std::sync::Arc::make_mut(&mut sent.envelope);
    envelope.message.qos = edgewit_domain::message::Qos::AtLeastOnce;
    envelope.message.retain = true;
    envelope.message.expiry = Some(9);
    envelope.message.payload_format = edgewit_domain::message::PayloadFormat::Text;
    envelope.message.content_type = Some("text/plain".into());
    envelope.message.response_topic = Some("answers/here".into());
    envelope.message.correlation_data = Some(vec![0, 255]);
    envelope.message.user_properties = vec![("a".into(), "1".into()), ("a".into(), "2".into())];
    let Ok(Outcome::Done(effects)) = bed.instance.deliver(&sent) else { panic!("echo failed") };
    let mut expected = sent.envelope.message.clone();
    expected.topic = edgewit_domain::topic::Topic::parse("out").unwrap();
    assert_eq!(effects.publishes, [expected]);
}

#[test]
fn publishes_of_one_handling_end_at_the_quota() {
    for (count, quota, expected) in [(10, 10, 10), (11, 10, 10), (5_000, 1_000, 1_000)] {
        let tables = format!("{PUBLISH}[component.it.limits]\npublishes = {quota}\ncpu = \"10s\"\n");
        let mut bed = bed("flood", &tables);
        assert_eq!(bed.published(count.to_string()).len(), expected, "{count} of {quota}");
    }
}

#[test]
fn bytes_of_one_handling_end_at_the_quota() {
    // flood/out and one digit: ten bytes a message.
    let mut bed = bed("flood", &format!("{PUBLISH}[component.it.limits]\npublish-bytes = 1024\n"));
    let total: usize = bed.published("500").iter().map(|(topic, payload)| topic.len() + payload.len()).sum();
    assert!(total <= 1024 && total > 1024 - 20, "{total} bytes");
}

#[test]
fn a_message_of_the_limit_passes_and_one_byte_more_is_refused() {
    let mut bed = bed("echo", &format!("{PUBLISH}[component.it.config]\nto = \"out\"\n"));
    let most = limits::MESSAGE_BYTES - "out".len();
    assert_eq!(bed.published(vec![b'x'; most]).len(), 1);
    let Ok(Outcome::Rejected { reason }) = bed.message(vec![b'x'; most + 1]) else { panic!("was not refused") };
    assert!(reason.contains(&limits::MESSAGE_BYTES.to_string()), "{reason}");
}

#[test]
fn denied_first_a_topic_beyond_the_grant_is_refused_with_the_line_that_would_permit() {
    let grant = "[component.it.grant.publish]\nown = \"trespass/out\"\n";
    let report = &bed("trespass", grant).published("x")[0].1;
    assert!(report.contains("[component.it.grant.publish]"), "{report}");
    let line = report.lines().last().unwrap();
    let report = &bed("trespass", &format!("{grant}{line}\n")).published("x")[1].1;
    assert_eq!(report, "`forbidden/place` was permitted");
}

#[test]
fn m2_reserved_topics_are_refused_whatever_is_granted() {
    for topic in ["$edgewit/cloud/main", "$aws/things/test/shadow/update/accepted"] {
        let tables = format!("{PUBLISH}reserved = \"$edgewit/x/#\"\n[component.it.config]\nbeyond = \"{topic}\"\n");
        let tables = tables.replace("reserved = \"$edgewit/x/#\"\n", "");
        let published = bed("trespass", &tables).published("x");
        assert_eq!(published.len(), 1, "{topic}: {published:?}");
    }
}

#[test]
fn a_timer_set_in_a_handling_is_an_effect_that_the_handling_itself_sees() {
    let mut bed = bed("timers", &format!("{PUBLISH}[component.it.grant.timer]\npending = 1\n"));
    let Ok(Outcome::Done(effects)) = bed.message("set a 500 hello") else { panic!("failed") };
    let set = TimerChange::Set { name: "a".into(), after: Duration::from_millis(500), payload: b"hello".into() };
    assert_eq!(effects.timers, [set]);
    // The bed applies nothing, so nothing is pending.
    assert_eq!(bed.published("cancel a")[0].1, "cancel a: false");
    bed.services.timers.lock().unwrap().apply(Duration::ZERO, effects.timers);
    assert_eq!(bed.published("cancel a")[0].1, "cancel a: true");
    let Ok(Outcome::Rejected { reason }) = bed.message("set b 500 x") else { panic!("a second timer was permitted") };
    assert!(reason.contains("grant.timer.pending"), "{reason}");
    // Replacing the one that is pending needs no more room.
    let Ok(Outcome::Done(effects)) = bed.message("set a 900 again") else { panic!("failed") };
    assert_eq!(effects.timers.len(), 1);
}

#[test]
fn a_tick_is_a_handling_like_any_other() {
    let tables = format!("{PUBLISH}[component.it.grant.timer]\npending = 1\n");
    let component = component(&tables);
    let prepared =
        edgewit_sandbox::Prepared::new(&crate::support::ENGINE, &load(&crate::support::fixture("timers")), &component)
            .unwrap();
    let mut instance = prepared.instantiate(services(&component)).unwrap();
    let tick = |payload: &[u8]| Tick { name: "t".into(), payload: payload.into(), attempt: 2, missed: 3 };
    let Ok(Outcome::Done(effects)) = instance.on_tick(&tick(b"hi")) else { panic!("failed") };
    assert_eq!(crate::support::publishes(&effects)[0].1, "tick t attempt=2 missed=3 hi");
    assert_eq!(instance.on_tick(&tick(b"reject")).unwrap(), Outcome::Rejected { reason: "reject as told".into() });
    assert!(matches!(instance.on_tick(&tick(b"retry")), Err(Fault::Retry { .. })));
}
