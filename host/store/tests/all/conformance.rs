//! What an engine is: an ordered map whose changes are made together.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{fs, thread};

use edgewit_store::engine::Checked;
use edgewit_store::{Batch, Engine};
use proptest::prelude::*;

use crate::crash::scratch;
use crate::engines::{ALL, END, everything, scan};

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    Commit,
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // Few letters, so that keys meet; the empty key and prefixes of one another among them.
    prop::collection::vec(prop::sample::select(&[0u8, 1, b'a', 0xff][..]), 0..4)
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![8 => 0usize..64, 2 => 1000usize..5000, 1 => 4090usize..20_000];
    (size, any::<u8>()).prop_map(|(size, byte)| vec![byte; size])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), value()).prop_map(|(key, value)| Step::Put(key, value)),
        4 => key().prop_map(Step::Delete),
        3 => Just(Step::Commit),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 8 + 1, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_is_an_ordered_map_and_stays_one_over_reopening(steps in prop::collection::vec(step(), 1..60)) {
        for kind in ALL {
            let dir = scratch();
            let mut engine = kind.open(dir.path());
            let mut model = BTreeMap::new();
            let (mut batch, mut pending) = (Batch::new(), model.clone());
            for step in &steps {
                match step {
                    Step::Put(key, value) => {
                        batch.put(key, value);
                        pending.insert(key.clone(), value.clone());
                    }
                    Step::Delete(key) => {
                        batch.delete(key);
                        pending.remove(key);
                    }
                    Step::Commit => {
                        engine.commit(&batch).unwrap();
                        batch.clear();
                        model = pending.clone();
                    }
                    Step::Reopen => {
                        drop(engine);
                        engine = kind.open(dir.path());
                    }
                }
                let expected: Vec<_> = model.clone().into_iter().collect();
                prop_assert_eq!(everything(engine.as_ref()).unwrap(), expected, "{:?}", kind);
            }
            for key in pending.keys() {
                prop_assert_eq!(engine.get(key).unwrap(), model.get(key).cloned());
            }
        }
    }
}

fn filled(engine: &dyn Engine, rows: u32) {
    let mut batch = Batch::new();
    for row in 0..rows {
        batch.put(&row.to_be_bytes(), format!("value {row}").as_bytes());
    }
    engine.commit(&batch).unwrap();
}

#[test]
fn a_scan_has_its_ends_and_stops_when_it_is_told() {
    for kind in ALL {
        let dir = tempfile::tempdir().unwrap();
        let engine = kind.open(dir.path());
        filled(engine.as_ref(), 100);
        let keys = |from: u32, to: u32| -> Vec<u32> {
            let rows = scan(engine.as_ref(), &from.to_be_bytes(), &to.to_be_bytes()).unwrap();
            rows.iter().map(|(key, _)| u32::from_be_bytes(key.as_slice().try_into().unwrap())).collect()
        };
        assert_eq!(keys(10, 13), [10, 11, 12], "{kind:?}");
        assert_eq!((keys(13, 13), keys(14, 13), keys(99, 200)), (vec![], vec![], vec![99]), "{kind:?}");
        let mut seen = 0;
        let stop = &mut |_: &[u8], _: &[u8]| {
            seen += 1;
            if seen == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        engine.scan(&[], &END, stop).unwrap();
        assert_eq!(seen, 7, "{kind:?}");
    }
}

#[test]
fn a_reader_sees_whole_batches_only() {
    for kind in ALL {
        let dir = tempfile::tempdir().unwrap();
        let engine = kind.open(dir.path());
        let done = AtomicBool::new(false);
        let seen = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let rows = everything(engine.as_ref()).unwrap();
                        assert!(rows.windows(2).all(|pair| pair[0].1 == pair[1].1), "{kind:?}: a torn batch");
                        assert!(rows.is_empty() || rows.len() == 10, "{kind:?}: a torn batch");
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let mut round = 0u64;
            while round < 200 || seen.load(Ordering::Relaxed) < 100 {
                let mut batch = Batch::new();
                (0..10u8).for_each(|key| batch.put(&[key], &round.to_be_bytes()));
                engine.commit(&batch).unwrap();
                round += 1;
            }
            done.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn a_check_of_a_sound_store_finds_nothing_and_ends_when_it_is_told() {
    for kind in ALL {
        let dir = tempfile::tempdir().unwrap();
        let engine = kind.open(dir.path());
        filled(engine.as_ref(), 5000);
        let sound = engine.check(&(Arc::new(|_| ControlFlow::Continue(())) as _)).unwrap();
        assert_eq!(sound, Checked { rows: 5000, complete: true, findings: vec![] }, "{kind:?}");
        let told = engine.check(&(Arc::new(|_| ControlFlow::Break(())) as _)).unwrap();
        assert!(!told.complete && told.rows < 5000, "{kind:?}: {told:?}");
    }
}

#[test]
fn its_files_are_for_their_owner_only_and_counted() {
    for kind in ALL {
        let dir = tempfile::tempdir().unwrap();
        let engine = kind.open(dir.path());
        filled(engine.as_ref(), 1000);
        let mut bytes = 0;
        let mut folders = vec![dir.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let (path, data) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
                let top = folder == dir.path();
                assert!(!top || data.permissions().mode() & 0o077 == 0, "{kind:?}: {}", path.display());
                if data.is_dir() {
                    folders.push(path);
                } else {
                    bytes += data.len();
                }
            }
        }
        assert_eq!(engine.size().unwrap().bytes, bytes, "{kind:?}");
    }
}
