//! Each ending, each kind of wait, and what a batch that is undone leaves.

use std::sync::Arc;

use super::*;
use crate::ledger::{BucketId, Refusal, Usage};
use crate::limits::ROW_BYTES;
use crate::message::{Envelope, Message, MessageId, Origin, WallTime};
use crate::topic::Topic;

const INBOX: QueueNumber = QueueNumber(1);
const OTHER: QueueNumber = QueueNumber(2);
const TARGET: QueueNumber = QueueNumber(7);
const LACK: Lack = Lack { queue: TARGET, wanted: Usage { messages: 2, bytes: 200 } };
const NOW: Duration = Duration::from_secs(1000);

fn row(queue: QueueNumber, sequence: u64, failed: u32) -> Consumed {
    let envelope = Arc::new(Envelope {
        message: Message::new(Topic::parse("t").unwrap(), "x"),
        id: MessageId { epoch: 1, number: sequence },
        origin: Origin::Operator,
        hops: 0,
        trail: None,
        received: WallTime { unix_ms: 0, trusted: false },
        since: Duration::from_secs(sequence),
        expires: None,
    });
    Consumed { queue, sequence, envelope, failed }
}

fn deliveries(attempts: u32, relaxed: bool, unclean: bool) -> Deliveries {
    let mut deliveries = Deliveries::default();
    deliveries.read(INBOX, Policy { attempts, relaxed }, unclean);
    deliveries.read(OTHER, Policy { attempts, relaxed }, unclean);
    deliveries
}

fn handle(next: Next) -> (Consumed, u32, Option<Attempt>, bool) {
    match next {
        Next::Handle { row, attempt, first, alone } => (row, attempt, first, alone),
        Next::Bury(death) => panic!("buried: {}", death.reason),
    }
}

fn again(verdict: Verdict) -> Option<u32> {
    match verdict {
        Verdict::Again(attempt) => attempt.map(|attempt| attempt.failed),
        Verdict::Bury(death) => panic!("buried: {}", death.reason),
    }
}

fn death(verdict: Verdict) -> Death {
    match verdict {
        Verdict::Bury(death) => death,
        Verdict::Again(attempt) => panic!("again: {attempt:?}"),
    }
}

fn trap() -> Ending {
    Ending::Failed { reason: "trapped".into(), backtrace: "at 0x1".into() }
}

fn stale() -> Ending {
    Ending::Refused(Refusal::Stale { what: "k".into() })
}

#[test]
fn h3_a_failed_delivery_is_tried_at_the_head_after_a_growing_wait_then_buried_and_then_the_rest_flows() {
    let mut deliveries = deliveries(3, false, false);
    let (mut now, mut next) = (NOW, row(INBOX, 1, 0));
    for attempt in 1..3 {
        let (taken, number, first, alone) = handle(deliveries.begin(next));
        assert_eq!((number, first, alone), (attempt, None, false));
        assert_eq!(again(deliveries.failed(now, taken, trap())), Some(attempt));
        assert_eq!(deliveries.appetite(INBOX), Appetite::Nothing, "the rest waits");
        assert_eq!(deliveries.appetite(OTHER), Appetite::Many, "of no other queue");
        let at = now + DELIVERY_BACKOFF * attempt;
        assert_eq!(deliveries.wake_at(), Some(at));
        assert!(deliveries.due(at - Duration::from_nanos(1)).is_none());
        now = at;
        next = deliveries.due(at).unwrap();
        assert_eq!(next.failed, attempt);
        assert!(deliveries.due(at).is_none(), "it is given out once");
    }
    let (taken, ..) = handle(deliveries.begin(next));
    let death = death(deliveries.failed(now, taken, trap()));
    assert_eq!((death.attempts, &*death.reason, &*death.backtrace), (3, "trapped", "at 0x1"));
    assert_eq!(deliveries.appetite(INBOX), Appetite::Nothing, "until that is on disk");
    deliveries.buried(&death.row);
    assert_eq!(deliveries.appetite(INBOX), Appetite::Many);
}

#[test]
fn h3_in_relaxed_order_the_rest_passes_until_too_many_wait() {
    let mut deliveries = deliveries(100, true, false);
    for sequence in 1..=DELIVERIES_ASIDE as u64 {
        assert_eq!(deliveries.appetite(INBOX), Appetite::Many, "with {} aside", sequence - 1);
        let (taken, ..) = handle(deliveries.begin(row(INBOX, sequence, 0)));
        deliveries.failed(NOW, taken, trap());
    }
    assert_eq!(deliveries.appetite(INBOX), Appetite::Nothing);
    let first = deliveries.due(NOW + DELIVERY_BACKOFF).unwrap();
    deliveries.handled(&first);
    assert_eq!(deliveries.appetite(INBOX), Appetite::Many);
}

