//! `cargo xtask test`: everything that a change has to pass, in the order in which it is cheapest to fail.
//!
//! Each step says what it shows and how long it took. The suite runs under a limit on address space, because the
//! gateway has to fit machines where it is scarce. Nothing is skipped in silence: what this machine cannot check is
//! said at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, root, run, say, succeeds};
use crate::{demo, guests, languages, setup, tidy};

/// Address space for the tests, in KiB. The defaults of wasmtime alone would take a thousand times as much.
const ADDRESS_SPACE_KIB: u64 = 8_000_000;

/// What `.cargo/config.toml` says, and proptest.
const USUAL_SEED: u64 = 1;
const USUAL_ROUNDS: u64 = 256;
const LONG_ROUNDS: u64 = 10_000;

struct Options {
    long: bool,
    rounds: Option<u64>,
    seed: Option<u64>,
}

struct Step {
    name: &'static str,
    run: fn(&Options) -> Result<Outcome>,
}

enum Outcome {
    Passed,
    /// Not checked here, and why.
    NotHere(String),
}

const STEPS: &[Step] = &[
    Step { name: "tools are there", run: |_| setup::run_verb(&[]).map(passed) },
    Step { name: "the code is formatted", run: |_| formatted().map(passed) },
    Step { name: "the house rules hold", run: |_| tidy::run_verb(&[]).map(passed) },
    Step { name: "dependencies are permitted", run: |_| permitted() },
    Step { name: "guests build", run: |_| guests::build().map(|_| Outcome::Passed) },
    Step { name: "no lint complains", run: |_| linted().map(passed) },
    Step { name: "components pass their tests", run: |_| components().map(passed) },
    Step { name: "host and SDK pass their tests", run: |options| host(options).map(passed) },
    Step {
        name: "the demo shows what it says",
        run: |_| demo::run_verb(&["--seconds", "26"].map(str::to_owned)).map(passed),
    },
    Step { name: "the documentation's examples compile", run: |_| examples().map(passed) },
    Step { name: "guests in other languages run", run: other_languages },
];

fn passed((): ()) -> Outcome {
    Outcome::Passed
}

pub fn run_verb(arguments: &[String]) -> Result<()> {
    let options = parse(arguments)?;
    let mut report = Vec::new();
    for step in STEPS {
        say(format!("{} …", step.name));
        let started = Instant::now();
        let outcome = (step.run)(&options).with_context(|| format!("not shown: {}", step.name))?;
        report.push((step.name, outcome, started.elapsed()));
    }
    println!("\n{}", report.iter().map(line).collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn line((name, outcome, took): &(&str, Outcome, Duration)) -> String {
    match outcome {
        Outcome::Passed => format!("ok        {name} ({:.0} s)", took.as_secs_f64()),
        Outcome::NotHere(why) => format!("not here  {name}: {why}"),
    }
}

fn parse(arguments: &[String]) -> Result<Options> {
    let mut options = Options { long: false, rounds: None, seed: None };
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|value| value.parse().ok()).with_context(|| format!("{word} N"));
        match word.as_str() {
            "--long" => options.long = true,
            "--rounds" => options.rounds = Some(number()?),
            "--seed" => options.seed = Some(number()?),
            _ => bail!("`test` takes --long, --rounds N and --seed S, not {word}"),
        }
    }
    Ok(options)
}

fn formatted() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]).current_dir(root()))?;
    run(cargo().args(["fmt", "--all", "--check"]).current_dir(root().join("components")))
}

fn permitted() -> Result<Outcome> {
    let mut known = vec!["check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
    let database = succeeds(cargo().args(["deny", "--offline", "check", "advisories"]).current_dir(root()));
    if database {
        known.push("advisories");
    }
    run(cargo().arg("deny").args(known).current_dir(root()))?;
    if !database {
        say("the advisory database cannot be had here: advisories were not checked");
    }
    Ok(Outcome::Passed)
}

fn linted() -> Result<()> {
    let lint = ["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
    run(cargo().args(lint).current_dir(root()))?;
    run(cargo().args(lint).current_dir(root().join("components")).env("CARGO_TARGET_DIR", native_target()))
}

fn components() -> Result<()> {
    let components = root().join("components");
    run(cargo()
        .args(["nextest", "run", "--workspace", "--locked"])
        .current_dir(components)
        .env("CARGO_TARGET_DIR", native_target()))
}

/// Components built for this machine, apart from their builds for the gateway.
fn native_target() -> std::path::PathBuf {
    root().join("target").join("components")
}

fn host(options: &Options) -> Result<()> {
    run(cargo().args(["build", "--workspace", "--all-targets", "--locked"]).current_dir(root()))?;
    let limited = format!("ulimit -v {ADDRESS_SPACE_KIB} && exec \"$@\"");
    let mut tests = Command::new("sh");
    tests.args(["-c", &limited, "sh"]).arg(cargo().get_program());
    tests.args(["nextest", "run", "--workspace", "--locked"]).current_dir(root());
    let rounds = options.rounds.or(options.long.then_some(LONG_ROUNDS));
    if let Some(rounds) = rounds {
        tests.env("PROPTEST_CASES", rounds.to_string());
        // Many rounds are no hanging.
        tests.args(["--profile", "long"]);
    }
    if let Some(seed) = options.seed {
        tests.env("PROPTEST_RNG_SEED", seed.to_string());
    }
    say(format!(
        "properties: seed {}, {} rounds each",
        options.seed.unwrap_or(USUAL_SEED),
        rounds.unwrap_or(USUAL_ROUNDS)
    ));
    run(&mut tests)
}

fn examples() -> Result<()> {
    run(cargo().args(["test", "--doc", "--workspace", "--locked", "--quiet"]).current_dir(root()))
}

fn other_languages(options: &Options) -> Result<Outcome> {
    if !options.long {
        return Ok(Outcome::NotHere("only with --long".into()));
    }
    languages::run_all()?;
    Ok(Outcome::Passed)
}
