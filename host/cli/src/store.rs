//! `edgewit store`: the store of a gateway that does not run: whether it is whole, what is in it, and moving it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use edgewit_gateway::store::tools::{Damage, StorePlace, StoreStats, ToolError};

use crate::connect;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, safe};
use crate::units;

/// Check, measure, export or import the store of a stopped gateway
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit store check
  edgewit store export backup.edgewit
  edgewit store import backup.edgewit

To change store.engine: stop the gateway, export, move the folder `store` away, change the configuration, import.")]
pub struct Args {
    /// The configuration of the gateway
    #[arg(long, value_name = "FILE", default_value = connect::CONFIG, global = true)]
    config: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// Read all of it and say what is damaged; ends with 1 if anything is
    Check {
        #[command(flatten)]
        format: Format,
    },
    /// Say what is in it and what it takes on disk
    Stats {
        #[command(flatten)]
        format: Format,
    },
    /// Write all of it to one file, for a backup or for another engine
    Export {
        /// The file to write
        file: PathBuf,
    },
    /// Make the store from an export; there must be none yet
    Import {
        /// The file that `edgewit store export` wrote
        file: PathBuf,
    },
}

pub fn store(args: &Args) -> Outcome {
    let place = StorePlace::of(&args.config).map_err(misconfigured)?;
    match &args.verb {
        Verb::Check { format } => check(&place, *format),
        Verb::Stats { format } => {
            let stats = place.stats()?;
            if format.json {
                output::document(&stats)?;
            } else {
                output::print(&render(&stats))?;
            }
            Ok(Exit::Ok)
        }
        Verb::Export { file } => {
            let rows = place.export(file, &mut progress)?;
            output::line(&format!(
                "exported {} to {}",
                units::counted(rows, "row"),
                safe(&file.display().to_string())
            ))?;
            Ok(Exit::Ok)
        }
        Verb::Import { file } => {
            let rows = place.import(file, &mut progress)?;
            output::line(&format!("imported {}", units::counted(rows, "row")))?;
            Ok(Exit::Ok)
        }
    }
}

fn misconfigured(error: ToolError) -> anyhow::Error {
    let failure =
        Failure::new(Exit::Configuration, error.to_string(), "name the gateway's configuration with --config");
    anyhow::Error::new(error).context(failure)
}

fn check(place: &StorePlace, format: Format) -> Outcome {
    let checked = place.check(|seen| progress(seen.rows))?;
    let exit = if checked.damaged.is_empty() { Exit::Ok } else { Exit::Failed };
    if format.json {
        output::document(&checked)?;
        return Ok(exit);
    }
    for Damage { place, what, .. } in &checked.damaged {
        output::line(&format!("damaged: {}: {}", safe(place), safe(what)))?;
    }
    let queues: BTreeSet<&str> = checked.damaged.iter().filter_map(|damage| damage.queue.as_deref()).collect();
    for queue in &queues {
        output::note(&format!("start the gateway and `edgewit queue drop {queue}`: it works without that queue"));
    }
    if checked.damaged.iter().any(|damage| damage.queue.is_none()) {
        output::note("put back a copy, or import an export: what is damaged is no queue that could be dropped alone");
    }
    if exit == Exit::Ok {
        let rows = units::counted(checked.rows, "row");
        output::line(&format!("{rows}, and nothing is damaged"))?;
    }
    Ok(exit)
}

/// Long work says from time to time that it goes on.
fn progress(rows: u64) {
    if rows > 0 && rows.is_multiple_of(100_000) {
        output::note(&format!("{} so far", units::counted(rows, "row")));
    }
}

fn render(stats: &StoreStats) -> String {
    let clean =
        if stats.clean { "in good order" } else { "not in good order; the gateway puts that right when it starts" };
    format!(
        "engine    {}\non disk   {} ({} of it unused)\nqueues    {} with {} messages, {}\nretained  {}\nbuckets   {} with {}\nshadows   {} with {}\nuptime    {}\nclosed    {clean}\n",
        stats.engine,
        units::bytes(stats.bytes),
        units::bytes(stats.free_bytes),
        units::count(stats.queues),
        units::count(stats.messages),
        units::bytes(stats.message_bytes),
        units::count(stats.retained),
        units::count(stats.buckets),
        units::bytes(stats.bucket_bytes),
        units::count(stats.shadows),
        units::bytes(stats.shadow_bytes),
        units::milliseconds(stats.uptime_ms),
    )
}