#[test]
fn what_was_rejected_is_buried_at_once() {
    let mut deliveries = deliveries(10, false, false);
    let (taken, ..) = handle(deliveries.begin(row(INBOX, 1, 0)));
    let death = death(deliveries.failed(NOW, taken, Ending::Rejected { reason: "no number".into() }));
    assert_eq!((death.attempts, &*death.reason), (1, "no number"));
}

#[test]
fn h4_after_an_unclean_end_an_attempt_is_on_disk_before_it_begins_until_one_goes_well() {
    let mut deliveries = deliveries(3, false, true);
    assert_eq!(deliveries.appetite(INBOX), Appetite::One);
    let (taken, attempt, first, alone) = handle(deliveries.begin(row(INBOX, 5, 1)));
    assert_eq!((attempt, alone), (2, true));
    assert_eq!(first, Some(Attempt { queue: INBOX, sequence: 5, failed: 2 }));
    assert_eq!(taken.failed, 2, "which is what its consumption deletes");
    assert_eq!(deliveries.appetite(INBOX), Appetite::Nothing);
    // What failed without ending the process was counted already, and so is the next.
    assert_eq!(again(deliveries.failed(NOW, taken, trap())), None);
    let (taken, attempt, ..) = handle(begin_due(&mut deliveries));
    assert_eq!(attempt, 3);
    deliveries.handled(&taken);
    assert_eq!(deliveries.appetite(INBOX), Appetite::Many);
    assert_eq!(deliveries.appetite(OTHER), Appetite::One, "every queue for itself");
    let (_, attempt, first, alone) = handle(deliveries.begin(row(INBOX, 6, 0)));
    assert_eq!((attempt, first, alone), (1, None, false));
}

fn begin_due(deliveries: &mut Deliveries) -> Next {
    let row = deliveries.due(Duration::MAX).unwrap();
    deliveries.begin(row)
}

#[test]
fn h4_what_ended_the_process_in_its_last_attempt_is_buried_without_another() {
    let mut deliveries = deliveries(3, false, true);
    let Next::Bury(death) = deliveries.begin(row(INBOX, 5, 3)) else { panic!("handled again") };
    assert_eq!((death.attempts, death.row.failed), (3, 3));
    deliveries.buried(&death.row);
    assert_eq!(deliveries.appetite(INBOX), Appetite::One, "a burial says nothing about the next");
}

#[test]
fn h4_an_attempt_that_is_none_is_taken_back_from_disk() {
    for ending in [Ending::NoRoom(LACK), Ending::Interrupted, stale(), Ending::Refused(Refusal::NoSpace)] {
        let mut deliveries = deliveries(3, false, true);
        let (taken, ..) = handle(deliveries.begin(row(INBOX, 5, 1)));
        assert_eq!(again(deliveries.failed(NOW, taken, ending.clone())), Some(1), "{ending:?}");
        deliveries.look_for_room(|lack| lack == LACK);
        let (taken, attempt, first, _) = handle(begin_due(&mut deliveries));
        assert_eq!((taken.failed, attempt, first.map(|first| first.failed)), (2, 2, Some(2)), "{ending:?}");
    }
}

#[test]
fn h2_a_stale_read_is_handled_again_uncounted_and_the_third_time_alone() {
    let mut deliveries = deliveries(2, false, false);
    let mut next = row(INBOX, 1, 0);
    for round in 1..=5 {
        let (taken, attempt, first, alone) = handle(deliveries.begin(next));
        assert_eq!((attempt, first, alone), (1, None, round >= 3), "round {round}");
        assert_eq!(again(deliveries.failed(NOW, taken, stale())), None);
        next = deliveries.due(NOW).unwrap();
    }
}

#[test]
fn h2_what_was_behind_a_refused_unit_goes_back_as_it_was() {
    let mut deliveries = deliveries(2, false, false);
    let batch = [row(INBOX, 1, 0), row(INBOX, 2, 0), row(OTHER, 1, 1)];
    for taken in &batch {
        handle(deliveries.begin(taken.clone()));
    }
    // The last one failed for good, but all of the batch is undone from the first on.
    let death = death(deliveries.failed(NOW, batch[2].clone(), trap()));
    assert_eq!(death.attempts, 2);
    again(deliveries.failed(NOW, batch[0].clone(), stale()));
    assert!(deliveries.undone(batch[1].clone()).is_some());
    let last = deliveries.undone(batch[2].clone()).unwrap();
    assert_eq!(handle(deliveries.begin(last)).1, 2, "the attempt that was undone is no attempt");
    assert_eq!(deliveries.due(NOW).unwrap().sequence, 1);
    assert!(deliveries.due(NOW).is_none());
}

