//! The ledger beside a naive model of itself: whatever is asked of both, the same rows are there, and the same is
//! counted and refused.

mod bench;
mod model;

use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::ledger::{Anew, Attempt, Consumed, Planned, Records, Refusal, Room, Unit, Usage, shadow_bytes};
use edgewit_domain::limits::{MESSAGE_BYTES, RETAINED_BYTES, ROW_BYTES};
use edgewit_domain::queue::{FullRule, QueueLimits};
use edgewit_domain::routing::ReaderId;
use edgewit_domain::shadow::{ShadowId, Stored, ThingName};
use proptest::prelude::*;

use crate::memory::{Key, envelope};
use bench::{Bench, id, number};

const QUEUES: usize = 3;
const TOPICS: [&str; 3] = ["a", "b", "c"];
const KEEP: Duration = Duration::from_secs(50);

#[derive(Clone, Debug)]
struct Publish {
    topic: usize,
    size: usize,
    /// Into which queues; one may come twice.
    into: Vec<usize>,
    retain: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Unit {
        /// The nth row in hand of a queue is consumed, or counted as tried.
        row: Option<(usize, usize)>,
        consumes: bool,
        buries: bool,
        publishes: Vec<Publish>,
        values: Vec<(bool, usize, Option<usize>)>,
        reads: Vec<(bool, usize, bool)>,
    },
    Take(usize, usize),
    GiveBack(usize),
    Open(usize, QueueLimits),
    Leave(usize),
    Sweep(usize),
    Drop(usize, usize),
    /// A row cannot be read, and the queue is begun anew in pieces.
    Damage(usize, usize),
    Wait(u64),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Kept,
    Undone,
    /// The process ended, and the batch is on disk or not.
    Cut(bool),
}

fn any_limits() -> impl Strategy<Value = QueueLimits> {
    let full = prop_oneof![Just(FullRule::Refuse), Just(FullRule::DropOldest), Just(FullRule::LastPerTopic)];
    let age = prop_oneof![Just(None), (0..30_u64).prop_map(|age| Some(Duration::from_secs(age)))];
    (1..6_u64, 1..8_u64, age, full).prop_map(|(messages, rows, age, full)| QueueLimits {
        messages,
        bytes: rows * (ROW_BYTES + 8),
        age,
        full,
    })
}

fn any_publish() -> impl Strategy<Value = Publish> {
    let into = proptest::collection::vec(0..QUEUES, 0..3);
    let retain = prop_oneof![3 => Just(false), 1 => Just(true)];
    (0..TOPICS.len(), 0..40_usize, into, retain).prop_map(|(topic, size, into, retain)| Publish {
        topic,
        size,
        into,
        retain,
    })
}

fn any_unit() -> impl Strategy<Value = Step> {
    let row = proptest::option::of((0..QUEUES, 0..4_usize));
    let publishes = proptest::collection::vec(any_publish(), 0..3);
    let value = (any::<bool>(), 0..3_usize, proptest::option::of(0..60_usize));
    let values = proptest::collection::vec(value, 0..3);
    let read = (any::<bool>(), 0..3_usize, prop::bool::weighted(0.9));
    let reads = proptest::collection::vec(read, 0..2);
    (row, any::<bool>(), prop::bool::weighted(0.2), publishes, values, reads).prop_map(
        |(row, consumes, buries, publishes, values, reads)| Step::Unit {
            row,
            consumes,
            buries,
            publishes,
            values,
            reads,
        },
    )
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_unit(),
        4 => (0..QUEUES, 1..4_usize).prop_map(|(queue, count)| Step::Take(queue, count)),
        1 => (0..QUEUES).prop_map(Step::GiveBack),
        2 => (0..QUEUES, any_limits()).prop_map(|(queue, limits)| Step::Open(queue, limits)),
        1 => (0..QUEUES).prop_map(Step::Leave),
        2 => (1..5_usize).prop_map(Step::Sweep),
        1 => (0..QUEUES, 1..4_usize).prop_map(|(queue, count)| Step::Drop(queue, count)),
        1 => (0..QUEUES, 1..4_usize).prop_map(|(queue, count)| Step::Damage(queue, count)),
        2 => (1..20_u64).prop_map(Step::Wait),
    ]
}

