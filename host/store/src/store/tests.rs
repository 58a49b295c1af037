//! The writer over a real engine: what is answered, what is delivered, and what is there after opening anew.

mod shadows;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;

use edgewit_domain::ledger::{Bucket, Consumed, Level, Planned, Sequences, ValueChange, ValueRead};
use edgewit_domain::message::{Message, MessageId, Origin, Qos};
use edgewit_domain::queue::{FullRule, QueueId, QueueLimits, QueueNumber};
use edgewit_domain::routing::ReaderId;
use edgewit_domain::shadow::Limits;
use edgewit_domain::shadow::sync::Seen;
use edgewit_domain::topic::Topic;

use super::*;
use crate::{Batch, Sqlite};

mod alone;

/// The payloads of a unit, and the sequence numbers that it got.
type Told = (Vec<String>, Vec<u64>);

/// Notes what it is told.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    told: Arc<Mutex<Vec<Told>>>,
    /// On whose thread.
    on: Arc<Mutex<Vec<ThreadId>>>,
    /// Where everything goes that services say.
    said: Arc<Mutex<Vec<QueueNumber>>>,
    changed: Arc<Mutex<Vec<(ShadowId, Seen)>>>,
}

impl Readers for Notes {
    fn retract(&mut self, _: QueueNumber, _: u64) -> bool {
        true
    }

    fn settle(&mut self, _: QueueNumber) {}

    fn restore(&mut self, _: QueueNumber, _: u64) {}

    fn plan(&mut self, message: Message, cause: &Envelope) -> Option<Planned> {
        let readers = self.said.lock().unwrap().iter().copied().map(ReaderId::Durable).collect();
        let origin = Origin::Service("shadow".into());
        Some(Planned { envelope: Arc::new(Envelope { message, origin, ..cause.clone() }), readers })
    }

    fn committed(&mut self, unit: Unit, sequences: Sequences) {
        let payloads = unit.publishes.iter().map(|planned| text(&planned.envelope)).collect();
        assert_ne!(payloads, ["panic"]);
        self.told.lock().unwrap().push((payloads, sequences.to_vec()));
        self.on.lock().unwrap().push(std::thread::current().id());
    }

    fn changed(&mut self, id: &ShadowId, seen: Seen) {
        self.changed.lock().unwrap().push((id.clone(), seen));
    }

    fn counted(&mut self, _: QueueNumber, _: Level) {}

    fn freed(&mut self, _: &[(QueueNumber, u64)]) {}

    fn damaged(&mut self, _: QueueNumber, _: &QueueId, _: &str) {}

    fn now(&self) -> (Duration, WallTime) {
        (Duration::from_secs(1), WallTime { unix_ms: 0, trusted: false })
    }

    fn unknown(&mut self, reason: &str) {
        panic!("{reason}");
    }
}

pub(crate) fn open(dir: &Path) -> (Store, Notes) {
    let notes = Notes::default();
    let opened = Opened::new(Arc::new(Sqlite::open(dir, &Batch::new()).unwrap())).unwrap();
    let spawn = |run: Box<dyn FnOnce() + Send>| std::thread::Builder::new().spawn(run);
    (
        opened
            .start(
                notes.clone(),
                Rules { quota: 1 << 20, keep: Duration::from_secs(60), shadows: Limits::default() },
                None,
                spawn,
            )
            .unwrap(),
        notes,
    )
}

fn database(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join(crate::engine::sqlite::FILE)).unwrap()
}

/// Damages every row of a closed store whose key begins so. How many there were.
pub(crate) fn damage(dir: &Path, prefix: &[u8]) -> usize {
    let sql = "UPDATE row SET value = x'00' WHERE key >= ?1 AND key < ?2";
    database(dir).execute(sql, (prefix, key::end(prefix))).unwrap()
}

fn queue(store: &Store, name: &str, full: FullRule) -> QueueNumber {
    let limits = QueueLimits { messages: 3, bytes: 1 << 20, age: None, full };
    let id = QueueId::Uplink(name.into());
    store.wait_turn(move |turn| turn.ledger.open(&id, limits)).unwrap()
}

