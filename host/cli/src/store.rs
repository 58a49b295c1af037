//! `edgewit store`: the store of a gateway that does not run: whether it is whole, what is in it, and moving it.

use std::path::PathBuf;

use edgewit_gateway::store::tools::{StorePlace, StoreStats};

use crate::connect;
use crate::exit::{Exit, Outcome};
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
    Check,
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
    let place = StorePlace::of(&args.config)?;
    match &args.verb {
        Verb::Check => check(&place),
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
            output::line(&format!("exported {} rows to {}", units::count(rows), safe(&file.display().to_string())))?;
            Ok(Exit::Ok)
        }
        Verb::Import { file } => {
            let rows = place.import(file, &mut progress)?;
            output::line(&format!("imported {} rows", units::count(rows)))?;
            Ok(Exit::Ok)
        }
    }
}

fn check(place: &StorePlace) -> Outcome {
    let checked = place.check(|seen| progress(seen.rows))?;
    for finding in &checked.findings {
        let from = finding.from.escape_ascii();
        output::line(&format!("damaged around the key \"{from}\": {}", safe(&finding.what)))?;
    }
    if checked.findings.is_empty() {
        output::line(&format!("{} rows, all of them as they were written", units::count(checked.rows)))?;
        return Ok(Exit::Ok);
    }
    output::note("put back a copy, or drop the queues concerned and go on with the rest");
    Ok(Exit::Failed)
}

/// Long work says from time to time that it goes on.
fn progress(rows: u64) {
    if rows > 0 && rows.is_multiple_of(100_000) {
        output::note(&format!("{} rows", units::count(rows)));
    }
}

fn render(stats: &StoreStats) -> String {
    let clean = if stats.clean { "in good order" } else { "not in good order; opening it puts it right" };
    format!(
        "engine    {}\non disk   {} ({} free for new rows)\nqueues    {} with {} messages, {}\nretained  {}\nbuckets   {} with {}\nuptime    {}\nclosed    {clean}\n",
        stats.engine,
        units::bytes(stats.bytes),
        units::bytes(stats.free_bytes),
        units::count(stats.queues),
        units::count(stats.messages),
        units::bytes(stats.message_bytes),
        units::count(stats.retained),
        units::count(stats.buckets),
        units::bytes(stats.bucket_bytes),
        units::milliseconds(stats.uptime_ms),
    )
}
