//! `edgewit reload`: the configuration read again, and only what changed is changed.

use edgewit_domain::control::{Command, Reloaded, Reply};

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Outcome};
use crate::output::{self, Format, safe};

/// Read the configuration again and change only what changed
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit check && edgewit reload

A configuration with mistakes changes nothing. SIGHUP to the gateway does the same.")]
pub struct Args {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    format: Format,
}

pub fn reload(args: &Args) -> Outcome {
    let reloaded = match args.gateway.ask(&Command::Reload)? {
        Reply::Reloaded(reloaded) => reloaded,
        other => return Err(connect::unexpected(&other)),
    };
    if args.format.json {
        output::document(&reloaded)?;
    } else {
        output::print(&render(&reloaded))?;
    }
    Ok(Exit::Ok)
}

fn render(reloaded: &Reloaded) -> String {
    let mut text = String::new();
    let parts = [
        ("added", &reloaded.added),
        ("removed", &reloaded.removed),
        ("changed", &reloaded.changed),
        ("needs a restart of the gateway:", &reloaded.needs_restart),
    ];
    for (word, names) in parts {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| safe(name)).collect();
            text.push_str(&format!("{word} {}\n", names.join(", ")));
        }
    }
    if text.is_empty() { "nothing changed\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_named() {
        assert_eq!(render(&Reloaded::default()), "nothing changed\n");
        let reloaded = Reloaded {
            added: vec!["a".into(), "b".into()],
            needs_restart: vec!["gateway.data".into()],
            ..Reloaded::default()
        };
        assert_eq!(render(&reloaded), "added a, b\nneeds a restart of the gateway: gateway.data\n");
    }
}
