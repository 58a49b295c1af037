//! The disk fails in the middle: each call that reads, writes or syncs is made to fail, one after the other.
//!
//! What was acknowledged stays, what was refused never happened, after an unknown end nothing is acknowledged any more,
//! and the store opens again when the disk does its work again.

use std::path::Path;

use edgewit_store::header::HEADER_KEY;
use edgewit_store::{Disk, IfAbsent, Kind};

use crate::crash::trace::{Disturbed, disturbed};
use crate::crash::{State, apply, rounds, scratch, seed};
use crate::engines::everything;
use crate::model::{self, Seeded};

const COMMITS: u64 = 60;
/// How many of each kind of call the workload makes, at least.
const CALLS: u64 = 60;
/// Calls with which the loader reads the process itself.
const STARTING: u64 = 8;

/// What the process said, checked against itself: the rows that have to be there, and those that may be instead.
fn expected(said: &[String], seed: u64, case: &str) -> (State, Option<State>, bool) {
    let (mut sure, mut perhaps) = (State::new(), None);
    let mut opened = false;
    for line in said {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let batch = || model::batch(seed, rest.parse().unwrap());
        match word {
            "open" => opened = true,
            "ok" => {
                assert!(perhaps.is_none(), "{case}: acknowledged after an unknown end: {said:?}");
                apply(&mut sure, &batch());
            }
            "unknown" if perhaps.is_none() => {
                let mut state = sure.clone();
                apply(&mut state, &batch());
                perhaps = Some(state);
            }
            "try" | "refused" | "damaged" | "unknown" | "closed" | "not" => {}
            _ => panic!("{case}: {line}"),
        }
    }
    (sure, perhaps, opened)
}

/// Whether what is there is what has to be.
fn look(kind: Kind, dir: &Path, said: &[String], seed: u64, case: &str) -> Result<(), String> {
    let (sure, perhaps, opened) = expected(said, seed, case);
    let if_absent = if opened { IfAbsent::Refuse } else { IfAbsent::Create };
    let (disk, _) = Disk::open(dir, kind, if_absent).map_err(|error| format!("{case}: {error:?}, {said:?}"))?;
    let mut rows: State = everything(disk.engine().as_ref()).unwrap().into_iter().collect();
    rows.remove(HEADER_KEY);
    if rows == sure || Some(&rows) == perhaps.as_ref() {
        return Ok(());
    }
    Err(format!("{case}: there is mark {:?}, and {said:?}", rows.get(model::MARK)))
}

/// What was said with each fault, and what was wrong afterwards.
fn disturb(kind: Kind, calls: &str, error: &str, span: u64) -> (Vec<Disturbed>, Vec<String>) {
    let mut seeded = Seeded(seed());
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for _ in 0..rounds(8) {
        let (first, seed) = (STARTING + seeded.below(CALLS), seeded.below(1 << 32));
        let fault = format!("{calls}:error={error}:when={first}..{}", first + span - 1);
        let dir = scratch();
        let (path, seed_text, commits) = (dir.path().to_str().unwrap(), seed.to_string(), COMMITS.to_string());
        let disturbed = disturbed(&fault, &["run", kind.name(), path, &seed_text, &commits]);
        wrong.extend(look(kind, dir.path(), &disturbed.said, seed, &fault).err());
        all.push(disturbed);
    }
    (all, wrong)
}

fn any(all: &[Disturbed], word: &str) -> bool {
    all.iter().flat_map(|disturbed| &disturbed.said).any(|line| line.starts_with(word))
}

fn sound(all: &[Disturbed], wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all.iter().all(|disturbed| disturbed.ended_well), "{all:?}");
}

#[test]
fn a_sync_that_fails_ends_all_acknowledging_and_loses_nothing() {
    for kind in Kind::ALL {
        let (all, wrong) = disturb(kind, "fsync,fdatasync", "EIO", 1);
        sound(&all, &wrong);
        assert!(any(&all, "unknown") && !any(&all, "refused"), "{kind}: {all:?}");
    }
}

#[test]
fn a_write_that_fails_ends_all_acknowledging_and_loses_nothing() {
    let (all, wrong) = disturb(Kind::Sqlite, "pwrite64", "EIO", 1);
    sound(&all, &wrong);
    assert!(any(&all, "unknown") && !any(&all, "refused"), "{all:?}");
}

/// Where a commit needs what cannot be read, SQLite calls that damage, and the commit has not happened.
#[test]
fn a_read_that_fails_is_an_error_and_loses_nothing() {
    let (all, wrong) = disturb(Kind::Sqlite, "pread64", "EIO", 1);
    sound(&all, &wrong);
}

#[test]
fn a_disk_that_is_full_for_a_while_refuses_and_goes_on() {
    let (all, wrong) = disturb(Kind::Sqlite, "pwrite64", "ENOSPC", 3);
    sound(&all, &wrong);
    assert!(any(&all, "refused") && !any(&all, "unknown"), "{all:?}");
    let goes_on = all.iter().any(|Disturbed { said, .. }| {
        let refused = said.iter().position(|line| line.starts_with("refused"));
        refused.is_some_and(|at| said[at..].iter().any(|line| line.starts_with("ok")))
    });
    assert!(goes_on, "{all:?}");
}

/// sled may wait for ever where a write fails, with a full disk as with a broken one: its commit is then given up, and is
/// one whose outcome is not known. Nothing that it acknowledged is lost by it. Once it has opened, the process never has
/// to be killed for it.
#[test]
fn sled_s_commit_has_an_end_when_a_write_fails() {
    let (all, wrong) = disturb(Kind::Sled, "pwrite64", "EIO", 1);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!any(&all, "refused") && any(&all, "unknown"), "{all:?}");
    let opened = |disturbed: &&Disturbed| disturbed.said.iter().any(|line| line == "open");
    for Disturbed { said, .. } in all.iter().filter(opened) {
        assert!(!said.last().unwrap().starts_with("try"), "it hangs: {said:?}");
    }
}

/// sled takes a read that fails while it opens for the end of its log, and drops what lies behind it for good.
#[test]
fn sled_drops_rows_when_a_read_fails_while_it_opens() {
    let dir = scratch();
    let path = dir.path().to_str().unwrap();
    let undisturbed = disturbed("kill:error=EPERM", &["run", "sled", path, "1", "20"]);
    assert!(undisturbed.ended_well && undisturbed.said.iter().any(|line| line == "closed"), "{undisturbed:?}");
    let lost = (STARTING..STARTING + CALLS).any(|first| {
        disturbed(&format!("pread64:error=EIO:when={first}"), &["open", "sled", path]);
        look(Kind::Sled, dir.path(), &undisturbed.said, 1, "a read").is_err()
    });
    assert!(lost);
}
