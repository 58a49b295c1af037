//! `cargo xtask bench [NAME…]`: what the gateway costs, each figure beside its baseline in the same run.
//!
//! Machines are noisy, so nothing here is an absolute promise: a budget is a ratio (or a number of bytes), taken over
//! rounds in which figure and baseline take turns, and the median decides. Each figure is one line; a missed budget is
//! exit status 1.

mod backlog;
mod bed;
mod broker;
mod chain;
mod churn;
mod dispatch;
mod drain;
mod durable;
mod fanout;
mod figure;
mod footprint;
mod inference;
mod isolation;
mod machine;
mod raw;
mod reconcile;
mod shadow;
mod start;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use figure::Figure;

type Bench = (&'static str, &'static str, fn() -> Result<Vec<Figure>>);

const BENCHES: &[Bench] = &[
    ("dispatch", "a message through a component, against a bare wasmtime call and a native closure", dispatch::run),
    ("fan-out", "one publish to 1,000 readers, and routing among 100,000 filters", fanout::run),
    ("start", "process start to the first message handled, ten components", start::run),
    ("footprint", "memory of ten and of a hundred idle components", footprint::run),
    ("isolation", "a good component beside one that spins and one that floods", isolation::run),
    (
        "inference",
        "a model through a component, against the same model called directly, by both backends; beside others",
        inference::run,
    ),
    ("durable", "publishing what is kept, against the engine's bare transactions and a bare file", durable::run),
    (
        "chain",
        "durable through two components into an uplink's queue, against the same rows in the bare engine",
        chain::run,
    ),
    ("drain", "a backlog through a real broker with TLS, against a bare publisher with the same window", drain::run),
    ("backlog", "what a queue of a million messages costs a start, a publisher, and in memory", backlog::run),
    (
        "shadow",
        "an update of a device shadow, alone and until its answers are heard, against the bare engine; ten thousand in step with a cloud",
        shadow::run,
    ),
    ("churn", "how large the files get while two million messages go through a queue of a thousand", churn::run),
];

fn main() -> Result<ExitCode> {
    let (names, json) = arguments()?;
    if let Some(unknown) = names.iter().find(|name| BENCHES.iter().all(|(known, ..)| known != name)) {
        let known: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).collect();
        bail!("there is no bench `{unknown}`; there are {}", known.join(", "));
    }
    let mut figures = Vec::new();
    for (name, purpose, run) in BENCHES.iter().filter(|(name, ..)| names.is_empty() || names.iter().any(|n| n == name))
    {
        eprintln!("==> {name}: {purpose}");
        let taken = run().with_context(|| name.to_string())?;
        taken.iter().for_each(|figure| println!("{figure}"));
        figures.extend(taken);
    }
    if let Some(path) = json {
        std::fs::write(&path, serde_json::to_string_pretty(&figures)?).with_context(|| path.display().to_string())?;
    }
    let missed = figures.iter().filter(|figure| figure.is_missed()).count();
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn arguments() -> Result<(Vec<String>, Option<PathBuf>)> {
    let (mut names, mut json) = (Vec::new(), None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => json = Some(words.next().context("--json FILE")?.into()),
            _ => names.push(word),
        }
    }
    Ok((names, json))
}
