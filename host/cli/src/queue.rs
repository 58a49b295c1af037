//! `edgewit queue`: what waits in durable queues, and what to do about it.

use edgewit_domain::control::{Command, DeadView, Left, QueueStatus, Reply, RowView};
use edgewit_domain::message::Qos;
use serde::Serialize;

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Look, Payload, Tone, safe, safe_bytes};
use crate::table::Align;
use crate::table::{Cell, Table};
use crate::units;

/// Bytes of a payload that people are shown.
const PAYLOAD_SHOWN: usize = 500;

/// Look into durable queues: ls, show, drop
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit queue ls
  edgewit queue show component/average/readings
  edgewit queue drop uplink/alerts

A queue is named by who reads it: component/NAME/SUBSCRIPTION, uplink/RULE, dead/component/NAME. Dead letters are \
listed by `edgewit dead ls`.")]
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
    /// Drop everything in a queue that nobody has in hand; all of it where it is damaged, which puts it in use again
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
    /// At most so many rows, up to 1000; fewer where they are large
    #[arg(long, default_value_t = 20)]
    pub count: usize,
}

pub fn queue(args: &Args) -> Outcome {
    match &args.verb {
        Verb::Ls { gateway, format } => list(gateway, format, |queue| !queue.queue.starts_with("dead/"), NONE),
        Verb::Show(args) => show(args),
        Verb::Drop { gateway, queue } => drop_rows(gateway, queue),
    }
}

const NONE: &str = "none: a subscription with delivery = \"durable\" or an [uplink.NAME] has one";

pub fn list(gateway: &Gateway, format: &Format, wanted: impl Fn(&QueueStatus) -> bool, none: &str) -> Outcome {
    let mut queues = match gateway.ask(&Command::Queues)? {
        Reply::Queues { queues } => queues,
        other => return Err(connect::unexpected(&other)),
    };
    queues.retain(wanted);
    queues.sort_by(|one, other| one.queue.cmp(&other.queue));
    if format.json {
        output::document(&queues)?;
    } else {
        output::print(&render(&queues, none, Look::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

fn render(queues: &[QueueStatus], none: &str, look: Look) -> String {
    if queues.is_empty() {
        return format!("{none}\n");
    }
    let mut table = Table::new(&[
        ("QUEUE", Align::Left),
        ("MESSAGES", Align::Right),
        ("BYTES", Align::Right),
        ("OLDEST", Align::Right),
        ("DROPPED", Align::Right),
        ("EXPIRED", Align::Right),
        ("REMARK", Align::Left),
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
            Cell::toned(Tone::Bad, "damaged on disk and out of use; `edgewit queue drop` begins it anew")
        }
        QueueStatus { read: false, .. } => Cell::toned(Tone::Warn, "nobody reads it; dropped after store.keep"),
        _ => Cell::from(""),
    }
}

/// A row as programs get it.
#[derive(Serialize)]
struct Shown {
    sequence: u64,
    topic: String,
    #[serde(flatten)]
    payload: Payload,
    qos: u8,
    id: String,
    origin: String,
    hops: u32,
    received_ms: u64,
    age_ms: u64,
    failed: u32,
    dead: Option<DeadView>,
}

impl From<RowView> for Shown {
    fn from(row: RowView) -> Self {
        let RowView { sequence, message, age_ms, failed, dead } = row;
        Shown {
            sequence,
            topic: message.topic,
            payload: message.payload.into(),
            qos: match message.qos {
                Qos::AtMostOnce => 0,
                Qos::AtLeastOnce => 1,
            },
            id: message.id,
            origin: message.origin,
            hops: message.hops,
            received_ms: message.received_ms,
            age_ms,
            failed,
            dead,
        }
    }
}

pub fn show(args: &Show) -> Outcome {
    let command = Command::Rows { queue: args.queue.clone(), from: args.from, count: args.count };
    let (rows, more) = match args.gateway.ask(&command)? {
        Reply::Rows { rows, more } => (rows, more),
        other => return Err(connect::unexpected(&other)),
    };
    if args.format.json {
        output::document(&rows.into_iter().map(Shown::from).collect::<Vec<_>>())?;
        return Ok(Exit::Ok);
    }
    for row in &rows {
        output::line(&line(row))?;
    }
    match rows.last() {
        None => output::note(if args.from == 0 { "nothing waits there" } else { "nothing waits there any further" }),
        Some(last) if more => output::note(&format!("there is more: --from {}", last.sequence + 1)),
        Some(_) => {}
    }
    Ok(Exit::Ok)
}

fn line(row: &RowView) -> String {
    let message = &row.message;
    let mut line = format!(
        "{}  {}  {}  {}",
        row.sequence,
        units::milliseconds(row.age_ms),
        safe(&message.topic),
        beginning(&message.payload)
    );
    if row.failed > 0 {
        line.push_str(&format!("\n    failed {}", units::counted(row.failed.into(), "time")));
    }
    if let Some(dead) = &row.dead {
        let from = dead.queue.as_deref().unwrap_or("the cloud");
        let attempts = units::counted(dead.attempts.into(), "attempt");
        line.push_str(&format!("\n    from {from}, after {attempts}: {}", safe(&dead.reason)));
        dead.backtrace.lines().for_each(|frame| line.push_str(&format!("\n      {}", safe(frame))));
    }
    line
}

/// A payload may fill many screens; programs get all of it.
fn beginning(payload: &[u8]) -> String {
    match payload.get(..PAYLOAD_SHOWN) {
        Some(beginning) if payload.len() > PAYLOAD_SHOWN => {
            format!("{}… ({})", safe_bytes(beginning), units::bytes(payload.len() as u64))
        }
        _ => safe_bytes(payload),
    }
}

pub fn drop_rows(gateway: &Gateway, queue: &str) -> Outcome {
    change(gateway, &Command::DropRows { queue: queue.to_owned() }, "dropped")
}

/// Says how many messages were changed, and fails where some were not.
pub fn change(gateway: &Gateway, command: &Command, done: &str) -> Outcome {
    let (rows, left) = match gateway.ask(command)? {
        Reply::Counted { rows, left } => (rows, left),
        other => return Err(connect::unexpected(&other)),
    };
    output::line(&format!("{done} {}", units::counted(rows, "message")))?;
    match left {
        None => Ok(Exit::Ok),
        Some(Left { rows, reason, cure }) => {
            let stay =
                if rows == 1 { "1 message stays".to_owned() } else { format!("{} messages stay", units::count(rows)) };
            Err(Failure::failed(format!("{stay}: {reason}"), cure).into())
        }
    }
}
