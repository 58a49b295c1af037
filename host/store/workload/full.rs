//! A disk that is full: puts are refused, and everything can be deleted all the same.

use std::path::Path;

use edgewit_store::{Batch, CommitError, Disk, Engine, IfAbsent, Kind};

use crate::say;

/// Rows of one commit.
const AT_ONCE: u64 = 16;

pub fn run(kind: Kind, dir: &Path) {
    let (disk, mut reserve) = Disk::open(dir, kind, IfAbsent::Create).unwrap();
    assert!(reserve.hold().unwrap());
    let engine = disk.engine();
    for round in 1..=3 {
        let rows = fill(engine.as_ref());
        say(&format!("round {round}: full with {rows} rows"));
        // Released only when it has to be, as the writer does it.
        for first in (0..rows).step_by(AT_ONCE as usize) {
            let mut batch = Batch::new();
            (first..(first + AT_ONCE).min(rows)).for_each(|row| batch.delete(&row.to_be_bytes()));
            let mut done = engine.commit(&batch);
            if let Err(CommitError::Refused(_)) = done {
                reserve.release().unwrap();
                done = engine.commit(&batch);
            }
            done.unwrap();
        }
        // What the gateway does anyway: small commits, which let the engine give back what it does not need.
        for turn in 0..500u32 {
            let mut batch = Batch::new();
            batch.put(b"uptime", &turn.to_be_bytes());
            if let Err(CommitError::Refused(_)) = engine.commit(&batch) {
                reserve.release().unwrap();
                break;
            }
            if reserve.hold().unwrap() {
                break;
            }
        }
        say(&format!("round {round}: empty with {:?}", engine.size().unwrap()));
        if !reserve.is_held() {
            say("the space did not come back");
            break;
        }
    }
    reserve.release().unwrap();
    drop(engine);
    disk.close().unwrap();
    say("drained");
}

/// Rows until the disk is full.
fn fill(engine: &dyn Engine) -> u64 {
    let mut rows = 0;
    loop {
        let mut batch = Batch::new();
        (rows..rows + AT_ONCE).for_each(|row| batch.put(&row.to_be_bytes(), &[row as u8; 4000]));
        match engine.commit(&batch) {
            Ok(()) => rows += AT_ONCE,
            Err(CommitError::Refused(_)) => return rows,
            Err(error) => panic!("neither kept nor refused: {error:?}"),
        }
    }
}
