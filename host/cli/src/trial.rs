//! `edgewit try`: one component with no gateway around it, under the grants and limits that it will have there.
//!
//! A line in, its effects out. What a component publishes goes to standard output as lines that another `edgewit try`
//! can read; everything about it goes to standard error. With `--json` each line in is one line of JSON out.

mod report;

use std::io::{BufRead, IsTerminal, Read};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use edgewit_domain::limits::{MESSAGE_BYTES, TOPIC_BYTES};
use edgewit_gateway::WorkerCommand;
use edgewit_gateway::trial::{Subject, Trial, TrialError, TrialOutcome};

use crate::connect;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format};
use report::{Input, Report};

/// The largest message there can be, as a line.
const LINE_BYTES: usize = TOPIC_BYTES + MESSAGE_BYTES;

/// Run one component with no gateway: lines in, its effects out
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  echo 'sensors/a {\"celsius\": 9.5}' | edgewit try --component average
  printf 'sensors/a 9.5\\n!tick flush\\n' | edgewit try --component average --json
  edgewit try target/wasm32-wasip2/release/average.wasm

A line is a topic, a space, and the payload. `!tick NAME` calls a timer; empty lines and lines with `#` in front are \
skipped. With --component the component has the configuration, grants and limits of the file; a bare file has no \
configuration and no grants, and what it would need is shown. Ends with 1 if anything was rejected or failed.")]
pub struct Args {
    /// A component file, without configuration and grants
    #[arg(required_unless_present = "component", conflicts_with_all = ["component", "config"])]
    file: Option<PathBuf>,
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = connect::CONFIG)]
    config: PathBuf,
    /// The component's name in the configuration
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    #[command(flatten)]
    format: Format,
}

pub fn trial(args: &Args) -> Outcome {
    if args.component.is_some() {
        connect::read(&args.config)?;
    }
    let subject = match (&args.file, &args.component) {
        (Some(file), _) => Subject::Bare { file },
        (None, Some(component)) => Subject::Configured { config: &args.config, component },
        (None, None) => {
            return Err(Failure::failed("nothing to try", "name a file, or a component with --component").into());
        }
    };
    let trial = Trial::new(subject, &WorkerCommand::this_binary()).map_err(explain)?;
    let mut bench = Bench { trial, format: args.format, good: true };
    bench.call(Input::Start, |trial| trial.start())?;
    if std::io::stdin().is_terminal() && !args.format.json {
        output::note("edgewit: type a topic, a space and a payload; Ctrl-D ends");
    }
    let mut stdin = std::io::stdin().lock();
    let mut line = Vec::new();
    while let Some(whole) = next(&mut stdin, &mut line).context("cannot read standard input")? {
        match whole {
            true => bench.line(line.strip_suffix(b"\n").unwrap_or(&line))?,
            false => {
                bench.problem(&format!("a line of more than {LINE_BYTES} bytes is skipped: no message is so large"))
            }
        }
    }
    Ok(if bench.good { Exit::Ok } else { Exit::Failed })
}

/// Reads the next line, and of a longer one the beginning. None at the end; false where it was not the whole line.
fn next(from: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<Option<bool>> {
    line.clear();
    if from.by_ref().take(LINE_BYTES as u64 + 1).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    let whole = line.len() <= LINE_BYTES;
    if !whole && !line.ends_with(b"\n") {
        from.skip_until(b'\n')?;
    }
    Ok(Some(whole))
}

fn explain(error: TrialError) -> anyhow::Error {
    let exit = match &error {
        TrialError::Configuration { .. } => Exit::Configuration,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, error.to_string(), "");
    anyhow::Error::new(error).context(failure)
}

struct Bench {
    trial: Trial,
    format: Format,
    good: bool,
}

impl Bench {
    fn line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        match Input::parse(line) {
            Ok(None) => Ok(()),
            Ok(Some(Input::Start)) => Ok(()),
            Ok(Some(Input::Tick(name))) => self.call(Input::Tick(name.clone()), |trial| trial.tick(&name)),
            Ok(Some(Input::Message { topic, payload })) => {
                let input = Input::Message { topic: topic.clone(), payload: Vec::new() };
                self.call(input, |trial| trial.message(&topic, payload))
            }
            Err(problem) => {
                self.problem(&problem);
                Ok(())
            }
        }
    }

    fn problem(&mut self, problem: &str) {
        self.good = false;
        output::note(&format!("edgewit: {problem}"));
    }

    fn call(&mut self, input: Input, call: impl FnOnce(&mut Trial) -> TrialOutcome) -> anyhow::Result<()> {
        let started = Instant::now();
        let outcome = call(&mut self.trial);
        let report = Report::new(input, outcome, started.elapsed(), self.trial.beside());
        self.good &= report.is_good();
        if self.format.json { output::json_line(&report) } else { report.print() }
    }
}
