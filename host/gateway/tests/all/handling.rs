//! What a handling means: effects all or none, order, starts, renewals, ticks.

use edgewit_domain::control::Command;

use crate::world::{World, component, echo};

#[test]
fn h1_effects_become_real_when_a_handling_returns_well_and_only_then() {
    let world = World::new(&[component("half", "trap_half", "restart.backoff = \"1ms\"\n")]);
    let running = world.run(&["half"]);
    let out = running.listen("trap-half/out");
    for payload in ["fine", "x", "fine", "y", "fine"] {
        running.publish("half/in", payload);
    }
    assert_eq!(out.take(3), ["fine"; 3]);
    let status = running.until("half", |status| status.failed == 2);
    assert_eq!((status.handled, status.published), (3, 3));
    assert!(out.is_empty());
}

#[test]
fn h1_a_rejected_delivery_leaves_no_effect_and_the_instance_goes_on() {
    let world = World::new(&[component("error", "error", "")]);
    let running = world.run(&["error"]);
    let out = running.listen("error/out");
    running.publish("error/in", "reject");
    running.publish("error/in", "fine");
    assert_eq!(out.next(), "attempt 1");
    let status = running.until("error", |status| status.handled == 1);
    assert_eq!((status.rejected, status.failed, status.restarts), (1, 0, 0));
    assert!(out.is_empty());
    running.until_logged("error", "reject as told");
}

#[test]
fn h3_a_failure_in_a_batch_takes_nothing_else_with_it() {
    let world = World::new(&[component("half", "trap_half", "restart.backoff = \"1ms\"\n")]);
    let running = world.run(&["half"]);
    running.command(Command::Stop { component: "half".into() });
    let out = running.listen("trap-half/out");
    for number in 0..50 {
        running.publish("half/in", if number == 20 { "trap" } else { "fine" });
    }
    assert_eq!(running.component("half").queued, 50);
    running.command(Command::Start { component: "half".into() });
    assert_eq!(out.take(49), ["fine"; 49]);
    let status = running.until("half", |status| status.handled == 49);
    assert_eq!((status.failed, status.queued, status.dropped), (1, 0, 0));
}

#[test]
fn h5_guest_memory_is_thrown_away_after_a_fault() {
    let world = World::new(&[component("counter", "counter", "restart.backoff = \"1ms\"\n")]);
    let running = world.run(&["counter"]);
    let out = running.listen("counter/out");
    for payload in ["a", "b", "retry", "c"] {
        running.publish("counter/in", payload);
    }
    assert_eq!(out.take(3), ["1", "2", "1"], "the count began anew, and the failed handling's is not seen");
}

#[test]
fn h5_planned_recycling_carries_the_state_over() {
    let world = World::new(&[component("counter", "counter", "recycle.calls = 3\n")]);
    let running = world.run(&["counter"]);
    let out = running.listen("counter/out");
    for number in 1..=20 {
        running.publish("counter/in", "x");
        assert_eq!(out.next(), number.to_string());
    }
    let status = running.component("counter");
    assert!(status.recycled > 0, "{status:#?}");
    assert_eq!((status.failed, status.restarts), (0, 0));
    running.until_logged("counter", "Recycle");
}

#[test]
fn h5_recycling_by_age_needs_no_message() {
    let world = World::new(&[component("counter", "counter", "recycle.age = \"1s\"\n")]);
    let running = world.run(&["counter"]);
    running.until("counter", |status| status.recycled >= 1);
    assert_eq!(running.component("counter").state.word(), "running");
}

#[test]
fn h5_what_cannot_carry_its_state_is_not_recycled_unless_it_is_stateless() {
    let recycled = |further: &str| {
        let world = World::new(&[echo("good", &format!("recycle.calls = 1\n{further}"))]);
        let running = world.run(&["good"]);
        for _ in 0..3 {
            running.assert_good();
        }
        running.until("good", |status| status.handled == 3).recycled
    };
    assert_eq!(recycled(""), 0);
    assert!(recycled("stateless = true\n") > 0);
}

#[test]
fn h5_a_snapshot_that_fails_is_a_fault() {
    let world = World::new(&[component("counter", "counter", "recycle.calls = 2\nrestart.backoff = \"1ms\"\n")]);
    let running = world.run(&["counter"]);
    running.publish("counter/in", "quit");
    running.publish("counter/in", "x");
    let status = running.until("counter", |status| status.last_fault.is_some() && status.state.word() == "running");
    assert_eq!(status.last_fault.map(|fault| fault.kind()), Some("state"));
}

