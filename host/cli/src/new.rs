//! `edgewit new`: a component that builds, has a test, and can be run at once.
//!
//! The SDK and its WIT are in this binary and are written out beside the component, so that neither a registry nor a
//! checkout of edgewit is needed, and the component is built against exactly what this gateway speaks. Never
//! writes into a folder that is there already.

use std::io;
use std::path::Path;

use anyhow::Context;
use edgewit_domain::limits::NAME_BYTES;

use crate::exit::{Exit, Failure, Outcome};
use crate::output;

/// The guest SDK and its WIT, as `build.rs` of this crate found them.
mod sdk {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

const TEMPLATE: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../templates/rust/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../templates/rust/lib.rs.in")),
    ("edgewit.toml", include_str!("../templates/rust/edgewit.toml.in")),
    ("README.md", include_str!("../templates/rust/README.md.in")),
    (".gitignore", "target/\ndata/\n"),
];

/// Names that cargo or the component itself has another use for.
const TAKEN: [&str; 12] = [
    "alloc",
    "core",
    "data",
    "edgewit-sdk",
    "proc-macro",
    "sdk",
    "serde",
    "serde-json",
    "std",
    "target",
    "test",
    "wit-bindgen",
];
const KEYWORDS: [&str; 47] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "unsafe", "use", "where", "while",
];

/// Make a new component that builds, has a test, and runs
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit new --lang rust overheat
  cd overheat && cargo test && edgewit build && edgewit run --dev")]
pub struct Args {
    /// The language to write it in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// Its name, and that of the folder: lower-case letters, digits and `-`
    name: String,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Language {
    Rust,
}

pub fn new(args: &Args) -> Outcome {
    let Language::Rust = args.lang;
    if let Err(problem) = check_name(&args.name) {
        let what = format!("`{}` cannot name a component: {problem}", output::safe(&args.name));
        return Err(Failure::failed(what, "choose a name such as `overheat` or `cold-room-2`").into());
    }
    let folder = Path::new(&args.name);
    if let Err(error) = std::fs::create_dir(folder) {
        return Err(not_made(&args.name, error));
    }
    for (path, text) in TEMPLATE {
        write(&folder.join(path), &fill(text, &args.name))?;
    }
    for (path, text) in sdk::FILES {
        write(&folder.join("sdk").join(path), text)?;
    }
    output::print(&format!(
        "made the component {name} in {name}/\n\
         \n  cd {name}\n  cargo test            its logic, on this machine\
         \n  edgewit build         the component\n  edgewit run --dev     a gateway that runs it\n",
        name = args.name
    ))?;
    Ok(Exit::Ok)
}

fn not_made(name: &str, error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let what = format!("{name} is there already, and nothing in it was touched");
        return Failure::failed(what, "choose another name, or remove it, or work in another folder").into();
    }
    let what = format!("cannot make the folder {name}");
    anyhow::Error::new(error).context(Failure::failed(what, "work in a folder that you may write to"))
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(file, text))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn fill(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{crate}}", &name.replace('-', "_"))
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) || name.ends_with('-') {
        return Err("it has to begin with a letter and consist of lower-case letters, digits and `-`".into());
    }
    if name.len() > NAME_BYTES {
        return Err(format!("it has more than {NAME_BYTES} characters"));
    }
    if TAKEN.contains(&name) || KEYWORDS.contains(&name) {
        return Err("the word has another meaning".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_name_is_one_for_cargo_and_for_the_configuration() {
        for name in ["a", "overheat", "cold-room-2", "x2"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "2x", "-x", "x-", "Heat", "a_b", "a/b", "..", "a b", "ä", "test", "sdk", "async", &long] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_whole_sdk_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let carried: BTreeSet<PathBuf> = sdk::FILES.iter().map(|(path, _)| PathBuf::from(path)).collect();
        let mut expected = BTreeSet::from([PathBuf::from("Cargo.toml")]);
        for (folder, below) in [("guest-sdk/src", "src"), ("wit", "wit")] {
            collect(&root.join(folder), Path::new(below), &mut expected);
        }
        assert_eq!(carried, expected);
        for (path, text) in sdk::FILES.iter().filter(|(path, _)| path.starts_with("src/")) {
            assert_eq!(std::fs::read_to_string(root.join("guest-sdk").join(path)).unwrap(), *text, "{path}");
        }
    }

    fn collect(folder: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let below = below.join(entry.file_name());
            if entry.path().is_dir() {
                collect(&entry.path(), &below, found);
            } else {
                found.insert(below);
            }
        }
    }

    #[test]
    fn the_carried_manifest_stands_alone() {
        let (_, manifest) = sdk::FILES.iter().find(|(path, _)| *path == "Cargo.toml").unwrap();
        assert!(!manifest.contains("workspace"), "{manifest}");
        let table: toml::Table = manifest.parse().unwrap();
        assert_eq!(table["package"]["name"].as_str(), Some("edgewit-sdk"));
        assert!(table["dependencies"]["wit-bindgen"].get("version").is_some(), "{manifest}");
    }

    #[test]
    fn the_configuration_of_a_new_component_has_no_mistakes() {
        let (_, text) = TEMPLATE.iter().find(|(path, _)| *path == "edgewit.toml").unwrap();
        let config = edgewit_domain::config::Config::parse(&fill(text, "cold-room"));
        assert!(config.is_ok(), "{config:?}");
    }
}
