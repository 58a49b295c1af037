//! `edgewit shadow`: what is desired of a device and what it reports, as the operator sees and changes it.

use std::collections::BTreeSet;

use edgewit_domain::control::{Command, Reply, ShadowView, SyncedShadow};
use edgewit_domain::shadow::Verb as Asked;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Look, Tone, safe};
use crate::table::Align::{Left, Right};
use crate::table::{Cell, Table};
use crate::units;

/// Look into device shadows and change them: ls, get, update, delete, watch, sync
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit shadow get
  edgewit shadow update --desired '{\"setpoint\": 4}'
  edgewit shadow update --thing door-3 config --reported '{\"firmware\": null}'
  edgewit shadow delete config
  edgewit shadow watch
  edgewit shadow sync

Where no thing is named it is the gateway's own, and where no shadow is named it is the thing's classic one.")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// List the shadows of a thing, or of all things
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        gateway: Gateway,
        #[command(flatten)]
        format: Format,
        /// Of this thing alone
        #[arg(long, value_name = "THING")]
        thing: Option<String>,
    },
    /// Show a shadow: its state, what differs, its version
    Get {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        format: Format,
    },
    /// Change a shadow: what is said is merged into what is there, and `null` removes
    Update {
        #[command(flatten)]
        which: Which,
        /// What is desired of the device, as a JSON object
        #[arg(long, value_name = "JSON", required_unless_present = "reported")]
        desired: Option<String>,
        /// What the device reports, as a JSON object
        #[arg(long, value_name = "JSON")]
        reported: Option<String>,
        /// Only if the shadow has this version
        #[arg(long, value_name = "NUMBER")]
        version: Option<u64>,
        #[command(flatten)]
        format: Format,
    },
    /// Delete a shadow
    Delete {
        #[command(flatten)]
        which: Which,
    },
    /// Show what is desired and not reported, each time that somebody changes a shadow
    Watch {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        format: Format,
        /// End after so many
        #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
        count: Option<u64>,
    },
    /// Show how shadows stand against the cloud: versions, for how long they differ, the last error
    Sync {
        #[command(flatten)]
        gateway: Gateway,
        #[command(flatten)]
        format: Format,
        /// Of this thing alone
        #[arg(long, value_name = "THING")]
        thing: Option<String>,
    },
}

/// A shadow.
#[derive(clap::Args, Debug)]
struct Which {
    #[command(flatten)]
    gateway: Gateway,
    /// The device; the gateway itself unless told
    #[arg(long, value_name = "THING")]
    thing: Option<String>,
    /// A named shadow; the classic one unless told
    shadow: Option<String>,
}

pub fn shadow(args: &Args) -> Outcome {
    match &args.verb {
        Verb::Ls { gateway, format, thing } => list(gateway, *format, thing.as_ref()),
        Verb::Get { which, format } => {
            let body = which.ask(Asked::Get, Vec::new())?;
            show(&body, *format)
        }
        Verb::Update { which, desired, reported, version, format } => {
            let document = document(desired.as_deref(), reported.as_deref(), *version)?;
            let body = which.ask(Asked::Update, document.into_bytes())?;
            show(&body, *format)
        }
        Verb::Delete { which } => which.ask(Asked::Delete, Vec::new()).map(|_| Exit::Ok),
        Verb::Watch { which, format, count } => watch(which, *format, *count),
        Verb::Sync { gateway, format, thing } => synced(gateway, *format, thing.as_ref()),
    }
}

impl Which {
    fn ask(&self, verb: Asked, document: Vec<u8>) -> anyhow::Result<String> {
        let (thing, name) = (self.thing.clone(), self.shadow.clone());
        match self.gateway.ask(&Command::Shadow { thing, name, verb, document })? {
            Reply::Shadow { body } => Ok(body),
            other => Err(connect::unexpected(&other)),
        }
    }
}

/// The request as the cloud takes it. Each part is JSON by itself, so that it cannot say more than it should.
fn document(desired: Option<&str>, reported: Option<&str>, version: Option<u64>) -> anyhow::Result<String> {
    let mut sections = Vec::new();
    for (name, text) in [("desired", desired), ("reported", reported)] {
        let Some(text) = text else { continue };
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| {
            let cure = "quote it for your shell, as in --desired '{\"setpoint\": 4}'";
            Failure::failed(format!("what is {name} is no JSON: {error}"), cure)
        })?;
        sections.push(format!("\"{name}\":{text}"));
    }
    let version = version.map_or_else(String::new, |version| format!(",\"version\":{version}"));
    Ok(format!("{{\"state\":{{{}}}{version}}}", sections.join(",")))
}

