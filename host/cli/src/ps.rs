//! `edgewit ps`: every component, its state and its figures, once.

use edgewit_domain::control::{Command, ComponentStatus, Reply, Status};

use crate::connect::{self, Gateway};
use crate::exit::{Exit, Outcome};
use crate::output::{self, Format, Look, Tone, safe};
use crate::table::Align::{Left, Right};
use crate::table::{Cell, Table};
use crate::{status, units};

/// List the components: state, figures, last fault
#[derive(clap::Args, Debug)]
#[command(after_help = "Example:
  edgewit ps --config /etc/edgewit/edgewit.toml

The last column says why a component does not run, and how it last failed.")]
pub struct Args {
    #[command(flatten)]
    gateway: Gateway,
    #[command(flatten)]
    format: Format,
}

pub fn ps(args: &Args) -> Outcome {
    let status = match args.gateway.ask(&Command::Status)? {
        Reply::Status(status) => status,
        other => return Err(connect::unexpected(&other)),
    };
    if args.format.json {
        output::document(&status)?;
    } else {
        output::print(&render(&status, Look::of_stdout()))?;
    }
    Ok(Exit::Ok)
}

fn render(status: &Status, look: Look) -> String {
    let mut table = Table::new(&[
        ("COMPONENT", Left),
        ("STATE", Left),
        ("SINCE", Right),
        ("HANDLED", Right),
        ("FAILED", Right),
        ("REJECTED", Right),
        ("DROPPED", Right),
        ("QUEUED", Right),
        ("RESTARTS", Right),
        ("MEMORY", Right),
        ("REMARK", Left),
    ]);
    for (name, component) in &status.components {
        table.row([
            Cell::from(name),
            status::state(component),
            units::milliseconds(component.since_ms).into(),
            units::count(component.handled).into(),
            units::count(component.failed).into(),
            units::count(component.rejected).into(),
            units::count(component.dropped).into(),
            units::count(component.queued).into(),
            units::count(component.restarts).into(),
            units::bytes(component.memory).into(),
            status::remark(component).lines().next().unwrap_or_default().into(),
        ]);
    }
    let headline = status::headline(status, None, look);
    if status.components.is_empty() {
        return format!(
            "{headline}\nno components: add a [component.NAME] to the configuration and `edgewit reload`\n"
        );
    }
    let notes: String = status.components.iter().filter_map(|(name, component)| note(name, component, look)).collect();
    format!("{headline}\n\n{}{notes}", table.render(look))
}

/// A remark of several lines, such as one with the grant that is missing, in full.
fn note(name: &str, component: &ComponentStatus, look: Look) -> Option<String> {
    let remark = status::remark(component);
    if !remark.contains('\n') {
        return None;
    }
    let lines: String = remark.lines().map(|line| format!("  {}\n", safe(line))).collect();
    Some(format!("\n{}\n{lines}", look.paint(Tone::Strong, &safe(name))))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn every_state_has_its_line() {
        expect![[r#"
            gw-cellar-7  edgewit 0.1.0  up 2h 03m  98,765 messages  --dev: unsigned components run

            COMPONENT  STATE         SINCE    HANDLED  FAILED  REJECTED  DROPPED  QUEUED  RESTARTS   MEMORY  REMARK
            alarm      backoff      300 ms          0       1         2       12       0         1      0 B  again in 1s; computed longer than 50ms in one handling; raise limits.cpu or do less at once
            average    running      2h 03m  1,234,567       1         2       12       3         1  1.2 MiB  last fault: trapped: unreachable
            export     refused      1m 30s          0       1         2       12       0         1      0 B  no file `export.wasm`
            full       refused         18s          0       1         2       12       0         1      0 B  recovers by itself, tried again in 42s; no space
            spin       quarantined  1m 01s          0       1         2       12       0         1      0 B  8 faults; `edgewit restart` lifts it; computed longer than 50ms in one handling; raise limits.cpu or do less at once
            swap       running      1m 30s          0       1         2       12       0         1      0 B  runs an older configuration: no file `swap.wasm`; put it there
            valve      stopped          5s          0       1         2       12       0         1      0 B

            export
              no file `export.wasm`
              put it there
        "#]].assert_eq(&render(&status::sample(), Look::default()));
    }

    #[test]
    fn an_empty_gateway_says_how_to_fill_it() {
        let status = Status { components: Default::default(), dev: false, circles: 7, ..status::sample() };
        expect![[r#"
            gw-cellar-7  edgewit 0.1.0  up 2h 03m  98,765 messages  7 dropped in circles
            no components: add a [component.NAME] to the configuration and `edgewit reload`
        "#]]
        .assert_eq(&render(&status, Look::default()));
    }
}