fn any_batch() -> impl Strategy<Value = (Vec<Step>, End)> {
    let end = prop_oneof![6 => Just(End::Kept), 2 => Just(End::Undone), 1 => any::<bool>().prop_map(End::Cut)];
    (proptest::collection::vec(any_step(), 1..8), end)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..Default::default() })]

    #[test]
    fn q1_whatever_happens_the_ledger_counts_drops_and_refuses_as_its_model_does(
        batches in proptest::collection::vec(any_batch(), 1..25),
        quota in prop_oneof![Just(u64::MAX), 300..3000_u64],
    ) {
        let mut bench = Bench::new(quota);
        for (steps, end) in batches {
            bench.batch(end, |bench| steps.into_iter().for_each(|step| bench.step(step)));
        }
    }
}

/// As the hub drives it: room is taken when a message is promised, and given back when it is undone or its row goes.
#[derive(Clone, Debug)]
enum Place {
    Reserve(u64),
    /// The nth that is held is undone, or its row goes.
    Release(usize),
    Resize(u64, u64),
}

fn any_place() -> impl Strategy<Value = Place> {
    let bytes = || prop_oneof![8 => 0..50_u64, 1 => Just(u64::MAX), 1 => any::<u64>()];
    prop_oneof![
        4 => bytes().prop_map(Place::Reserve),
        3 => (0..10_usize).prop_map(Place::Release),
        1 => (0..8_u64, bytes()).prop_map(|(messages, bytes)| Place::Resize(messages, bytes)),
    ]
}

fn refusing(messages: u64, bytes: u64) -> QueueLimits {
    QueueLimits { messages, bytes, age: None, full: FullRule::Refuse }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn q5_what_is_promised_and_held_is_never_more_than_there_is_room_for(
        places in proptest::collection::vec(any_place(), 1..100),
    ) {
        let (mut messages, mut bytes) = (5, 120);
        let mut room = Room::new(id(0), refusing(messages, bytes), Usage::default());
        let mut held: Vec<u64> = Vec::new();
        for place in places {
            match place {
                Place::Reserve(size) => {
                    let sum: u128 = held.iter().map(|size| u128::from(*size)).sum::<u128>() + u128::from(size);
                    let fits = (held.len() as u64) < messages && sum <= u128::from(bytes);
                    prop_assert_eq!(room.has(Usage { messages: 1, bytes: size }), fits);
                    prop_assert_eq!(room.reserve(size, Usage::default()).is_ok(), fits);
                    if fits {
                        held.push(size);
                    }
                }
                Place::Release(nth) if nth < held.len() => room.release(held.remove(nth)),
                Place::Release(_) => {}
                Place::Resize(new_messages, new_bytes) => {
                    (messages, bytes) = (new_messages, new_bytes);
                    room.resize(refusing(messages, bytes));
                }
            }
            let used = Usage { messages: held.len() as u64, bytes: held.iter().sum() };
            prop_assert_eq!(room.used(), used);
        }
    }
}

fn planned(count: u64, topic: &str, size: usize, queue: usize) -> Planned {
    let readers = [ReaderId::Durable(number(queue))].into_iter().collect();
    Planned { envelope: Arc::new(envelope(count, topic, vec![0; size], Duration::ZERO)), readers }
}

fn publish(bench: &mut Bench, planned: Planned) -> u64 {
    let unit = Unit { publishes: vec![planned], ..Unit::default() };
    bench.ledger.apply(&unit, &mut bench.memory, &mut bench.hands).unwrap()[0]
}