fn show(body: &str, format: Format) -> Outcome {
    if format.json {
        output::line(body)?
    } else {
        output::line(&indented(&safe(body)))?
    }
    Ok(Exit::Ok)
}

/// JSON without spaces, as people read it. Not parsed into numbers and back: they stay as they are.
fn indented(text: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0usize, false, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if quoted {
            out.push(character);
            (quoted, escaped) = (character != '"' || escaped, character == '\\' && !escaped);
            continue;
        }
        match character {
            '{' | '[' => {
                out.push(character);
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    break_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                break_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                quoted = character == '"';
                out.push(character);
            }
        }
    }
    out
}

fn break_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// All of a list that comes in pages, each asked for by the last of the one before.
fn pages<T: Clone>(
    gateway: &Gateway,
    ask: impl Fn(Option<T>) -> Command,
    page: impl Fn(Reply) -> anyhow::Result<(Vec<T>, bool)>,
) -> anyhow::Result<Vec<T>> {
    let mut client = gateway.connect()?;
    let mut all: Vec<T> = Vec::new();
    loop {
        let (found, more) = page(connect::ask(&mut client, &ask(all.last().cloned()))?)?;
        all.extend(found);
        if !more {
            return Ok(all);
        }
    }
}

fn list(gateway: &Gateway, format: Format, thing: Option<&String>) -> Outcome {
    let ask = |after| Command::Shadows { thing: thing.cloned(), after };
    let all: Vec<ShadowView> = pages(gateway, ask, |reply| match reply {
        Reply::Shadows { shadows, more } => Ok((shadows, more)),
        other => Err(connect::unexpected(&other)),
    })?;
    if format.json {
        output::document(&all)?;
    } else {
        output::print(&render(&all, Look::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

fn render(shadows: &[ShadowView], look: Look) -> String {
    if shadows.is_empty() {
        return "no shadows: `edgewit shadow update --desired '{…}'` makes one\n".to_owned();
    }
    let mut table =
        Table::new(&[("THING", Left), ("SHADOW", Left), ("VERSION", Right), ("BYTES", Right), ("STATE", Left)]);
    for shadow in shadows {
        table.row([
            Cell::from(&shadow.thing),
            Cell::from(shadow.name.as_deref().unwrap_or("(classic)")),
            units::count(shadow.version).into(),
            units::bytes(shadow.bytes as u64).into(),
            if shadow.differs { Cell::toned(Tone::Warn, "differs") } else { Cell::from("as desired") },
        ]);
    }
    let things: BTreeSet<&str> = shadows.iter().map(|shadow| &*shadow.thing).collect();
    let (shadows, things) = (shadows.len() as u64, things.len() as u64);
    format!("{}\n{} of {}\n", table.render(look), units::counted(shadows, "shadow"), units::counted(things, "thing"))
}

fn synced(gateway: &Gateway, format: Format, thing: Option<&String>) -> Outcome {
    let ask = |after| Command::SyncedShadows { thing: thing.cloned(), after };
    let all: Vec<SyncedShadow> = pages(gateway, ask, |reply| match reply {
        Reply::SyncedShadows { shadows, more } => Ok((shadows, more)),
        other => Err(connect::unexpected(&other)),
    })?;
    if format.json {
        output::document(&all)?;
    } else {
        output::print(&render_synced(&all, thing, Look::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

fn render_synced(shadows: &[SyncedShadow], thing: Option<&String>, look: Look) -> String {
    if let (true, Some(thing)) = (shadows.is_empty(), thing) {
        return format!(
            "no shadow of {} is kept the same as a cloud's: `edgewit shadow sync` shows which are\n",
            safe(thing)
        );
    }
    if shadows.is_empty() {
        return "no shadow is kept the same as a cloud's: add [shadow.sync.NAME] to the configuration and `edgewit reload`\n"
            .to_owned();
    }
    let mut table = Table::new(&[
        ("THING", Left),
        ("SHADOW", Left),
        ("HERE", Right),
        ("CLOUD", Right),
        ("STATE", Left),
        ("DIRTY FOR", Right),
        ("LAST ERROR", Left),
    ]);
    let version = |version: Option<u64>| version.map_or_else(|| "–".to_owned(), units::count);
    for shadow in shadows {
        let tone = match shadow.state.as_str() {
            "in-sync" => Tone::Good,
            "in-error" => Tone::Bad,
            _ => Tone::Warn,
        };
        table.row([
            Cell::from(&shadow.thing),
            Cell::from(shadow.name.as_deref().unwrap_or("(classic)")),
            version(shadow.local).into(),
            version(shadow.remote).into(),
            Cell::toned(tone, &shadow.state),
            shadow.dirty_ms.map_or_else(|| "–".to_owned(), units::milliseconds).into(),
            Cell::from(shadow.error.as_deref().unwrap_or("–")),
        ]);
    }
    let same = shadows.iter().filter(|shadow| shadow.state == "in-sync").count();
    format!("{}\n{} of {} in sync\n", table.render(look), same, units::counted(shadows.len() as u64, "shadow"))
}

/// A delta as it is published.
#[derive(Deserialize)]
struct Delta {
    state: serde_json::Value,
    version: u64,
}

fn watch(which: &Which, format: Format, count: Option<u64>) -> Outcome {
    let look = Look::of_stdout();
    let thing = which.thing.clone().map_or_else(|| own_thing(&which.gateway), Ok)?;
    let all = |shadow: &str| format!("$aws/things/{thing}/shadow{shadow}/update/delta");
    let filters = match &which.shadow {
        Some(name) => vec![all(&format!("/name/{name}"))],
        None => vec![all(""), all("/name/+")],
    };
    let mut seen = 0;
    for reply in which.gateway.follow(&Command::Subscribe { filters })? {
        let Reply::Message(message) = reply? else { continue };
        let body = String::from_utf8_lossy(&message.payload).into_owned();
        if format.json {
            output::line(&body)?;
        } else {
            let name = message.topic.split('/').nth(5).filter(|_| message.topic.contains("/shadow/name/"));
            output::line(&told(name.unwrap_or("(classic)"), &body, look))?;
        }
        seen += 1;
        if Some(seen) == count {
            return Ok(Exit::Ok);
        }
    }
    Err(Failure::new(Exit::Unavailable, "the gateway has ended", "").into())
}

fn told(name: &str, body: &str, look: Look) -> String {
    let name = look.paint(Tone::Strong, &safe(name));
    match serde_json::from_str::<Delta>(body) {
        Ok(Delta { state, version }) => {
            format!("{name}  version {version}  {}", look.paint(Tone::Warn, &safe(&state.to_string())))
        }
        Err(_) => format!("{name}  {}", safe(body)),
    }
}

fn own_thing(gateway: &Gateway) -> anyhow::Result<String> {
    match gateway.ask(&Command::Status)? {
        Reply::Status(status) => Ok(status.thing),
        other => Err(connect::unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_update_asks_for_is_what_was_said_and_no_more() {
        let cases = [
            (
                Some("{\"a\": 12345678901234567890123}"),
                None,
                None,
                r#"{"state":{"desired":{"a": 12345678901234567890123}}}"#,
            ),
            (Some("null"), Some("{}"), Some(7), r#"{"state":{"desired":null,"reported":{}},"version":7}"#),
        ];
        for (desired, reported, version, expected) in cases {
            assert_eq!(document(desired, reported, version).unwrap(), expected);
        }
        for wrong in ["{\"a\":1},\"reported\":{}", "a", ""] {
            assert!(document(Some(wrong), None, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn people_get_a_document_indented_and_otherwise_as_it_is() {
        assert_eq!(
            indented(r#"{"a":{},"b":[1,1.0],"c":"{\"x\\","d":{"e":1e400}}"#),
            "{\n  \"a\": {},\n  \"b\": [\n    1,\n    1.0\n  ],\n  \"c\": \"{\\\"x\\\\\",\n  \"d\": {\n    \"e\": 1e400\n  }\n}"
        );
    }

    #[test]
    fn a_delta_is_one_line_and_cannot_reach_the_terminal() {
        let look = Look { width: None, colour: false };
        assert_eq!(
            told("config", r#"{"state":{"setpoint":4},"version":7}"#, look),
            "config  version 7  {\"setpoint\":4}"
        );
        assert_eq!(told("\x1b[2J", "no", look), "\\u{1b}[2J  no");
    }
}