#[test]
fn h6_init_comes_first_and_is_told_why() {
    let world = World::new(&[component("counter", "counter", "restart.backoff = \"1ms\"\n")]);
    let running = world.run(&["counter"]);
    running.until_logged("counter", "started with 0: Reason::First");
    running.publish("counter/in", "retry");
    running.until_logged("counter", "started with 0: Reason::AfterFault");
    running.until("counter", |status| status.state.word() == "running");
    running.command(Command::Restart { component: "counter".into() });
    running.until_logged("counter", "started with 0: Reason::Restart");
}

#[test]
fn h6_a_one_shot_timer_ticks_once_and_survives_its_instance() {
    let further = "grant.timer.pending = 4\nrestart.backoff = \"1ms\"\n";
    let world = World::new(&[component("timers", "timers", further)]);
    let running = world.run(&["timers"]);
    let out = running.listen("timers/out");
    running.publish("timers/in", "set later 300 hello");
    assert_eq!(out.next(), "set later");
    running.command(Command::Restart { component: "timers".into() });
    assert_eq!(out.next(), "tick later attempt=1 missed=0 hello");
    running.publish("timers/in", "set-fail never 1");
    running.publish("timers/in", "cancel never");
    assert_eq!(out.next(), "cancel never: false", "a failed handling has set nothing");
    assert!(out.is_empty());
}

#[test]
fn h6_a_failed_tick_is_tried_again_until_the_next_is_due_and_a_rejected_one_is_not() {
    let further = "grant.timer.pending = 4\nrestart.backoff = \"1ms\"\nrestart.quarantine = \"never\"\n";
    let world = World::new(&[component("timers", "timers", further)]);
    let running = world.run(&["timers"]);
    let out = running.listen("timers/out");
    running.publish("timers/in", "set again 1 retry");
    running.publish("timers/in", "set once 1 reject");
    assert_eq!(out.take(2), ["set again", "set once"]);
    let status = running.until("timers", |status| status.failed >= 3 && status.rejected == 1);
    assert_eq!(status.last_fault.map(|fault| fault.kind()), Some("retry"));
    assert!(out.is_empty(), "what a failed tick published is never seen");
}

#[test]
fn h6_missed_ticks_come_as_one() {
    let further = "grant.timer.pending = 1\ntimer.beat.every = \"20ms\"\n";
    let world = World::new(&[component("timers", "timers", further)]);
    let running = world.run(&["timers"]);
    let out = running.listen("timers/out");
    assert!(out.next().starts_with("tick beat attempt=1"));
    running.command(Command::Stop { component: "timers".into() });
    running.until("timers", |status| status.state.word() == "stopped" && status.since_ms > 200);
    while !out.is_empty() {}
    running.command(Command::Start { component: "timers".into() });
    let tick = out.next();
    let missed = tick.split("missed=").nth(1).unwrap().trim();
    assert!(missed.parse::<u32>().unwrap() >= 5, "{tick}");
}

#[test]
fn h7_a_live_delivery_is_consumed_when_it_is_handed_over() {
    let world = World::new(&[component("error", "error", "restart.backoff = \"1ms\"\n")]);
    let running = world.run(&["error"]);
    let out = running.listen("error/out");
    running.publish("error/in", "retry");
    running.publish("error/in", "fine");
    assert_eq!(out.next(), "attempt 1");
    let status = running.until("error", |status| status.handled == 1);
    assert_eq!((status.failed, status.queued), (1, 0), "the failed one did not come again");
}

#[test]
fn q3_overlapping_subscriptions_of_a_component_deliver_once() {
    let further = "subscribe.more.filter = \"good/#\"\nsubscribe.more.delivery = \"live\"\n\
                   subscribe.all.filter = \"#\"\nsubscribe.all.delivery = \"live\"\n";
    let world = World::new(&[echo("good", further)]);
    let running = world.run(&["good"]);
    let out = running.listen("good/out");
    running.publish("good/in", "a");
    running.publish("elsewhere", "b");
    assert_eq!(out.take(2), ["a", "b"]);
    let status = running.until("good", |status| status.queued == 0);
    assert_eq!(status.handled, 2);
    assert!(out.is_empty());
}

#[test]
fn q4_a_publisher_stays_in_order_through_a_chain_of_components() {
    let second = echo("second", "subscribe.in.queue.messages = 10000\n").replace("second/in", "first/out");
    let world = World::new(&[echo("first", "subscribe.in.queue.messages = 10000\n"), second]);
    let running = world.run(&["first", "second"]);
    let out = running.listen("second/out");
    let sent: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    sent.iter().for_each(|payload| running.publish("first/in", payload));
    assert_eq!(out.take(5000), sent);
}
