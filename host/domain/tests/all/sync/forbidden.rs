//! A cloud that ends the connection on what its policy forbids, as AWS IoT does, without a word.

use std::time::Duration;

use edgewit_domain::limits::{SHADOW_SYNC_ERROR_WAIT, SHADOW_SYNC_SOLO_WAIT};
use edgewit_domain::shadow::sync::Standing;
use edgewit_domain::shadow::{RequestTopic, ShadowId, Verb};

use super::line::{Line, lamps, minutes};
use super::world::id;

#[test]
fn a_shadow_that_ends_connections_is_in_error_by_name_and_all_others_are_kept_the_same() {
    for (forbids, verb) in [
        ((|request| request.id.name.as_ref().unwrap().as_str() == "lamp17") as fn(&RequestTopic) -> bool, "get"),
        (|request| request.id.name.as_ref().unwrap().as_str() == "lamp17" && request.verb == Verb::Update, "update"),
    ] {
        let ids = [lamps("gw", 40), lamps("other", 40)].concat();
        let bad: Vec<ShadowId> = [id("gw", "lamp17"), id("other", "lamp17")].into();
        let mut line = Line::new(&ids, forbids);
        line.run(minutes(20));
        for bad in &bad {
            let (error, thing) = (line.error(bad), bad.thing.as_str());
            assert_eq!(
                error,
                format!(
                    "3 connections in a row ended while nothing but $aws/things/{thing}/shadow/name/lamp17/{verb} was \
                     asked; permit this client there, for AWS IoT in its certificate's policy, to iot:Publish on that \
                     topic, and to iot:Subscribe to and iot:Receive from what follows it"
                )
            );
        }
        line.check_in_sync(ids.iter().filter(|id| !bad.contains(id)).cloned());
        assert!(line.connections <= 1 + 2 * (3 + 3), "{verb}: {} connections", line.connections);
        assert!(line.requests <= 2 * 80 + 64 * 6, "{}", line.requests);

        // Everything else goes on at its usual pace, and nothing that happens here or on the link tries the two again.
        let (connections, requests) = (line.connections, line.requests);
        let others = lamps("gw", 10);
        for value in 0..10 {
            others.iter().chain(&bad).for_each(|id| line.write(id, 2 + value));
            line.run(Duration::from_secs(1));
        }
        line.end(false);
        line.run(Duration::from_secs(60));
        line.check_in_sync(others);
        assert!(bad.iter().all(|bad| line.status(bad).standing == Standing::InError));
        assert_eq!((line.connections - connections, line.requests - requests), (1, 100));
    }
}

/// An hour later it is looked whether the policy is another now, at the price of one connection.
#[test]
fn what_ended_connections_is_asked_for_alone_once_an_hour_until_it_may_be_asked_for() {
    let ids = lamps("gw", 5);
    let mut line = Line::new(&ids, |request| request.id.name.as_ref().unwrap().as_str() == "lamp2");
    line.run(minutes(20));
    let before = line.connections;
    line.run(SHADOW_SYNC_ERROR_WAIT * 10);
    let more = line.connections - before;
    assert!((10..=20).contains(&more), "{more}");
    line.error(&ids[2]);
    line.forbids = |_| false;
    line.run(SHADOW_SYNC_ERROR_WAIT);
    line.check_in_sync(ids);
}

/// Nothing of the thing is permitted, as when nobody thought of shadows: a few of them speak for all.
#[test]
fn a_thing_without_any_permission_costs_few_connections_and_leaves_the_link_to_all_else() {
    let (forbidden, others) = (lamps("forbidden", 200), lamps("other", 20));
    let mut line =
        Line::new(&[forbidden.clone(), others.clone()].concat(), |request| request.id.thing.as_str() == "forbidden");
    line.run(minutes(1));
    assert!(line.connections <= 1 + 3 + 6, "each suspicion leaves the link to all else: {}", line.connections);
    line.run(minutes(30));
    forbidden.iter().for_each(|id| assert!(line.error(id).contains("forbidden/shadow/name/lamp")));
    line.check_in_sync(others);
    assert!(line.connections <= 1 + 3 + 3 * 3, "{} connections", line.connections);
    let before = line.connections;
    line.run(SHADOW_SYNC_ERROR_WAIT * 10);
    let more = line.connections - before;
    assert!((10..=20).contains(&more), "{more}");
    line.forbids = |_| false;
    line.run(SHADOW_SYNC_ERROR_WAIT + minutes(2));
    line.check_in_sync(forbidden);
}

/// The link has a suspect of its own, and nothing of ours was on its way when it struck.
#[test]
fn connections_that_something_else_ends_speak_against_no_shadow() {
    let ids = lamps("gw", 5);
    let mut line = Line::new(&ids, |_| false);
    line.cursed = true;
    line.run(minutes(5));
    assert!(line.connections > 100, "{}", line.connections);
    line.cursed = false;
    line.run(SHADOW_SYNC_SOLO_WAIT / 2);
    line.check_in_sync(ids);
}
