//! `edgewit queue`: what waits in durable queues, and what to do about it.

use edgewit_domain::control::{Command, QueueStatus, Reply, RowView};

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Outcome};
use crate::output::{self, Format, Look, Tone, safe, safe_bytes};
use crate::table::Align::{Left, Right};
use crate::table::{Cell, Table};
use crate::units;

/// Look into durable queues: ls, show, drop
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit queue ls
  edgewit queue show component/average/readings
  edgewit queue drop uplink/alerts

A queue is named by who reads it: component/NAME/SUBSCRIPTION, uplink/RULE, dead/component/NAME.")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// List every durable queue
    Ls {
        #[command(flatten)]
        gateway: Gateway,
        #[command(flatten)]
        format: Format,
    },
    /// Show what waits in a queue, the oldest first
    Show(Show),
    /// Drop everything in a queue that nobody has in hand
    Drop {
        #[command(flatten)]
        gateway: Gateway,
        /// Its name, as `edgewit queue ls` shows it
        queue: String,
    },
}

#[derive(clap::Args, Debug)]
pub struct Show {
    #[command(flatten)]
    pub gateway: Gateway,
    #[command(flatten)]
    pub format: Format,
    /// Its name, as the list shows it
    pub queue: String,
    /// Begin at this sequence number
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// At most so many rows, up to 1000
    #[arg(long, default_value_t = 20)]
    pub count: usize,
}

pub fn queue(args: &Args) -> Outcome {
    match &args.verb {
        Verb::Ls { gateway, format } => list(gateway, format, |queue| !queue.queue.starts_with("dead/")),
        Verb::Show(args) => show(args),
        Verb::Drop { gateway, queue } => drop_rows(gateway, queue),
    }
}

pub fn list(gateway: &Gateway, format: &Format, wanted: impl Fn(&QueueStatus) -> bool) -> Outcome {
    let mut queues = match gateway.ask(&Command::Queues)? {
        Reply::Queues { queues } => queues,
        other => return Err(connect::unexpected(&other)),
    };
    queues.retain(wanted);
    queues.sort_by(|one, other| one.queue.cmp(&other.queue));
    if format.json {
        output::document(&queues)?;
    } else {
        output::print(&render(&queues, Look::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

fn render(queues: &[QueueStatus], look: Look) -> String {
    if queues.is_empty() {
        return "none: a subscription with delivery = \"durable\" or an [uplink.NAME] has one\n".to_owned();
    }
    let mut table = Table::new(&[
        ("QUEUE", Left),
        ("MESSAGES", Right),
        ("BYTES", Right),
        ("OLDEST", Right),
        ("DROPPED", Right),
        ("EXPIRED", Right),
        ("REMARK", Left),
    ]);
    for queue in queues {
        table.row([
            Cell::from(&queue.queue),
            units::count(queue.messages).into(),
            units::bytes(queue.bytes).into(),
            queue.oldest_ms.map(units::milliseconds).unwrap_or_default().into(),
            units::count(queue.dropped).into(),
            units::count(queue.expired).into(),
            remark(queue),
        ]);
    }
    table.render(look)
}

fn remark(queue: &QueueStatus) -> Cell {
    match queue {
        QueueStatus { damaged: true, .. } => {
            Cell::toned(Tone::Bad, "damaged on disk, and out of use; see `edgewit store check`")
        }
        QueueStatus { read: false, .. } => Cell::toned(Tone::Warn, "nobody reads it; dropped after store.keep"),
        _ => Cell::from(""),
    }
}

pub fn show(args: &Show) -> Outcome {
    let command = Command::Rows { queue: args.queue.clone(), from: args.from, count: args.count };
    let rows = match args.gateway.ask(&command)? {
        Reply::Rows { rows } => rows,
        other => return Err(connect::unexpected(&other)),
    };
    if args.format.json {
        output::document(&rows)?;
        return Ok(Exit::Ok);
    }
    for row in &rows {
        output::line(&line(row))?;
    }
    match rows.last() {
        None => output::note("nothing waits there"),
        Some(last) if rows.len() >= args.count => {
            output::note(&format!("there may be more: --from {}", last.sequence + 1));
        }
        Some(_) => {}
    }
    Ok(Exit::Ok)
}

fn line(row: &RowView) -> String {
    let message = &row.message;
    let mut line = format!(
        "{} {} {} {}",
        row.sequence,
        units::milliseconds(row.age_ms),
        safe(&message.topic),
        safe_bytes(&message.payload)
    );
    if row.failed > 0 {
        line.push_str(&format!("\n    failed {} times", row.failed));
    }
    if let Some(dead) = &row.dead {
        let from = dead.queue.as_deref().unwrap_or("the cloud");
        line.push_str(&format!("\n    from {from}, {} attempts: {}", dead.attempts, safe(&dead.reason)));
        dead.backtrace.lines().for_each(|frame| line.push_str(&format!("\n      {}", safe(frame))));
    }
    line
}

pub fn drop_rows(gateway: &Gateway, queue: &str) -> Outcome {
    let rows = counted(gateway, &Command::DropRows { queue: queue.to_owned() })?;
    output::line(&format!("dropped {} messages", units::count(rows)))?;
    Ok(Exit::Ok)
}

pub fn counted(gateway: &Gateway, command: &Command) -> anyhow::Result<u64> {
    match gateway.ask(command)? {
        Reply::Counted { rows } => Ok(rows),
        other => Err(connect::unexpected(&other)),
    }
}