fn message(queues: &[QueueNumber], payload: &str) -> Unit {
    let message = Message {
        qos: Qos::AtLeastOnce,
        user_properties: vec![("a".into(), "b".into())],
        ..Message::new(Topic::parse("a/b").unwrap(), payload)
    };
    let envelope = Envelope {
        message,
        id: MessageId { epoch: 7, number: 8 },
        origin: Origin::Component("one".into()),
        hops: 3,
        trail: None,
        received: WallTime { unix_ms: 9, trusted: true },
        since: Duration::from_millis(10),
        expires: None,
    };
    let readers = queues.iter().copied().map(ReaderId::Durable).collect();
    Unit { publishes: vec![Planned { envelope: Arc::new(envelope), readers }], ..Unit::default() }
}

fn text(envelope: &Envelope) -> String {
    String::from_utf8(envelope.message.payload.clone()).unwrap()
}

fn waiting(store: &Store, queue: QueueNumber) -> Vec<(u64, String)> {
    let rows = rows(&**store.engine(), queue, 0, (100, 1 << 20)).unwrap().rows;
    rows.iter().map(|row| (row.sequence, text(&row.envelope))).collect()
}

#[test]
fn what_was_acknowledged_is_there_after_opening_anew_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notes) = open(dir.path());
    let alerts = queue(&store, "alerts", FullRule::Refuse);
    let outcome = store.commit(vec![message(&[alerts], "one"), message(&[alerts], "two")]).unwrap();
    assert_eq!(outcome, Outcome { committed: 2, refusal: None });
    assert_eq!(*notes.told.lock().unwrap(), [(vec!["one".into()], vec![1]), (vec!["two".into()], vec![2])]);
    store.close();
    drop(store);
    let (store, _) = open(dir.path());
    assert_eq!(queue(&store, "alerts", FullRule::Refuse), alerts);
    let row = rows(&**store.engine(), alerts, 1, (1, 1 << 20)).unwrap().rows.remove(0);
    assert_eq!(row.envelope, *message(&[], "one").publishes[0].envelope);
    let envelope = Arc::new(row.envelope);
    let consumed = Some(Consumed { queue: alerts, sequence: 1, envelope, failed: 0 });
    store.commit(vec![Unit { consumed, ..message(&[alerts], "three") }]).unwrap();
    assert_eq!(waiting(&store, alerts), [(2, "two".into()), (3, "three".into())]);
}

#[test]
fn the_unit_after_a_refused_one_is_not_tried_and_others_are_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notes) = open(dir.path());
    let alerts = queue(&store, "alerts", FullRule::Refuse);
    let id = BucketId::Shared("b".into());
    let bucket = Arc::new(Bucket { id: id.clone(), quota: 100 });
    let read = ValueRead { bucket: bucket.clone(), key: "k".into(), value: Some(b"other".as_slice().into()) };
    let change = ValueChange { bucket, key: "k".into(), value: Some(b"v".as_slice().into()) };
    let stale = Unit { reads: vec![read], values: vec![change.clone()], ..message(&[alerts], "stale") };
    let units = vec![message(&[alerts], "before"), stale, message(&[alerts], "after")];
    let outcome = store.commit(units).unwrap();
    assert_eq!(
        outcome,
        Outcome { committed: 1, refusal: Some(Refusal::Stale { what: format!("\"k\" in bucket {id}") }) }
    );
    assert_eq!(waiting(&store, alerts), [(1, "before".into())]);
    assert_eq!(notes.told.lock().unwrap().len(), 1, "only what was committed is delivered");
    assert_eq!(store.value(&id, "k").unwrap(), None);
    store.commit(vec![Unit { values: vec![change], ..Unit::default() }]).unwrap();
    assert_eq!(store.value(&id, "k").unwrap().as_deref(), Some(b"v".as_slice()));
    assert_eq!(store.keys(&id, None, 10).unwrap(), ["k"]);
}

