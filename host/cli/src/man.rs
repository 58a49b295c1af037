//! `edgewit man`: the manual pages, made from the very text that `--help` shows.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::Cli;
use crate::exit::{Exit, Outcome};
use crate::output;

/// Write the manual pages
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit man | man -l -
  edgewit man /usr/local/share/man/man1")]
pub struct Args {
    /// Where to write a page for each verb; without it the main page is printed
    dir: Option<PathBuf>,
}

pub fn man(args: &Args) -> Outcome {
    let mut command = Cli::command();
    command.build();
    let Some(dir) = &args.dir else {
        output::write(&page(command)?)?;
        return Ok(Exit::Ok);
    };
    let verbs: Vec<_> = command.get_subcommands().filter(|verb| verb.get_name() != "help").cloned().collect();
    for verb in std::iter::once(command).chain(verbs) {
        let name = verb.get_display_name().unwrap_or(verb.get_name()).replace(' ', "-");
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let file = dir.join(format!("{name}.1"));
        std::fs::write(&file, page(verb)?).with_context(|| format!("cannot write {}", file.display()))?;
        output::line(&file.display().to_string())?;
    }
    Ok(Exit::Ok)
}

fn page(command: clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}
