//! `edgewit completions`: what a shell needs to complete the verbs and options.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::Cli;
use crate::exit::{Exit, Outcome};
use crate::output;

/// Print the completions for a shell
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit completions bash > /usr/share/bash-completion/completions/edgewit")]
pub struct Args {
    shell: Shell,
}

pub fn completions(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "edgewit", &mut script);
    output::write(&script)?;
    Ok(Exit::Ok)
}
