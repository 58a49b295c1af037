//! How `edgewit` ends: the codes that scripts may rely on, and the one place where an error becomes text.
//!
//! An error that a verb makes on purpose is a [`Failure`]: one sentence of what went wrong, its cure, and its
//! code. Anything else ends with 1. The chain of causes is printed once, here, and a closed pipe is no error:
//! whoever stopped reading has what they wanted.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use crate::output;

/// What a verb returns: how the process ends, or why it could not do its work.
pub type Outcome = anyhow::Result<Exit>;

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok,
    /// Refused, failed, or found wanting.
    Failed,
    /// The configuration has mistakes.
    Configuration,
    /// No gateway answers.
    Unavailable,
    /// A code that the gateway chose.
    Gateway(u8),
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Configuration => 64,
            Exit::Unavailable => 69,
            Exit::Gateway(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Every code and its meaning, for `--help` and the guide. 2 is what the parser of the arguments ends with.
const CODES: [(u8, &str); 7] = [
    (0, "done"),
    (1, "refused or failed, and the text says why; for `doctor` a check, for `try` a line"),
    (2, "the command line is not understood"),
    (64, "the configuration has mistakes or cannot be read, or `run` lacks `--dev`; nothing was started"),
    (69, "no gateway answers at the control socket, or it ended while it was followed"),
    (74, "the disk failed while the store was written; nobody knows whether that was kept"),
    (75, "another gateway already runs with this data directory"),
];

/// For `--help`.
pub fn codes() -> String {
    let lines = CODES.iter().map(|(code, meaning)| format!("\n  {code:<3} {meaning}"));
    format!("Exit codes:{}", lines.collect::<String>())
}

/// An error with its cure.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    what: String,
    cure: String,
}

impl Failure {
    pub fn new(exit: Exit, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Failure { exit, what: what.into(), cure: cure.into() }
    }

    /// Refused or failed.
    pub fn failed(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what, cure)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Failure {}

/// Says what went wrong on standard error, and gives the code to end with.
pub fn report(error: &anyhow::Error) -> Exit {
    if is_closed_pipe(error) {
        return Exit::Ok;
    }
    let (exit, text) = describe(error);
    output::note(&text);
    exit
}

fn describe(error: &anyhow::Error) -> (Exit, String) {
    let failure = error.downcast_ref::<Failure>();
    let mut text = String::from("edgewit: ");
    let mut last = String::new();
    for (index, cause) in error.chain().enumerate() {
        let words = output::safe_lines(&cause.to_string());
        if index > 0 && last.contains(&words) {
            continue;
        }
        if index > 0 {
            text.push_str(": ");
        }
        text.push_str(&words);
        last = words;
    }
    match failure {
        Some(failure) if !failure.cure.is_empty() => {
            text.push_str("\n  ");
            text.push_str(&output::safe_lines(&failure.cure).replace('\n', "\n  "));
        }
        _ => {}
    }
    (failure.map_or(Exit::Failed, |failure| failure.exit), text)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
            && error.downcast_ref::<output::Printing>().is_some()
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_guide_has_the_codes_that_the_help_has() {
        let guide = include_str!("../../../docs/guide/cli.md");
        let (_, table) = guide.split_once("\n| Code | Meaning |\n|---|---|\n").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let rows: Vec<String> = CODES.iter().map(|(code, meaning)| format!("| {code} | {meaning} |")).collect();
        assert_eq!(table.lines().collect::<Vec<_>>(), rows);
    }

    #[test]
    fn an_error_is_one_sentence_its_causes_once_and_its_cure() {
        let cause = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = anyhow::Error::new(cause).context(Failure::new(Exit::Unavailable, "nobody there", "start it"));
        assert_eq!(describe(&error), (Exit::Unavailable, "edgewit: nobody there: no such file\n  start it".to_owned()));
    }

    #[test]
    fn a_cause_that_the_sentence_repeats_is_not_printed_twice() {
        let cause = io::Error::other("disk on fire");
        let error = anyhow::Error::new(cause).context("cannot write: disk on fire");
        assert_eq!(describe(&error), (Exit::Failed, "edgewit: cannot write: disk on fire".to_owned()));
    }

    #[test]
    fn an_error_never_carries_an_escape_to_the_terminal() {
        let error: anyhow::Error = Err::<(), _>(io::Error::other("\u{1b}[2J")).context("bad").unwrap_err();
        assert_eq!(describe(&error).1, "edgewit: bad: \\u{1b}[2J");
    }

    #[test]
    fn only_a_pipe_that_we_print_to_ends_quietly() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        let printing = anyhow::Error::new(closed()).context(output::Printing);
        assert!(is_closed_pipe(&printing));
        assert!(!is_closed_pipe(&anyhow::Error::new(closed()).context("the control socket")));
    }
}
