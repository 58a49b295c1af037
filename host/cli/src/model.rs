//! `edgewit model`: the models of a running gateway, and what a model is and takes without one.

mod bench;
mod inspect;

use std::collections::BTreeMap;

use edgewit_domain::control::{Command, ModelState, ModelStatus, Reply};
use edgewit_gateway::models::tools::ModelError;

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, Look, Tone, safe};
use crate::table::Align::{Left, Right};
use crate::table::{Cell, Table};
use crate::units;

/// Digits of a digest that people are shown.
const DIGEST_SHOWN: usize = 12;

/// Look into models: ls, inspect, bench
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit model ls
  edgewit model inspect models/anomaly.onnx
  edgewit model inspect models/detect.onnx --shape image=1,3,640,640
  edgewit model bench anomaly --config edgewit.toml --for 10s

A model is a file of the configuration, [model.NAME], loaded once for all components that are granted it. `ls` asks the \
running gateway; `inspect` and `bench` need none, and load a model in the same way as a gateway does: first in a child \
process that holds nothing.")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    /// List the models of the running gateway: state, requests, times, memory
    #[command(visible_alias = "list")]
    Ls {
        #[command(flatten)]
        gateway: Gateway,
        #[command(flatten)]
        format: Format,
    },
    Inspect(inspect::Args),
    Bench(bench::Args),
}

pub fn model(args: &Args) -> Outcome {
    match &args.verb {
        Verb::Ls { gateway, format } => list(gateway, *format),
        Verb::Inspect(args) => inspect::inspect(args),
        Verb::Bench(args) => bench::bench(args),
    }
}

fn list(gateway: &Gateway, format: Format) -> Outcome {
    let status = match gateway.ask(&Command::Status)? {
        Reply::Status(status) => status,
        other => return Err(connect::unexpected(&other)),
    };
    if format.json {
        output::document(&status.models)?;
    } else {
        output::print(&render(&status.models, Look::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

fn render(models: &BTreeMap<String, ModelStatus>, look: Look) -> String {
    if models.is_empty() {
        return "no models: add a [model.NAME] to the configuration and `edgewit reload`\n".to_owned();
    }
    let mut table = Table::new(&[
        ("MODEL", Left),
        ("BACKEND", Left),
        ("STATE", Left),
        ("DIGEST", Left),
        ("INSTANCES", Right),
        ("WAITING", Right),
        ("RUNS", Right),
        ("FAILED", Right),
        ("REFUSED", Right),
        ("MEAN", Right),
        ("MEMORY", Right),
    ]);
    for (name, model) in models {
        let tone = match model.state {
            ModelState::Loading => Tone::Warn,
            ModelState::Ready => Tone::Good,
            ModelState::Failed { .. } => Tone::Bad,
        };
        table.row([
            Cell::from(name),
            Cell::from(&model.backend),
            Cell::toned(tone, model.state.word()),
            shown_or_none(model.digest.get(..DIGEST_SHOWN).map(str::to_owned)),
            units::count(model.instances).into(),
            units::count(model.waiting).into(),
            units::count(model.runs).into(),
            units::count(model.failures).into(),
            units::count(model.refused).into(),
            shown_or_none(mean(model).map(units::microseconds)),
            shown_or_none(model.planned_memory.map(units::bytes)),
        ]);
    }
    let mut text = table.render(look);
    for (name, model) in models {
        let trouble = match (&model.state, &model.older) {
            (ModelState::Failed { reason }, _) => format!("{}: {}", safe(name), output::safe_lines(reason)),
            (_, Some(older)) => format!("{} (an older one answers): {}", safe(name), output::safe_lines(older)),
            _ => continue,
        };
        text.push_str(&format!("\n{}\n", trouble.replace('\n', "\n  ")));
    }
    text
}

/// Of one inference that ended well.
fn mean(model: &ModelStatus) -> Option<u64> {
    model.computing_us.checked_div(model.runs)
}

fn shown_or_none(text: Option<String>) -> Cell {
    text.unwrap_or_else(|| "–".to_owned()).into()
}

fn explain(error: ModelError) -> anyhow::Error {
    let exit = match &error {
        ModelError::Configuration { .. } => Exit::Configuration,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, error.to_string(), "");
    anyhow::Error::new(error).context(failure)
}

/// `NAME=1,64`, for `--shape`.
fn shape(text: &str) -> Result<(String, Vec<u32>), String> {
    let wrong = || "write it as NAME=1,64: an input's name, and its dimensions from 1 on".to_owned();
    let (name, dimensions) = text.rsplit_once('=').ok_or_else(wrong)?;
    let dimension = |text: &str| text.trim().parse().ok().filter(|size| *size > 0).ok_or_else(wrong);
    Ok((name.to_owned(), dimensions.split(',').map(dimension).collect::<Result<_, _>>()?))
}

fn shapes(given: &[(String, Vec<u32>)]) -> BTreeMap<std::sync::Arc<str>, Vec<u32>> {
    given.iter().map(|(name, shape)| (name.as_str().into(), shape.clone())).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn status(state: ModelState) -> ModelStatus {
        ModelStatus {
            state,
            backend: "tract".into(),
            file: "anomaly.onnx".into(),
            digest: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into(),
            instances: 2,
            waiting: 1,
            runs: 1200,
            failures: 3,
            refused: 1,
            computing_us: 1_200_000,
            planned_memory: Some(1_572_864),
            older: None,
        }
    }

    #[test]
    fn models_are_listed_with_what_is_wrong_below() {
        let failed = ModelStatus {
            digest: String::new(),
            runs: 0,
            planned_memory: None,
            ..status(ModelState::Failed { reason: "models/gone.onnx cannot be read: \u{1b}[2J".into() })
        };
        let older = ModelStatus { older: Some("it is no model".into()), ..status(ModelState::Ready) };
        let models = [("anomaly", status(ModelState::Ready)), ("detect", older), ("gone", failed)];
        let models = models.map(|(name, status)| (name.to_owned(), status)).into();
        expect![[r#"
            MODEL    BACKEND  STATE   DIGEST        INSTANCES  WAITING   RUNS  FAILED  REFUSED    MEAN   MEMORY
            anomaly  tract    ready   ba7816bf8f01          2        1  1,200       3        1  1.0 ms  1.5 MiB
            detect   tract    ready   ba7816bf8f01          2        1  1,200       3        1  1.0 ms  1.5 MiB
            gone     tract    failed  –                     2        1      0       3        1       –        –

            detect (an older one answers): it is no model

            gone: models/gone.onnx cannot be read: \u{1b}[2J
        "#]]
        .assert_eq(&render(&models, Look::default()));
        assert!(render(&BTreeMap::new(), Look::default()).starts_with("no models: "));
    }

    #[test]
    fn a_shape_is_a_name_and_dimensions() {
        assert_eq!(shape("x=1, 64"), Ok(("x".to_owned(), vec![1, 64])));
        assert_eq!(shape("serving_default:x=0=2"), Ok(("serving_default:x=0".to_owned(), vec![2])));
        for text in ["x", "x=", "x=0", "x=-1", "x=a", "x=1,,2"] {
            assert!(shape(text).is_err(), "{text}");
        }
    }
}
