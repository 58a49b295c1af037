//! `cargo xtask models`: makes the models that are checked in, or looks whether they still come out as they are.
//!
//! What is made, and how, stands in `models/`; this brings the right Python to it. No test needs it: what tests look at is
//! checked in. Only the tests and benchmarks of the other engine need what is installed here, its library.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{root, run, say};
use crate::python;

/// The environment with numpy, onnx and onnxruntime. Tests find the engine's library in it.
pub const ENVIRONMENT: &str = "target/onnxruntime";

/// Where the engine's library is, whatever its version and Python's.
const LIBRARY: &str = "target/onnxruntime/libonnxruntime.so";

pub fn run_verb(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] | ["--check"] => build(&words),
        _ => bail!("`models` takes nothing or --check"),
    }
}

fn build(arguments: &[&str]) -> Result<()> {
    environment()?;
    // It would leave its own files beside the sources.
    let mut python = Command::new(root().join(ENVIRONMENT).join("bin/python"));
    run(python.args(["-B", "models/build.py"]).args(arguments).current_dir(root()))
}

/// Installs onnxruntime and what builds models, each at the version and digest of `models/requirements.txt`. Returns
/// where the engine's library lies: a link in the environment, since the library's own path differs from machine to
/// machine. A test looks for it at the same place, [`LIBRARY`] below the repository's root, and loads it from there.
pub fn environment() -> Result<PathBuf> {
    let (environment, library) = (root().join(ENVIRONMENT), root().join(LIBRARY));
    let requirements = root().join("models/requirements.txt");
    let text = fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    python::environment(&environment, &text)
        .context("onnxruntime is missing; with a way to Python's registry, run: cargo xtask setup")?;
    if !library.is_file() {
        let real = library_in(&environment)?;
        symlink(real, &library).with_context(|| format!("cannot make {}", library.display()))?;
    }
    say("onnxruntime is there");
    Ok(library)
}

/// Below `environment`, and named from there.
fn library_in(environment: &Path) -> Result<PathBuf> {
    let pythons = environment.join("lib");
    for python in folder(&pythons)? {
        let inside = PathBuf::from("lib").join(python).join("site-packages/onnxruntime/capi");
        let Ok(names) = folder(&environment.join(&inside)) else { continue };
        if let Some(name) = names.into_iter().find(|name| name.starts_with("libonnxruntime.so.")) {
            return Ok(inside.join(name));
        }
    }
    bail!("onnxruntime brought no library below {}; remove the folder and try again", pythons.display())
}

fn folder(path: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
