//! Python for tests and guests: a virtual environment with exactly the packages that are asked for.
//!
//! Once made it stays as long as the packages are the same, and whoever uses it needs no network.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{run, succeeds};

/// `requirements` is what pip reads; lines with digests have it check them.
pub fn environment(folder: &Path, requirements: &str) -> Result<()> {
    let (python, stamp) = (folder.join("bin/python"), folder.join("requirements.txt"));
    let same = fs::read_to_string(&stamp).is_ok_and(|old| old == requirements);
    if same && succeeds(Command::new(&python).arg("--version")) {
        return Ok(());
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))?;
    let wanted = folder.join("wanted.txt");
    fs::write(&wanted, requirements).with_context(|| format!("cannot write {}", wanted.display()))?;
    let quietly = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    run(Command::new(&python).args(quietly).arg("--requirement").arg(&wanted))
        .with_context(|| format!("no packages in {}; they come from Python's registry", folder.display()))?;
    fs::rename(&wanted, &stamp).with_context(|| format!("cannot write {}", stamp.display()))
}
