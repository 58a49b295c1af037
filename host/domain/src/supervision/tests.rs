//! Every event in every state as a table, and what holds whatever happens.

use proptest::prelude::*;

use super::*;
use Event::{Changed, Policy, Restart as Again, Start, Started, Stop, Woke};
use Order::{Discard, Launch};

const WAIT: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

fn policy(quarantine_after: Option<u64>) -> Restart {
    Restart { backoff: WAIT, backoff_max: LONGEST, quarantine_after }
}

fn trap() -> Event {
    Event::Fault(Fault::Trap { reason: "unreachable".into() })
}

fn gone() -> Event {
    Event::Refused { reason: "no such file".into(), passing: false }
}

fn full() -> Event {
    Event::Refused { reason: "no space".into(), passing: true }
}

/// A component that saw these events, each later than the one before by the longest wait; and the time after.
fn after(events: &[Event]) -> (Supervision, Duration) {
    let mut component = Supervision::new(policy(Some(2)));
    let mut now = Duration::ZERO;
    for event in events {
        component.step(now, event.clone());
        now += LONGEST;
    }
    (component, now)
}

/// Every state with every event: the state after it, and the order.
#[test]
fn every_event_in_every_state_is_answered() {
    use StartReason::{AfterFault, First, Restart, Swap};
    let same = policy(Some(2));
    let events = [Start, Stop, Again, Started, trap(), gone(), Woke, Changed(same.clone()), Policy(same)];
    let first = ("starting", Some(Launch(First)));
    let again = ("starting", Some(Launch(Restart)));
    let woken = ("starting", Some(Launch(AfterFault)));
    let swap = ("starting", Some(Launch(Swap)));
    let ended = ("stopped", Some(Discard));
    let stopped = ("stopped", None);
    let running = ("running", None);
    let backoff = ("backoff", Some(Discard));
    let refused = ("refused", Some(Discard));
    type Answer = (&'static str, Option<Order>);
    let check = |history: &[Event], state: &'static str, answers: &dyn Fn(Answer, Answer) -> [Answer; 9]| {
        let answers = answers((state, None), (state, Some(Discard)));
        for (event, expected) in events.iter().zip(answers) {
            let (mut component, now) = after(history);
            assert_eq!(component.state(now).word(), state, "{history:?}");
            let order = component.step(now, event.clone());
            assert_eq!((component.state(now).word(), order), expected, "{state} {event:?}");
        }
    };
    // In the order of `events`: Start, Stop, Restart, Started, Fault, Refused, Woke, Changed, Policy.
    check(&[], "stopped", &|stay, drop| [first, stay, first, drop, stay, stay, stay, stay, stay]);
    check(&[Start], "starting", &|stay, _| [stay, ended, again, running, backoff, refused, stay, swap, stay]);
    check(&[Start, Started], "running", &|stay, _| [stay, ended, again, stay, backoff, refused, stay, swap, stay]);
    check(&[Start, trap()], "backoff", &|stay, drop| [stay, stopped, again, drop, stay, stay, woken, swap, stay]);
    check(&[Start, gone()], "refused", &|stay, drop| [again, stopped, again, drop, stay, stay, stay, swap, stay]);
    check(&[Start, full()], "refused", &|stay, drop| [again, stopped, again, drop, stay, stay, first, swap, stay]);
    let twice = [Start, trap(), Woke, trap()];
    check(&twice, "quarantined", &|stay, drop| [stay, stopped, again, drop, stay, stay, stay, swap, stay]);
}

/// Waits double from the first to the longest, and a wake-up before its time does nothing.
#[test]
fn the_wait_doubles_up_to_the_longest() {
    let mut component = Supervision::new(policy(None));
    let mut now = Duration::ZERO;
    component.step(now, Start);
    for wait in [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000].map(Duration::from_millis) {
        component.step(now, trap());
        assert_eq!(component.wake_at(), Some(now + wait));
        assert_eq!(component.step(now + wait - Duration::from_millis(1), Woke), None);
        now += wait;
        assert_eq!(component.step(now, Woke), Some(Launch(StartReason::AfterFault)));
    }
    component.faults = u64::MAX - 1;
    component.step(now, trap());
    assert_eq!(component.wake_at(), Some(now + LONGEST));
}

/// What a component with a limit of two faults is in, that faulted once and does so again after these events.
fn second_fault(events: &[Event], wait: Duration) -> ComponentState {
    let (mut component, now) = after(&[&[Start, trap()], events].concat());
    let now = now - LONGEST + wait;
    component.step(now, trap());
    component.state(now)
}

/// Faults count as one row until the component has run for the whole of the stated time without one; time spent
/// in starting does not count.
#[test]
fn faults_are_forgotten_after_a_time_of_health() {
    let quarantined = ComponentState::Quarantined { faults: 2 };
    let almost = HEALTHY_AFTER - Duration::from_nanos(1);
    assert_eq!(second_fault(&[Woke, Started], almost), quarantined);
    let forgotten = ComponentState::Backoff { faults: 1, retry_in_ms: 100 };
    assert_eq!(second_fault(&[Woke, Started], HEALTHY_AFTER), forgotten);
    assert_eq!(second_fault(&[Woke], 2 * HEALTHY_AFTER), quarantined);
}

