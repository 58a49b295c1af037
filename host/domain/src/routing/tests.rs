//! Routing against trying every route one by one, and the promises about who hears what.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::limits::{HOPS, TRAIL_HOPS};
use crate::message::{Envelope, Message, MessageId, Origin, Qos, Trail, WallTime};
use crate::topic::Topic;

fn envelope(topic: &str, origin: Origin) -> Envelope {
    Envelope::new(
        Message::new(Topic::parse(topic).unwrap(), []),
        MessageId { epoch: 0, number: 0 },
        origin,
        WallTime { unix_ms: 0, trusted: false },
    )
}

fn route(reader: u32, filter: &str, owner: &str, own: bool) -> Route {
    let owner = (!owner.is_empty()).then(|| owner.into());
    Route {
        reader: ReaderId::Live { place: reader, turn: 0 },
        filter: Filter::parse(filter).unwrap(),
        owner,
        own,
        qos0: true,
    }
}

fn number(reader: ReaderId) -> u32 {
    match reader {
        ReaderId::Durable(QueueNumber(number)) | ReaderId::Live { place: number, .. } => number,
    }
}

fn planned(table: &RoutingTable, envelope: &Envelope) -> Vec<u32> {
    match table.plan(envelope) {
        Plan::Readers(readers) => {
            let mut readers: Vec<u32> = readers.into_iter().map(number).collect();
            readers.sort();
            readers
        }
        Plan::Circle(circle) => panic!("{circle}"),
    }
}

fn check(routes: &[Route], topic: &str, origin: Origin, expected: &[u32]) {
    let mut table = RoutingTable::new();
    routes.iter().cloned().for_each(|route| table.insert(route));
    assert_eq!(planned(&table, &envelope(topic, origin.clone())), expected, "{topic} from {origin}");
}

/// [Q3] A durable reader takes the message from a live one of the same component, whatever their numbers; what is
/// of quality 0 and not let in there goes to the live one.
#[test]
fn of_overlapping_subscriptions_the_durable_one_wins() {
    let durable = Route { reader: ReaderId::Durable(QueueNumber(9)), qos0: false, ..route(0, "a/+", "one", false) };
    let mut table = RoutingTable::new();
    table.insert(route(3, "a/b", "one", false));
    table.insert(durable);
    let mut message = envelope("a/b", Origin::Operator);
    assert_eq!(planned(&table, &message), [3]);
    message.message.qos = Qos::AtLeastOnce;
    assert_eq!(planned(&table, &message), [9]);
}

/// [Q3] Overlapping subscriptions of one component deliver once, to the reader with the lowest number; those
/// of others are not touched by that.
#[test]
fn overlapping_subscriptions_of_one_component_deliver_once() {
    let routes = [
        route(7, "a/+", "one", false),
        route(3, "a/#", "one", false),
        route(5, "a/b", "one", false),
        route(4, "#", "two", false),
        route(9, "a/b", "", false),
        route(8, "a/+", "", false),
        route(8, "+/b", "", false),
    ];
    check(&routes, "a/b", Origin::Operator, &[3, 4, 8, 9]);
    check(&routes, "a/c", Origin::Operator, &[3, 4, 8]);
    check(&routes, "c/b", Origin::Operator, &[4, 8]);
}

/// [M3] A subscription hears its own component only if it says so, and then also where another subscription of
/// that component would have come first.
#[test]
fn a_component_hears_itself_only_where_it_says_so() {
    let routes = [route(1, "a", "one", false), route(2, "+", "one", true), route(3, "a", "two", false)];
    check(&routes, "a", Origin::Component("one".into()), &[2, 3]);
    check(&routes, "a", Origin::Component("two".into()), &[1]);
    check(&routes, "a", Origin::Component("three".into()), &[1, 3]);
    check(&routes, "a", Origin::Device("one".into()), &[1, 3]);
}

/// What a message published by the last of `handlers`, each handling what the one before published, becomes.
fn chain(handlers: &[&str]) -> Envelope {
    let mut last = envelope("a", Origin::Operator);
    for name in handlers {
        let component = Arc::from(*name);
        let (hops, trail) = next_hop(Some(&last), &component);
        last = Envelope { hops, trail, ..envelope("a", Origin::Component(component)) };
    }
    last
}

fn check_circle(handlers: &[&str], expected: Option<&str>) {
    let mut table = RoutingTable::new();
    table.insert(route(1, "a", "", false));
    let found = match table.plan(&chain(handlers)) {
        Plan::Readers(_) => None,
        Plan::Circle(circle) => Some(circle.to_string()),
    };
    assert_eq!(found.as_deref(), expected, "{handlers:?}");
}

/// [M3] The limit itself is allowed; one hop more ends the message and names the circle in its order.
#[test]
fn a_circle_is_ended_and_named() {
    let limit = HOPS as usize;
    check_circle(&vec!["a"; limit], None);
    check_circle(&vec!["a"; limit + 1], Some("more than 16 handlings led to it: a → a"));
    let pair: Vec<&str> = ["b", "a"].into_iter().cycle().take(limit + 1).collect();
    check_circle(&pair, Some("more than 16 handlings led to it: b → a → b"));
    let tailed: Vec<&str> = ["x", "y"].into_iter().chain(["a", "b", "c"].into_iter().cycle()).take(limit + 1).collect();
    check_circle(&tailed, Some("more than 16 handlings led to it: c → a → b → c"));
    let names: Vec<String> = (0..=limit).map(|i| format!("n{i}")).collect();
    let long: Vec<&str> = names.iter().map(String::as_str).collect();
    let trail = "… → n6 → n7 → n8 → n9 → n10 → n11 → n12 → n13 → n14 → n15 → n16";
    check_circle(&long, Some(&format!("more than 16 handlings led to it: {trail}")));
}

