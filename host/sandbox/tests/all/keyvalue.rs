//! `wasi:keyvalue` by a guest: what it may open and change, what it sees, and what leaves with a handling.

use std::sync::Arc;

use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Effects, Outcome};
use edgewit_domain::ledger::BucketId;
use edgewit_sandbox::{LinkError, MemoryValues, Values, ValuesError};

use crate::support::{Bed, bed_with, prepare, publishes};

const PUBLISH: &str = "[component.it.grant.publish]\nall = \"keyvalue/out\"\n";

/// A guest with these buckets, and what they hold.
fn granted(kv: &str) -> (Bed, Arc<MemoryValues>) {
    let values = Arc::new(MemoryValues::default());
    let bed = bed_with("keyvalue", &format!("{PUBLISH}[component.it.grant.kv]\n{kv}\n"), |services| {
        services.values = values.clone();
    });
    (bed, values)
}

/// The effects of one handling, and its answers.
fn handled(bed: &mut Bed, lines: &str) -> (Effects, Vec<String>) {
    let Ok(Outcome::Done(effects)) = bed.message(lines) else { panic!("{lines} failed") };
    let answers = publishes(&effects)[0].1.split('\n').map(str::to_owned).collect();
    (effects, answers)
}

/// Keys and their new values, as text.
fn changed(effects: &Effects) -> Vec<(&str, Option<&str>)> {
    fn text(value: &[u8]) -> &str {
        std::str::from_utf8(value).unwrap()
    }
    effects.values.iter().map(|change| (change.key.as_str(), change.value.as_deref().map(text))).collect()
}

#[test]
fn denied_first_buckets_are_there_by_grant_only() {
    let Err(LinkError::Denied(denied)) = prepare("keyvalue", PUBLISH) else { panic!("linked without a bucket") };
    assert_eq!(denied[0].cure(), Some("[component.it.grant.kv]\nstate = \"own\""));

    let (mut bed, _) = granted("own = \"own\"");
    let (_, answers) = handled(&mut bed, "open other");
    assert!(answers[0].starts_with("error: component `it` may not open the bucket `other`"), "{answers:?}");
    assert_eq!(answers[1..], ["[component.it.grant.kv]", "other = \"own\""]);
    let (mut bed, _) = granted("own = \"own\"\nother = \"own\"");
    assert_eq!(handled(&mut bed, "open other\nset a 1").1, ["ok", "ok"]);
}

#[test]
fn denied_first_a_bucket_granted_to_read_is_not_changed() {
    let (mut bed, _) = granted("own = { bucket = \"own\", read-only = true }");
    for line in ["set a 1", "delete a", "increment a 1", "set-many a", "delete-many a"] {
        let (effects, answers) = handled(&mut bed, line);
        assert!(answers[0].contains("may not change the bucket `own`"), "{line}: {answers:?}");
        assert_eq!(answers.last().unwrap(), "own = { bucket = \"own\", bytes = \"1MiB\" }", "{line}");
        assert_eq!(effects.values, [], "{line}");
    }
    assert_eq!(handled(&mut bed, "get a\nexists a\nkeys\nget-many a b").1, ["-", "false", "", "- -"]);
}

#[test]
fn every_operation_sees_what_the_handling_did_before() {
    let (mut bed, values) = granted("own = \"own\"");
    let (effects, answers) = handled(
        &mut bed,
        "set a 1\nget a\nexists a\nincrement a 41\nincrement new 7\nswap a 42 43\nswap a 42 44\nswap b - x\nget a\n\
         set-many m n\ndelete-many m absent\nget-many n m a\nkeys\ndelete a\nexists a",
    );
    let expected = ["ok", "1", "true", "42", "7", "true", "false", "true", "43"];
    assert_eq!(answers[..9], expected);
    assert_eq!(answers[9..], ["ok", "ok", "n - 43", "a b n new", "ok", "false"]);
    let expected = [("a", None), ("absent", None), ("b", Some("x")), ("m", None), ("n", Some("n")), ("new", Some("7"))];
    assert_eq!(changed(&effects), expected);
    assert_eq!(effects.reads, []);

    assert_eq!(handled(&mut bed, "keys").1, [""], "nothing is kept by itself");
    values.apply(&effects.values);
    assert_eq!(handled(&mut bed, "keys\nincrement new 1").1, ["b n new", "8"]);
}

