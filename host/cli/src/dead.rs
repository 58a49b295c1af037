//! `edgewit dead`: messages that were given up, why, and another chance for them.

use edgewit_domain::control::Command;

use crate::connect::Gateway;
use crate::exit::{Failure, Outcome};
use crate::output::Format;
use crate::queue::{self, Show};

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

const NONE: &str = "none: a component with a durable subscription, an [uplink.NAME] and a [downlink.NAME] have a queue of dead letters";

pub fn dead(args: &Args) -> Outcome {
    match &args.verb {
        Verb::Ls { gateway, format } => queue::list(gateway, format, |queue| is_dead(&queue.queue), NONE),
        Verb::Show(args) => {
            check(&args.queue)?;
            queue::show(args)
        }
        Verb::Replay { gateway, queue, sequence } => {
            let command = Command::Replay { queue: check(queue)?.to_owned(), sequence: *sequence };
            queue::change(gateway, &command, "replayed")
        }
        Verb::Drop { gateway, queue } => queue::drop_rows(gateway, check(queue)?),
    }
}

fn is_dead(queue: &str) -> bool {
    queue.starts_with("dead/")
}

/// A slip of the name must not drop what waits.
fn check(queue: &str) -> anyhow::Result<&str> {
    if is_dead(queue) {
        return Ok(queue);
    }
    Err(Failure::failed(format!("{queue} holds no dead letters"), "`edgewit dead ls` lists those that do").into())
}
