//! `edgewit logs`: the gateway's log and that of its components.
//!
//! Lines are printed as the gateway itself prints them, so that both can be read and searched alike.

use edgewit_domain::control::{Command, Reply};
use edgewit_gateway::telemetry::line_text;

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Look};

/// Show the log of the gateway and its components
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit logs -n 200
  edgewit logs -f average

The gateway keeps the last 2000 lines. What a component writes to its log, standard output and standard error is in it.")]
pub struct Args {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    format: Format,
    /// Only the lines of this component, and those about it
    component: Option<String>,
    /// Go on with the lines to come
    #[arg(short, long)]
    follow: bool,
    /// Lines to look back
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    lines: usize,
}

pub fn logs(args: &Args) -> Outcome {
    let (component, lines, follow) = (args.component.clone(), args.lines, args.follow);
    let look = Look::of_stdout();
    for reply in args.gateway.follow(&Command::Logs { component, lines, follow })? {
        match reply? {
            Reply::Log(line) if args.format.json => output::json_line(&line)?,
            Reply::Log(line) => output::line(&line_text(&line, look.colour))?,
            other => return Err(connect::unexpected(&other)),
        }
    }
    if follow {
        return Err(Failure::new(Exit::Unavailable, "the gateway has ended", "").into());
    }
    Ok(Exit::Ok)
}
