//! `edgewit inspect`: what a component file asks for, before anyone gives it anything.
//!
//! Judges each import exactly as the gateway would for a component without grants, so that what is printed here is
//! what has to be written there. Compiles and runs nothing.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use edgewit_domain::config::GrantTable;
use edgewit_domain::grant::{EXAMPLE, Grants, Import};
use edgewit_domain::limits::ARTIFACT_BYTES;
use edgewit_sandbox::inspect::{Extern, Producer, Surface};
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Look, Tone, safe};
use crate::table::Align::Left;
use crate::table::{Cell, Table};
use crate::units;

/// Show what a component file imports, exports, and needs to be granted
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit inspect target/wasm32-wasip2/release/average.wasm

The lines under `grants` go into the configuration; in those marked as examples put your own topics, hosts and folders.")]
pub struct Args {
    /// The component
    file: PathBuf,
    /// The component's name in the configuration [default: the file's name]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Inspection {
    file: String,
    bytes: u64,
    /// Linear memory that it starts with, in bytes.
    memory_minimum: u64,
    core_modules: u32,
    languages: Vec<String>,
    tools: Vec<String>,
    imports: Vec<ImportView>,
    exports: Vec<String>,
    /// The configuration that it cannot start without.
    grants: Vec<String>,
    /// The configuration for what it may never call.
    optional_grants: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ImportView {
    name: String,
    /// `free`, `needs-grant`, `refuses-calls`, `never` or `unknown`
    access: &'static str,
}

pub fn inspect(args: &Args) -> Outcome {
    let bytes = read(&args.file)?;
    let name = args.name.clone().unwrap_or_else(|| {
        args.file.file_stem().map_or("component".to_owned(), |stem| stem.to_string_lossy().replace('_', "-"))
    });
    let surface = Surface::parse(&bytes).map_err(|error| {
        let what = format!("{} is not a component", args.file.display());
        anyhow::Error::new(error).context(Failure::failed(what, "`edgewit build` makes components"))
    })?;
    let inspection = Inspection::of(&args.file, &name, &surface);
    if args.format.json {
        output::document(&inspection)?;
    } else {
        output::print(&inspection.render(Look::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let reading = std::fs::File::open(file).and_then(|file| file.take(ARTIFACT_BYTES + 1).read_to_end(&mut bytes));
    reading.with_context(|| Failure::failed(format!("cannot read {}", file.display()), ""))?;
    if bytes.len() as u64 > ARTIFACT_BYTES {
        let what = format!("{} is larger than a component may be ({})", file.display(), units::bytes(ARTIFACT_BYTES));
        return Err(Failure::failed(what, "build it with --release").into());
    }
    Ok(bytes)
}

impl Inspection {
    fn of(file: &Path, name: &str, surface: &Surface) -> Self {
        let nothing = Grants::new(name.into(), GrantTable::default());
        let (mut grants, mut optional_grants) = (Vec::new(), Vec::new());
        let mut view = |import: &Extern| {
            let access = match nothing.import(&import.name) {
                Import::Free | Import::Granted => "free",
                Import::Denied(denied) => {
                    // Interfaces that one grant permits need it once.
                    let cure = denied.cure().map(str::to_owned);
                    grants.extend(cure.filter(|cure| !grants.contains(cure)));
                    "needs-grant"
                }
                Import::Stub => match optional_grant(&import.name, name) {
                    Some(lines) => {
                        optional_grants.push(lines);
                        "refuses-calls"
                    }
                    None => "never",
                },
                Import::Unknown => "unknown",
            };
            ImportView { name: import.name.clone(), access }
        };
        Inspection {
            file: file.display().to_string(),
            bytes: surface.bytes,
            memory_minimum: surface.memory_minimum,
            core_modules: surface.core_modules,
            languages: surface.languages().map(str::to_owned).collect(),
            tools: surface.producers.iter().filter(|producer| producer.field != "language").map(tool).collect(),
            imports: surface.imports.iter().map(&mut view).collect(),
            exports: surface.exports.iter().map(|export| export.name.clone()).collect(),
            grants,
            optional_grants,
        }
    }

    fn render(&self, look: Look) -> String {
        let head = |text: &str| look.paint(Tone::Strong, text);
        let mut text = format!(
            "{}  {}, starts with {} of memory\n",
            head(&safe(&self.file)),
            units::bytes(self.bytes),
            units::bytes(self.memory_minimum)
        );
        for (word, names) in [("written in", &self.languages), ("made with", &self.tools)] {
            text.push_str(&format!(
                "{word:10}  {}\n",
                if names.is_empty() { "unknown".into() } else { safe(&names.join(", ")) }
            ));
        }
        text.push_str(&format!("\n{}\n", head("exports")));
        for export in &self.exports {
            text.push_str(&format!("  {}\n", safe(export)));
        }
        let mut table = Table::new(&[("IMPORTS", Left), ("ACCESS", Left)]);
        for import in &self.imports {
            let (tone, words) = match import.access {
                "free" => (Tone::Plain, "free"),
                "needs-grant" => (Tone::Warn, "needs a grant"),
                "refuses-calls" => (Tone::Faint, "refuses every call until something is granted"),
                "never" => (Tone::Faint, "refuses every call; no grant gives it"),
                _ => (Tone::Bad, "not known to this edgewit: the component is refused"),
            };
            table.row([Cell::from(&import.name), Cell::toned(tone, words)]);
        }
        text.push_str(&format!("\n{}", table.render(look)));
        for (title, grants) in [("grants", &self.grants), ("grants, if it uses them", &self.optional_grants)] {
            if !grants.is_empty() {
                text.push_str(&format!("\n{}\n{}\n", head(title), output::safe_lines(&grants.join("\n"))));
            }
        }
        text
    }
}

/// A tool and its version, without the long story that some tell after it.
fn tool(producer: &Producer) -> String {
    let version = producer.version.split_whitespace().next().unwrap_or_default();
    format!("{} {version}", producer.name).trim_end().to_owned()
}

/// What would give a meaning to an interface that is linked to refusals; none for one that no grant gives.
fn optional_grant(import: &str, name: &str) -> Option<String> {
    let table = |kind: &str, line: &str| Some(format!("[component.{name}.grant.{kind}]\n{line}  {EXAMPLE}"));
    match import.split('@').next()? {
        "wasi:http/outgoing-handler" => table("http", "example = \"https://example.com\""),
        "wasi:filesystem/preopens" => table("dir", "files = { path = \"files\", write = false }"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use edgewit_sandbox::inspect::Kind;
    use expect_test::expect;

    use super::*;

    fn surface() -> Surface {
        let external = |name: &str| Extern { name: name.into(), kind: Kind::Instance };
        Surface {
            imports: [
                "edgewit:pubsub/types@0.1.0",
                "edgewit:pubsub/publisher@0.1.0",
                "edgewit:timer/scheduler@0.1.0",
                "wasi:http/outgoing-handler@0.2.3",
                "wasi:sockets/tcp@0.2.3",
                "acme:valve/control@2.0.0",
            ]
            .map(external)
            .into(),
            exports: vec![external("edgewit:pubsub/handler@0.1.0")],
            producers: vec![
                Producer { field: "language".into(), name: "Rust".into(), version: String::new() },
                Producer { field: "processed-by".into(), name: "rustc".into(), version: "1.95.0 (5980 2026)".into() },
            ],
            bytes: 104_857,
            core_modules: 1,
            memory_minimum: 1_114_112,
        }
    }

    #[test]
    fn what_has_to_be_granted_is_shown_as_it_is_written() {
        let inspection = Inspection::of(Path::new("average.wasm"), "average", &surface());
        expect![[r#"
            average.wasm  102.4 KiB, starts with 1.1 MiB of memory
            written in  Rust
            made with   rustc 1.95.0

            exports
              edgewit:pubsub/handler@0.1.0

            IMPORTS                           ACCESS
            edgewit:pubsub/types@0.1.0        free
            edgewit:pubsub/publisher@0.1.0    needs a grant
            edgewit:timer/scheduler@0.1.0     needs a grant
            wasi:http/outgoing-handler@0.2.3  refuses every call until something is granted
            wasi:sockets/tcp@0.2.3            refuses every call; no grant gives it
            acme:valve/control@2.0.0          not known to this edgewit: the component is refused

            grants
            [component.average.grant.publish]
            average = "average/#"  # an example: put your own here
            [component.average.grant.timer]
            pending = 16

            grants, if it uses them
            [component.average.grant.http]
            example = "https://example.com"  # an example: put your own here
        "#]]
        .assert_eq(&inspection.render(Look::default()));
    }

    #[test]
    fn the_lines_of_a_grant_are_a_configuration() {
        let inspection = Inspection::of(Path::new("a.wasm"), "average", &surface());
        let lines = [inspection.grants, inspection.optional_grants].concat().join("\n");
        let file = "schema = 1\n[gateway]\nthing = \"t\"\ndata = \"d\"\n[component.average]\nartifact = \"a.wasm\"\n";
        let config = edgewit_domain::config::Config::parse(&format!("{file}{lines}\n"));
        assert!(config.is_ok(), "{lines}\n{config:?}");
    }
}
