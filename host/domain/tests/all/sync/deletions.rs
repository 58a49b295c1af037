//! Which side's deletion takes what, and which side is followed where changes go one way.

use edgewit_domain::limits::SHADOW_SYNC_LATE_DELETE;
use edgewit_domain::shadow::sync::{Direction, How, Input, Standing};
use serde_json::json;

use super::bench::Bench;
use super::steps::{both, reported};

fn one_way(direction: Direction) -> How {
    How { direction, ..How::default() }
}

#[test]
fn a_deletion_goes_to_the_other_side_if_nothing_has_changed_there() {
    let mut bench = Bench::agreed(both(), reported(1));
    bench.delete();
    assert_eq!((bench.answer().as_str(), bench.answer().as_str()), ("get", "delete"));
    assert_eq!((bench.there(), bench.is_quiet(), bench.status().standing), (None, true, Standing::InSync));

    let mut bench = Bench::agreed(both(), reported(1));
    let told = bench.far_delete();
    bench.hear(told);
    assert_eq!(bench.answer(), "get");
    assert_eq!((bench.here(), bench.is_quiet(), bench.status().standing), (None, true, Standing::InSync));
}

#[test]
fn a_deletion_does_not_take_what_it_has_not_seen() {
    let mut bench = Bench::agreed(both(), reported(1));
    bench.far(&json!({"desired": {"a": 1}}));
    bench.delete();
    assert_eq!(bench.answer(), "get");
    assert_eq!((bench.here(), bench.is_quiet()), (bench.there(), true), "it has come back as a whole");

    let mut bench = Bench::agreed(both(), reported(1));
    bench.step(Input::Down { owed: false });
    bench.far_delete();
    bench.write(reported(2));
    bench.step(Input::Up { session_kept: false });
    assert_eq!(bench.answer(), "get");
    assert_eq!(bench.answer(), r#"update 1 {"reported":{"t":2}}"#);
    assert_eq!((bench.here(), bench.there()), (Some(reported(2)), Some(reported(2))));
}

/// Neither side's re-creation is undone by the deletion before it, whichever side that was on.
#[test]
fn what_was_made_again_after_a_deletion_stays() {
    let mut bench = Bench::agreed(both(), reported(1));
    bench.step(Input::Down { owed: false });
    bench.delete();
    bench.write(reported(2));
    bench.step(Input::Up { session_kept: true });
    assert_eq!(bench.answer(), r#"update 1 {"reported":{"t":2}}"#);

    let mut bench = Bench::agreed(both(), reported(1));
    let told = bench.far_delete();
    bench.far(&reported(7));
    bench.hear(told);
    assert_eq!(bench.answer(), "get");
    assert_eq!((bench.here(), bench.is_quiet()), (Some(reported(7)), true));

    let mut bench = Bench::agreed(both(), reported(1));
    bench.delete();
    bench.answer();
    let deletion = bench.take();
    bench.write(reported(3));
    let said = bench.arrive(&deletion);
    bench.hear(said);
    assert_eq!(bench.answer(), r#"update 1 {"reported":{"t":3}}"#);
    assert_eq!((bench.here(), bench.there()), (Some(reported(3)), Some(reported(3))));
}

/// A deletion that we asked for cannot be called back: for a while an absence is taken for it, unless another claims it.
#[test]
fn our_own_late_deletion_does_not_come_back_to_us() {
    let again = |claimed: bool, pause: u64| {
        let mut bench = Bench::agreed(both(), reported(1));
        bench.delete();
        bench.answer();
        let deletion = bench.take();
        let said = bench.arrive(&deletion);
        bench.hear(said);
        bench.write(reported(2));
        bench.answer();
        bench.wait(pause);
        if claimed {
            let told = bench.far_delete();
            bench.hear(told);
        } else {
            let said = bench.arrive(&deletion);
            bench.hear(said);
        }
        assert_eq!(bench.answer(), "get");
        while !bench.is_quiet() {
            bench.answer();
        }
        assert_eq!(bench.here(), bench.there());
        bench.here()
    };
    assert_eq!(again(false, 60), Some(reported(2)));
    assert_eq!(again(true, 60), None);
    assert_eq!(again(false, SHADOW_SYNC_LATE_DELETE.as_secs() + 1), None);
}

#[test]
fn one_way_the_other_side_becomes_what_the_source_is() {
    let mut bench = Bench::new(one_way(Direction::ToCloud));
    bench.answer();
    bench.write(reported(1));
    bench.answer();
    let told = bench.far(&json!({"desired": {"a": 1}, "reported": {"t": 9}}));
    bench.hear(told);
    assert_eq!(bench.answer(), "get");
    assert_eq!(bench.answer(), r#"update 2 {"desired":{"a":null},"reported":{"t":1}}"#);
    assert_eq!((bench.here(), bench.there()), (Some(reported(1)), Some(reported(1))));
    bench.delete();
    bench.answer();
    bench.answer();
    assert_eq!(bench.there(), None);

    let mut bench = Bench::agreed(one_way(Direction::FromCloud), reported(1));
    bench.write(json!({"desired": {"a": 1}, "reported": {"t": 9}}));
    assert_eq!((bench.here(), bench.is_quiet()), (Some(reported(1)), true), "and the cloud is not asked");
    bench.delete();
    assert_eq!(bench.answer(), "get");
    assert_eq!(bench.here(), Some(reported(1)));
}

/// A side that has never said anything is no side to follow.
#[test]
fn one_way_nothing_is_deleted_for_a_source_that_was_never_there() {
    let mut bench = Bench::new(one_way(Direction::ToCloud));
    bench.far(&reported(1));
    bench.answer();
    assert_eq!((bench.there(), bench.here(), bench.is_quiet()), (Some(reported(1)), None, true));
    let mut bench = Bench::new(one_way(Direction::FromCloud));
    bench.write(reported(1));
    bench.answer();
    assert_eq!((bench.there(), bench.here(), bench.is_quiet()), (None, Some(reported(1)), true));
}
