//! `edgewit model inspect`: what a model file wants, gives and takes, before anyone configures it.

use std::path::PathBuf;

use clap::ValueEnum;
use edgewit_domain::config::{Backend, Precision, Provider};
use edgewit_gateway::WorkerCommand;
use edgewit_gateway::models::tools::{self, Inspection, Subject};

use crate::exit::{Exit, Outcome};
use crate::output::{self, Format, Look, Tone, safe};
use crate::units;

/// Show what a model file wants, gives and takes
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit model inspect models/anomaly.onnx
  edgewit model inspect models/detect.onnx --shape image=1,3,640,640
  edgewit model inspect models/detect.onnx --backend onnxruntime --library /usr/lib/libonnxruntime.so

Where a model leaves dimensions of an input open, tract cannot plan its memory before they are given: here with --shape, \
in the configuration as [model.NAME.shapes]. Ends with 1 if the file is no model that the backend can compute.")]
pub struct Args {
    /// The model
    file: PathBuf,
    /// What is to compute it
    #[arg(long, value_enum, default_value = "tract")]
    backend: Chosen,
    /// Dimensions of an input that the model leaves open
    #[arg(long, value_name = "NAME=1,64", value_parser = super::shape)]
    shape: Vec<(String, Vec<u32>)>,
    /// The shared library of onnxruntime [default: where the system has it]
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Chosen {
    Tract,
    Onnxruntime,
}

pub fn inspect(args: &Args) -> Outcome {
    let backend = match args.backend {
        Chosen::Tract => Backend::Tract { precision: Precision::default() },
        Chosen::Onnxruntime => Backend::Onnxruntime { provider: Provider::default(), threads: 1 },
    };
    let subject =
        Subject { file: args.file.clone(), backend, shapes: super::shapes(&args.shape), library: args.library.clone() };
    let inspection = tools::inspect(&subject, &WorkerCommand::this_binary()).map_err(super::explain)?;
    if args.format.json {
        output::document(&inspection)?;
    } else {
        output::print(&render(&inspection, Look::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

fn render(inspection: &Inspection, look: Look) -> String {
    let mut text = format!(
        "{}  {} learned\nsha256:{}\n",
        look.paint(Tone::Strong, &safe(&inspection.file)),
        units::counted(inspection.parameters, "number"),
        safe(&inspection.digest)
    );
    for (head, ports) in [("inputs", &inspection.inputs), ("outputs", &inspection.outputs)] {
        text.push_str(&format!("\n{}\n", look.paint(Tone::Strong, head)));
        ports.iter().for_each(|port| text.push_str(&format!("  {}\n", safe(port))));
    }
    if let (Some(resting), Some(running)) = (inspection.resting_memory, inspection.running_memory) {
        let (resting, running) = (units::bytes(resting), units::bytes(running));
        let head = look.paint(Tone::Strong, "memory");
        text.push_str(&format!("\n{head}\n  {resting}, and {running} for each instance\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_model_is_shown_as_who_asks_it_has_to_see_it() {
        let inspection = Inspection {
            file: "anomaly.onnx".into(),
            digest: "ba78".into(),
            inputs: vec!["`x`: [1, 64] of f32".into()],
            outputs: vec!["`score`: [1, 1] of f32".into()],
            parameters: 4_417,
            resting_memory: Some(20_480),
            running_memory: Some(2_048),
        };
        expect![[r#"
            anomaly.onnx  4,417 numbers learned
            sha256:ba78

            inputs
              `x`: [1, 64] of f32

            outputs
              `score`: [1, 1] of f32

            memory
              20.0 KiB, and 2.0 KiB for each instance
        "#]]
        .assert_eq(&render(&inspection, Look::default()));
    }
}
