//! `cargo xtask VERB`: the repository's own chores, the same on every machine and in every pipeline.
//!
//! This file is the table of verbs and nothing else; what a verb does stands in the module of its name. No verb is part
//! of the product, and only `models` changes files that git tracks.

mod bench;
mod bomb;
mod demo;
mod guests;
mod languages;
mod models;
mod mutants;
mod process;
mod python;
mod setup;
mod test;
mod tidy;
#[path = "../../host/cli/src/build/toolchain.rs"]
mod toolchain;

use std::process::ExitCode;

use anyhow::Result;

/// A chore: its name, its arguments and purpose for people, and what it runs.
struct Verb {
    name: &'static str,
    arguments: &'static str,
    purpose: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const VERBS: &[Verb] = &[
    Verb {
        name: "demo",
        arguments: "[--seconds N]",
        purpose: "build everything and run the cold-room scenario; Ctrl-C ends it",
        run: demo::run_verb,
    },
    Verb {
        name: "test",
        arguments: "[--long] [--rounds N] [--seed S]",
        purpose: "everything that a change has to pass; --long adds other languages and more rounds",
        run: test::run_verb,
    },
    Verb {
        name: "bench",
        arguments: "[NAME…] [--json FILE]",
        purpose: "measure against the budgets: dispatch, fan-out, start, footprint, isolation",
        run: bench::run_verb,
    },
    Verb {
        name: "mutants",
        arguments: "[NAME…]",
        purpose: "break the code on purpose, one line at a time, and see that the suite notices",
        run: mutants::run_verb,
    },
    Verb { name: "tidy", arguments: "", purpose: "check the house rules that no lint knows", run: tidy::run_verb },
    Verb {
        name: "setup",
        arguments: "",
        purpose: "install what building and testing needs and this machine lacks",
        run: setup::run_verb,
    },
    Verb {
        name: "guests",
        arguments: "[--languages]",
        purpose: "build every component and fixture; with --languages those in Python, JavaScript and C, too",
        run: guests::run_verb,
    },
    Verb {
        name: "models",
        arguments: "[--check]",
        purpose: "make the models that are checked in; with --check only look whether they still come out the same",
        run: models::run_verb,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        print!("{}", help());
        return ExitCode::SUCCESS;
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(verb) = VERBS.iter().find(|verb| verb.name == name) else {
        eprint!("there is no verb `{name}`\n\n{}", help());
        return ExitCode::from(64);
    };
    match (verb.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let width = VERBS.iter().map(|verb| verb.name.len() + verb.arguments.len()).max().unwrap_or_default() + 1;
    let line = |verb: &Verb| format!("  {:width$}  {}\n", format!("{} {}", verb.name, verb.arguments), verb.purpose);
    format!("cargo xtask VERB\n\n{}", VERBS.iter().map(line).collect::<String>())
}
