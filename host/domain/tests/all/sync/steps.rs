//! Each rule of synchronisation in as few steps as show it.

use std::time::Duration;

use edgewit_domain::limits::{SHADOW_SYNC_ERROR_WAIT, SHADOW_SYNC_RECONCILE};
use edgewit_domain::shadow::sync::{How, Input, Problem, Seen, Standing, Winner, Winners};
use edgewit_domain::shadow::{Rejection, Reply, RequestTopic, Verb};
use serde_json::{Value, json};

use super::bench::Bench;

pub fn both() -> How {
    How::default()
}

pub fn reported(value: u64) -> Value {
    json!({"reported": {"t": value}})
}

#[test]
fn any_number_of_updates_while_offline_become_one() {
    let mut bench = Bench::agreed(both(), reported(0));
    bench.step(Input::Down { owed: false });
    (1..=50).for_each(|value| bench.write(reported(value)));
    assert_eq!((bench.status().standing, bench.status().local), (Standing::Offline, Seen::Live(51)));
    bench.step(Input::Up { session_kept: true });
    assert_eq!(bench.answer(), r#"update 1 {"reported":{"t":50}}"#);
    assert_eq!((bench.is_quiet(), bench.there()), (true, Some(reported(50))));
    assert_eq!((bench.status().standing, bench.status().cloud), (Standing::InSync, Seen::Live(2)));
}

#[test]
fn what_is_dirty_is_so_since_its_first_change_also_after_a_restart() {
    let mut bench = Bench::agreed(both(), reported(0));
    bench.step(Input::Down { owed: false });
    bench.write(reported(1));
    let since = bench.status().dirty_since;
    assert_eq!(since, Some(bench.now));
    bench.wait(100);
    bench.write(reported(2));
    bench.restart();
    assert_eq!(bench.status().dirty_since, since);
}

#[test]
fn a_conflict_becomes_a_fetch_a_merge_and_a_retry_each_after_a_wait() {
    let mut bench = Bench::agreed(both(), json!({"desired": {"a": 1}, "reported": {"t": 1}}));
    bench.far(&json!({"desired": {"a": 2}, "reported": {"t": 9}}));
    bench.write(json!({"desired": {"a": 3}, "reported": {"t": 3}}));
    assert!(bench.answer().starts_with("update 1"));
    assert_eq!(bench.status().standing, Standing::BackingOff);
    assert!(bench.is_quiet(), "not at once");
    bench.wait(2);
    assert_eq!(bench.answer(), "get");
    assert_eq!(bench.answer(), r#"update 2 {"reported":{"t":3}}"#);
    let merged = Some(json!({"desired": {"a": 2}, "reported": {"t": 3}}));
    assert_eq!((bench.here(), bench.there()), (merged.clone(), merged));

    // A cloud that always refuses is asked less and less often.
    bench.write(reported(4));
    let mut asked = 0;
    for _ in 0..3_600 {
        while !bench.is_quiet() {
            asked += 1;
            if bench.next_is("get") {
                bench.answer()
            } else {
                bench.refuse(&Rejection::VersionConflict)
            };
        }
        bench.wait(1);
    }
    assert!((20..60).contains(&asked), "{asked}");
}

#[test]
fn who_wins_a_leaf_may_be_chosen_for_each_section() {
    let winners = Winners { desired: Winner::Device, reported: Winner::Cloud };
    let mut bench = Bench::agreed(How { winners, ..both() }, json!({"desired": {"a": 1}, "reported": {"t": 1}}));
    bench.far(&json!({"desired": {"a": 2}, "reported": {"t": 2}}));
    bench.write(json!({"desired": {"a": 3}, "reported": {"t": 3}}));
    bench.answer();
    bench.wait(2);
    bench.answer();
    bench.answer();
    let merged = Some(json!({"desired": {"a": 3}, "reported": {"t": 2}}));
    assert_eq!((bench.here(), bench.there()), (merged.clone(), merged));
}

/// Sent, applied, unanswered, and taken back: what the cloud then says is not another's.
#[test]
fn an_update_whose_answer_was_lost_undoes_no_later_one() {
    for kill in [false, true] {
        let mut bench = Bench::agreed(both(), reported(1));
        bench.write(reported(2));
        assert_eq!(bench.lose_answer(), r#"update 1 {"reported":{"t":2}}"#);
        bench.write(reported(1));
        if kill {
            bench.restart();
            bench.step(Input::Up { session_kept: true });
        }
        bench.wait_for_request(25);
        assert_eq!(bench.answer(), "get");
        assert_eq!(bench.answer(), r#"update 2 {"reported":{"t":1}}"#);
        assert_eq!((bench.here(), bench.there()), (Some(reported(1)), Some(reported(1))));
    }
}

/// What may still arrive is sent again as it was, until it is known what became of it.
#[test]
fn an_update_that_comes_late_is_not_taken_for_anothers() {
    let mut bench = Bench::agreed(both(), reported(1));
    bench.write(reported(2));
    let late = bench.take();
    bench.wait(25);
    bench.write(reported(1));
    assert_eq!(bench.answer(), "get");
    let again = bench.take();
    assert_eq!(bench.said(&again), bench.said(&late));
    bench.arrive(&late);
    bench.wait(25);
    assert_eq!(bench.answer(), "get");
    assert_eq!(bench.answer(), r#"update 2 {"reported":{"t":1}}"#);
    assert_eq!(bench.there(), Some(reported(1)));
}

#[test]
fn a_change_of_anothers_is_fetched_once_whatever_is_heard_of_it() {
    let mut bench = Bench::agreed(both(), reported(1));
    let first = bench.far(&json!({"desired": {"a": 1}}));
    let second = bench.far(&json!({"desired": {"a": 2}}));
    // The later one first, the earlier one late and twice.
    bench.hear(second);
    bench.hear(first.clone());
    assert_eq!(bench.answer(), "get");
    bench.hear(first);
    assert_eq!((bench.is_quiet(), bench.here()), (true, bench.there()));
    // What nobody was told is found when the shadow is no longer believed.
    bench.far(&json!({"desired": {"a": 3}}));
    bench.wait_for_request(SHADOW_SYNC_RECONCILE.as_secs());
    assert_eq!(bench.answer(), "get");
    assert_eq!(bench.here(), bench.there());
}

#[test]
fn a_cloud_that_has_counted_to_the_end_is_fetched_like_any_other() {
    let mut bench = Bench::agreed(both(), reported(1));
    let said = bench.far(&reported(2));
    bench.hear(said);
    let (get, asked) = bench.take();
    let get = RequestTopic::parse(&get).unwrap().unwrap();
    let asked: Value = serde_json::from_slice(&asked).unwrap();
    let answer = json!({"version": u64::MAX, "state": reported(2), "clientToken": asked["clientToken"]});
    bench.hear(vec![(get.reply(Reply::Accepted).unwrap(), answer.to_string().into_bytes())]);
    assert_eq!(bench.here(), Some(reported(2)));
    let update = RequestTopic { verb: Verb::Update, ..get }.reply(Reply::Accepted).unwrap();
    let again = json!({"version": u64::MAX, "state": reported(3)});
    bench.hear(vec![(update, again.to_string().into_bytes())]);
    assert!(bench.next_is("get"));
}

#[test]
fn after_a_lost_session_and_in_a_new_process_every_shadow_is_asked_for_once_and_after_a_kept_one_none() {
    let mut bench = Bench::agreed(both(), reported(1));
    for (session_kept, restarts, asks) in [(true, false, false), (false, false, true), (true, true, true)] {
        bench.far(&json!({"desired": {"a": asks}}));
        if restarts {
            bench.restart();
        }
        bench.step(Input::Up { session_kept });
        assert_eq!(!bench.is_quiet(), asks);
        if asks {
            assert_eq!(bench.answer(), "get");
            assert_eq!((bench.here(), bench.is_quiet()), (bench.there(), true));
        }
    }
}

#[test]
fn a_refusal_for_good_is_told_and_not_tried_again_until_something_changes() {
    let mut bench = Bench::agreed(both(), reported(1));
    bench.write(reported(2));
    bench.refuse(&Rejection::TooLarge);
    bench.wait(1_700);
    assert!(bench.is_quiet());
    let status = bench.status();
    let text = status.problem.map(|problem| problem.to_string());
    assert_eq!(status.standing, Standing::InError);
    assert_eq!(text.as_deref(), Some("the cloud refused: 413 The payload exceeds the maximum size allowed"));
    // A new connection may be permitted what the last one was not.
    bench.step(Input::Down { owed: false });
    bench.step(Input::Up { session_kept: true });
    assert_eq!(bench.refuse(&Rejection::Forbidden), r#"update 1 {"reported":{"t":2}}"#);
    bench.write(reported(3));
    assert_eq!(bench.answer(), r#"update 1 {"reported":{"t":3}}"#);
    assert_eq!((bench.status().standing, bench.status().problem), (Standing::InSync, None));

    // What the cloud calls wrong may have been right when it was sent: it is looked at once.
    bench.write(reported(4));
    bench.refuse(&Rejection::InvalidVersion);
    bench.wait(10);
    assert_eq!(bench.answer(), "get");
    assert_eq!((bench.status().standing, bench.is_quiet()), (Standing::InError, true));
    bench.wait(SHADOW_SYNC_ERROR_WAIT.as_secs());
    assert!(!bench.is_quiet(), "rarely, it is tried all the same");
}

#[test]
fn what_passes_is_tried_again_after_a_wait_that_grows() {
    // What is kept the same once an hour does not wait an hour for what failed.
    let hourly = How { every: Duration::from_secs(3600), ..both() };
    for (rejection, how) in [(Rejection::TooManyRequests, both()), (Rejection::Internal, hourly)] {
        let mut bench = Bench::agreed(how, reported(1));
        bench.write(reported(2));
        while bench.is_quiet() {
            bench.wait(1);
        }
        let mut waits = Vec::new();
        for _ in 0..6 {
            let asked = bench.refuse(&rejection);
            assert_eq!(asked, r#"update 1 {"reported":{"t":2}}"#);
            let before = bench.now;
            while bench.is_quiet() {
                bench.wait(1);
            }
            waits.push((bench.now - before).as_secs());
        }
        assert!(waits[0] <= 2 && waits[5] >= 32 && waits[5] <= 64, "{waits:?}");
        bench.answer();
        assert_eq!(bench.there(), Some(reported(2)));
    }
}

/// Some clouds have no version for what is not there.
#[test]
fn a_first_document_that_is_refused_for_its_version_goes_without_in_the_end() {
    let mut bench = Bench::new(both());
    bench.write(reported(1));
    bench.answer();
    for _ in 0..3 {
        assert_eq!(bench.refuse(&Rejection::VersionConflict), r#"update 1 {"reported":{"t":1}}"#);
        bench.wait_for_request(20);
        assert_eq!(bench.answer(), "get");
    }
    assert_eq!(bench.answer(), r#"update null {"reported":{"t":1}}"#);
    assert_eq!((bench.there(), bench.status().standing), (Some(reported(1)), Standing::InSync));
}

#[test]
fn periodically_means_at_most_once_in_the_time() {
    let mut bench = Bench::agreed(How { every: Duration::from_secs(600), ..both() }, reported(0));
    let mut updates = 0;
    for value in 1..=3_600 {
        bench.write(reported(value));
        bench.wait(1);
        while !bench.is_quiet() {
            bench.answer();
            updates += 1;
        }
    }
    assert!((5..=7).contains(&updates), "{updates}");
}

#[test]
fn a_store_that_refuses_is_tried_again_and_nothing_is_applied_by_half() {
    let mut bench = Bench::agreed(both(), reported(1));
    let row = bench.row.clone();
    bench.refuses = true;
    let told = bench.far(&json!({"desired": {"a": 1}}));
    bench.hear(told);
    bench.answer();
    assert_eq!((bench.status().problem, bench.here()), (Some(Problem::NoRoom), Some(reported(1))));
    assert_eq!(bench.row, row);
    bench.refuses = false;
    bench.wait(5);
    bench.answer();
    assert_eq!((bench.here(), bench.status().problem), (bench.there(), None));
}

#[test]
fn a_row_of_a_format_to_come_is_not_touched_and_a_damaged_one_costs_a_merge() {
    let mut bench = Bench::agreed(both(), reported(1));
    bench.row = Some(br#"{"sync":2}"#.to_vec());
    bench.restart();
    bench.step(Input::Up { session_kept: false });
    bench.write(reported(2));
    assert_eq!((bench.is_quiet(), bench.status().standing), (true, Standing::InError));
    assert!(bench.status().problem.unwrap().to_string().contains("run the version that wrote it"));

    bench.row = Some(b"{".to_vec());
    bench.restart();
    bench.step(Input::Up { session_kept: false });
    bench.answer();
    assert_eq!(bench.answer(), r#"update 1 {"reported":{"t":2}}"#);
    assert_eq!((bench.there(), bench.status().standing), (Some(reported(2)), Standing::InSync));
}

/// Both sides fit, and what they say together does not.
#[test]
fn a_merge_that_is_too_large_to_keep_is_told_and_changes_nothing() {
    let mut bench = Bench::agreed(both(), reported(1));
    bench.step(Input::Down { owed: false });
    let large = |name: &str| json!({"reported": {name: "x".repeat(5_000)}});
    bench.far(&large("far"));
    bench.write(large("near"));
    let before = bench.here();
    bench.step(Input::Up { session_kept: false });
    bench.answer();
    assert_eq!((bench.here(), bench.is_quiet(), bench.status().standing), (before, true, Standing::InError));
    assert!(matches!(bench.status().problem, Some(Problem::Local(Rejection::TooLarge))));
    bench.write(json!({"reported": {"near": null}}));
    bench.answer();
    assert_eq!((bench.here(), bench.is_quiet()), (bench.there(), true));
}
