//! `edgewit`: the one binary. This file is the table of its verbs; each verb has a file of its own.
//!
//! Here arguments are read and text is printed, and nothing is decided: what a verb does happens in the gateway, the
//! sandbox and the domain. The compiler of components runs as a child of this same binary under hard limits, so
//! that verb is taken first, before anything else has had a chance to allocate or open something.

mod build;
mod check;
mod cloud;
mod completions;
mod connect;
mod dead;
mod doctor;
mod exit;
mod inspect;
mod lifecycle;
mod logs;
mod man;
mod model;
mod new;
mod output;
mod ps;
mod publish;
mod queue;
mod reload;
mod run;
mod shadow;
mod status;
mod store;
mod subscribe;
mod table;
mod top;
mod trial;
mod units;

use std::process::ExitCode;

use clap::Parser;

use exit::Outcome;

/// Runs sandboxed WebAssembly components on an IoT gateway
#[derive(Parser, Debug)]
#[command(name = "edgewit", version, max_term_width = 100, arg_required_else_help = true, after_help = exit::codes())]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand, Debug)]
enum Verb {
    Run(run::Args),
    Check(check::Args),
    Ps(ps::Args),
    Top(top::Args),
    Logs(logs::Args),
    #[command(name = "pub")]
    Publish(publish::Args),
    #[command(name = "sub")]
    Subscribe(subscribe::Args),
    Cloud(cloud::Args),
    Queue(queue::Args),
    Dead(dead::Args),
    Shadow(shadow::Args),
    Model(model::Args),
    Store(store::Args),
    Restart(lifecycle::Restart),
    Stop(lifecycle::Stop),
    Start(lifecycle::Start),
    Reload(reload::Args),
    Try(trial::Args),
    New(new::Args),
    Build(build::Args),
    Inspect(inspect::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
}

impl Verb {
    fn execute(&self) -> Outcome {
        match self {
            Verb::Run(args) => run::run(args),
            Verb::Check(args) => check::check(args),
            Verb::Ps(args) => ps::ps(args),
            Verb::Top(args) => top::top(args),
            Verb::Logs(args) => logs::logs(args),
            Verb::Publish(args) => publish::publish(args),
            Verb::Subscribe(args) => subscribe::subscribe(args),
            Verb::Cloud(args) => cloud::cloud(args),
            Verb::Queue(args) => queue::queue(args),
            Verb::Dead(args) => dead::dead(args),
            Verb::Shadow(args) => shadow::shadow(args),
            Verb::Model(args) => model::model(args),
            Verb::Store(args) => store::store(args),
            Verb::Restart(args) => lifecycle::restart(args),
            Verb::Stop(args) => lifecycle::stop(args),
            Verb::Start(args) => lifecycle::start(args),
            Verb::Reload(args) => reload::reload(args),
            Verb::Try(args) => trial::trial(args),
            Verb::New(args) => new::new(args),
            Verb::Build(args) => build::build(args),
            Verb::Inspect(args) => inspect::inspect(args),
            Verb::Doctor(args) => doctor::doctor(args),
            Verb::Completions(args) => completions::completions(args),
            Verb::Man(args) => man::man(args),
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|verb| verb == "worker") {
        match arguments.next().as_deref().and_then(|work| work.to_str()) {
            Some("compile") => return edgewit_sandbox::worker::main(),
            Some("infer") => return edgewit_inference::worker::main(),
            _ => {}
        }
    }
    match Cli::parse().verb.execute() {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error).into(),
    }
}
