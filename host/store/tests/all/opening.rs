//! A store is opened as what it is, by one process, or refused with what to do; never emptied to get past it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use edgewit_store::header::HEADER_KEY;
use edgewit_store::{Batch, Disk, Engine as _, IfAbsent, Kind, OpenError, Reserve, Sled, Sqlite};

fn open(dir: &Path, kind: Kind) -> Result<(Disk, Reserve), OpenError> {
    Disk::open(dir, kind, IfAbsent::Create)
}

fn refusal(dir: &Path, kind: Kind) -> String {
    let error = open(dir, kind).err().expect("it is refused");
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn filled(kind: Kind) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), kind).unwrap().0;
    let mut batch = Batch::new();
    batch.put(b"q1", b"one");
    store.engine().commit(&batch).unwrap();
    dir
}

#[test]
fn a_store_keeps_its_epoch_and_knows_how_it_was_left() {
    for kind in Kind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), kind).unwrap().0;
        let epoch = first.epoch();
        assert!(first.left_clean(), "{kind}: a new one was left by nobody");
        drop(first);
        let second = open(dir.path(), kind).unwrap().0;
        assert_eq!((second.epoch(), second.left_clean()), (epoch, false), "{kind}");
        second.close().unwrap();
        let third = open(dir.path(), kind).unwrap().0;
        assert_eq!((third.epoch(), third.left_clean()), (epoch, true), "{kind}");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(open(other.path(), kind).unwrap().0.epoch(), epoch, "{kind}: epochs are random");
    }
}

#[test]
fn one_process_at_a_time_has_it_open() {
    for kind in Kind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let held = open(dir.path(), kind).unwrap();
        assert!(matches!(open(dir.path(), kind), Err(OpenError::Busy)), "{kind}");
        drop(held);
        open(dir.path(), kind).unwrap();
    }
}

#[test]
fn the_other_engine_s_store_is_refused_with_both_ways_out() {
    for (kind, other) in [(Kind::Sqlite, Kind::Sled), (Kind::Sled, Kind::Sqlite)] {
        let dir = filled(kind);
        let text = refusal(dir.path(), other);
        assert!(text.contains(&format!("store.engine = \"{kind}\"")) && text.contains("export"), "{text}");
        assert_eq!(open(dir.path(), kind).unwrap().0.engine().get(b"q1").unwrap().unwrap(), b"one");
    }
}

#[test]
fn where_none_is_none_is_made_unless_asked_for() {
    for kind in Kind::ALL {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Disk::open(dir.path(), kind, IfAbsent::Refuse), Err(OpenError::Absent { .. })));
        assert!(!dir.path().join("store.sqlite").exists() && !dir.path().join("store.sled").exists());
    }
}

#[test]
fn a_newer_store_is_refused_and_left_as_it_is() {
    for kind in Kind::ALL {
        let dir = filled(kind);
        let mut header =
            b"EWST\x01\x02\x07\x00\x02\x02\x02\x00\x03\x08\x01\x02\x03\x04\x05\x06\x07\x08\x04\x01\x01\x05".to_vec();
        header.push(kind.name().len() as u8);
        header.extend(kind.name().as_bytes());
        let mut batch = Batch::new();
        batch.put(HEADER_KEY, &header);
        let engine: Box<dyn edgewit_store::Engine> = match kind {
            Kind::Sqlite => Box::new(Sqlite::open(dir.path(), &Batch::new()).unwrap()),
            Kind::Sled => Box::new(Sled::open(dir.path(), &Batch::new()).unwrap()),
        };
        engine.commit(&batch).unwrap();
        drop(engine);
        let text = refusal(dir.path(), kind);
        assert!(text.contains("format 7") && text.contains("Run the newer edgewit"), "{text}");
    }
}

#[test]
fn rows_without_a_header_are_refused() {
    for kind in Kind::ALL {
        let dir = filled(kind);
        let mut batch = Batch::new();
        batch.delete(HEADER_KEY);
        match kind {
            Kind::Sqlite => Sqlite::open(dir.path(), &Batch::new()).unwrap().commit(&batch).unwrap(),
            Kind::Sled => Sled::open(dir.path(), &Batch::new()).unwrap().commit(&batch).unwrap(),
        }
        assert!(refusal(dir.path(), kind).contains("no header"));
    }
}

#[test]
fn a_file_that_is_empty_torn_or_not_ours_is_refused_and_never_overwritten() {
    let foreign = {
        let dir = tempfile::tempdir().unwrap();
        let db = rusqlite::Connection::open(dir.path().join("x")).unwrap();
        db.execute_batch("CREATE TABLE contacts (name TEXT)").unwrap();
        drop(db);
        fs::read(dir.path().join("x")).unwrap()
    };
    let cases = [
        (vec![], "empty"),
        (b"hello".to_vec(), "damaged"),
        (vec![0; 8192], "damaged"),
        (foreign, "not a store of edgewit"),
    ];
    for (bytes, says) in cases {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("store.sqlite");
        fs::write(&file, &bytes).unwrap();
        let text = refusal(dir.path(), Kind::Sqlite);
        assert!(text.contains(says) && text.to_lowercase().contains("move"), "{says}: {text}");
        assert_eq!(fs::read(&file).unwrap(), bytes, "{says}");
    }
    for (file, says) in [("db", "log is missing"), ("conf", "settings are missing")] {
        let dir = filled(Kind::Sled);
        fs::remove_file(dir.path().join("store.sled").join(file)).unwrap();
        let text = refusal(dir.path(), Kind::Sled);
        assert!(text.contains(says) && text.contains("move"), "{text}");
    }
}

#[test]
fn a_log_that_somebody_removed_is_missed() {
    let dir = filled(Kind::Sqlite);
    fs::remove_file(dir.path().join("store.sqlite-wal")).unwrap();
    let text = refusal(dir.path(), Kind::Sqlite);
    assert!(text.contains("log") && text.contains("missing"), "{text}");
}

#[test]
fn a_creation_that_was_cut_short_is_made_anew() {
    for (kind, name) in [(Kind::Sqlite, "store.new"), (Kind::Sled, "store.new")] {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join(name);
        match kind {
            Kind::Sqlite => fs::write(&left, "half").unwrap(),
            Kind::Sled => fs::create_dir(&left).unwrap(),
        }
        open(dir.path(), kind).unwrap().0.close().unwrap();
        open(dir.path(), kind).unwrap();
        assert!(!left.exists());
    }
}

#[test]
fn the_files_are_for_their_owner_only() {
    for kind in Kind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let (_disk, mut reserve) = open(dir.path(), kind).unwrap();
        assert!(reserve.hold().unwrap());
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{kind}: {}", entry.path().display());
        }
    }
}