/// A queue of a million messages is no slower than one of ten.
#[test]
fn what_a_unit_costs_does_not_grow_with_the_queue() {
    for full in [FullRule::DropOldest, FullRule::LastPerTopic] {
        let mut bench = Bench::new(u64::MAX);
        let limits = QueueLimits { messages: 1000, bytes: u64::MAX, age: None, full };
        bench.ledger.begin();
        bench.ledger.open(&id(0), limits).unwrap();
        let mut most = 0;
        for count in 0..5000 {
            let before = bench.memory.looks.get();
            // Each topic comes twice: once to be replaced, once to make room.
            publish(&mut bench, planned(count, &format!("t/{}", count / 2), 1, 0));
            most = most.max(bench.memory.looks.get() - before);
        }
        assert!(most <= 100, "{full} looked at {most} rows for one message");
        let looks = bench.memory.looks.get();
        assert!(looks <= 10_000, "{full} looked at {looks} rows for 5,000 messages");
        bench.ledger.keep();
    }
}

#[test]
fn an_update_of_a_shadow_that_was_undone_is_as_if_it_had_never_been() {
    let mut bench = Bench::new(u64::MAX);
    let update = |bench: &mut Bench| {
        bench.ledger.begin();
        let payload = br#"{"state":{"reported":{"a":1}}}"#.to_vec();
        let message = envelope(1, "$aws/things/t/shadow/update", payload, Duration::ZERO);
        let publishes = vec![Planned { envelope: Arc::new(message), readers: [].into_iter().collect() }];
        let unit = Unit { publishes, ..Unit::default() };
        bench.ledger.apply(&unit, &mut bench.memory, &mut bench.hands).unwrap();
        bench.ledger.answer(&unit, &mut bench.memory, &mut bench.hands).unwrap();
    };
    let classic = ShadowId::classic(ThingName::parse("t").unwrap());
    for (is_kept, version) in [(true, 1), (false, 1), (false, 1), (true, 2), (true, 3)] {
        update(&mut bench);
        if is_kept {
            bench.ledger.keep();
            bench.memory.keep();
        } else {
            bench.ledger.undo();
            bench.memory.undo();
        }
        let row = bench.memory.shadow(&classic).unwrap().unwrap();
        assert_eq!(Stored::decode(&row).unwrap().live().unwrap().version(), version);
        assert_eq!(bench.ledger.shadows(), Usage { messages: 1, bytes: shadow_bytes(&classic, &row) });
    }
}

#[test]
fn m4_retained_messages_end_at_their_limit_and_an_empty_one_makes_room() {
    let mut bench = Bench::new(u64::MAX);
    bench.ledger.begin();
    let retain = |bench: &mut Bench, number: u64, size: usize| {
        let mut message = envelope(number, &format!("r/{number}"), vec![0; size], Duration::ZERO);
        message.message.retain = true;
        let publishes = vec![Planned { envelope: Arc::new(message), readers: [].into_iter().collect() }];
        let unit = Unit { publishes, ..Unit::default() };
        bench.ledger.apply(&unit, &mut bench.memory, &mut bench.hands).unwrap();
        let kept = bench.memory.rows.contains_key(&Key::Retained(format!("r/{number}")));
        assert!(bench.ledger.bytes() <= RETAINED_BYTES);
        kept
    };
    let fit = RETAINED_BYTES / (MESSAGE_BYTES as u64 + ROW_BYTES + 4);
    for number in 0..fit {
        assert!(retain(&mut bench, number, MESSAGE_BYTES), "{number} of {fit}");
    }
    assert!(!retain(&mut bench, 9999, MESSAGE_BYTES));
    assert!(!retain(&mut bench, 0, 0), "cleared");
    assert!(retain(&mut bench, 9999, MESSAGE_BYTES - 2));
}

