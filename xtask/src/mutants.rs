//! `cargo xtask mutants`: does the suite notice? Each entry of `mutants.toml` breaks one line of the code, and the test that
//! it names must fail on it.
//!
//! The breaking happens in a copy of what git tracks, with a target directory of its own, so that an interrupted run
//! leaves nothing broken behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process::{cargo, root, say};
use crate::{models, setup};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    file: String,
    old: String,
    new: String,
    package: String,
    /// A nextest filter expression's `test(…)`: part of the test's name.
    pub test: String,
}

impl Mutant {
    /// The workspace of its package, and the package.
    fn place(&self) -> (&'static str, &str) {
        (if self.file.starts_with("components/") { "components" } else { "." }, &self.package)
    }
}

pub fn run_verb(arguments: &[String]) -> Result<()> {
    let mutants = listed(arguments)?;
    let tree = copy()?;
    for place in mutants.values().map(Mutant::place).collect::<BTreeSet<_>>() {
        let package = place.1;
        say(format!("{package}: the tests pass on sound code"));
        let tests: Vec<&str> =
            mutants.values().filter(|mutant| mutant.place() == place).map(|mutant| &*mutant.test).collect();
        if !passes(&tree, place, &tests)? {
            bail!("{package}: a test fails on sound code");
        }
    }
    let mut survivors = Vec::new();
    for (name, mutant) in &mutants {
        match noticed(&tree, mutant).with_context(|| name.clone())? {
            true => println!("noticed   {name}: {}", mutant.test),
            false => {
                println!("SURVIVED  {name}: {} passes all the same", mutant.test);
                survivors.push(name.as_str());
            }
        }
    }
    if !survivors.is_empty() {
        bail!("{} mutants survived: {}", survivors.len(), survivors.join(", "));
    }
    Ok(())
}

/// Those named, or all. Each must still have its one place in the code.
pub fn listed(names: &[String]) -> Result<BTreeMap<String, Mutant>> {
    let text = fs::read_to_string(root().join("mutants.toml")).context("mutants.toml")?;
    let mut mutants: BTreeMap<String, Mutant> = toml::from_str(&text).context("mutants.toml")?;
    if let Some(unknown) = names.iter().find(|name| !mutants.contains_key(*name)) {
        bail!("mutants.toml has no `{unknown}`");
    }
    mutants.retain(|name, _| names.is_empty() || names.contains(name));
    let mut lost = Vec::new();
    for (name, mutant) in &mutants {
        let code = fs::read_to_string(root().join(&mutant.file)).with_context(|| mutant.file.clone())?;
        let places = code.matches(&mutant.old).count();
        if places != 1 {
            lost.push(format!("{name}: {} has {places} places that read {:?}; name one", mutant.file, mutant.old));
        }
    }
    if !lost.is_empty() {
        bail!("{}", lost.join("\n  "));
    }
    Ok(mutants)
}

/// Breaks the line, runs the test, mends the line.
fn noticed(tree: &Path, mutant: &Mutant) -> Result<bool> {
    let path = tree.join(&mutant.file);
    let sound = fs::read_to_string(&path).with_context(|| mutant.file.clone())?;
    fs::write(&path, sound.replacen(&mutant.old, &mutant.new, 1))?;
    let passed = passes(tree, mutant.place(), &[&mutant.test]);
    fs::write(&path, sound)?;
    Ok(!passed?)
}

/// Whether the tests pass. Code that does not compile shows nothing about tests, and is an error.
fn passes(tree: &Path, (workspace, package): (&str, &str), tests: &[&str]) -> Result<bool> {
    let only = tests.iter().map(|test| format!("test({test})")).collect::<Vec<_>>().join(" or ");
    let arguments = ["nextest", "run", "--locked", "--package", package, "-E", &only];
    let target = tree.with_file_name("target");
    let ran = cargo().args(arguments).current_dir(tree.join(workspace)).env("CARGO_TARGET_DIR", target).output()?;
    let words = String::from_utf8_lossy(&ran.stderr);
    if words.contains("could not compile") || words.contains("no tests to run") {
        bail!("{words}");
    }
    Ok(ran.status.success())
}

/// What git tracks, as it is now, the guests that tests run, and the SDK and the engine that they run beside.
fn copy() -> Result<PathBuf> {
    let tree = root().join("target").join("mutants").join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    say(format!("copying what git tracks to {}", tree.display()));
    let listed = Command::new("git").arg("ls-files").current_dir(root()).output().context("git ls-files")?;
    for path in String::from_utf8_lossy(&listed.stdout).lines() {
        copy_file(&root().join(path), &tree.join(path))?;
    }
    let guests = Path::new("components/target/wasm32-wasip2/release");
    for guest in fs::read_dir(root().join(guests)).context("no guests; run `cargo xtask guests`")?.flatten() {
        if guest.path().extension().is_some_and(|ending| ending == "wasm") {
            copy_file(&guest.path(), &tree.join(guests).join(guest.file_name()))?;
        }
    }
    for installed in [setup::DEVICE_SDK, models::ENVIRONMENT] {
        let place = tree.join(installed);
        fs::create_dir_all(place.parent().context("it stands in a folder")?)?;
        std::os::unix::fs::symlink(root().join(installed), place)?;
    }
    Ok(tree)
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file stands in a folder")?;
    fs::create_dir_all(folder)?;
    if from.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
    } else if from.exists() {
        fs::copy(from, to).with_context(|| from.display().to_string())?;
    }
    Ok(())
}
