//! Ticks late, failed and missed, by example and by random schedules.

use proptest::prelude::*;

use super::*;
use crate::limits::{TIMER_AFTER, TIMER_ATTEMPTS, TIMER_SOONEST};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn declared(timers: &[(&str, u64)]) -> BTreeMap<Arc<str>, Duration> {
    timers.iter().map(|(name, every)| (Arc::from(*name), ms(*every))).collect()
}

fn set(name: &str, after: Duration) -> TimerChange {
    TimerChange::Set { name: name.into(), after, payload: name.into() }
}

fn tick(name: &str, attempt: u32, missed: u32) -> Option<Tick> {
    Some(Tick { name: name.into(), payload: Vec::new(), attempt, missed })
}

/// [H6] Missed ticks come as one with their number; what comes after is due when it always was.
#[test]
fn missed_ticks_come_as_one() {
    let mut timers = Timers::new(&declared(&[("t", 100)]), ms(5));
    assert_eq!((timers.next_due(), timers.take_due(ms(104))), (Some(ms(105)), None));
    let first = timers.take_due(ms(105));
    assert_eq!(first, tick("t", 1, 0));
    assert_eq!((timers.next_due(), timers.take_due(ms(999))), (None, None), "in hand");
    timers.done(ms(450), &first.unwrap());
    assert_eq!(timers.next_due(), Some(ms(205)));
    let late = timers.take_due(ms(450));
    assert_eq!(late, tick("t", 1, 2));
    timers.done(ms(460), &late.unwrap());
    assert_eq!(timers.next_due(), Some(ms(505)));
}

/// [H6] A failed tick is tried again, less and less often, until the next one is due, which then stands for it
/// too; a rejected one is over.
#[test]
fn a_failed_tick_is_tried_until_the_next_is_due() {
    let mut timers = Timers::new(&declared(&[("t", 1000)]), ms(0));
    let mut now = ms(1000);
    for (attempt, wait) in [(1, Some(100)), (2, Some(200)), (3, Some(400)), (4, None)] {
        let taken = timers.take_due(now);
        assert_eq!(taken, tick("t", attempt, 0));
        let again = wait.map(|wait| now + ms(wait));
        assert_eq!(timers.failed(now, &taken.unwrap()), again);
        now = again.unwrap_or(ms(2000));
        assert_eq!(timers.next_due(), Some(now));
    }
    let next = timers.take_due(now);
    assert_eq!(next, tick("t", 1, 1));
    timers.rejected(now, &next.unwrap());
    assert_eq!(timers.next_due(), Some(ms(3000)));
}

/// [H6] A one-shot timer comes once; one that fails comes again with its payload, until its last attempt.
#[test]
fn a_one_shot_timer_is_given_up_in_the_end() {
    let mut timers = Timers::new(&BTreeMap::new(), ms(0));
    timers.apply(ms(0), vec![set("once", ms(50))]);
    let mut now = ms(50);
    for attempt in 1..=TIMER_ATTEMPTS {
        let taken = timers.take_due(now).unwrap();
        assert_eq!((taken.attempt, taken.payload.as_slice()), (attempt, b"once".as_slice()));
        assert!(!timers.is_pending("once"));
        match timers.failed(now, &taken) {
            Some(again) => now = again,
            None => assert_eq!(attempt, TIMER_ATTEMPTS),
        }
    }
    assert_eq!((timers.pending(), timers.next_due()), (0, None));
    timers.apply(now, vec![set("once", ms(50))]);
    let taken = timers.take_due(now + ms(50)).unwrap();
    timers.done(now, &taken);
    assert_eq!((timers.pending(), timers.next_due()), (0, None));
}

/// A tick that sets the next one for at once is called again and again, but leaves time between, so that it neither
/// keeps its thread to itself nor holds up what else is due.
#[test]
fn a_timer_that_sets_itself_leaves_time_between_its_ticks() {
    let mut timers = Timers::new(&declared(&[("t", 1000)]), ms(0));
    timers.apply(ms(0), vec![set("again", ms(0))]);
    let mut ticks = 0;
    while let Some(due) = timers.next_due().filter(|due| *due < ms(1000)) {
        let taken = timers.take_due(due).unwrap();
        timers.done(due, &taken);
        timers.apply(due, vec![set("again", ms(0))]);
        assert!(timers.take_due(due).is_none(), "the next one is due at once");
        ticks += 1;
    }
    assert_eq!(ticks, 99);
    assert_eq!(timers.take_due(ms(1000)).unwrap().name, "t");
}

/// Setting replaces, cancelling forgets, both in the order asked for; a timer of the configuration is neither.
#[test]
fn a_handling_changes_its_one_shot_timers() {
    let mut timers = Timers::new(&declared(&[("t", 1000)]), ms(0));
    let cancel = |name: &str| TimerChange::Cancel { name: name.into() };
    timers.apply(ms(10), vec![set("a", ms(50)), set("b", ms(5)), set("a", ms(20)), cancel("b"), cancel("none")]);
    timers.apply(ms(10), vec![set("t", ms(1)), set("far", Duration::MAX)]);
    assert_eq!((timers.pending(), timers.is_pending("a"), timers.is_pending("b")), (2, true, false));
    assert_eq!((timers.is_declared("t"), timers.is_pending("t"), timers.next_due()), (true, false, Some(ms(30))));
    let a = timers.take_due(ms(30)).unwrap();
    timers.apply(ms(31), vec![set("a", ms(17))]);
    assert_eq!(timers.failed(ms(32), &a), None, "what was set anew wins");
    assert_eq!(timers.next_due(), Some(ms(48)));
    timers.apply(ms(48), vec![cancel("a"), cancel("t")]);
    assert_eq!(timers.next_due(), Some(ms(1000)));
    assert!(timers.take_due(ms(10) + TIMER_AFTER - ms(1)).is_some_and(|tick| tick.name == "t"));
    assert!(timers.take_due(ms(10) + TIMER_AFTER).is_some_and(|tick| tick.name == "far"));
}