/// Ordinary messages carry no names; a tick or a start counts as the handling that it is.
#[test]
fn names_travel_only_near_the_limit() {
    let component = Arc::from("one");
    assert_eq!(next_hop(None, &component), (1, None));
    let before = HOPS - TRAIL_HOPS - 1;
    let mut message = Envelope { hops: before, ..envelope("a", Origin::Operator) };
    assert_eq!(next_hop(Some(&message), &component), (before + 1, None));
    message.hops += 1;
    let trail = Some(Arc::new(Trail { component: component.clone(), before: None }));
    assert_eq!(next_hop(Some(&message), &component), (before + 2, trail));
    message.hops = u32::MAX;
    assert_eq!(next_hop(Some(&message), &component).0, u32::MAX);
}

/// The readers of a message by trying every route: what the table has to agree with.
fn naive(routes: &[Route], envelope: &Envelope) -> Vec<u32> {
    let mut lowest: BTreeMap<(Option<Arc<str>>, Option<ReaderId>), ReaderId> = BTreeMap::new();
    for route in routes {
        let from_owner = matches!(&envelope.origin, Origin::Component(name) if Some(name) == route.owner.as_ref());
        let takes = route.qos0 || envelope.message.qos == Qos::AtLeastOnce;
        if route.filter.matches(&envelope.message.topic) && (route.own || !from_owner) && takes {
            let group = (route.owner.clone(), route.owner.is_none().then_some(route.reader));
            let reader = lowest.entry(group).or_insert(route.reader);
            *reader = route.reader.min(*reader);
        }
    }
    let mut readers: Vec<u32> = lowest.into_values().map(number).collect();
    readers.sort();
    readers
}

fn any_level() -> impl Strategy<Value = &'static str> {
    // Enough of them for a node to have many children.
    let rare = ["d", "e", "f", "g", "h", "i", "j", "k", "l", "a level too long to lie in place"];
    prop_oneof![4 => prop::sample::select(vec!["", "a", "b", "c", "$x"]), 2 => prop::sample::select(rare.to_vec())]
}

fn any_topic() -> impl Strategy<Value = Topic> {
    prop::collection::vec(any_level(), 1..5).prop_filter_map("empty", |levels| Topic::parse(levels.join("/")).ok())
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let level = prop_oneof![3 => any_level(), 1 => Just("+")];
    (prop::collection::vec(level, 0..5), any::<bool>()).prop_filter_map("empty", |(mut levels, hash)| {
        levels.extend(hash.then_some("#"));
        Filter::parse(levels.join("/")).ok()
    })
}

fn any_name() -> impl Strategy<Value = Option<Arc<str>>> {
    prop::sample::select(vec![None, Some("one"), Some("two"), Some("three")]).prop_map(|name| name.map(Arc::from))
}

#[derive(Clone, Debug)]
enum Change {
    Insert(Route),
    Remove(ReaderId),
}

fn any_change() -> impl Strategy<Value = Change> {
    let reader = (0..12_u32).prop_map(|number| match number {
        0..6 => ReaderId::Live { place: number, turn: 0 },
        _ => ReaderId::Durable(QueueNumber(number)),
    });
    let route = (reader.clone(), any_filter(), any_name(), any::<bool>(), any::<bool>())
        .prop_map(|(reader, filter, owner, own, qos0)| Route { reader, filter, owner, own, qos0 });
    prop_oneof![3 => route.prop_map(Change::Insert), 1 => reader.prop_map(Change::Remove)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// After any history of changes the table plans what trying every route gives, and holds nothing but
    /// what its routes need.
    #[test]
    fn the_table_plans_what_trying_every_route_gives(
        changes in prop::collection::vec(any_change(), 0..80),
        messages in prop::collection::vec((any_topic(), any_name(), any::<bool>()), 1..20),
    ) {
        let mut table = RoutingTable::new();
        let mut routes: Vec<Route> = Vec::new();
        for change in changes {
            match change {
                Change::Insert(route) => {
                    table.insert(route.clone());
                    routes.push(route);
                }
                Change::Remove(reader) => {
                    table.remove(reader);
                    routes.retain(|route| route.reader != reader);
                }
            }
        }
        for (topic, name, qos1) in messages {
            let mut message = envelope(topic.as_str(), name.map_or(Origin::Operator, Origin::Component));
            message.message.qos = if qos1 { Qos::AtLeastOnce } else { Qos::AtMostOnce };
            prop_assert_eq!(planned(&table, &message), naive(&routes, &message), "{}", topic);
        }
        let mut fresh = RoutingTable::new();
        routes.iter().cloned().for_each(|route| fresh.insert(route));
        prop_assert_eq!(table.trie.nodes(), fresh.trie.nodes());
        prop_assert_eq!(table.owners.len(), fresh.owners.len());
        routes.iter().for_each(|route| table.remove(route.reader));
        prop_assert_eq!(table.trie.nodes(), 1);
        prop_assert!(table.is_empty() && table.owners.is_empty());
    }
}