#[test]
fn what_drops_the_oldest_drops_within_one_batch_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, notes) = open(dir.path());
    let last = queue(&store, "last", FullRule::DropOldest);
    store.commit((0..10).map(|number| message(&[last], &number.to_string())).collect()).unwrap();
    assert_eq!(waiting(&store, last), [(8, "7".into()), (9, "8".into()), (10, "9".into())]);
    let told: Vec<u64> = notes.told.lock().unwrap().iter().flat_map(|(_, sequences)| sequences.clone()).collect();
    assert_eq!(told, [0, 0, 0, 0, 0, 0, 0, 8, 9, 10], "what went in the same batch is delivered to nobody");
}

#[test]
fn a_full_store_refuses_what_adds_and_takes_what_frees() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let alerts = queue(&store, "alerts", FullRule::Refuse);
    let large = "x".repeat(600 << 10);
    assert_eq!(store.commit(vec![message(&[alerts], &large)]).unwrap().refusal, None);
    assert_eq!(store.commit(vec![message(&[alerts], &large)]).unwrap().refusal, Some(Refusal::Full));
    let envelope = message(&[], &large).publishes.remove(0).envelope;
    let consumed = Some(Consumed { queue: alerts, sequence: 1, envelope, failed: 0 });
    assert_eq!(store.commit(vec![Unit { consumed, ..Unit::default() }]).unwrap().refusal, None);
    assert_eq!(store.commit(vec![message(&[alerts], &large)]).unwrap().refusal, None);
}

#[test]
fn whoever_comes_after_the_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let ran = Arc::new(AtomicBool::new(false));
    let noted = ran.clone();
    store.turn(|_| Ok(()), move |_| noted.store(true, Ordering::SeqCst));
    store.close();
    assert!(ran.load(Ordering::SeqCst), "what waited is done");
    assert_eq!(store.commit(vec![Unit::default()]).unwrap().refusal, Some(Refusal::Closed));
    assert_eq!(store.wait_turn(|_| Ok(())), Err(Refusal::Closed));
}

/// Seals do not fit, a key is cut, a topic names nothing: whatever it is, the queue is empty afterwards, in pieces, and the
/// queue beside it is untouched.
#[test]
fn a_queue_is_cleared_though_none_of_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let (bad, good) = (queue(&store, "bad", FullRule::LastPerTopic), queue(&store, "good", FullRule::Refuse));
    for number in 0..3 {
        store.commit(vec![message(&[bad, good], &number.to_string())]).unwrap();
    }
    store.close();
    drop(store);
    let beside = key::beside(bad);
    let damaged: usize = beside.iter().map(|prefix| damage(dir.path(), prefix)).sum();
    assert_eq!(damaged, 2, "one row, and which it is of its topic");
    let db = database(dir.path());
    let cut = [&beside[1][..], &[0, 0, 7]].concat();
    db.execute("INSERT INTO row (key, value) VALUES (?1, x'0102030405')", [cut]).unwrap();
    drop(db);

    let (store, _) = open(dir.path());
    assert!(rows(&**store.engine(), bad, 0, (9, 9)).is_err());
    assert_eq!(queue(&store, "bad", FullRule::LastPerTopic), bad);
    let refused = store.commit(vec![message(&[bad], "no")]).unwrap().refusal;
    assert!(matches!(refused, Some(Refusal::Damaged { .. })), "{refused:?}");
    let (mut after, mut pieces) = (None, 0);
    loop {
        let from = after.take();
        let anew = store.wait_turn(move |turn| turn.ledger.begin_anew(bad, from, 2, turn.records)).unwrap();
        pieces += 1;
        match anew.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(pieces, 2, "a row, one whose key is no key, and a topic, two at a time");
    for prefix in &beside {
        let mut left = 0;
        let count = &mut |_: &[u8], _: &[u8]| {
            left += 1;
            ControlFlow::Continue(())
        };
        store.engine().scan(prefix, &key::end(prefix), count).unwrap();
        assert_eq!(left, 0);
    }
    assert_eq!(store.commit(vec![message(&[bad], "again")]).unwrap().refusal, None);
    let kept = waiting(&store, bad);
    assert_eq!((kept.len(), kept[0].0 >= 4), (1, true), "numbers go on: {kept:?}");
    assert_eq!(waiting(&store, good).len(), 3);
}
