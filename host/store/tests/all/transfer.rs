//! An export holds every row, goes into either engine, and is whole or refused.

use std::fs;
use std::path::Path;

use edgewit_store::header::HEADER_KEY;
use edgewit_store::transfer::{TransferError, export, import};
use edgewit_store::{Batch, Disk, IfAbsent, Kind};

use crate::engines::{Rows, everything};
use crate::model;

fn filled(dir: &Path, kind: Kind) -> u64 {
    let (disk, _) = Disk::open(dir, kind, IfAbsent::Create).unwrap();
    for number in 1..=20 {
        disk.engine().commit(&model::batch(1, number)).unwrap();
    }
    let mut many = Batch::new();
    (0..3000u32).for_each(|row| many.put(&row.to_be_bytes(), &[7; 100]));
    disk.engine().commit(&many).unwrap();
    let epoch = disk.epoch();
    disk.close().unwrap();
    epoch
}

fn rows(dir: &Path, kind: Kind) -> (Rows, u64) {
    let (disk, _) = Disk::open(dir, kind, IfAbsent::Refuse).unwrap();
    let mut rows = everything(disk.engine().as_ref()).unwrap();
    rows.retain(|(key, _)| key != HEADER_KEY);
    (rows, disk.epoch())
}

#[test]
fn an_export_goes_into_either_engine_with_an_epoch_of_its_own() {
    for (from, to) in [(Kind::Sqlite, Kind::Sled), (Kind::Sled, Kind::Sqlite), (Kind::Sqlite, Kind::Sqlite)] {
        let (one, two, files) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let epoch = filled(one.path(), from);
        let file = files.path().join("export");
        let (mut reported, mut imported) = (vec![], vec![]);
        let count = export(one.path(), from, &file, &mut |rows| reported.push(rows)).unwrap();
        assert_eq!(import(&file, two.path(), to, &mut |rows| imported.push(rows)).unwrap(), count);
        assert_eq!((reported.first(), reported.last(), imported.last()), (Some(&1000), Some(&count), Some(&count)));
        let ((before, _), (after, new_epoch)) = (rows(one.path(), from), rows(two.path(), to));
        assert_eq!((after.len() as u64, after == before), (count, true), "{from} to {to}");
        assert_ne!(new_epoch, epoch, "{from} to {to}");
        assert!(!two.path().join("import").exists());
    }
}

/// An export of one row, as somebody may have forged it.
fn forged(key: &[u8], value: &[u8]) -> Vec<u8> {
    let row = [b"r", &(key.len() as u32).to_le_bytes()[..], key, value].concat();
    let end = [b"e", &1u64.to_le_bytes()[..]].concat();
    let frame = |body: Vec<u8>| {
        [&(body.len() as u32).to_le_bytes()[..], &crc32c::crc32c(&body).to_le_bytes()[..], &body].concat()
    };
    [b"edgewit export 1\n".to_vec(), frame(row), frame(end)].concat()
}

#[test]
fn what_belongs_to_one_store_on_one_machine_neither_leaves_it_nor_comes_in() {
    let (one, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let digest = b"dcode.cwasm";
    let (disk, _) = Disk::open(one.path(), Kind::Sqlite, IfAbsent::Create).unwrap();
    let mut batch = Batch::new();
    batch.put(digest, &[7; 32]);
    disk.engine().commit(&batch).unwrap();
    disk.close().unwrap();
    let file = files.path().join("export");
    assert_eq!(export(one.path(), Kind::Sqlite, &file, &mut |_| {}).unwrap(), 0);
    for (key, is_taken) in [(&digest[..], false), (HEADER_KEY, false), (b"ma/b", true)] {
        let two = tempfile::tempdir().unwrap();
        fs::write(&file, forged(key, b"value")).unwrap();
        let imported = import(&file, two.path(), Kind::Sqlite, &mut |_| {});
        assert_eq!(imported.is_ok(), is_taken, "{}: {imported:?}", key.escape_ascii());
    }
}

#[test]
fn an_export_that_is_torn_flipped_or_foreign_becomes_no_store() {
    let (one, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(one.path(), Kind::Sqlite);
    let file = files.path().join("export");
    export(one.path(), Kind::Sqlite, &file, &mut |_| {}).unwrap();
    let whole = fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let length = whole.len();
    let mut cases: Vec<Vec<u8>> = [0, 5, 17, 20, length / 2, length - 1].map(|cut| whole[..cut].to_vec()).into();
    cases.extend([3, 17, 20, 24, 26, length / 2, length - 5].map(flipped));
    cases.push([&whole[..], b"x"].concat());
    for (number, bytes) in cases.iter().enumerate() {
        let two = tempfile::tempdir().unwrap();
        fs::write(&file, bytes).unwrap();
        let refused = import(&file, two.path(), Kind::Sqlite, &mut |_| {});
        assert!(
            matches!(refused, Err(TransferError::Foreign | TransferError::Damaged { .. })),
            "{number}: {refused:?}"
        );
        let absent = Disk::open(two.path(), Kind::Sqlite, IfAbsent::Refuse);
        assert!(absent.is_err(), "{number}: nothing of it may be there");
    }
}

#[test]
fn the_bytes_of_an_export_stay_what_they_are() {
    let (one, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (disk, _) = Disk::open(one.path(), Kind::Sqlite, IfAbsent::Create).unwrap();
    let mut batch = Batch::new();
    batch.put(b"key", b"value");
    disk.engine().commit(&batch).unwrap();
    drop(disk);
    let file = files.path().join("export");
    export(one.path(), Kind::Sqlite, &file, &mut |_| {}).unwrap();
    let golden =
        b"edgewit export 1\n\x0d\0\0\0\x79\xc0\x20\xe3r\x03\0\0\0keyvalue\x09\0\0\0\xcc\x1f\xfd\xe3e\x01\0\0\0\0\0\0\0";
    assert_eq!(fs::read(&file).unwrap().escape_ascii().to_string(), golden.escape_ascii().to_string());
}

#[test]
fn an_import_never_replaces_a_store() {
    let (one, two, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(one.path(), Kind::Sqlite);
    filled(two.path(), Kind::Sled);
    let file = files.path().join("export");
    export(one.path(), Kind::Sqlite, &file, &mut |_| {}).unwrap();
    assert!(matches!(import(&file, two.path(), Kind::Sqlite, &mut |_| {}), Err(TransferError::Occupied)));
    assert_eq!(rows(two.path(), Kind::Sled).0.len(), rows(one.path(), Kind::Sqlite).0.len());
}
