//! `edgewit build`: a component from its Rust source, with whatever toolchain this machine has.
//!
//! What finds a toolchain stands in `toolchain`; here cargo is run with it, and what it made is shown. Always
//! optimised: a component is what a gateway runs.

mod toolchain;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::Context;
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, safe};
use crate::units;

/// Build a component from its Rust source
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit new --lang rust average && edgewit build average

Needs a Rust toolchain with the target wasm32-wasip2. Where that is missing, the one command that installs it is shown. \
The build is always optimised.")]
pub struct Args {
    /// The folder of the component's Cargo.toml
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Accepted for habit: every build is a release build
    #[arg(long, hide = true)]
    release: bool,
    /// Build exactly from Cargo.lock, without asking the network
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Artifact {
    file: PathBuf,
    bytes: u64,
}

pub fn build(args: &Args) -> Outcome {
    if !args.dir.join("Cargo.toml").is_file() {
        let what = format!("{} has no Cargo.toml", args.dir.display());
        return Err(Failure::failed(
            what,
            "name a component's folder, or make one with `edgewit new --lang rust NAME`",
        )
        .into());
    }
    let toolchain = toolchain::find(&args.dir).map_err(|missing| {
        let failure = Failure::failed("this machine cannot build Rust components yet", "");
        anyhow::Error::new(missing).context(failure)
    })?;
    output::note(&format!("edgewit: building with {}", safe(&toolchain.description)));
    let mut cargo = toolchain.build_command(&args.dir);
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stdout(Stdio::piped());
    if args.offline {
        cargo.arg("--offline");
    }
    let child = cargo.spawn().context("cannot run cargo")?;
    let artifacts = finish(child, &args.dir)?;
    for artifact in &artifacts {
        if args.format.json {
            output::json_line(artifact)?;
        } else {
            output::line(&format!("{}  {}", safe(&artifact.file.display().to_string()), units::bytes(artifact.bytes)))?;
        }
    }
    Ok(Exit::Ok)
}

/// Reads what cargo reports until it ends; what it says to people goes straight to standard error.
fn finish(mut child: Child, dir: &Path) -> anyhow::Result<Vec<Artifact>> {
    let mut files = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            files.extend(components_of(&line.context("cannot read what cargo reports")?));
        }
    }
    if !child.wait().context("cannot wait for cargo")?.success() {
        return Err(Failure::failed("cargo could not build it", "its own words stand above").into());
    }
    if files.is_empty() {
        let what = format!("{} builds no component", dir.display());
        return Err(Failure::failed(what, "write `crate-type = [\"cdylib\"]` under [lib] in its Cargo.toml").into());
    }
    let artifact = |file: PathBuf| Ok(Artifact { bytes: std::fs::metadata(&file)?.len(), file });
    files.into_iter().map(artifact).collect()
}

/// The component files in one line of cargo's report.
fn components_of(line: &str) -> Vec<PathBuf> {
    let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { return Vec::new() };
    let text =
        |value: &serde_json::Value, key: &str| value.get(key).and_then(|value| value.as_str()).map(str::to_owned);
    if text(&message, "reason").as_deref() != Some("compiler-artifact") {
        return Vec::new();
    }
    let files = message.get("filenames").and_then(|files| files.as_array()).into_iter().flatten();
    let paths = files.filter_map(|file| file.as_str()).map(PathBuf::from);
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "wasm")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_found_in_what_cargo_reports() {
        let artifact = r#"{"reason":"compiler-artifact","filenames":["/t/average.wasm","/t/average.d"]}"#;
        assert_eq!(components_of(artifact), [PathBuf::from("/t/average.wasm")]);
        for other in [r#"{"reason":"build-finished","success":true}"#, "cargo said something", ""] {
            assert!(components_of(other).is_empty(), "{other}");
        }
    }
}
