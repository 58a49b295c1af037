//! Shadows, and what is remembered of their cloud.

use edgewit_domain::ledger::{ShadowRead, SyncRow};
use edgewit_domain::shadow::ShadowName;

use super::*;

/// A request to the shadow of `t`, heard by nobody.
fn request(topic: &str, payload: &str) -> Unit {
    let mut unit = message(&[], payload);
    let envelope = Arc::make_mut(&mut unit.publishes[0].envelope);
    envelope.message.topic = Topic::parse(topic).unwrap();
    unit
}

const UPDATE: &str = "$aws/things/t/shadow/update";

fn classic() -> ShadowId {
    ShadowId::classic(ThingName::parse("t").unwrap())
}

fn version(store: &Store) -> Option<u64> {
    Some(store.shadow(&classic()).unwrap()?.live()?.version())
}

fn listed(store: &Store) -> Vec<ShadowId> {
    store.shadows(Some(&classic().thing), None, 9).unwrap().into_iter().map(|(id, _)| id).collect()
}

#[test]
fn a_request_to_a_shadow_is_answered_in_the_transaction_that_keeps_its_document() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notes) = open(dir.path());
    let answers = queue(&store, "answers", FullRule::DropOldest);
    notes.said.lock().unwrap().push(answers);
    let desire = |number: u32| format!("{{\"state\":{{\"desired\":{{\"a\":{number}}}}}}}");
    // By then the writer has kept the uptime, which is a transaction of its own.
    store.wait_turn(|_| Ok(())).unwrap();
    let before = store.commits();
    store.commit(vec![request(UPDATE, &desire(1))]).unwrap();
    assert_eq!(store.commits(), before + 1);
    let (told, sequences) = notes.told.lock().unwrap().pop().unwrap();
    assert_eq!((told.len(), &*told[0], &*sequences), (4, &*desire(1), &[1, 2, 3][..]));
    let topics = |store: &Store| -> Vec<String> {
        let rows = rows(&**store.engine(), answers, 0, (9, 1 << 20)).unwrap().rows;
        rows.iter().map(|row| row.envelope.message.topic.as_str().replace(UPDATE, "")).collect()
    };
    assert_eq!(topics(&store), ["/delta", "/documents", "/accepted"]);

    // One behind the other in one transaction, each sees what the one before it did.
    store.commit(vec![request(UPDATE, &desire(2)), request(UPDATE, &desire(3))]).unwrap();
    assert_eq!(version(&store), Some(3));
    store.close();
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!((version(&store), listed(&store)), (Some(3), vec![classic()]));
    store.commit(vec![request("$aws/things/t/shadow/delete", "")]).unwrap();
    assert_eq!((version(&store), listed(&store)), (None, vec![]));
}

#[test]
fn a_unit_that_is_refused_changes_no_shadow() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notes) = open(dir.path());
    let update = || request(UPDATE, "{\"state\":{\"reported\":{\"a\":1}}}");
    let read = |version| ShadowRead { id: classic(), version };
    let outcome = store.commit(vec![Unit { shadow_reads: vec![read(Some(1))], ..update() }]).unwrap();
    assert_eq!(outcome.refusal, Some(Refusal::Stale { what: "shadow t".into() }));
    assert_eq!((version(&store), notes.told.lock().unwrap().len()), (None, 0));
    for (read, expected) in [(read(None), Some(1)), (read(Some(1)), Some(2)), (read(Some(1)), Some(2))] {
        store.commit(vec![Unit { shadow_reads: vec![read], ..update() }]).unwrap();
        assert_eq!(version(&store), expected);
    }
}

/// What is remembered of a cloud's document says that it was merged here; so it may only be there if it was.
#[test]
fn what_is_remembered_of_a_cloud_is_kept_together_with_the_change_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notes) = open(dir.path());
    let sync = |row: Option<&[u8]>| Some(SyncRow { cloud: "main".into(), id: classic(), row: row.map(<[u8]>::to_vec) });
    let kept = |store: &Store| store.sync_row("main", &classic()).unwrap();
    let bytes = |store: &Store| store.wait_turn(|turn| Ok(turn.ledger.shadows().bytes)).unwrap();
    let update = |text: &str| request(UPDATE, text);
    let unit = |text: &str, row| Unit { sync: sync(Some(row)), ..update(text) };
    let good = "{\"state\":{\"desired\":{\"a\":1}}}";
    let read = vec![ShadowRead { id: classic(), version: Some(7) }];
    let stale = store.commit(vec![Unit { shadow_reads: read, ..unit(good, b"1") }]).unwrap();
    assert_eq!(stale.refusal, Some(Refusal::Stale { what: "shadow t".into() }));
    let others = message(&[], "beside it");
    let rejected = store.commit(vec![unit("{\"state\":{\"desired\":7}}", b"1")]).unwrap().refusal;
    assert!(matches!(rejected, Some(Refusal::Broken(Broken { queue: None, .. }))), "{rejected:?}");
    assert_eq!((version(&store), kept(&store), bytes(&store)), (None, None, 0));
    assert_eq!(store.commit(vec![others, unit(good, b"12")]).unwrap().committed, 2);
    assert_eq!((version(&store), kept(&store).as_deref()), (Some(1), Some(&b"12"[..])));
    assert_eq!(*notes.changed.lock().unwrap(), [(classic(), Seen::Live(1))], "who waits for it is told once");
    let with_row = bytes(&store);
    store.commit(vec![Unit { sync: sync(Some(b"1234")), ..Unit::default() }]).unwrap();
    assert_eq!(bytes(&store), with_row + 2);
    store.close();
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!((kept(&store).as_deref(), bytes(&store)), (Some(&b"1234"[..]), with_row + 2));
    let mut found = Vec::new();
    store.sync_rows(|cloud, id| found.push((cloud.to_owned(), id))).unwrap();
    assert_eq!(found, [("main".to_owned(), classic())]);
    assert_eq!(store.sync_row("other", &classic()).unwrap(), None);
    assert!(Unit { sync: sync(None), ..Unit::default() }.only_frees());
    store.commit(vec![Unit { sync: sync(None), ..Unit::default() }]).unwrap();
    assert_eq!(kept(&store), None);
}

