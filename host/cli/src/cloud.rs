//! `edgewit cloud`: every cloud link, what waits for it and what went by it.

use std::collections::BTreeMap;

use edgewit_domain::control::{CloudStatus, Command, LinkState, Reply};

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Outcome};
use crate::output::{self, Format, Look, Tone, safe};
use crate::table::Align::{Left, Right};
use crate::table::{Cell, Table};
use crate::units;

/// Show the cloud links: state, queues, figures, last trouble
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit cloud

A message leaves its queue when the broker has acknowledged it. SENT counts what was sent again as well.")]
pub struct Args {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    format: Format,
}

pub fn cloud(args: &Args) -> Outcome {
    let status = match args.gateway.ask(&Command::Status)? {
        Reply::Status(status) => status,
        other => return Err(connect::unexpected(&other)),
    };
    if args.format.json {
        output::document(&status.clouds)?;
    } else {
        output::print(&render(&status.clouds, Look::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

fn render(clouds: &BTreeMap<String, CloudStatus>, look: Look) -> String {
    if clouds.is_empty() {
        return "no clouds: add a [cloud.NAME] and an [uplink.NAME] to the configuration and `edgewit reload`\n"
            .to_owned();
    }
    let shown: Vec<String> = clouds.iter().map(|(name, cloud)| one(name, cloud, look)).collect();
    shown.join("\n")
}

fn one(name: &str, cloud: &CloudStatus, look: Look) -> String {
    let (tone, state) = match &cloud.state {
        LinkState::Stopped => (Tone::Bad, "stopped".to_owned()),
        LinkState::Connecting => (Tone::Warn, "connecting".to_owned()),
        LinkState::Backoff { retry_in_ms } => (Tone::Warn, format!("again in {}", units::milliseconds(*retry_in_ms))),
        LinkState::Connected { for_ms } => (Tone::Good, format!("connected for {}", units::milliseconds(*for_ms))),
    };
    let mut text = format!(
        "{}  {}  {}  in {}  out {}\n",
        look.paint(Tone::Strong, &safe(name)),
        safe(&cloud.broker),
        look.paint(tone, &state),
        units::bytes(cloud.bytes_in),
        units::bytes(cloud.bytes_out),
    );
    if let Some(trouble) = &cloud.trouble {
        text.push_str(&format!("  last trouble: {}\n", safe(trouble)));
    }
    if cloud.one_at_a_time {
        text.push_str("  sends one message at a time: connections kept ending without an acknowledgement\n");
    }
    if !cloud.uplinks.is_empty() {
        text.push('\n');
        text.push_str(&uplinks(cloud).render(look));
    }
    if !cloud.downlinks.is_empty() {
        text.push('\n');
        text.push_str(&downlinks(cloud).render(look));
    }
    if let Some(shadows) = &cloud.shadows {
        let states: Vec<String> = shadows.states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let states = if states.is_empty() { "none".to_owned() } else { states.join(", ") };
        text.push_str(&format!("\nshadows: {states}; {}\n", units::counted(shadows.requests, "request")));
    }
    text
}

fn uplinks(cloud: &CloudStatus) -> Table {
    let mut table = Table::new(&[
        ("UPLINK", Left),
        ("QUEUED", Right),
        ("BYTES", Right),
        ("OLDEST", Right),
        ("IN FLIGHT", Right),
        ("SENT", Right),
        ("ACKNOWLEDGED", Right),
        ("GIVEN UP", Right),
        ("DROPPED", Right),
    ]);
    for (name, uplink) in &cloud.uplinks {
        table.row([
            Cell::from(name),
            units::count(uplink.queued).into(),
            units::bytes(uplink.queued_bytes).into(),
            uplink.oldest_ms.map_or_else(|| "–".to_owned(), units::milliseconds).into(),
            units::count(uplink.in_flight).into(),
            units::count(uplink.sent).into(),
            units::count(uplink.acknowledged).into(),
            units::count(uplink.given_up).into(),
            units::count(uplink.dropped + uplink.expired).into(),
        ]);
    }
    table
}

fn downlinks(cloud: &CloudStatus) -> Table {
    let mut table = Table::new(&[("DOWNLINK", Left), ("RECEIVED", Right), ("BYTES", Right), ("GIVEN UP", Right)]);
    for (name, downlink) in &cloud.downlinks {
        table.row([
            Cell::from(name),
            units::count(downlink.received).into(),
            units::bytes(downlink.bytes).into(),
            units::count(downlink.given_up).into(),
        ]);
    }
    table
}