/// Careful no more since another went well, it is counted like any.
#[test]
fn h4_what_was_not_handled_after_all_is_not_counted_either() {
    let mut deliveries = deliveries(2, false, true);
    again(deliveries.failed(NOW, row(INBOX, 1, 0), stale()));
    let taken = deliveries.due(NOW).unwrap();
    handle(deliveries.begin(taken.clone()));
    assert!(deliveries.undone(taken).is_none(), "it was held before");
    deliveries.handled(&row(INBOX, 2, 0));
    let (taken, attempt, first, _) = handle(begin_due(&mut deliveries));
    assert_eq!((attempt, first), (1, None));
    assert_eq!(again(deliveries.failed(NOW, taken, trap())), Some(1));
}

#[test]
fn h3_what_failed_behind_a_refused_unit_does_not_overtake_what_was_between_them() {
    let mut deliveries = deliveries(3, false, false);
    let [first, between, last] = [1, 2, 3].map(|sequence| row(INBOX, sequence, 0));
    again(deliveries.failed(NOW, last.clone(), trap()));
    again(deliveries.failed(NOW, first, Ending::Refused(Refusal::NoSpace)));
    for behind in [between, last] {
        assert_eq!(deliveries.undone(behind).map(|row| row.failed), Some(0), "to its queue, and not counted");
    }
    let at = deliveries.wake_at().unwrap();
    let first = deliveries.due(at).unwrap();
    assert_eq!(first.sequence, 1);
    assert!(deliveries.due(at).is_none());
}

#[test]
fn h3_where_the_order_has_become_strict_those_aside_come_one_after_another() {
    let mut deliveries = deliveries(9, true, false);
    for (sequence, times) in [(1, 2), (2, 1)] {
        for failed in 0..times {
            deliveries.failed(NOW, row(INBOX, sequence, failed), trap());
        }
    }
    deliveries.read(INBOX, Policy { attempts: 9, relaxed: false }, false);
    assert!(deliveries.due(NOW + DELIVERY_BACKOFF).is_none(), "the second waits for the first");
    let at = NOW + DELIVERY_BACKOFF * 2;
    assert_eq!(deliveries.wake_at(), Some(at));
    assert_eq!([1, 2].map(|_| deliveries.due(at).unwrap().sequence), [1, 2]);
}

#[test]
fn q5_refused_room_is_waited_for_and_is_no_attempt() {
    let mut deliveries = deliveries(1, false, false);
    let (taken, ..) = handle(deliveries.begin(row(INBOX, 1, 0)));
    assert_eq!(again(deliveries.failed(NOW, taken, Ending::NoRoom(LACK))), None);
    let message_since = Duration::from_secs(1);
    assert_eq!(deliveries.parked(INBOX), Some(Parked { target: TARGET, since: NOW, message_since }));
    assert_eq!(deliveries.parked(OTHER), None);
    assert_eq!((deliveries.appetite(INBOX), deliveries.wake_at()), (Appetite::Nothing, None));
    deliveries.look_for_room(|lack| lack.queue != TARGET || lack.wanted.messages < 2);
    assert!(deliveries.due(Duration::MAX).is_none(), "room elsewhere is of no use, nor room for one of two");
    deliveries.look_for_room(|lack| lack == LACK);
    assert_eq!(handle(begin_due(&mut deliveries)).1, 1);
}

#[test]
fn q5_in_relaxed_order_a_queue_is_stuck_only_with_all_that_may_be_passed() {
    let mut deliveries = deliveries(5, true, false);
    for sequence in 1..=DELIVERIES_ASIDE as u64 {
        assert_eq!(deliveries.parked(INBOX), None);
        deliveries.failed(NOW, row(INBOX, sequence, 0), Ending::NoRoom(LACK));
    }
    assert_eq!(deliveries.parked(INBOX).map(|parked| parked.message_since), Some(Duration::from_secs(1)));
    deliveries.condemn(INBOX, "a circle of full queues");
    let Next::Bury(death) = begin_due(&mut deliveries) else { panic!("handled again") };
    assert_eq!(death.row.sequence, 1);
    assert!(deliveries.due(Duration::MAX).is_none(), "one is enough");
}

