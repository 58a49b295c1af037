//! `cargo xtask guests --languages`: the guests of `examples/guests`, to show that every toolchain can bind the WIT.
//!
//! Each toolchain is installed below `target/guests`, at the version written here, and nowhere else. An outcome that is
//! younger than everything it was made of stays.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::process::{cargo, root, run, say, succeeds};
use crate::python;

const COMPONENTIZE_PY: &str = "0.25.1";
const COMPONENTIZE_JS: &str = "0.23.0";
const WIT_BINDGEN: &str = "0.60.0";

/// The world of `examples/guests/wit`.
const WORLD: &str = "upper";

/// Where sources are, and where everything else goes.
struct Places {
    sources: PathBuf,
    target: PathBuf,
    wit: PathBuf,
}

/// Builds them all. Returns the folder in which they lie.
pub fn build() -> Result<PathBuf> {
    let places = Places {
        sources: root().join("examples/guests"),
        target: root().join("target/guests"),
        wit: root().join("target/guests/wit"),
    };
    gather_wit(&places)?;
    python(&places)?;
    javascript(&places)?;
    c(&places)?;
    Ok(places.target)
}

/// Builds them all and lets each handle a message in the sandbox, by the command that its author would use.
pub fn run_all() -> Result<()> {
    let guests = build()?;
    run(cargo().args(["build", "--workspace", "--bins"]).current_dir(root()))?;
    for language in ["python", "javascript"] {
        fs::write(guests.join("edgewit.toml"), configuration(language))?;
        let said = tried(&guests, "in/a hello")?;
        if !said.contains("HELLO") {
            bail!("the guest in {language} was to publish HELLO; `edgewit try` says:\n{said}");
        }
        say(format!("the guest in {language} handled its message"));
    }
    Ok(())
}

fn configuration(language: &str) -> String {
    format!(
        "schema = 1\n[gateway]\nthing = \"guests\"\ndata = \"data\"\n\
         [component.guest]\nartifact = \"{language}.wasm\"\n\
         [component.guest.config]\nto = \"out\"\n\
         [component.guest.subscribe.in]\nfilter = \"in/#\"\ndelivery = \"live\"\n\
         [component.guest.grant.publish]\nall = \"#\"\n\
         [component.guest.limits]\nmemory = \"256MiB\"\ncpu = \"10s\"\nwall = \"30s\"\n"
    )
}

fn tried(folder: &Path, message: &str) -> Result<String> {
    let mut command = Command::new(root().join("target/debug/edgewit"));
    command.args(["try", "--config", "edgewit.toml", "--component", "guest"]).current_dir(folder);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    writeln!(child.stdin.take().context("its input")?, "{message}")?;
    Ok(String::from_utf8_lossy(&child.wait_with_output()?.stdout).into_owned())
}

/// One folder with the world and all its dependencies: what every toolchain understands.
fn gather_wit(places: &Places) -> Result<()> {
    for package in folders(&root().join("wit/deps"))? {
        let name = package.file_name().unwrap_or_default();
        copy_changed(&package, &places.wit.join("deps").join(name))?;
    }
    copy_changed(&places.sources.join("wit"), &places.wit)
}

fn python(places: &Places) -> Result<()> {
    let (source, output) = (places.sources.join("python"), places.target.join("python.wasm"));
    let environment = places.target.join("python");
    require("python3", "apt-get install python3 python3-venv")?;
    python::environment(&environment, &format!("componentize-py=={COMPONENTIZE_PY}\n"))?;
    if is_current(&output, &[&source, &places.wit])? {
        return done(&output);
    }
    let mut make = Command::new(environment.join("bin/componentize-py"));
    make.arg("-d").arg(&places.wit).args(["-w", WORLD, "componentize", "-p"]).arg(&source).args(["app", "-o"]);
    run(make.arg(&output))?;
    done(&output)
}

fn javascript(places: &Places) -> Result<()> {
    let (source, output) = (places.sources.join("javascript"), places.target.join("javascript.wasm"));
    let (folder, stamp) =
        (places.target.join("javascript"), places.target.join(format!("javascript/{COMPONENTIZE_JS}")));
    copy_changed(&source, &folder)?;
    if !stamp.exists() {
        require("npm", "apt-get install nodejs npm")?;
        let package = format!("@bytecodealliance/componentize-js@{COMPONENTIZE_JS}");
        let mut install = Command::new("npm");
        install.args(["install", "--prefix", ".", "--no-save", "--no-fund", "--no-audit", &package]);
        run(install.current_dir(&folder))?;
        fs::write(stamp, "")?;
    }
    if is_current(&output, &[&source, &places.wit])? {
        return done(&output);
    }
    run(Command::new("node").arg("build.mjs").arg(&places.wit).arg(&output).current_dir(&folder))?;
    done(&output)
}

/// Bindings, and the guest checked against them: a compiler of this machine knows the types, if not the target.
fn c(places: &Places) -> Result<()> {
    let (tools, bindings) = (places.target.join("tools"), places.target.join("c"));
    let generator = tools.join("bin/wit-bindgen");
    let right_version = Command::new(&generator).arg("--version").output();
    if !right_version.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(WIT_BINDGEN)) {
        let package = format!("wit-bindgen-cli@{WIT_BINDGEN}");
        let features = ["--locked", "--no-default-features", "--features", "c", "--root"];
        run(cargo().args(["install", &package]).args(features).arg(&tools))?;
    }
    run(Command::new(&generator).arg("c").arg(&places.wit).args(["--world", WORLD, "--out-dir"]).arg(&bindings))?;
    if succeeds(Command::new("cc").arg("--version")) {
        let mut check = Command::new("cc");
        check.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"]).arg(&bindings);
        run(check.arg(places.sources.join("c/app.c")))?;
    }
    Ok(())
}

fn done(output: &Path) -> Result<()> {
    let size = fs::metadata(output).with_context(|| format!("{} was not made", output.display()))?.len();
    say(format!("{} has {} KiB", output.display(), size / 1024));
    Ok(())
}

fn require(program: &str, install: &str) -> Result<()> {
    if !succeeds(Command::new(program).arg("--version")) {
        bail!("there is no `{program}`; run: {install}");
    }
    Ok(())
}

/// Whether an outcome is younger than all of these files and folders.
fn is_current(output: &Path, inputs: &[&Path]) -> Result<bool> {
    let Ok(made) = fs::metadata(output).and_then(|metadata| metadata.modified()) else { return Ok(false) };
    let mut newest = SystemTime::UNIX_EPOCH;
    for input in inputs {
        newest = newest.max(newest_in(input)?);
    }
    Ok(newest < made)
}

fn newest_in(path: &Path) -> Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry?;
        // What a toolchain leaves behind beside a source is no source.
        if entry.file_name().to_string_lossy().starts_with("__") {
            continue;
        }
        let metadata = entry.metadata()?;
        newest = newest.max(if metadata.is_dir() { newest_in(&entry.path())? } else { metadata.modified()? });
    }
    Ok(newest)
}

fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

/// Copies the files of a folder whose content differs, so that what is the same keeps its time.
fn copy_changed(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let source = entry?.path();
        let Some(name) = source.file_name().filter(|_| source.is_file()) else { continue };
        let (target, content) = (to.join(name), fs::read(&source)?);
        if fs::read(&target).ok().as_deref() != Some(&content) {
            fs::write(&target, content).with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}
