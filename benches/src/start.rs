//! How long until a gateway that was just started has handled its first message.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use edgewit_domain::control::{Command, Reply};
use edgewit_domain::message::Qos;

use crate::bed::{Folder, components};
use crate::figure::{Budget, Figure, median};

const ROUNDS: usize = 9;

pub fn run() -> Result<Vec<Figure>> {
    let folder = Folder::new(&components(10)?)?;
    let cold = first_message(&folder)?;
    let warm = (0..ROUNDS).map(|_| first_message(&folder)).collect::<Result<Vec<_>>>()?;
    Ok(vec![
        Figure::alone("start: ten cached components", median(warm.into_iter()), "ms", Budget::Value(150.0)),
        Figure::alone("start: ten components, empty cache", cold, "ms", Budget::None),
    ])
}

/// Milliseconds from the start of the process to the answer of the last of its ten components.
fn first_message(folder: &Folder) -> Result<f64> {
    let started = Instant::now();
    let process = folder.spawn()?;
    let subscribe = Command::Subscribe { filters: vec!["out".into()] };
    let mut answers = process.connect()?.follow(&subscribe)?;
    let mut asker = process.connect()?;
    let publish = Command::Publish { topic: "in".into(), payload: b"x".into(), qos: Qos::AtMostOnce, retain: false };
    match asker.ask(&publish)? {
        Reply::Done => {}
        other => bail!("{other:?}"),
    }
    loop {
        match answers.next().context("the gateway hung up")?? {
            Reply::Message(_) => return Ok(started.elapsed().as_secs_f64() * 1e3),
            Reply::Done => {}
            other => bail!("{other:?}"),
        }
    }
}
