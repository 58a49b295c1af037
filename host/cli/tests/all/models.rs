//! `edgewit model`: the models of a gateway, and models without one.

use std::path::{Path, PathBuf};

use edgewit_domain::control::{Command, ModelState, ModelStatus, NotTaken, Reloaded, Reply, Status};

use crate::gateway::Gateway;
use crate::support::{StandIn, eventually, folder_with, run};

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name).canonicalize().unwrap()
}

const ANOMALY: &str = "[model.anomaly]\nfile = \"anomaly.onnx\"\nshapes = { readings = [1, 16] }\n";

fn folder_with_anomaly() -> tempfile::TempDir {
    let folder = folder_with(ANOMALY);
    std::fs::copy(shipped("anomaly.onnx"), folder.path().join("anomaly.onnx")).unwrap();
    folder
}

#[test]
fn models_are_listed_as_the_gateway_has_them() {
    let model = ModelStatus {
        state: ModelState::Failed { reason: "no file".into() },
        backend: "tract".into(),
        file: "a.onnx".into(),
        digest: String::new(),
        instances: 1,
        waiting: 0,
        runs: 0,
        failures: 3,
        refused: 0,
        computing_us: 0,
        planned_memory: None,
        older: None,
    };
    let models = [("anomaly".to_owned(), model)].into();
    let status = || Reply::Status(Box::new(Status { models, ..Status::default() }));
    let gateway = StandIn::new(vec![vec![status()]]);
    let ls = ["model", "ls", "--socket", "control.sock", "--json"];
    let shown = run(gateway.folder.path(), &ls).expect(0).json();
    assert_eq!((&shown["anomaly"]["state"]["reason"], &shown["anomaly"]["failures"]), (&"no file".into(), &3.into()));
    assert_eq!(gateway.asked(), [Command::Status]);
}

#[test]
fn a_reload_that_could_not_load_a_model_ends_with_1() {
    let why = NotTaken { reason: "it is none".into(), old_stays: true };
    let (models, models_failed) = (vec!["good".into()], [("bad".to_owned(), why)].into());
    let reloaded = Reply::Reloaded(Box::new(Reloaded { models, models_failed, ..Reloaded::default() }));
    let gateway = StandIn::new(vec![vec![reloaded]]);
    let said = gateway.run(&["reload"]).expect(1).out;
    assert_eq!(said, "models good\nnot changed: model.bad (the old one stays): it is none\n");
}

#[test]
fn inspect_shows_what_a_file_wants_and_gives_or_why_it_is_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = shipped("anomaly.onnx");
    let inspect = |more: &[&str]| run(folder.path(), &[&["model", "inspect", file.to_str().unwrap()], more].concat());
    let shown = inspect(&["--shape", "readings=1,16"]).expect(0).out;
    assert!(
        shown.contains("`readings`: [1, 16] of f32") && shown.contains("`reconstruction`: [1, 16] of f32"),
        "{shown}"
    );
    let json = inspect(&["--shape", "readings=1,16", "--json"]).expect(0).json();
    assert_eq!(json["inputs"][0], "`readings`: [1, 16] of f32");
    assert!(json["parameters"].as_u64().unwrap() > 100 && json["running_memory"].as_u64().unwrap() > 0, "{json}");
    let open = inspect(&[]).expect(1).err;
    assert!(open.contains("shapes") || open.contains("--shape"), "{open}");
    let garbage = folder.path().join("garbage.onnx");
    std::fs::write(&garbage, "This is no model.\n").unwrap();
    assert!(!run(folder.path(), &["model", "inspect", "garbage.onnx"]).expect(1).err.is_empty());
    let greedy = shipped("bad/filled-when-loaded.onnx");
    let greedy = run(folder.path(), &["model", "inspect", greedy.to_str().unwrap()]).expect(1).err;
    assert!(greedy.contains("reading it takes more than"), "{greedy}");
    let missing = run(folder.path(), &["model", "inspect", "missing.onnx"]).expect(1).err;
    assert!(missing.contains("missing.onnx cannot be read"), "{missing}");
    let library = inspect(&["--backend", "onnxruntime", "--library", "no-such.so"]).expect(1).err;
    assert!(library.contains("no-such.so"), "{library}");
}

#[test]
fn bench_measures_a_model_of_a_configuration_without_a_gateway() {
    let folder = folder_with_anomaly();
    let bench = |more: &[&str]| run(folder.path(), &[&["model", "bench"], more].concat());
    let figures = bench(&["anomaly", "--count", "50", "--threads", "2", "--seed", "7", "--json"]).expect(0).json();
    assert_eq!((&figures["runs"], &figures["failures"]), (&50.into(), &0.into()), "{figures}");
    let figure = |name: &str| figures[name].as_u64().unwrap();
    assert!(figure("p50_us") <= figure("p99_us") && figure("p99_us") <= figure("max_us"), "{figures}");
    assert!(figures["per_second"].as_f64().unwrap() > 0.0 && figure("planned_memory") > 0, "{figures}");
    let said = bench(&["anomaly", "--for", "100ms"]).expect(0).out;
    assert!(said.starts_with("anomaly: ") && said.contains("\np99  "), "{said}");
    let unknown = bench(&["nothing"]).expect(1).err;
    assert!(unknown.contains("there is no [model.nothing]; the configuration has: anomaly"), "{unknown}");
    std::fs::write(folder.path().join("edgewit.toml"), "schema = 1\n").unwrap();
    bench(&["anomaly"]).expect(64);
    assert!(!folder.path().join("data").exists(), "a bench leaves nothing behind");
}

#[test]
fn a_gateway_lists_its_models_and_check_says_what_they_want() {
    let folder = folder_with_anomaly();
    let said = run(folder.path(), &["check"]).expect(0).out;
    assert!(said.contains("model.anomaly: good; `readings`: [1, 16] of f32 → "), "{said}");
    let gateway = Gateway::start(folder);
    let ready = eventually("it is loaded", || {
        let models = gateway.run(&["model", "ls", "--json"]).expect(0).json();
        (models["anomaly"]["state"]["state"] == "ready").then_some(models)
    });
    assert_eq!(ready["anomaly"]["backend"], "tract");
    assert!(gateway.run(&["model", "ls"]).expect(0).out.contains("ready"));
    std::fs::write(gateway.folder.path().join("anomaly.onnx"), "no model").unwrap();
    let reload = gateway.run(&["reload"]).expect(1).out;
    assert!(reload.starts_with("not changed: model.anomaly (the old one stays): "), "{reload}");
}
