//! Everything that `edgewit` prints goes through here: text for people, JSON for programs, notes on standard error.
//!
//! Topics, payloads, log lines and reasons are written by devices and guests, and a terminal obeys what it is
//! sent. So whatever could move a cursor, change a title or turn the direction of text is shown by its code
//! instead. Nothing here ever panics because nobody reads any more.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};

use anyhow::Context;
use edgewit_gateway::telemetry::is_obeyed;
use serde::Serialize;

/// The option that every reading verb has.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Format {
    /// Print JSON for programs: one document, or one line for each thing that comes
    #[arg(long)]
    pub json: bool,
}

/// Marks an error as one of printing, so that a closed pipe there can be told from one elsewhere.
#[derive(Debug)]
pub struct Printing;

impl fmt::Display for Printing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot print")
    }
}

/// How standard output shows text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub colour: bool,
    /// Characters in a line of the terminal; unlimited elsewhere.
    pub width: Option<usize>,
}

impl Look {
    pub fn of_stdout() -> Self {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return Look::default();
        }
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
        let width = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
        Look { colour: !plain, width: width.filter(|width| *width > 0) }
    }

    pub fn paint(self, tone: Tone, text: &str) -> String {
        match tone.code() {
            Some(code) if self.colour => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// What a word means; colour says it a second time and never alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Strong,
    Faint,
    Good,
    Warn,
    Bad,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Tone::Plain => None,
            Tone::Strong => Some("1"),
            Tone::Faint => Some("2"),
            Tone::Good => Some("32"),
            Tone::Warn => Some("33"),
            Tone::Bad => Some("31"),
        }
    }
}

/// Prints text that is already safe, as it is.
pub fn print(text: &str) -> anyhow::Result<()> {
    write(text.as_bytes())
}

/// Prints one line.
pub fn line(text: &str) -> anyhow::Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// Prints bytes that are meant for a file or a pipe.
pub fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context(Printing)
}

/// Prints a value as one JSON document.
pub fn document(value: &impl Serialize) -> anyhow::Result<()> {
    line(&safe_json(&serde_json::to_string_pretty(value)?))
}

/// Prints a value as one line of JSON.
pub fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    line(&safe_json(&serde_json::to_string(value)?))
}

/// A remark beside the output, on standard error. Where even that is closed there is nobody to tell.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Text on one line that a terminal cannot obey. A backslash stays as it is, so that JSON stays readable.
pub fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        push_safe(&mut shown, c);
    }
    shown
}

/// The same, but its lines stay lines.
pub fn safe_lines(text: &str) -> String {
    text.split('\n').map(safe).collect::<Vec<_>>().join("\n")
}

/// Bytes on one line: text where they are UTF-8, and the others by their number.
pub fn safe_bytes(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&safe(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// JSON whose strings a terminal cannot obey. Outside of its strings JSON has none of these characters.
fn safe_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_obeyed(c) {
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn push_safe(shown: &mut String, c: char) {
    match c {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        c if is_obeyed(c) => shown.extend(c.escape_unicode()),
        c => shown.push(c),
    }
}

/// A payload for programs: text as it is, anything else in hexadecimal.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    Payload(String),
    PayloadHex(String),
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(
            |error| {
                let mut hex = String::with_capacity(error.as_bytes().len() * 2);
                for byte in error.as_bytes() {
                    let _ = write!(hex, "{byte:02x}");
                }
                Payload::PayloadHex(hex)
            },
            Payload::Payload,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        let cases = [
            ("plain {\"celsius\": 9.5, \"unit\": \"°C\"}", "plain {\"celsius\": 9.5, \"unit\": \"°C\"}"),
            ("\x1b]0;title\x07", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("two\nlines\tand\r", "two\\nlines\\tand\\r"),
            ("user\u{202e}gnp.exe", "user\\u{202e}gnp.exe"),
            ("back\\slash \x7f", "back\\slash \\u{7f}"),
        ];
        for (text, expected) in cases {
            assert_eq!(safe(text), expected);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_by_number() {
        assert_eq!(safe_bytes(b"ok \xff\x00 \xc3\xa9"), "ok \\xff\\u{0} é");
    }

    #[test]
    fn json_stays_the_same_value_and_reaches_the_terminal_harmless() {
        let text = "\x1b[31m \u{9b}31m \u{202e} \x7f é";
        let json = safe_json(&serde_json::to_string(text).unwrap());
        assert!(!json.chars().any(is_obeyed), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn a_payload_for_programs_is_text_or_hexadecimal() {
        assert_eq!(Payload::from(b"9".to_vec()), Payload::Payload("9".into()));
        assert_eq!(Payload::from(vec![0xff, 0x01]), Payload::PayloadHex("ff01".into()));
    }

    #[test]
    fn colour_is_added_only_where_it_is_wanted() {
        let text = |colour| Look { colour, width: None }.paint(Tone::Bad, "refused");
        assert_eq!((text(false).as_str(), text(true).as_str()), ("refused", "\x1b[31mrefused\x1b[0m"));
    }
}