#[test]
fn q5_what_waits_in_a_circle_is_given_up() {
    let mut deliveries = deliveries(5, false, false);
    let (taken, ..) = handle(deliveries.begin(row(INBOX, 1, 2)));
    deliveries.failed(NOW, taken, Ending::NoRoom(LACK));
    deliveries.condemn(INBOX, "a circle of full queues");
    let Next::Bury(death) = begin_due(&mut deliveries) else { panic!("handled again") };
    assert_eq!((death.attempts, &*death.reason), (2, "a circle of full queues"));
}

#[test]
fn q6_without_room_for_the_dead_nothing_is_handled_and_nothing_tried_again() {
    let mut deliveries = deliveries(2, false, false);
    let (taken, ..) = handle(deliveries.begin(row(INBOX, 1, 0)));
    let rejected = death(deliveries.failed(NOW, taken, Ending::Rejected { reason: "no number".into() }));
    let attempt = deliveries.unburied(rejected);
    assert_eq!(attempt, Attempt { queue: INBOX, sequence: 1, failed: 2 }, "a restart does not handle it either");
    assert!(deliveries.is_blocked());
    assert_eq!((deliveries.appetite(INBOX), deliveries.appetite(OTHER)), (Appetite::Nothing, Appetite::Nothing));
    assert_eq!(deliveries.wake_at(), None);
    assert!(deliveries.due(Duration::MAX).is_none());
    deliveries.look_for_graves(|bytes| bytes < ROW_BYTES);
    assert!(deliveries.is_blocked(), "there is room, and not enough");
    deliveries.look_for_graves(|bytes| bytes > ROW_BYTES);
    let Next::Bury(death) = begin_due(&mut deliveries) else { panic!("handled again") };
    assert_eq!((death.attempts, &*death.reason), (1, "no number"));
    deliveries.buried(&death.row);
    assert_eq!(deliveries.appetite(OTHER), Appetite::Many);
}

#[test]
fn a2_a_full_store_is_waited_for_longer_each_time_and_is_no_attempt() {
    let mut deliveries = deliveries(1, false, false);
    let mut next = row(INBOX, 1, 0);
    for wait in [1, 2, 4] {
        let (taken, ..) = handle(deliveries.begin(next));
        assert_eq!(again(deliveries.failed(NOW, taken, Ending::Refused(Refusal::NoSpace))), None);
        assert_eq!(deliveries.wake_at(), Some(NOW + DELIVERY_BACKOFF * wait));
        next = deliveries.due(Duration::MAX).unwrap();
    }
}

#[test]
fn a_unit_that_can_never_be_committed_is_an_attempt() {
    let mut deliveries = deliveries(1, false, false);
    let (taken, ..) = handle(deliveries.begin(row(INBOX, 1, 0)));
    let refusal = Refusal::Quota { bucket: BucketId::Shared("b".into()), quota: 5 };
    let death = death(deliveries.failed(NOW, taken, Ending::Refused(refusal.clone())));
    assert_eq!(death.reason, refusal.to_string());
}

#[test]
fn what_is_held_goes_back_when_its_component_stops_or_its_queue_is_left() {
    let mut deliveries = deliveries(3, true, false);
    for (queue, sequence) in [(INBOX, 1), (INBOX, 2), (OTHER, 1)] {
        let (taken, ..) = handle(deliveries.begin(row(queue, sequence, 0)));
        deliveries.failed(NOW, taken, trap());
    }
    let places = |rows: Vec<Consumed>| rows.iter().map(|row| (row.queue, row.sequence, row.failed)).collect::<Vec<_>>();
    assert_eq!(places(deliveries.leave(INBOX)), [(INBOX, 1, 1), (INBOX, 2, 1)]);
    assert_eq!(deliveries.appetite(INBOX), Appetite::Nothing);
    assert_eq!(places(deliveries.release()), [(OTHER, 1, 1)]);
    assert_eq!(deliveries.appetite(OTHER), Appetite::Many);
}

#[test]
fn waits_grow_up_to_the_longest_and_never_overflow() {
    assert_eq!(backoff(0), DELIVERY_BACKOFF);
    assert_eq!(backoff(1), DELIVERY_BACKOFF);
    assert_eq!(backoff(2), DELIVERY_BACKOFF * 2);
    for times in [20, 31, 32, 33, u32::MAX] {
        assert_eq!(backoff(times), DELIVERY_BACKOFF_MAX);
    }
}
