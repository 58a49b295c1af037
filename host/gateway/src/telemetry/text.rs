//! A line of the log as people read it: time, level, component, text, fields.
//!
//! Texts come from guests and configurations: whatever a terminal would obey is shown escaped. A text of several lines
//! keeps them, each below the line that it belongs to and behind a mark, so that none of them can pass for a
//! line of the log: those begin with the time.

use std::fmt::Write as _;

use edgewit_domain::control::LogLine;
use edgewit_domain::limits::LOG_FURTHER_LINES;

/// What stands before a line that belongs to the one above it.
const MARK: &str = "    | ";
/// In place of the lines that are too many.
const CUT: &str = "\n    | […]";

/// One line, and below it those of its texts that have more, without the last end of line. `colour` for a terminal only.
pub fn line_text(line: &LogLine, colour: bool) -> String {
    let mut text = String::with_capacity(64 + line.text.len());
    let mut further = Further::default();
    let (on, off) = if colour { (colour_of(&line.level), "\x1b[0m") } else { ("", "") };
    push_time(&mut text, line.at_ms);
    // Writing to a string cannot fail.
    let _ = write!(text, " {on}{:>5}{off} ", line.level.to_ascii_uppercase());
    if let Some(component) = &line.component {
        push_harmless(&mut text, component);
        text.push_str(": ");
    }
    let (first, rest) = line.text.split_once('\n').unwrap_or((&line.text, ""));
    push_harmless(&mut text, first);
    further.push_all(rest);
    for (name, value) in &line.fields {
        if value.contains('\n') {
            further.push(&format!("{name}:"));
            further.push_all(value);
            continue;
        }
        text.push(' ');
        push_harmless(&mut text, name);
        text.push('=');
        if value.is_empty() || value.contains([' ', '"', '=']) {
            let _ = write!(text, "{value:?}");
        } else {
            push_harmless(&mut text, value);
        }
    }
    text + &further.text
}

/// The lines below a line, so many of them and no more.
#[derive(Default)]
struct Further {
    text: String,
    lines: usize,
}

impl Further {
    fn push_all(&mut self, text: &str) {
        text.lines().take(LOG_FURTHER_LINES + 1).for_each(|line| self.push(line));
    }

    fn push(&mut self, line: &str) {
        self.lines += 1;
        match self.lines {
            0..=LOG_FURTHER_LINES => {
                self.text.push('\n');
                self.text.push_str(MARK);
                push_harmless(&mut self.text, line);
            }
            _ if self.text.ends_with(CUT) => {}
            _ => self.text.push_str(CUT),
        }
    }
}

fn colour_of(level: &str) -> &'static str {
    match level {
        "error" => "\x1b[31m",
        "warn" => "\x1b[33m",
        "info" => "\x1b[32m",
        _ => "\x1b[2m",
    }
}

/// What a terminal or a reader of lines would obey: control characters, ends of lines, and what turns the direction of
/// the text around it.
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn push_harmless(text: &mut String, from: &str) {
    for character in from.chars() {
        if is_obeyed(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
}

/// RFC 3339 in UTC, with milliseconds.
fn push_time(text: &mut String, unix_ms: u64) {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000);
}

/// Year, month and day of a number of days since 1970, by Howard Hinnant's algorithm: years begin in March, so
/// that the leap day is a year's last.
fn date(days: u64) -> (u64, u64, u64) {
    let since = days + 719_468;
    let (era, of_era) = (since / 146_097, since % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn check(component: Option<&str>, text: &str, fields: &[(&str, &str)], expected: &str) {
        let line = LogLine {
            at_ms: 1_792_022_400_042,
            level: "warn".into(),
            component: component.map(Into::into),
            text: text.into(),
            fields: fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect::<BTreeMap<_, _>>(),
        };
        assert_eq!(line_text(&line, false), expected);
    }

    #[test]
    fn no_text_can_pass_for_a_line_of_the_log() {
        check(None, "Up", &[], "2026-10-15T00:00:00.042Z  WARN Up");
        check(
            Some("average"),
            "a\n\x1b[31mb",
            &[("topic", "a/b"), ("why", "no room")],
            "2026-10-15T00:00:00.042Z  WARN average: a topic=a/b why=\"no room\"\n    | \\u{1b}[31mb",
        );
        check(
            Some("average"),
            "Cannot run as it is",
            &[("reason", "not granted:\n[grant]\n\r2026-10-15T00:00:00.000Z  INFO root: forged"), ("which", "in/a")],
            "2026-10-15T00:00:00.042Z  WARN average: Cannot run as it is which=in/a\n    | reason:\n    | not granted:\n    \
             | [grant]\n    | \\r2026-10-15T00:00:00.000Z  INFO root: forged",
        );
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_wherever_it_stands() {
        let evil = "\u{1b}\u{9b}\u{2028}\u{202e}\r\t";
        let told = "\\u{1b}\\u{9b}\\u{2028}\\u{202e}\\r\\t";
        let expected = format!(
            "2026-10-15T00:00:00.042Z  WARN {told}: {told} a={told} b=\"{told} \"\n    | c:\n    | {told}\n    | "
        );
        let (spaced, lines) = (format!("{evil} "), format!("{evil}\n\n"));
        check(Some(evil), evil, &[("a", evil), ("b", &spaced), ("c", &lines)], &expected);
    }

    #[test]
    fn lines_without_end_are_cut() {
        let line = LogLine {
            at_ms: 0,
            level: "warn".into(),
            component: None,
            text: "a\n".repeat(1000),
            fields: BTreeMap::from([("more".into(), "b\n".repeat(1000))]),
        };
        let text = line_text(&line, false);
        assert_eq!(text.lines().count(), 1 + LOG_FURTHER_LINES + 1, "{text}");
        assert!(text.ends_with(CUT), "{text}");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let cases = [
            (0, (1970, 1, 1)),
            (58, (1970, 2, 28)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_453, (2025, 12, 31)),
            (20_454, (2026, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ];
        for (days, expected) in cases {
            assert_eq!(date(days), expected, "day {days}");
        }
    }
}
