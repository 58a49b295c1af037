//! `edgewit check`: the configuration, every component against its grants and every model; nothing is started.

use std::path::PathBuf;

use edgewit_gateway::WorkerCommand;
use edgewit_gateway::check::check as examine;

use crate::connect;
use crate::exit::{Exit, Outcome};
use crate::output::{self, Format, safe_lines};

/// Check a configuration, its components and its models, and start nothing
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit check --config /etc/edgewit/edgewit.toml && edgewit reload

Every mistake is shown at once, with its line, its key and its cure. A component that imports more than it was granted \
is one, and the lines that would grant it are shown. Each model is loaded and tried with zeros. Ends with 64 if there are mistakes.")]
pub struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = connect::CONFIG)]
    config: PathBuf,
    #[command(flatten)]
    format: Format,
}

pub fn check(args: &Args) -> Outcome {
    let report = examine(&args.config, &WorkerCommand::this_binary());
    if args.format.json {
        output::document(&report)?;
    } else {
        output::line(safe_lines(&report.to_string()).trim_end())?;
    }
    Ok(if report.is_good() { Exit::Ok } else { Exit::Configuration })
}
