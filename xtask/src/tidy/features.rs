//! What is built is built once: a build for its tests must ask nothing more of a crate below wasmtime than a build for
//! use does, or the demo compiles wasmtime once more after the tests have.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::root;

pub fn check() -> Result<Vec<String>> {
    let (used, tested) = (features("normal,build")?, features("normal,build,dev")?);
    let complaints = tested.difference(&used).map(|package| {
        format!("Cargo.toml: {package} has other features in tests than in use; ask for one set in both [features]")
    });
    Ok(complaints.collect())
}

/// Everything that wasmtime is made of, each with its features.
fn features(edges: &str) -> Result<BTreeSet<String>> {
    let tree = ["tree", "--workspace", "--locked", "--offline", "--prefix", "depth", "--no-dedupe"];
    let command = Command::new("cargo").args(tree).args(["-f", " {p} {f}", "-e", edges]).current_dir(root()).output();
    let output = command.context("cargo tree")?;
    anyhow::ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let mut below = None;
    let mut found = BTreeSet::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((depth, package)) = line.split_once(' ') else { continue };
        let depth: usize = depth.parse().context("the depth of a line")?;
        if below.is_some_and(|above| depth <= above) {
            below = None;
        }
        if below.is_none() && package.starts_with("wasmtime v") {
            below = Some(depth);
        }
        if below.is_some() {
            found.insert(package.to_owned());
        }
    }
    Ok(found)
}