/// The index of topics is kept though the rule that needs it comes and goes.
#[test]
fn q1_a_rule_that_comes_back_finds_no_topic_of_a_row_that_has_gone() {
    let mut bench = Bench::new(u64::MAX);
    let limits = |full| QueueLimits { messages: 10, bytes: 10_000, age: None, full };
    bench.ledger.begin();
    bench.ledger.open(&id(0), limits(FullRule::LastPerTopic)).unwrap();
    let first = publish(&mut bench, planned(1, "a", 1, 0));
    publish(&mut bench, planned(2, "b", 1, 0));
    bench.ledger.open(&id(0), limits(FullRule::Refuse)).unwrap();
    let envelope = bench.memory.queue(number(0)).next().unwrap().1.clone();
    let consumed = Consumed { queue: number(0), sequence: first, envelope, failed: 0 };
    let unit = Unit { consumed: Some(consumed), ..Unit::default() };
    bench.ledger.apply(&unit, &mut bench.memory, &mut bench.hands).unwrap();
    bench.ledger.open(&id(0), limits(FullRule::LastPerTopic)).unwrap();
    publish(&mut bench, planned(3, "a", 1, 0));
    assert_eq!(bench.ledger.usage_of(number(0)).messages, 2);
    assert_eq!(bench.memory.queue(number(0)).count(), 2);
}

/// A queue that takes and gives nothing is begun anew: what was in hand before is neither counted nor taken twice, and
/// what came of it stands.
#[test]
fn a_damaged_queue_gives_nothing_until_it_is_begun_anew_and_then_old_rows_are_no_longer_its_own() {
    let mut bench = Bench::new(u64::MAX);
    let limits = QueueLimits { messages: 10, bytes: 10_000, age: None, full: FullRule::LastPerTopic };
    bench.batch(End::Kept, |bench| {
        bench.open(0, limits);
        bench.open(1, limits);
    });
    let publish = |queue: usize, number: u64| {
        let message = envelope(number, "a", vec![0; 3], Duration::ZERO);
        let readers = [ReaderId::Durable(self::number(queue))].into_iter().collect();
        Planned { envelope: Arc::new(message), readers }
    };
    let apply = |bench: &mut Bench, unit: &Unit| {
        bench.ledger.begin();
        let applied = bench.ledger.apply(unit, &mut bench.memory, &mut bench.hands);
        bench.ledger.finish(&mut bench.memory);
        bench.ledger.keep();
        bench.memory.keep();
        applied
    };
    let first = publish(0, 1);
    apply(&mut bench, &Unit { publishes: vec![first.clone()], ..Unit::default() }).unwrap();
    let taken = Consumed { queue: number(0), sequence: 1, envelope: first.envelope, failed: 0 };
    let handled = Unit { consumed: Some(taken), publishes: vec![publish(1, 2)], ..Unit::default() };
    bench.ledger.damage(number(0));
    assert_eq!(apply(&mut bench, &handled), Err(Refusal::Gone));
    let attempt = Some(Attempt { queue: number(0), sequence: 1, failed: 1 });
    assert_eq!(apply(&mut bench, &Unit { attempt, ..Unit::default() }), Err(Refusal::Gone));
    let refused = apply(&mut bench, &Unit { publishes: vec![publish(0, 3)], ..Unit::default() });
    assert_eq!(refused, Err(Refusal::Damaged { queue: id(0).to_string() }));
    bench.ledger.begin();
    // Nothing can be removed, and what lies there is of no account.
    let anew = bench.ledger.begin_anew(number(0), None, 0, &mut bench.memory);
    assert!(matches!(anew, Ok(Anew { gone: Usage { messages: 1, .. }, next: None })), "{anew:?}");
    bench.ledger.finish(&mut bench.memory);
    bench.ledger.keep();
    bench.memory.keep();
    let second = apply(&mut bench, &Unit { publishes: vec![publish(0, 4)], ..Unit::default() }).unwrap();
    assert_eq!(second.to_vec(), [2], "numbers go on");
    assert_eq!(apply(&mut bench, &handled).unwrap().to_vec(), [1], "what came of it stands");
    assert_eq!(apply(&mut bench, &Unit { attempt, ..Unit::default() }).unwrap().to_vec(), [] as [u64; 0]);
    assert_eq!(bench.ledger.usage_of(number(0)).messages, 1, "and the new row is untouched");
    assert_eq!((bench.ledger.head_of(number(0)), bench.memory.attempts(number(0), 1)), (2, 0));
}
