//! `edgewit dead`: messages that were given up, why, and another chance for them.

use edgewit_domain::control::Command;

use crate::connect::Gateway;
use crate::exit::{Exit, Outcome};
use crate::output::{self, Format};
use crate::queue::{self, Show};
use crate::units;

/// Look into dead letters: ls, show, replay, drop
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit dead ls
  edgewit dead show dead/component/average
  edgewit dead replay dead/component/average --sequence 7
  edgewit dead drop dead/component/average

A message is given up when its handler rejects it, or after its last attempt.")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// List the dead-letter queues
    Ls {
        #[command(flatten)]
        gateway: Gateway,
        #[command(flatten)]
        format: Format,
    },
    /// Show dead letters, each with its reason
    Show(Show),
    /// Put dead letters back at the tail of the queue where they waited
    Replay {
        #[command(flatten)]
        gateway: Gateway,
        /// Its name, as `edgewit dead ls` shows it
        queue: String,
        /// This one alone; all of them unless told
        #[arg(long)]
        sequence: Option<u64>,
    },
    /// Drop every dead letter of a queue
    Drop {
        #[command(flatten)]
        gateway: Gateway,
        /// Its name, as `edgewit dead ls` shows it
        queue: String,
    },
}

pub fn dead(args: &Args) -> Outcome {
    match &args.verb {
        Verb::Ls { gateway, format } => queue::list(gateway, format, |queue| queue.queue.starts_with("dead/")),
        Verb::Show(args) => queue::show(args),
        Verb::Replay { gateway, queue, sequence } => {
            let command = Command::Replay { queue: queue.clone(), sequence: *sequence };
            let rows = queue::counted(gateway, &command)?;
            output::line(&format!("replayed {} messages", units::count(rows)))?;
            Ok(Exit::Ok)
        }
        Verb::Drop { gateway, queue } => queue::drop_rows(gateway, queue),
    }
}
