//! `cargo xtask setup`: installs what building and testing needs, and says each command that it runs.
//!
//! It asks for root's rights only where a distribution's packages are the one way left, and installs nothing that is
//! there already.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{cargo, root, run, say, succeeds};
use crate::toolchain::{self, Missing, Toolchain};
use crate::{models, python};

const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "wasi-libc"];

/// Where tests look for AWS's SDK.
pub const DEVICE_SDK: &str = "target/aws-iot-sdk";

pub fn run_verb(_: &[String]) -> Result<()> {
    let found = guest_toolchain()?;
    say(format!("guests are built by {}", found.description));
    for tool in ["nextest", "deny"] {
        if succeeds(cargo().args([tool, "--version"])) {
            say(format!("cargo-{tool} is there"));
        } else {
            run(cargo().args(["install", &format!("cargo-{tool}"), "--locked"]))?;
        }
    }
    if succeeds(Command::new("strace").arg("--version")) {
        say("strace is there");
    } else {
        install_packages(&["strace"])?;
    }
    mosquitto()?;
    python()?;
    device_sdk()?;
    models::environment()?;
    Ok(())
}

/// Debian has the part that makes environments in a package of its own.
fn python() -> Result<()> {
    if succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        return Ok(());
    }
    install_packages(&["python3", "python3-venv"])
}

/// AWS's SDK for Python, which speaks for a device in tests.
fn device_sdk() -> Result<()> {
    let requirements = root().join("host/testbed/python/requirements.txt");
    let text = fs::read_to_string(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    python::environment(&root().join(DEVICE_SDK), &text)
        .context("AWS's SDK for Python is missing; with a way to Python's registry, run: cargo xtask setup")?;
    say("AWS's SDK for Python is there");
    Ok(())
}

/// The broker that the link is tested against and the demo sends to. Installing it starts no broker: what the package
/// starts by itself is stopped again.
pub fn mosquitto() -> Result<()> {
    if broker().is_some() {
        say("mosquitto is there");
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        bail!("mosquitto is missing; run: sudo apt-get install --no-install-recommends mosquitto");
    }
    install_packages(&["mosquitto"])?;
    if succeeds(Command::new("systemctl").args(["is-active", "--quiet", "mosquitto"])) {
        run(Command::new("systemctl").args(["disable", "--now", "mosquitto"]))?;
    }
    match broker() {
        Some(_) => Ok(()),
        None => bail!("the package is installed and mosquitto is nowhere; look at /usr/sbin"),
    }
}

/// Where mosquitto is. Debian keeps it where only root's shell looks.
pub fn broker() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
    folders.map(|folder| folder.join("mosquitto")).find(|file| file.is_file())
}

/// A way to build guests, installed where there was none.
pub fn guest_toolchain() -> Result<Toolchain> {
    let components = root().join("components");
    let missing = match toolchain::find(&components) {
        Ok(found) => return Ok(found),
        Err(missing) => missing,
    };
    say(missing.to_string());
    match missing {
        Missing::TargetFromRustup => {
            let added = run(Command::new("rustup").args(["target", "add", toolchain::TARGET]).current_dir(&components));
            if let Err(error) = added {
                say(format!("{error:#}; trying the distribution's packages"));
                install_packages(&DEBIAN_PACKAGES)?;
            }
        }
        Missing::TargetFromDebian => install_packages(&DEBIAN_PACKAGES)?,
        Missing::Rust | Missing::Linker => bail!("{missing}"),
    }
    Ok(toolchain::find(&components)?)
}

fn install_packages(packages: &[&str]) -> Result<()> {
    run(as_root("apt-get").arg("update"))?;
    run(as_root("apt-get").args(["install", "--yes", "--no-install-recommends"]).args(packages))
}

fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg(program);
    command
}
