//! `edgewit model bench`: how fast a model of a configuration is on this machine.

use std::path::PathBuf;
use std::time::Duration;

use edgewit_domain::config::values::parse_duration;
use edgewit_domain::limits::MODEL_QUEUE;
use edgewit_gateway::WorkerCommand;
use edgewit_gateway::models::tools::{Asked, Bench, Figures, Until};

use crate::connect;
use crate::exit::{Exit, Outcome};
use crate::output::{self, Format, safe};
use crate::units;

/// Measure a model of a configuration on this machine
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  edgewit model bench anomaly
  edgewit model bench anomaly --config edgewit.toml --for 30s --threads 4
  edgewit model bench anomaly --count 1000 --seed 7 --json

Loads the model as a gateway would that is started with this configuration, and asks it again and again: with zeros, or \
with values that --seed chooses. No gateway has to run; one that does shares the machine. Times are those of whoever asks, \
waiting included: with more threads than instances requests wait. Ends with 1 if an inference failed.")]
pub struct Args {
    /// The model's name in the configuration
    name: String,
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = connect::CONFIG)]
    config: PathBuf,
    /// Go on for so long
    #[arg(long = "for", value_name = "TIME", default_value = "5s", value_parser = duration, conflicts_with = "count")]
    time: Duration,
    /// Ask so often instead
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Threads that ask at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MODEL_QUEUE.max))]
    threads: u64,
    /// Ask with values that this number chooses, instead of zeros
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Dimensions of an input that the model leaves open; each is 1 unless given
    #[arg(long, value_name = "NAME=1,64", value_parser = super::shape)]
    shape: Vec<(String, Vec<u32>)>,
    #[command(flatten)]
    format: Format,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

pub fn bench(args: &Args) -> Outcome {
    connect::read(&args.config)?;
    let loading = Bench::load(&args.config, &args.name, &WorkerCommand::this_binary());
    let bench = loading.map_err(super::explain)?;
    let asked = Asked {
        until: args.count.map_or(Until::Over(args.time), Until::Count),
        threads: args.threads,
        seed: args.seed,
        shapes: super::shapes(&args.shape),
    };
    let progress = |runs| output::note(&format!("{} so far", units::counted(runs, "inference")));
    let figures = bench.run(&asked, progress).map_err(super::explain)?;
    if args.format.json {
        output::document(&figures)?;
    } else {
        output::print(&render(&args.name, &figures))?;
    }
    Ok(if figures.failures == 0 { Exit::Ok } else { Exit::Failed })
}

fn render(name: &str, figures: &Figures) -> String {
    let mut text = format!(
        "{}: {} by {} at {} in {}\n\nloaded in  {}\nmean       {}\np50        {}\np99        {}\nmax        {}\na second   {}\n",
        safe(name),
        units::counted(figures.runs, "inference"),
        units::counted(figures.threads, "thread"),
        units::counted(figures.instances, "instance"),
        units::microseconds(figures.elapsed_us),
        units::microseconds(figures.load_us),
        units::microseconds(figures.mean_us),
        units::microseconds(figures.p50_us),
        units::microseconds(figures.p99_us),
        units::microseconds(figures.max_us),
        units::rate(figures.per_second),
    );
    if let Some(planned) = figures.planned_memory {
        text.push_str(&format!("memory     {}\n", units::bytes(planned)));
    }
    if let Some(failure) = &figures.failure {
        let failures = units::count(figures.failures);
        text.push_str(&format!("failed     {failures}, the first: {}\n", output::safe_lines(failure)));
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn figures_are_short_and_failures_are_told() {
        let figures = Figures {
            runs: 12_500,
            failures: 2,
            failure: Some("model `anomaly` took longer than 1s".into()),
            threads: 4,
            instances: 1,
            load_us: 41_000,
            elapsed_us: 5_000_000,
            mean_us: 390,
            p50_us: 380,
            p99_us: 1_200,
            max_us: 9_000,
            per_second: 2_500.0,
            planned_memory: Some(22_528),
        };
        expect![[r#"
            anomaly: 12,500 inferences by 4 threads at 1 instance in 5.0 s

            loaded in  41.0 ms
            mean       390 µs
            p50        380 µs
            p99        1.2 ms
            max        9.0 ms
            a second   2,500
            memory     22.0 KiB
            failed     2, the first: model `anomaly` took longer than 1s
        "#]]
        .assert_eq(&render("anomaly", &figures));
    }
}
