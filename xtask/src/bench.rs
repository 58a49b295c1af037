//! `cargo xtask bench [NAME…]`: builds what ships, optimised as it ships, and measures it.

use std::process::Command;

use anyhow::Result;

use crate::guests;
use crate::process::{cargo, root, run};

pub fn run_verb(arguments: &[String]) -> Result<()> {
    guests::build()?;
    run(cargo().args(["build", "--release", "--workspace", "--bins"]).current_dir(root()))?;
    run(Command::new(root().join("target/release/edgewit-benches")).args(arguments))
}
