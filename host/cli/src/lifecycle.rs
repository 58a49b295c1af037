//! `edgewit restart`, `stop` and `start`: what an operator does to one component.

use edgewit_domain::control::Command;

use crate::connect::Gateway;
use crate::exit::{Exit, Outcome};
use crate::output;

/// Throw a component's instance away and start afresh; lifts a quarantine
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit restart average")]
pub struct Restart {
    #[command(flatten)]
    gateway: Gateway,
    /// Its name in the configuration
    component: String,
}

/// Stop a component until it is started again
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit stop average

It stays stopped until `edgewit start` or a restart of the gateway. To keep it from running for good, write \
`enabled = false` under its [component.NAME] and `edgewit reload`.")]
pub struct Stop {
    #[command(flatten)]
    gateway: Gateway,
    /// Its name in the configuration
    component: String,
}

/// Start a component that was stopped or is not enabled
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit start average")]
pub struct Start {
    #[command(flatten)]
    gateway: Gateway,
    /// Its name in the configuration
    component: String,
}

pub fn restart(args: &Restart) -> Outcome {
    let component = args.component.clone();
    tell(&args.gateway, &Command::Restart { component }, "restarted", &args.component)
}

pub fn stop(args: &Stop) -> Outcome {
    let component = args.component.clone();
    tell(&args.gateway, &Command::Stop { component }, "stopped", &args.component)
}

pub fn start(args: &Start) -> Outcome {
    let component = args.component.clone();
    tell(&args.gateway, &Command::Start { component }, "started", &args.component)
}

fn tell(gateway: &Gateway, command: &Command, done: &str, component: &str) -> Outcome {
    gateway.tell(command)?;
    output::line(&format!("{done} {}", output::safe(component)))?;
    Ok(Exit::Ok)
}