#[test]
fn h1_a_trap_retry_or_rejection_after_a_change_leaves_nothing() {
    let (mut bed, _) = granted("own = \"own\"");
    assert!(matches!(bed.message("set a 1\nretry"), Err(Fault::Retry { .. })));
    assert!(matches!(bed.message("set a 1\nreject"), Ok(Outcome::Rejected { .. })));
    let (effects, answers) = handled(&mut bed, "get a");
    assert_eq!((answers, changed(&effects)), (vec!["-".to_owned()], vec![]));
    assert!(matches!(bed.message("set a 1\ntrap"), Err(Fault::Trap { .. })));
}

#[test]
fn h2_what_a_guest_saw_of_a_shared_bucket_leaves_with_its_effects() {
    let (mut bed, values) = granted("own = \"own\"\nsame = \"shared\"");
    let (effects, _) = handled(&mut bed, "open same\nset number 41\nset blind 1");
    assert_eq!(effects.reads, [], "what is changed without looking depends on nothing");
    assert!(effects.values.iter().all(|change| change.bucket.id == BucketId::Shared("same".into())));
    values.apply(&effects.values);

    let (effects, answers) =
        handled(&mut bed, "open same\nincrement number 1\nincrement number 1\nexists c\nset blind 2");
    assert_eq!(answers, ["ok", "42", "43", "false", "ok"]);
    let reads: Vec<_> = effects.reads.iter().map(|read| (read.key.as_str(), read.value.as_deref())).collect();
    assert_eq!(reads, [("c", None), ("number", Some(&b"41"[..]))]);
    assert_eq!(changed(&effects), [("blind", Some("2")), ("number", Some("43"))]);
}

#[test]
fn a_quota_a_wrong_number_and_a_wrong_key_are_errors_that_say_so() {
    let (mut bed, _) = granted("own = { bucket = \"own\", bytes = \"1KiB\" }");
    let (effects, answers) = handled(&mut bed, "fill a 1023\nfill b 0\ndelete a\nfill b 1023\nfill b 1024");
    assert_eq!(answers[..1], ["ok"]);
    assert!(answers[1].contains("would hold 1025 bytes and may hold 1024"), "{answers:?}");
    assert_eq!(answers[2..4], ["ok", "ok"]);
    assert!(answers[4].contains("would hold 1025 bytes"), "{answers:?}");
    assert_eq!(effects.values.len(), 2);

    let most = u64::MAX;
    let (_, answers) =
        handled(&mut bed, &format!("set t text\nincrement t 1\nset n {most}\nincrement n 1\nget \nget n"));
    assert_eq!(answers[1], "error: the value of `t` is not a number");
    assert!(answers[3].contains("more than a number can be"), "{answers:?}");
    assert_eq!(answers[4], "error: a key has at least one character");
    assert_eq!(answers[5], most.to_string(), "as it was");
}

#[test]
fn a_listing_has_every_key_however_many_pages_it_takes() {
    let (mut bed, values) = granted("own = \"own\"");
    let (effects, answers) = handled(&mut bed, "many 1000\ncount");
    assert_eq!(answers, ["ok", "1000"]);
    values.apply(&effects.values);
    let (_, answers) = handled(&mut bed, "count\ndelete 00500\nset x 1\ncount\nmany 4097");
    assert_eq!(answers[..4], ["1000", "ok", "ok", "1000"]);
    assert_eq!(answers[4], "error: one handling may change 4096 keys");
}

/// A store whose disk is broken.
struct Broken;

impl Values for Broken {
    fn get(&self, _: &BucketId, _: &str) -> Result<Option<Arc<[u8]>>, ValuesError> {
        Err(ValuesError("the store cannot be read".into()))
    }

    fn keys(&self, _: &BucketId, _: Option<&str>, _: usize) -> Result<Vec<String>, ValuesError> {
        Err(ValuesError("the store cannot be read".into()))
    }

    fn bytes(&self, _: &BucketId) -> Result<u64, ValuesError> {
        Err(ValuesError("the store cannot be read".into()))
    }
}

#[test]
fn a_store_that_cannot_be_read_is_no_answer_and_no_fault_of_the_guest() {
    for line in ["get a", "set a 1", "keys", "increment a 1", "get-many a"] {
        let tables = format!("{PUBLISH}[component.it.grant.kv]\nown = \"own\"\n");
        let mut bed = bed_with("keyvalue", &tables, |services| services.values = Arc::new(Broken));
        let expected = Fault::Host { reason: "the store cannot be read".into() };
        assert_eq!(bed.message(line).unwrap_err(), expected, "{line}");
    }
}