/// A restart by the operator lifts the quarantine and starts a new row, and what happened last stays readable.
#[test]
fn a_restart_lifts_the_quarantine() {
    let (mut component, now) = after(&[Start, trap(), Woke, trap()]);
    assert_eq!(component.state(now), ComponentState::Quarantined { faults: 2 });
    assert_eq!((component.restarts(), component.since()), (1, now - LONGEST));
    component.step(now, Again);
    assert!(component.last_fault().is_some());
    component.step(now, trap());
    assert_eq!(component.state(now), ComponentState::Backoff { faults: 1, retry_in_ms: 100 });
    assert_eq!((component.restarts(), component.since()), (1, now), "what the operator asked for is not counted");
}

/// What may pass by itself is tried again after the longest wait, for ever, as the launch that it was; it is no fault.
#[test]
fn what_may_pass_by_itself_is_tried_for_ever() {
    let (mut component, mut now) = after(&[Start]);
    for _ in 0..100 {
        assert_eq!(component.step(now, full()), Some(Discard));
        let waits = ComponentState::Refused { reason: "no space".into(), retry_in_ms: Some(10_000) };
        assert_eq!((component.state(now), component.wake_at()), (waits, Some(now + LONGEST)));
        assert_eq!(component.step(now + LONGEST - Duration::from_millis(1), Woke), None);
        now += LONGEST;
        assert_eq!(component.step(now, Woke), Some(Launch(StartReason::First)));
    }
    assert_eq!((component.restarts(), component.last_fault()), (0, None));
    component.step(now, trap());
    assert_eq!(component.state(now).word(), "backoff");
}

/// Another policy alone starts nothing and forgets nothing: who waits or is quarantined stands as if it had been
/// the policy at the last fault.
#[test]
fn another_policy_forgets_no_fault() {
    let (mut component, now) = after(&[Start, trap(), Woke, trap()]);
    let last = now - LONGEST;
    assert_eq!(component.state(now), ComponentState::Quarantined { faults: 2 });
    assert_eq!(component.step(now, Policy(policy(Some(3)))), None);
    assert_eq!((component.wake_at(), component.since()), (Some(last + 2 * WAIT), last));
    assert_eq!(component.step(now, Policy(policy(Some(2)))), None);
    assert_eq!(component.state(now), ComponentState::Quarantined { faults: 2 });
    component.step(now, Policy(policy(Some(3))));
    component.step(now, Woke);
    component.step(now, Started);
    assert_eq!(component.step(now, Policy(policy(Some(1)))), None, "a running instance goes on");
    assert_eq!(component.state(now), ComponentState::Running);
    component.step(now, trap());
    assert_eq!(component.state(now), ComponentState::Quarantined { faults: 3 });
    let (mut refused, now) = after(&[Start, full()]);
    refused.step(now, Policy(Restart { backoff_max: WAIT, ..policy(None) }));
    assert_eq!(refused.wake_at(), Some(now - LONGEST + WAIT));
}

fn any_event() -> impl Strategy<Value = Event> {
    let policy = prop::option::of(1..4_u64).prop_map(policy);
    prop_oneof![
        1 => prop::sample::select(vec![Start, Stop, Again, gone(), full()]),
        3 => Just(Started),
        5 => Just(trap()),
        3 => Just(Woke),
        1 => policy.clone().prop_map(Changed),
        1 => policy.prop_map(Policy),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Whatever happens: a component launches only from an event that says so, a quarantined or stopped one
    /// never by itself, one that was refused only where that may pass; a wait ends within the longest one and ends in a launch; stop always stops.
    #[test]
    fn supervision_keeps_its_promises(
        events in prop::collection::vec((0..5000_u64, any_event()), 0..60),
        most in prop::option::of(1..4_u64),
    ) {
        let mut component = Supervision::new(policy(most));
        let mut now = Duration::ZERO;
        for (wait, event) in events {
            now += Duration::from_millis(wait);
            let before = component.state(now);
            let by_itself = matches!(event, Started | Woke | Event::Refused { .. } | Event::Fault(_) | Policy(_));
            let order = component.step(now, event.clone());
            if by_itself && matches!(order, Some(Launch(_))) {
                let waited = matches!(before.word(), "backoff" | "refused");
                prop_assert!(waited && event == Woke, "{before:?} {event:?}");
            }
            prop_assert_eq!(matches!(order, Some(Launch(_))), component.state(now).word() == "starting" && order.is_some());
            if let Some(at) = component.wake_at() {
                prop_assert!(at <= now.max(component.since()) + LONGEST);
                prop_assert!(matches!(component.clone().step(at, Woke), Some(Launch(_))));
            } else {
                prop_assert_eq!(component.clone().step(now + LONGEST, Woke), None);
            }
            let mut stopped = component.clone();
            stopped.step(now, Stop);
            prop_assert_eq!(stopped.state(now), ComponentState::Stopped);
            prop_assert_eq!(stopped.wake_at(), None);
        }
    }
}
