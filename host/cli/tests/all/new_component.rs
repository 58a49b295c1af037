//! The newcomer's way: a new component is made, tested, built, checked and tried, with nothing from the network.

use std::path::Path;
use std::process::Command;

use crate::support::{Ran, edgewit, run, run_with_input};

/// Versions that are in cargo's cache already, because the workspace is built with them.
fn lend_lock(component: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::copy(root.join("Cargo.lock"), component.join("Cargo.lock")).unwrap();
}

/// The standard library of guests takes long to build, so its outcome is kept from one run of the tests to the next.
const KEPT_TARGET: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/new-component");

/// Builds it, and puts it where a build without the kept folder would have put it.
fn build(component: &Path) {
    let mut build = edgewit(component);
    build.args(["build", "--offline"]).env("CARGO_TARGET_DIR", KEPT_TARGET);
    let built = Ran::from(build.output().unwrap()).expect(0);
    let (file, size) = built.out.trim_end().split_once("  ").unwrap();
    assert!(file.ends_with("over_heat.wasm") && size.ends_with("KiB"), "{built:?}");
    let place = component.join("target/wasm32-wasip2/release");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::copy(file, place.join("over_heat.wasm")).unwrap();
}

#[test]
fn a_new_component_is_tested_built_checked_and_tried() {
    // Always the same folder, so that what is kept for it is found again and does not pile up.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let component = folder.join("over-heat");
    let _ = std::fs::remove_dir_all(&component);
    let made = run(folder, &["new", "--lang", "rust", "over-heat"]).expect(0);
    assert!(made.out.contains("cd over-heat"), "{made:?}");
    lend_lock(&component);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut test = Command::new(cargo);
    test.current_dir(&component).args(["test", "--offline"]).env("CARGO_TARGET_DIR", KEPT_TARGET);
    let tested = Ran::from(test.output().unwrap()).expect(0);
    assert!(tested.out.contains("only_a_reading_above_the_bound_alerts ... ok"), "{tested:?}");
    build(&component);
    run(&component, &["check"]).expect(0);
    let tried =
        run_with_input(&component, &["try", "--component", "over-heat"], b"sensors/a {\"celsius\": 9.5}\n").expect(0);
    assert_eq!(tried.out, "alerts/sensors/a 9.5 °C\n", "{tried:?}");
    let inspected =
        run(&component, &["inspect", "target/wasm32-wasip2/release/over_heat.wasm", "--json"]).expect(0).json();
    assert_eq!(inspected["grants"].as_array().map(Vec::len), Some(1), "{inspected}");
}

#[test]
fn nothing_is_overwritten_and_a_bad_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    let refused = run(folder.path(), &["new", "--lang", "rust", "mine"]).expect(1);
    assert!(refused.err.contains("mine is there already"), "{refused:?}");
    assert_eq!(std::fs::read_dir(folder.path().join("mine")).unwrap().count(), 0);
    for name in ["../outside", "Mine", "test", ""] {
        let refused = run(folder.path(), &["new", name]).expect(1);
        assert!(refused.err.contains("cannot name a component"), "{refused:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_without_a_crate_cannot_be_built() {
    let folder = tempfile::tempdir().unwrap();
    let refused = run(folder.path(), &["build"]).expect(1);
    assert!(refused.err.contains("edgewit new"), "{refused:?}");
}

#[test]
fn a_machine_without_rust_is_told_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Cargo.toml"), "").unwrap();
    let mut build = edgewit(folder.path());
    build.args(["build"]).env("PATH", folder.path()).env_remove("RUSTC");
    let refused = Ran::from(build.output().unwrap()).expect(1);
    assert!(refused.err.contains("rustup toolchain install stable"), "{refused:?}");
}
