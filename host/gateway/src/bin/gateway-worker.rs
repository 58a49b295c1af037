//! What this crate's tests start as a process of its own, since they have no `edgewit` at hand: the compiling child,
//! a gateway, and someone who asks one. It is no part of what is shipped.

use std::path::Path;
use std::process::ExitCode;

use edgewit_domain::control::Command;
use edgewit_gateway::control::Client;
use edgewit_gateway::{Options, WorkerCommand};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["run", config] => run(config),
        ["ask", socket] => ask(Path::new(socket)),
        ["infer"] => edgewit_inference::worker::main(),
        _ => edgewit_sandbox::worker::main(),
    }
}

fn run(config: &str) -> ExitCode {
    let worker = WorkerCommand { program: "/proc/self/exe".into(), args: Vec::new() };
    match edgewit_gateway::run(Options { config: config.into(), dev: true, worker, log: true }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn ask(socket: &Path) -> ExitCode {
    let reply = Client::connect(socket).and_then(|mut client| client.ask(&Command::Status));
    match reply {
        Ok(reply) => println!("{reply:?}"),
        Err(error) => println!("{error}"),
    }
    ExitCode::SUCCESS
}