/// One row that is damaged is a matter of its own: the gateway starts, and the machine merges as if they had never met.
#[test]
fn a_damaged_row_of_a_shadow_or_of_its_synchronisation_does_not_keep_a_gateway_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let row = Some(b"{\"sync\":1,\"cloud\":7}".to_vec());
    let sync = Some(SyncRow { cloud: "main".into(), id: classic(), row });
    store.commit(vec![request(UPDATE, "{\"state\":{\"desired\":{\"a\":1}}}")]).unwrap();
    store.commit(vec![Unit { sync, ..Unit::default() }]).unwrap();
    store.close();
    drop(store);
    let database = database(dir.path());
    for kind in ["w", "y"] {
        let changed = database.execute(
            "UPDATE row SET value = CAST(substr(value, 1, 3) || 'x' || substr(value, 5) AS BLOB) WHERE substr(key, 1, 1) = CAST(? AS BLOB)",
            [kind],
        );
        assert_eq!(changed.unwrap(), 1, "{kind}");
    }
    drop(database);
    let (store, _) = open(dir.path());
    assert_eq!(store.sync_row("main", &classic()).unwrap(), Some(Vec::new()), "bytes of which nothing can be made");
    assert!(store.shadow(&classic()).is_err());
    let row = Some(b"again".to_vec());
    let sync = Some(SyncRow { cloud: "main".into(), id: classic(), row });
    assert_eq!(store.commit(vec![Unit { sync, ..Unit::default() }]).unwrap().refusal, None, "and it is replaced");
}

#[test]
fn a_shadow_that_cannot_be_read_is_answered_with_a_failure_of_ours_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    store.commit(vec![request(UPDATE, "{\"state\":{\"reported\":{\"a\":1}}}")]).unwrap();
    store.close();
    drop(store);
    let key = key::shadow(&classic());
    let mut batch = Batch::new();
    batch.put(&key, b"{\"shadow\":9}");
    let engine = Sqlite::open(dir.path(), &Batch::new()).unwrap();
    engine.commit(&batch).unwrap();
    drop(engine);
    let (store, notes) = open(dir.path());
    let outcome = store.commit(vec![request(UPDATE, "{\"state\":{},\"clientToken\":\"mine\"}")]).unwrap();
    assert_eq!(outcome.refusal, None);
    let told = notes.told.lock().unwrap().pop().unwrap().0;
    assert!(told[1].contains("\"code\":500") && told[1].contains("\"clientToken\":\"mine\""), "{told:?}");
    assert_eq!(store.engine().get(&key).unwrap().unwrap(), b"{\"shadow\":9}");
}

#[test]
fn a_deleted_shadow_is_forgotten_when_its_numbers_are_no_longer_needed_and_not_if_it_came_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let names = ["gone", "back", "there"];
    let ask = |name: &str, verb: &str| {
        let topic = format!("$aws/things/t/shadow/name/{name}/{verb}");
        store.commit(vec![request(&topic, "{\"state\":{\"reported\":{\"a\":1}}}")]).unwrap();
    };
    names.iter().for_each(|name| ask(name, "update"));
    ["gone", "back"].iter().for_each(|name| ask(name, "delete"));
    ask("back", "update");
    let kept = || {
        names.map(|name| {
            let id = ShadowId::named(classic().thing, ShadowName::parse(name).unwrap());
            store.shadow(&id).unwrap().is_some()
        })
    };
    let two_days = 48 * 3600;
    assert_eq!((store.forget_shadows(two_days, 9).unwrap(), kept()), (0, [true; 3]));
    assert_eq!((store.forget_shadows(two_days + 1, 9).unwrap(), kept()), (1, [false, true, true]));
    assert_eq!(store.wait_turn(|turn| Ok(turn.ledger.shadows().messages)).unwrap(), 2);
}
