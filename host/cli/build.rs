//! Collects the guest SDK and its WIT into a list that `edgewit new` writes out, so that a new component needs no registry
//! to find them. The list is made from the folders themselves and so can forget no file.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let root = fs::canonicalize(Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../.."))?;
    let (sdk, wit) = (root.join("guest-sdk"), root.join("wit"));
    for watched in [&sdk.join("Cargo.toml"), &sdk.join("src"), &wit, &root.join("Cargo.toml")] {
        println!("cargo::rerun-if-changed={}", watched.display());
    }
    let manifest =
        standalone(&fs::read_to_string(sdk.join("Cargo.toml"))?, &fs::read_to_string(root.join("Cargo.toml"))?)?;
    let mut list = String::from("pub const FILES: &[(&str, &str)] = &[\n");
    writeln!(list, "    (\"Cargo.toml\", {manifest:?}),")?;
    for (folder, below) in [(sdk.join("src"), "src"), (wit, "wit")] {
        for file in files(&folder)? {
            let path = Path::new(below).join(file.strip_prefix(&folder)?);
            writeln!(list, "    ({path:?}, include_str!({file:?})),")?;
        }
    }
    list.push_str("];\n");
    fs::write(Path::new(&std::env::var("OUT_DIR")?).join("sdk.rs"), list)?;
    Ok(())
}

/// Every file below a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    found.sort();
    Ok(found)
}

/// The SDK's manifest with everything filled in that it takes from the workspace; its lints stay behind.
fn standalone(manifest: &str, workspace: &str) -> Result<String> {
    let mut filled = String::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if section == "[lints]" {
            continue;
        }
        let line = match line.split_once(".workspace = true") {
            Some((key, _)) => inherited(workspace, section, key)?,
            None => line,
        };
        writeln!(filled, "{line}")?;
    }
    Ok(filled)
}

/// The line that a key of a section stands for: `[package]` takes from `[workspace.package]`, and so on.
fn inherited<'a>(workspace: &'a str, section: &str, key: &str) -> Result<&'a str> {
    let header = section.replacen('[', "[workspace.", 1);
    let mut lines =
        workspace.lines().skip_while(|line| *line != header).skip(1).take_while(|line| !line.starts_with('['));
    let found = lines.find(|line| line.split(['=', ' ']).next() == Some(key));
    found.ok_or_else(|| format!("the workspace has no `{key}` in {header} on a line of its own").into())
}
