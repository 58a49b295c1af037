//! The hub without components: what is refused, who gets what, and in which order.

use edgewit_domain::topic::Filter;

use super::*;
use crate::testing::{bounds, message};

fn hub() -> Arc<Hub> {
    Arc::new(Hub::new(Clock::start()))
}

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap()
}

fn payloads(taken: &[Arc<Envelope>]) -> Vec<&str> {
    taken.iter().map(|envelope| std::str::from_utf8(&envelope.message.payload).unwrap()).collect()
}

#[test]
fn m2_reserved_topics_are_refused_to_all_but_services() {
    let hub = hub();
    let stream = hub.subscribe(vec![filter("$edgewit/#")], bounds(10));
    let refused = hub.publish(message("$edgewit/dead/a", "x"), Origin::Operator, None);
    assert!(matches!(refused, Err(PublishError::Reserved { .. })), "{refused:?}");
    assert!(stream.take(10).is_empty());
    hub.publish(message("$edgewit/dead/a", "x"), Origin::Service("supervisor".into()), None).unwrap();
    assert_eq!(payloads(&stream.take(10)), ["x"]);
}

#[test]
fn a_message_past_the_limits_is_refused_and_one_at_them_is_not() {
    let hub = hub();
    let mut large = message("t", "");
    large.payload = vec![0; MESSAGE_BYTES - 1];
    hub.publish(large.clone(), Origin::Operator, None).unwrap();
    large.payload.push(0);
    assert_eq!(hub.publish(large, Origin::Operator, None), Err(PublishError::TooLarge { bytes: MESSAGE_BYTES + 1 }));
    let mut many = message("t", "");
    many.user_properties = vec![Default::default(); USER_PROPERTIES + 1];
    assert!(matches!(hub.publish(many, Origin::Operator, None), Err(PublishError::TooManyProperties { .. })));
}

#[test]
fn q3_filters_of_one_reader_deliver_once_and_a_gone_reader_gets_nothing() {
    let hub = hub();
    let stream = hub.subscribe(vec![filter("a/#"), filter("a/+"), filter("+/b")], bounds(10));
    let other = hub.subscribe(vec![filter("a/b")], bounds(10));
    hub.publish(message("a/b", "1"), Origin::Operator, None).unwrap();
    assert_eq!(payloads(&stream.take(10)), ["1"]);
    assert_eq!(payloads(&other.take(10)), ["1"]);
    drop(other);
    hub.publish(message("a/b", "2"), Origin::Operator, None).unwrap();
    assert_eq!(hub.counts(), HubCounts { taken: 2, delivered: 3, circles: 0, commits: 0 });
    let newcomer = hub.subscribe(vec![filter("x")], bounds(10));
    assert!(newcomer.take(10).is_empty(), "a reader's number that is used again brings no old messages");
    drop(stream);
}

#[test]
fn q4_each_publisher_stays_in_order_whatever_the_others_do() {
    let hub = hub();
    let stream = hub.subscribe(vec![filter("#")], bounds(100_000));
    std::thread::scope(|scope| {
        for publisher in 0..4 {
            let hub = &hub;
            scope.spawn(move || {
                for number in 0..1000 {
                    let message = message(&format!("p/{publisher}"), &number.to_string());
                    hub.publish(message, Origin::Operator, None).unwrap();
                }
            });
        }
    });
    let all = stream.take(usize::MAX);
    for publisher in 0..4 {
        let topic = format!("p/{publisher}");
        let of_it = all.iter().filter(|envelope| envelope.message.topic.as_str() == topic);
        let of_it: Vec<_> = of_it.cloned().collect();
        let expected: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        assert_eq!(payloads(&of_it), expected, "publisher {publisher}");
    }
}

#[test]
fn ids_are_unique_and_of_one_epoch() {
    let hub = hub();
    let first = hub.publish(message("t", ""), Origin::Operator, None).unwrap();
    let second = hub.publish(message("t", ""), Origin::Operator, None).unwrap();
    assert_eq!(first.epoch, second.epoch);
    assert_ne!(first.number, second.number);
    assert_ne!(first.epoch, Hub::new(Clock::start()).epoch, "another start has another epoch");
}

#[test]
fn a_closed_hub_refuses_publishers_and_lets_components_finish() {
    let hub = hub();
    let stream = hub.subscribe(vec![filter("#")], bounds(10));
    hub.close();
    assert_eq!(hub.publish(message("t", ""), Origin::Operator, None), Err(PublishError::Closed));
    hub.commit(&Arc::from("a"), None, vec![message("t", "last")], hub.clock.moment(), false);
    assert_eq!(payloads(&stream.take(10)), ["last"]);
}

#[test]
fn m3_a_message_past_the_limit_of_hops_ends_and_is_counted() {
    use edgewit_domain::limits::HOPS;
    let hub = hub();
    let stream = hub.subscribe(vec![filter("#")], bounds(100));
    let mut cause: Option<Arc<Envelope>> = None;
    let (a, b): (Arc<str>, Arc<str>) = (Arc::from("a"), Arc::from("b"));
    for hop in 1..=HOPS {
        let component = if hop % 2 == 0 { &a } else { &b };
        hub.commit(component, cause.as_deref(), vec![message("t", "")], hub.clock.moment(), false);
        let got = stream.take(10).pop().unwrap();
        assert_eq!(got.hops, hop);
        cause = Some(got);
    }
    hub.commit(&b, cause.as_deref(), vec![message("t", "")], hub.clock.moment(), false);
    assert!(stream.take(10).is_empty());
    assert_eq!(hub.counts().circles, 1);
}

/// However much one handling says: whoever waits to change the routes gets in after every piece. What is to be sent is
/// asked for under the lock, but for the first of each piece.
#[test]
fn the_routes_can_be_changed_between_the_pieces_of_a_flood() {
    let hub = hub();
    let stream = hub.subscribe(vec![filter("#")], bounds(1000));
    let mut free = Vec::new();
    let messages = (0..3 * AT_ONCE).map(|number| {
        free.extend(hub.routes.try_write().is_ok().then_some(number));
        message("t", "")
    });
    let at = hub.clock.moment();
    hub.send(messages, &mut MessageId { epoch: 0, number: 0 }, &Origin::Operator, (0, None), at, false);
    assert_eq!(free, [0, AT_ONCE, 2 * AT_ONCE]);
    assert_eq!(stream.take(usize::MAX).len(), 3 * AT_ONCE);
}
