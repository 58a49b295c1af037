//! A backlog in an uplink's queue, sent through a real broker with TLS once there is a connection.
//!
//! The gateway deletes each row when it is acknowledged, on disk; the bare publisher has nothing to delete.

use std::time::Duration;

use anyhow::{Result, ensure};
use edgewit_domain::control::LinkState;
use edgewit_store::Kind;

use crate::bed::Folder;
use crate::broker::Broker;
use crate::figure::{Budget, Figure};
use crate::store::{AWAY, ENDLESS, PAYLOAD, fill, roomy, until, uplink_queued};

const ROUNDS: usize = 3;
const MESSAGES: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(300);

pub fn run() -> Result<Vec<Figure>> {
    let (sqlite, sled) = (rounds(Kind::Sqlite)?, rounds(Kind::Sled)?);
    Ok(vec![
        Figure::beside("drain: 100,000 through TLS", "msg/s", &sqlite, Budget::Share(0.8)),
        Figure::beside("drain: sled, 100,000 through TLS", "msg/s", &sled, Budget::None),
    ])
}

fn rounds(kind: Kind) -> Result<Vec<(f64, f64)>> {
    let folder = Folder::new("")?;
    let broker = Broker::start(folder.path())?;
    let rule = format!("[uplink.up]\nfilter = \"up/#\"\nformat = \"raw\"\n{ENDLESS}");
    let rate = |took: Duration| MESSAGES as f64 / took.as_secs_f64();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        folder.configure(&format!("{}{AWAY}{rule}", roomy(kind)))?;
        let gateway = folder.start()?;
        fill(&gateway, "up/backlog", MESSAGES)?;
        gateway.shutdown();
        folder.configure(&format!("{}{}{rule}", roomy(kind), broker.cloud()))?;
        let gateway = folder.start()?;
        let connected = until(&gateway, PATIENCE, |status| {
            status.clouds.values().any(|cloud| matches!(cloud.state, LinkState::Connected { .. }))
        })?;
        let drained = until(&gateway, PATIENCE, |status| uplink_queued(status) == 0)?;
        gateway.shutdown();
        let bare = broker.take("up/backlog", &PAYLOAD, MESSAGES)?;
        ensure!(drained > connected, "it was drained before it was connected");
        rounds.push((rate(drained - connected), rate(bare)));
    }
    Ok(rounds)
}