/// Of several that are due the one that waited longest comes first.
#[test]
fn the_longest_due_comes_first() {
    let mut timers = Timers::new(&declared(&[("slow", 70), ("fast", 30)]), ms(0));
    timers.apply(ms(0), vec![set("once", ms(50))]);
    let names: Vec<String> = std::iter::from_fn(|| timers.take_due(ms(100))).map(|tick| tick.name).collect();
    assert_eq!(names, ["fast", "once", "slow"]);
}

/// A reload keeps the phase of a timer that stays as it is, begins anew what changed, and drops the rest.
#[test]
fn a_reload_keeps_the_phase_of_what_stays() {
    let mut timers = Timers::new(&declared(&[("stays", 100), ("changes", 100), ("goes", 10)]), ms(0));
    timers.apply(ms(0), vec![set("new", ms(1)), set("other", ms(500))]);
    timers.redeclare(&declared(&[("stays", 100), ("changes", 200), ("new", 300)]), ms(50));
    let due: Vec<(String, Duration)> = std::iter::from_fn(|| {
        let due = timers.next_due()?;
        timers.take_due(due).map(|tick| (tick.name, due))
    })
    .collect();
    let expected = [("stays", 100), ("changes", 250), ("new", 350), ("other", 500)];
    assert_eq!(due, expected.map(|(name, at)| (name.to_owned(), ms(at))));
    assert!(!timers.is_declared("goes"));
}

#[derive(Clone, Copy, Debug)]
enum End {
    Done,
    Failed,
    Rejected,
}

fn any_end() -> impl Strategy<Value = End> {
    prop::sample::select(vec![End::Done, End::Done, End::Failed, End::Rejected])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// However late ticks are taken and however they end: each number of a declared timer is accounted for
    /// exactly once, no tick comes early, and none is forgotten.
    #[test]
    fn every_tick_is_accounted_for(
        every in 1..500_u64,
        start in 0..1000_u64,
        steps in prop::collection::vec((0..700_u64, 0..300_u64, any_end()), 1..60),
    ) {
        let mut timers = Timers::new(&declared(&[("t", every)]), ms(start));
        let (mut now, mut accounted, mut attempts) = (start, 0, (0, 0));
        for (late, takes, end) in steps {
            let due = timers.next_due().unwrap();
            prop_assert!(due >= ms(start + every * (accounted + 1)), "early");
            prop_assert!(due <= ms(start + every * (now.saturating_sub(start) / every + 1)).max(ms(now)), "forgotten");
            now = now.max(due.as_millis() as u64) + late;
            let taken = timers.take_due(ms(now)).unwrap();
            let number = (now - start) / every;
            prop_assert_eq!(accounted + 1 + u64::from(taken.missed), number);
            let expected = if attempts.0 == number { attempts.1 + 1 } else { 1 };
            prop_assert_eq!(taken.attempt, expected);
            attempts = (number, taken.attempt);
            now += takes;
            match end {
                End::Done => timers.done(ms(now), &taken),
                End::Rejected => timers.rejected(ms(now), &taken),
                End::Failed => { timers.failed(ms(now), &taken); }
            }
            if !matches!(end, End::Failed) {
                accounted = number;
                prop_assert_eq!(timers.next_due(), Some(ms(start + every * (number + 1))), "no drift");
            }
        }
    }

    /// One-shot timers do what a plain map of name to time does.
    #[test]
    fn one_shots_come_once_and_in_order(
        changes in prop::collection::vec((0..20_u64, 0..6_u8, prop::option::of(0..100_u64)), 0..60),
    ) {
        let mut timers = Timers::new(&BTreeMap::new(), ms(0));
        let mut model: BTreeMap<String, u64> = BTreeMap::new();
        let mut now = 0;
        for (wait, name, after) in changes {
            let name = name.to_string();
            now += wait;
            match after {
                Some(after) => {
                    timers.apply(ms(now), vec![set(&name, ms(after))]);
                    model.insert(name, now + after.max(TIMER_SOONEST.as_millis() as u64));
                }
                None => {
                    timers.apply(ms(now), vec![TimerChange::Cancel { name: name.clone() }]);
                    model.remove(&name);
                }
            }
            while let Some(taken) = timers.take_due(ms(now)) {
                let due = model.remove(&taken.name);
                prop_assert!(due.is_some_and(|due| due <= now && model.values().all(|other| *other >= due)));
                timers.done(ms(now), &taken);
            }
            prop_assert!(model.values().all(|due| *due > now));
            prop_assert_eq!(timers.pending(), model.len());
            prop_assert_eq!(timers.next_due(), model.values().min().map(|due| ms(*due)));
        }
    }
}
