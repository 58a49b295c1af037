//! `try`: one component without a gateway, as it would be in one.

use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Effects, TimerChange};
use edgewit_gateway::trial::{Subject, Trial, TrialError, TrialOutcome};

use crate::world::{World, component, echo, fixture, worker};

fn trial(world: &World, name: &str) -> Trial {
    let config = world.config();
    Trial::new(Subject::Configured { config: &config, component: name }, &worker()).unwrap_or_else(|e| panic!("{e}"))
}

fn done(outcome: TrialOutcome) -> Effects {
    match outcome {
        TrialOutcome::Done(effects) => effects,
        other => panic!("{other:?}"),
    }
}

fn published(outcome: TrialOutcome) -> Vec<(String, String)> {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    done(outcome).publishes.into_iter().map(|message| (message.topic.to_string(), text(message.payload))).collect()
}

fn not_asked(outcome: TrialOutcome) -> String {
    match outcome {
        TrialOutcome::NotAsked { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn effects_come_back_instead_of_being_published() {
    let world = World::new(&[echo("good", "")]);
    let mut trial = trial(&world, "good");
    assert!(not_asked(trial.start()).contains("lifecycle/start"));
    assert_eq!(published(trial.message("good/in", b"x".into())), [("good/out".into(), "x".into())]);
    assert!(not_asked(trial.message("elsewhere", Vec::new())).contains("no subscription"));
    assert!(not_asked(trial.message("a/#", Vec::new())).contains("wildcard"));
    assert!(not_asked(trial.tick("beat")).contains("timer/handler"));
}

#[test]
fn shadows_last_as_long_as_the_trial_and_deltas_come_in_their_own_words() {
    let further = "grant.shadow.own.allow = [\"read\", \"report\"]\n\
                   subscribe.wishes = { filter = \"$aws/things/+/shadow/update/delta\", delivery = \"live\" }\n";
    let world = World::new(&[component("shadows", "shadows", further)]);
    let mut trial = trial(&world, "shadows");
    let asked = published(trial.message("shadows/in", b"update {\"reported\":{\"a\":1}}".into()));
    assert_eq!(asked[0], ("$aws/things/test/shadow/update".into(), "{\"state\":{\"reported\":{\"a\":1}}}".into()));
    assert_eq!(published(trial.message("shadows/in", b"get".into()))[0].1, "v1 - {\"a\":1} -");
    done(trial.message("shadows/in", b"update {\"desired\":{}}".into()));
    assert!(trial.beside().refused[0].contains("may not desire the classic shadow of `test`"));
    let (topic, delta) = ("$aws/things/test/shadow/update/delta", r#"{"state":{"x":4},"metadata":{},"version":2}"#);
    let told = published(trial.message(topic, delta.into()));
    assert_eq!(told[0].1, "test~ v2 {\"x\":4} attempt 1 sequence false hops 0 token -");
}

#[test]
fn h5_a_fault_is_shown_and_the_next_call_has_a_new_instance() {
    let world = World::new(&[component("counter", "counter", "")]);
    let mut trial = trial(&world, "counter");
    assert_eq!(done(trial.start()), Effects::default());
    assert_eq!(published(trial.message("counter/in", b"x".into()))[0].1, "1");
    assert_eq!(published(trial.message("counter/in", b"x".into()))[0].1, "2");
    let failed = trial.message("counter/in", b"retry".into());
    assert_eq!(failed, TrialOutcome::Failed(Fault::Retry { reason: "retry as told".into() }));
    assert_eq!(published(trial.message("counter/in", b"x".into()))[0].1, "1");
}

#[test]
fn a_panic_is_the_reason_of_its_fault() {
    let world = World::new(&[component("trap", "trap", "")]);
    let mut trial = trial(&world, "trap");
    let TrialOutcome::Failed(Fault::Trap { reason }) = trial.message("trap/in", b"panic".into()) else { panic!() };
    assert!(reason.starts_with("panicked at ") && reason.ends_with(": panicked as told"), "{reason}");
    let TrialOutcome::Failed(Fault::Trap { reason }) = trial.message("trap/in", Vec::new()) else { panic!() };
    assert!(!reason.contains("panicked"), "the words of an earlier handling explain nothing: {reason}");
}

#[test]
fn what_was_refused_is_told_whatever_the_guest_makes_of_it() {
    let world = World::new(&[component("trespass", "trespass", "")]);
    let mut trial = trial(&world, "trespass");
    for _ in 0..2 {
        done(trial.message("trespass/in", Vec::new()));
        let refused = trial.beside().refused;
        assert!(matches!(&*refused, [one] if one.contains("may not publish to `forbidden/place`")), "{refused:?}");
    }
    assert!(not_asked(trial.message("elsewhere", Vec::new())).contains("no subscription"));
    assert!(trial.beside().refused.is_empty(), "nothing was asked");
}

#[test]
fn what_was_refused_to_one_handling_is_not_told_of_the_next() {
    let world = World::new(&[component("flood", "flood", "limits.publishes = 10\n")]);
    let mut trial = trial(&world, "flood");
    for (count, refused) in [("20", 1), ("10", 0)] {
        assert_eq!(done(trial.message("flood/in", count.into())).publishes.len(), 10);
        assert_eq!(trial.beside().refused.len(), refused, "{count}");
    }
}

#[test]
fn limits_are_those_of_production() {
    let world = World::new(&[component("spin", "spin", "limits.cpu = \"50ms\"\n")]);
    let outcome = trial(&world, "spin").message("spin/in", Vec::new());
    assert!(matches!(outcome, TrialOutcome::Failed(Fault::CpuDeadline { .. })), "{outcome:?}");
}

#[test]
fn timers_are_called_by_hand() {
    let world = World::new(&[component("timers", "timers", "grant.timer.pending = 2\ntimer.beat.every = \"1h\"\n")]);
    let mut trial = trial(&world, "timers");
    let effects = done(trial.message("timers/in", b"set later 1000 hello".into()));
    assert!(matches!(effects.timers.as_slice(), [TimerChange::Set { .. }]), "{effects:?}");
    let tick = published(trial.tick("later"));
    assert!(tick[0].1.ends_with("hello"), "{tick:?}");
    assert!(not_asked(trial.tick("later")).contains("no timer `later`"), "it was a one-shot");
    assert!(published(trial.tick("beat"))[0].1.starts_with("tick beat"));
}

#[test]
fn a_bare_file_has_no_grants_and_says_what_it_needs() {
    let refused = Trial::new(Subject::Bare { file: &fixture("importer") }, &worker()).err().unwrap();
    assert!(refused.to_string().contains("grant.publish"), "{refused}");
    let mut trial = Trial::new(Subject::Bare { file: &fixture("trap") }, &worker()).unwrap_or_else(|e| panic!("{e}"));
    assert!(matches!(trial.message("any/topic", Vec::new()), TrialOutcome::Failed(Fault::Trap { .. })));
}

#[test]
fn an_unknown_component_is_answered_with_those_there_are() {
    let world = World::new(&[echo("good", "")]);
    let config = world.config();
    let error = Trial::new(Subject::Configured { config: &config, component: "godo" }, &worker()).err().unwrap();
    assert!(matches!(error, TrialError::Unknown { .. }));
    assert!(error.to_string().contains("good"), "{error}");
}
