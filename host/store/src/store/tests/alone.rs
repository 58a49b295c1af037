//! On whose thread the writer works, and that nothing follows from it but time.

use std::sync::mpsc::RecvTimeoutError;
use std::time::Instant;

use super::*;

#[test]
fn when_it_ends_the_writer_lets_go_of_the_engine_and_of_who_hears() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notes) = open(dir.path());
    store.commit(vec![Unit::default()]).unwrap();
    store.close();
    assert_eq!((Arc::strong_count(store.engine()), Arc::strong_count(&notes.told)), (1, 1));
}

fn until_idle(store: &Store) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !store.pending.is_idle() {
        assert!(Instant::now() < deadline, "the writer's thread never sleeps");
        std::thread::yield_now();
    }
}

#[test]
fn who_comes_alone_is_his_own_writer_and_who_cannot_wait_never_is() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notes) = open(dir.path());
    let alerts = queue(&store, "alerts", FullRule::DropOldest);
    let on = || notes.on.lock().unwrap().last().copied();
    let this = Some(std::thread::current().id());
    until_idle(&store);
    store.commit(vec![message(&[alerts], "alone")]).unwrap();
    assert_eq!(on(), this);
    until_idle(&store);
    let (sender, receiver) = sync_channel(1);
    store.submit(vec![message(&[alerts], "cannot wait")], move |_| sender.send(()).unwrap());
    receiver.recv().unwrap();
    assert_ne!(on(), this);
}

/// Threads that wait, and that do not: what each says comes in its order, and all of it in the order of its numbers.
#[test]
fn whoever_commits_everything_is_delivered_in_commit_order() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notes) = open(dir.path());
    let alerts = queue(&store, "alerts", FullRule::Refuse);
    let talk = |name: &str| {
        for number in 0..50 {
            store.submit(vec![message(&[alerts], &format!("{name}{number:02}a"))], |_| ());
            store.commit(vec![message(&[alerts], &format!("{name}{number:02}b"))]).unwrap();
        }
    };
    talk("alone ");
    std::thread::scope(|scope| {
        ["x", "y", "z"].into_iter().for_each(|name| drop(scope.spawn(move || talk(name))));
    });
    store.close();
    let told = notes.told.lock().unwrap();
    let numbers: Vec<u64> = told.iter().flat_map(|(_, sequences)| sequences.clone()).collect();
    assert_eq!(numbers, (1..=400).collect::<Vec<u64>>());
    for name in ["alone ", "x", "y", "z"] {
        let said: Vec<&String> = told.iter().flat_map(|(said, _)| said).filter(|said| said.starts_with(name)).collect();
        assert!(said.len() == 100 && said.is_sorted(), "{said:?}");
    }
}

#[test]
fn after_a_panic_in_the_middle_of_a_commit_nobody_waits_in_vain() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let alerts = queue(&store, "alerts", FullRule::Refuse);
    until_idle(&store);
    let alone = std::thread::scope(|scope| scope.spawn(|| store.commit(vec![message(&[alerts], "panic")])).join());
    assert!(alone.is_err(), "it was not on this thread");
    let (sender, receiver) = sync_channel(1);
    store.submit(vec![message(&[alerts], "after")], move |outcome| sender.send(outcome.refusal).unwrap());
    let after = receiver.recv_timeout(Duration::from_secs(10));
    assert!(!matches!(after, Ok(None) | Err(RecvTimeoutError::Timeout)), "{after:?}");
    store.close();
}
