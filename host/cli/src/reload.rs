//! `edgewit reload`: the configuration read again, and only what changed is changed.

use edgewit_domain::control::{Command, NotTaken, Reloaded, Reply};

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Format, safe};

/// Read the configuration again and change only what changed
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit check && edgewit reload

Waits until every changed component runs as it should and every changed model has been loaded, and
ends with 1 if one does not: where the new form cannot start, the old one stays. A configuration
with mistakes changes nothing. SIGHUP to the gateway does the same, and says it in the log.")]
pub struct Args {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    format: Format,
}

pub fn reload(args: &Args) -> Outcome {
    for reply in args.gateway.follow(&Command::Reload)? {
        match reply? {
            Reply::Reloading { waiting } => output::note(&format!("waits for {}", listed(&waiting))),
            Reply::Reloaded(reloaded) => return show(&reloaded, args.format),
            other => return Err(connect::unexpected(&other)),
        }
    }
    let what = "the gateway ended before the reload did";
    Err(Failure::new(Exit::Unavailable, what, "start it: it reads the configuration as it is then").into())
}

fn show(reloaded: &Reloaded, format: Format) -> Outcome {
    if format.json {
        output::document(reloaded)?;
    } else {
        output::print(&render(reloaded))?;
    }
    let good = reloaded.failed.is_empty() && reloaded.models_failed.is_empty();
    Ok(if good { Exit::Ok } else { Exit::Failed })
}

fn render(reloaded: &Reloaded) -> String {
    let mut text = String::new();
    let parts = [
        ("added", &reloaded.added),
        ("removed", &reloaded.removed),
        ("changed", &reloaded.changed),
        ("models", &reloaded.models),
        ("settings", &reloaded.settings),
    ];
    for (word, names) in parts {
        if !names.is_empty() {
            text.push_str(&format!("{word} {}\n", listed(names)));
        }
    }
    let components = reloaded.failed.iter().map(|(name, why)| (safe(name), "does not run", why));
    let models = reloaded.models_failed.iter().map(|(name, why)| (format!("model.{}", safe(name)), "not loaded", why));
    for (name, missing, NotTaken { reason, old_stays }) in components.chain(models) {
        let what = match *old_stays {
            true => format!("not changed: {name} (the old one stays)"),
            false => format!("{missing}: {name}"),
        };
        text.push_str(&format!("{what}: {}\n", output::safe_lines(reason).replace('\n', "\n  ")));
    }
    if !reloaded.needs_restart.is_empty() {
        text.push_str(&format!("needs a restart of the gateway: {}\n", listed(&reloaded.needs_restart)));
    }
    if text.is_empty() { "nothing changed\n".to_owned() } else { text }
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| safe(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_named() {
        assert_eq!(render(&Reloaded::default()), "nothing changed\n");
        let reloaded = Reloaded {
            added: vec!["a".into(), "b".into()],
            settings: vec!["cloud.main".into()],
            needs_restart: vec!["gateway.data".into()],
            ..Reloaded::default()
        };
        assert_eq!(
            render(&reloaded),
            "added a, b\nsettings cloud.main\nneeds a restart of the gateway: gateway.data\n"
        );
    }

    #[test]
    fn what_failed_is_named_with_its_reason() {
        let why = |reason: &str, old_stays| NotTaken { reason: reason.into(), old_stays };
        let failed = [("average", why("init failed: no\nso it is", true)), ("valve", why("no file \u{1b}[2J", false))];
        let failed = failed.map(|(name, why)| (name.to_owned(), why)).into();
        let models_failed =
            [("anomaly".to_owned(), why("no file", false)), ("detect".to_owned(), why("bad", true))].into();
        let expected = "changed a\nmodels other\nnot changed: average (the old one stays): init failed: no\n  so it is\n\
                        does not run: valve: no file \\u{1b}[2J\n\
                        not loaded: model.anomaly: no file\nnot changed: model.detect (the old one stays): bad\n";
        let (changed, models) = (vec!["a".into()], vec!["other".into()]);
        assert_eq!(render(&Reloaded { changed, models, failed, models_failed, ..Reloaded::default() }), expected);
    }
}
