//! [H9]: two limits on a handling's time, and the limits on what it may hold. Each ends the one instance, with a
//! fault that names the limit, within a stated time.

use std::time::{Duration, Instant};

use edgewit_domain::fault::Fault;

use crate::support::{bed, bed_with, prepare};

const PUBLISH: &str = "[component.it.grant.publish]\nall = \"#\"\n";
/// What a loaded machine may add to any of the times below.
const PATIENCE: Duration = Duration::from_secs(5);

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

#[test]
fn h9_a_spinning_guest_ends_at_its_cpu_deadline() {
    for cpu in [20, 300] {
        let mut bed = bed("spin", &format!("{PUBLISH}[component.it.limits]\ncpu = \"{cpu}ms\"\n"));
        let (ended, took) = timed(|| bed.message("publish"));
        let limit = Duration::from_millis(cpu);
        assert_eq!(ended.unwrap_err(), Fault::CpuDeadline { limit });
        assert!(took >= limit && took < limit + PATIENCE, "{cpu} ms ended after {took:?}");
    }
}

#[test]
fn h9_the_cpu_deadline_is_armed_anew_for_every_handling() {
    let mut bed = bed("flood", &format!("{PUBLISH}[component.it.limits]\ncpu = \"300ms\"\n"));
    let flood = |count: u32| crate::support::delivery("in/a", count.to_string().as_bytes());
    let (short, long) = (20_000, Duration::from_millis(180));
    let (done, each) = bed.instance.batch(|instance| instance.deliver(&flood(short)));
    done.unwrap();
    // Twice what it takes, since the first may be measured on a core that others share.
    let calls = Duration::from_millis(600).as_nanos() / each.as_nanos() + 1;
    let much = u32::try_from(u128::from(short) * long.as_nanos() / each.as_nanos()).unwrap();
    // Together they compute for longer than one may; the last is long enough to be looked at, and within its limit.
    let (ended, cpu) = bed.instance.batch(|instance| {
        (0..calls).try_for_each(|_| instance.deliver(&flood(short)).map(drop))?;
        instance.deliver(&flood(much))
    });
    assert!(ended.is_ok(), "{ended:?} after {cpu:?}");
    assert!(cpu > Duration::from_millis(400), "the batch computed for {cpu:?} only, which shows nothing");
}

#[test]
fn h9_a_waiting_guest_ends_at_its_wall_deadline_and_costs_no_cpu() {
    let mut bed = bed("sleeper", &format!("{PUBLISH}[component.it.limits]\nwall = \"150ms\"\ncpu = \"100ms\"\n"));
    assert_eq!(bed.published("20")[0].1, "awake");
    let ((ended, took), cpu) =
        bed.instance.batch(|instance| timed(|| instance.deliver(&crate::support::delivery("in/a", b"an hour"))));
    assert_eq!(ended.unwrap_err(), Fault::WallDeadline { limit: Duration::from_millis(150) });
    assert!(took < PATIENCE, "took {took:?}");
    assert!(cpu < Duration::from_millis(50), "waiting cost {cpu:?} of CPU");
}

#[test]
fn h9_waiting_does_not_count_as_computing() {
    let mut bed = bed("sleeper", &format!("{PUBLISH}[component.it.limits]\nwall = \"5s\"\ncpu = \"20ms\"\n"));
    assert_eq!(bed.published("200")[0].1, "awake");
}

#[test]
fn an_interruption_ends_waiting_at_once_and_computing_within_ticks() {
    for fixture in ["sleeper", "spin"] {
        let tables = format!("{PUBLISH}[component.it.limits]\nwall = \"1h\"\ncpu = \"10m\"\n");
        let mut bed = bed(fixture, &tables);
        let interrupter = bed.services.interrupter.clone();
        let (ended, took) = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::park_timeout(Duration::from_millis(100));
                interrupter.interrupt();
            });
            timed(|| bed.message("for ever"))
        });
        assert_eq!(ended.unwrap_err(), Fault::Interrupted, "{fixture}");
        assert!(took < PATIENCE, "{fixture} took {took:?}");
    }
}

#[test]
fn memory_is_limited_for_the_instance_and_the_fault_says_so() {
    let mut bed = bed("hog", &format!("{PUBLISH}[component.it.limits]\nmemory = \"8MiB\"\ncpu = \"10s\"\n"));
    assert_eq!(bed.published("2")[0].1, "2");
    assert!(bed.instance.memory() > 2 << 20);
    assert_eq!(bed.message("for ever").unwrap_err(), Fault::Memory { limit: 8 << 20 });
    assert!(bed.instance.memory() <= 8 << 20, "{} bytes", bed.instance.memory());
}

#[test]
fn a_component_that_starts_above_its_memory_limit_does_not_start() {
    let prepared = prepare("hog", &format!("{PUBLISH}[component.it.limits]\nmemory = \"64KiB\"\n")).unwrap();
    let services = crate::support::services(&crate::support::component(PUBLISH));
    assert_eq!(prepared.instantiate(services).err(), Some(Fault::Memory { limit: 64 << 10 }));
}

#[test]
fn recursing_without_end_is_a_fault_and_not_an_abort() {
    let stack = crate::support::ENGINE.thread_stack();
    let ended = std::thread::Builder::new().stack_size(stack).spawn(|| bed("recurse", PUBLISH).message("x")).unwrap();
    let fault = ended.join().unwrap().unwrap_err();
    assert!(matches!(fault, Fault::Stack { .. }), "{fault}");
}

#[test]
fn a_guest_that_logs_without_end_is_cut_and_counted() {
    let mut bed = bed_with("chatty", &format!("{PUBLISH}[component.it.limits]\ncpu = \"10s\"\n"), |_| {});
    bed.message("5000").unwrap();
    let dropped = bed.services.log_dropped.get();
    assert!(dropped > 4_000, "{dropped} lines were dropped");
}
