//! `cargo xtask guests`: every component and fixture, for the target that the gateway runs.
//!
//! Cargo decides what is out of date. All Rust guests share one target directory, since the standard library may have to
//! be built for it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::process::{root, run, say};
use crate::{bomb, languages, setup, toolchain};

/// A member of the workspace that only tests: there is nothing in it to run.
const NO_GUEST: &str = "shapes";

pub fn run_verb(arguments: &[String]) -> Result<()> {
    let with_languages = match arguments {
        [] => false,
        [flag] if flag == "--languages" => true,
        _ => bail!("`guests` takes nothing or --languages"),
    };
    build()?;
    if with_languages {
        languages::build()?;
    }
    Ok(())
}

/// Builds all Rust guests. Returns the folder in which they lie.
pub fn build() -> Result<PathBuf> {
    let components = root().join("components");
    let found = setup::guest_toolchain()?;
    say(format!("guests are built by {}", found.description));
    run(found.build_command(&components).args([
        "--workspace",
        "--exclude",
        NO_GUEST,
        "--locked",
        "--target-dir",
        "target",
    ]))?;
    let artifacts = components.join("target").join(toolchain::TARGET).join("release");
    bomb::make(&artifacts.join("bomb_seed.wasm"), &artifacts.join("bomb.wasm"))?;
    say(format!("{} guests in {}", count(&artifacts), artifacts.display()));
    Ok(artifacts)
}

fn count(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().filter(|entry| entry.path().extension().is_some_and(|ending| ending == "wasm")).count()
}
