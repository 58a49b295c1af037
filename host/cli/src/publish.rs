//! `edgewit pub`: one message into the hub, as the operator.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;

use anyhow::Context;
use edgewit_domain::control::Command;
use edgewit_domain::limits::MESSAGE_BYTES;
use edgewit_domain::message::Qos;

use crate::connect::Gateway;
use crate::exit::{Exit, Failure, Outcome};

/// Publish a message
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit pub sensors/a/temperature '{\"celsius\": 9.5}'
  edgewit pub --qos 1 --retain config/interval - < interval.txt")]
pub struct Args {
    #[command(flatten)]
    gateway: Gateway,
    /// Where to; no wildcards
    topic: String,
    /// What, as it is; `-` reads it from standard input
    #[arg(allow_hyphen_values = true)]
    payload: OsString,
    /// 0: at most once; 1: at least once, wherever a durable queue waits for it
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=1))]
    qos: u8,
    /// Keep it as the topic's last word
    #[arg(long)]
    retain: bool,
}

pub fn publish(args: &Args) -> Outcome {
    let payload = if args.payload == "-" { read_stdin()? } else { args.payload.clone().into_vec() };
    let qos = if args.qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
    let topic = args.topic.clone();
    args.gateway.tell(&Command::Publish { topic, payload, qos, retain: args.retain })?;
    Ok(Exit::Ok)
}

fn read_stdin() -> anyhow::Result<Vec<u8>> {
    let mut payload = Vec::new();
    let bound = MESSAGE_BYTES as u64 + 1;
    std::io::stdin().lock().take(bound).read_to_end(&mut payload).context("cannot read standard input")?;
    if payload.len() > MESSAGE_BYTES {
        let what = format!("standard input is larger than a message may be ({} KiB)", MESSAGE_BYTES / 1024);
        return Err(Failure::failed(what, "send it in parts").into());
    }
    Ok(payload)
}
