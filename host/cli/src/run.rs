//! `edgewit run`: the gateway itself, until it is told to end.
//!
//! Everything about it happens in the gateway's crate; here it is started, and people are told with what.

use std::path::{Path, PathBuf};

use edgewit_domain::config::Config;
use edgewit_gateway::{Gateway, Options, StartError, WorkerCommand};

use crate::connect;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, safe};

/// Run the gateway
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit run --config /etc/edgewit/edgewit.toml --dev

SIGTERM and SIGINT end it in good order, SIGHUP reads the configuration again. It opens \
no port unless the configuration says so; `edgewit ps` and the other verbs speak to its control socket.")]
pub struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = connect::CONFIG)]
    config: PathBuf,
    /// Accept unsigned components from local files; for development only
    #[arg(long)]
    dev: bool,
}

pub fn run(args: &Args) -> Outcome {
    connect::read(&args.config)?;
    let (config, dev) = (args.config.clone(), args.dev);
    let options = Options { config, dev, worker: WorkerCommand::this_binary(), log: true };
    let gateway = Gateway::start(options).map_err(explain)?;
    let running = gateway.config();
    let metrics = gateway.metrics_address().map(|address| format!("http://{address}/metrics"));
    // A gateway runs on where nobody reads what it started with.
    let _ = output::print(&announce(&args.config, &running, metrics, dev));
    gateway.wait();
    Ok(Exit::Ok)
}

fn explain(error: StartError) -> anyhow::Error {
    let failure = Failure::new(Exit::Gateway(error.exit_code()), error.to_string(), "");
    anyhow::Error::new(error).context(failure)
}

/// What it started with, a line each.
fn announce(file: &Path, config: &Config, metrics: Option<String>, dev: bool) -> String {
    let names = config.components.values().map(|component| {
        if component.enabled { component.name.to_string() } else { format!("{} (not enabled)", component.name) }
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut text = format!("edgewit {} runs gateway {}\n", env!("CARGO_PKG_VERSION"), safe(&config.gateway.thing));
    let mut line = |name: &str, value: &str| text.push_str(&format!("  {name:13}  {}\n", safe(value)));
    line("configuration", &file.display().to_string());
    line("control", &folder.join(&config.gateway.control).display().to_string());
    line("metrics", metrics.as_deref().unwrap_or("none: add [metrics] to the configuration"));
    line("components", if names.is_empty() { "none: add a [component.NAME] to the configuration" } else { &names });
    if dev {
        line("--dev", "unsigned components run; not for production");
    }
    text
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn people_are_told_what_runs() {
        let text = "schema = 1\n[gateway]\nthing = \"gw\"\ndata = \"data\"\n\
                    [component.average]\nartifact = \"a.wasm\"\n\
                    [component.spare]\nartifact = \"a.wasm\"\nenabled = false\n";
        let config = Config::parse(text).unwrap();
        expect![[r#"
            edgewit 0.1.0 runs gateway gw
              configuration  /etc/edgewit.toml
              control        /etc/data/control.sock
              metrics        none: add [metrics] to the configuration
              components     average, spare (not enabled)
              --dev          unsigned components run; not for production
        "#]]
        .assert_eq(&announce(Path::new("/etc/edgewit.toml"), &config, None, true));
    }
}
