//! `edgewit doctor`: can this machine run edgewit, and how well.
//!
//! Two halves that never mix: `facts` looks at the machine and judges nothing, `checks` judges what was found and
//! looks at nothing. So each verdict has a test with the state of the machine that turns it red.

mod checks;
mod facts;
mod syscall;

use std::path::PathBuf;

use serde::Serialize;

use crate::connect;
use crate::exit::{Exit, Outcome};
use crate::output::{self, Format, Look, Tone};
use crate::table::Align::Left;
use crate::table::{Cell, Table};
use checks::{Finding, Verdict};

/// Look whether this machine can run edgewit, and how well
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit doctor
  edgewit doctor --data /var/lib/edgewit --json

Ends with 1 if anything is `fail`; what is `warn` works, with the drawback that the line names.")]
pub struct Args {
    #[command(flatten)]
    format: Format,
    /// The data directory to examine [default: the configuration's, or the current one]
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data: Option<PathBuf>,
    /// The configuration that names the data directory [default: edgewit.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Serialize)]
struct Examination {
    verdict: Verdict,
    findings: Vec<Finding>,
}

pub fn doctor(args: &Args) -> Outcome {
    let findings = checks::all(&facts::gather(&data_directory(args)?));
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    let examination = Examination { verdict, findings };
    if args.format.json {
        output::document(&examination)?;
    } else {
        output::print(&render(&examination, Look::of_stdout()))?;
    }
    Ok(if verdict == Verdict::Fail { Exit::Failed } else { Exit::Ok })
}

fn data_directory(args: &Args) -> anyhow::Result<PathBuf> {
    match (&args.data, &args.config) {
        (Some(data), _) => Ok(data.clone()),
        (None, Some(config)) => connect::data_directory(config),
        (None, None) => {
            let here = || PathBuf::from(".");
            let config = PathBuf::from(connect::CONFIG);
            Ok(if config.exists() { connect::data_directory(&config).unwrap_or_else(|_| here()) } else { here() })
        }
    }
}

fn render(examination: &Examination, look: Look) -> String {
    let mut table = Table::new(&[("CHECK", Left), ("VERDICT", Left), ("FOUND", Left)]);
    for finding in &examination.findings {
        let tone = match finding.verdict {
            Verdict::Ok => Tone::Good,
            Verdict::Warn => Tone::Warn,
            Verdict::Fail => Tone::Bad,
        };
        let words = if finding.cure.is_empty() {
            finding.found.clone()
        } else {
            format!("{}; {}", finding.found, finding.cure)
        };
        table.row([Cell::from(finding.check), Cell::toned(tone, finding.verdict.word()), Cell::from(words)]);
    }
    let summary = match examination.verdict {
        Verdict::Ok => "this machine runs edgewit well",
        Verdict::Warn => "this machine runs edgewit, with the drawbacks above",
        Verdict::Fail => "this machine cannot run edgewit as it is",
    };
    // The cure stands at the end of its line, so no line is cut.
    format!("{}\n{summary}\n", table.render(Look { width: None, ..look }))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn one_line_each_with_verdict_and_cure() {
        let finding = |check, verdict, found: &str, cure: &str| Finding {
            check,
            verdict,
            found: found.into(),
            cure: cure.into(),
        };
        let examination = Examination {
            verdict: Verdict::Fail,
            findings: vec![
                finding("kernel", Verdict::Ok, "Linux 6.1", ""),
                finding("cores", Verdict::Warn, "1 core", "use a machine with two"),
                finding("memory", Verdict::Fail, "32.0 MiB", "64 MiB are needed"),
            ],
        };
        expect![[r#"
            CHECK   VERDICT  FOUND
            kernel  ok       Linux 6.1
            cores   warn     1 core; use a machine with two
            memory  fail     32.0 MiB; 64 MiB are needed

            this machine cannot run edgewit as it is
        "#]]
        .assert_eq(&render(&examination, Look::default()));
    }
}
