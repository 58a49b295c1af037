//! `edgewit store`: the store of a gateway that does not run, looked at, saved and moved.

use std::collections::BTreeMap;
use std::path::Path;

use expect_test::expect;
use tempfile::TempDir;

use crate::gateway::Gateway;
use crate::support::{Ran, configure, folder_with, run};

const DISABLED: &str = "[component.a]\nartifact = \"counter.wasm\"\nenabled = false\n\
    subscribe.in.filter = \"a/in\"\nsubscribe.in.delivery = \"durable\"\n";

fn with_engine(engine: &str) -> String {
    format!("[store]\nengine = \"{engine}\"\n{DISABLED}")
}

/// The store of a gateway that has ended, with three messages in a queue.
fn left(engine: &str) -> TempDir {
    let gateway = Gateway::start(folder_with(&with_engine(engine)));
    for payload in ["one", "two", "three"] {
        gateway.publish("a/in", payload).expect(0);
    }
    gateway.run(&["pub", "--retain", "b", "kept"]).expect(0);
    gateway.end()
}

/// Every file of the store, but for the index of SQLite's log, which is memory.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder.join("data/store")).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file() && !path.to_str().unwrap().ends_with("-shm"));
    files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

fn clean(folder: &Path) -> bool {
    run(folder, &["store", "stats", "--json"]).expect(0).json()["clean"].as_bool().unwrap()
}

#[test]
fn a_store_is_checked_and_measured() {
    for engine in ["sqlite", "sled"] {
        let folder = left(engine);
        let checked = run(folder.path(), &["store", "check"]).expect(0);
        assert!(checked.out.ends_with(" rows, and nothing is damaged\n") && checked.err.is_empty(), "{checked:?}");
        let report = run(folder.path(), &["store", "check", "--json"]).expect(0).json();
        assert_eq!(report["damaged"], serde_json::json!([]));
        assert!(report["rows"].as_u64() > Some(5), "{report}");
        let stats = run(folder.path(), &["store", "stats", "--json"]).expect(0).json();
        assert_eq!((stats["engine"].as_str(), stats["messages"].as_u64()), (Some(engine), Some(3)), "{stats}");
        assert_eq!((stats["queues"].as_u64(), stats["clean"].as_bool()), (Some(2), Some(true)), "{stats}");
        let shown = run(folder.path(), &["store", "stats"]).expect(0).out;
        assert!(
            shown.contains(engine) && shown.contains("with 3 messages") && shown.contains("in good order"),
            "{shown}"
        );
    }
}

#[test]
fn what_only_reads_leaves_a_store_as_it_was_found() {
    for engine in ["sqlite", "sled"] {
        let folder = left(engine);
        let before = files(folder.path());
        for arguments in [&["check"][..], &["stats"], &["export", "copy"], &["export", "/nowhere/copy"]] {
            let code = i32::from(arguments.contains(&"/nowhere/copy"));
            run(folder.path(), &[&["store"], arguments].concat()).expect(code);
            assert_eq!(files(folder.path()), before, "{engine}: {arguments:?}");
            assert!(clean(folder.path()), "{engine}: {arguments:?}");
        }
        let mut killed = Gateway::start(folder);
        killed.kill();
        for arguments in [&["check"][..], &["stats"], &["export", "copy"]] {
            run(killed.folder.path(), &[&["store"], arguments].concat()).expect(0);
            assert!(!clean(killed.folder.path()), "{engine}: a crash stays one, after {arguments:?}");
        }
    }
}

#[test]
fn a_store_moves_to_the_other_engine_with_all_that_waits() {
    for (from, to) in [("sqlite", "sled"), ("sled", "sqlite")] {
        let folder = left(from);
        let exported = run(folder.path(), &["store", "export", "saved"]).expect(0).out;
        assert!(exported.starts_with("exported ") && exported.ends_with(" rows to saved\n"), "{exported}");
        configure(folder.path(), &with_engine(to));
        let other = run(folder.path(), &["run", "--dev"]).expect(1);
        assert!(other.err.contains(from) && other.err.contains("store.engine"), "{other:?}");
        assert!(run(folder.path(), &["store", "import", "saved"]).expect(1).err.contains("there is a store"));
        std::fs::rename(folder.path().join("data/store"), folder.path().join("old")).unwrap();
        let imported = run(folder.path(), &["store", "import", "saved"]).expect(0).out;
        assert_eq!(imported.replace("imported", "exported").trim_end(), exported.replace(" to saved", "").trim_end());
        let gateway = Gateway::start(folder);
        let rows = gateway.rows("component/a/in");
        let payloads: Vec<_> = rows.iter().map(|row| row["payload"].as_str().unwrap()).collect();
        assert_eq!(payloads, ["one", "two", "three"]);
        gateway.publish("a/in", "four").expect(0);
        assert_eq!(gateway.rows("component/a/in")[3]["sequence"], 4, "numbers go on");
        assert_eq!(gateway.run(&["sub", "-n", "1", "b"]).expect(0).out, "b kept\n");
    }
}

fn offline(folder: &Path) -> Vec<(&'static str, Ran)> {
    let verbs: [&[&str]; 4] = [&["check"], &["stats"], &["export", "copy"], &["import", "copy"]];
    verbs.map(|verb| (verb[0], run(folder, &[&["store"], verb].concat()))).into()
}

#[test]
fn the_store_of_a_gateway_that_runs_is_refused() {
    let gateway = Gateway::start(folder_with(DISABLED));
    for (verb, ran) in offline(gateway.folder.path()) {
        let ran = ran.expect(1);
        let wanted = if verb == "import" { "there is a store" } else { "Stop the gateway first" };
        assert!(ran.err.contains(wanted), "{verb}: {ran:?}");
    }
    gateway.publish("a/in", "still kept").expect(0);
}

#[test]
fn a_store_that_is_not_there_is_refused_with_what_to_do() {
    let folder = folder_with("");
    for verb in ["check", "stats"] {
        expect![[r#"
            edgewit: the store in data/store cannot be opened: there is no store kept by sqlite in the directory. The gateway makes it at its first start; name the gateway's own configuration, or import an export
        "#]]
        .assert_eq(&run(folder.path(), &["store", verb]).expect(1).err.replace(&format!("{}/", folder.path().display()), ""));
    }
    assert!(run(folder.path(), &["store", "export", "copy"]).expect(1).err.contains("there is no store"));
    assert!(!folder.path().join("copy").exists() && !folder.path().join("data").exists(), "nothing is made of it");
    let ran = run(folder.path(), &["store", "import", "copy"]).expect(1);
    assert!(ran.err.contains("opening the export failed"), "{ran:?}");
    let nowhere = tempfile::tempdir().unwrap();
    assert!(run(nowhere.path(), &["store", "check"]).expect(64).err.contains("--config"));
    let mistaken = folder_with("[colour]\n");
    assert!(run(mistaken.path(), &["store", "check"]).expect(64).err.contains("colour"));
}
