//! The words that `ps` and `top` share about a gateway's status.
//!
//! Decides nothing: what a state means stands in the domain, here it gets its colour and its remark.

use edgewit_domain::control::{ComponentState, ComponentStatus, Status};

use crate::output::{Look, Tone, safe};
use crate::table::Cell;
use crate::units;

/// One line about the gateway as a whole; `rate` is its messages a second, where that is known.
pub fn headline(status: &Status, rate: Option<f64>, look: Look) -> String {
    let mut line = format!(
        "{}  edgewit {}  up {}  {}{}",
        look.paint(Tone::Strong, &safe(&status.thing)),
        safe(&status.version),
        units::milliseconds(status.uptime_ms),
        units::counted(status.messages, "message"),
        rate.map(|rate| format!(", {}/s", units::rate(rate))).unwrap_or_default(),
    );
    if status.circles > 0 {
        let circles = format!("{} dropped in circles", units::count(status.circles));
        line.push_str(&format!("  {}", look.paint(Tone::Warn, &circles)));
    }
    if status.dev {
        line.push_str(&format!("  {}", look.paint(Tone::Warn, "--dev: unsigned components run")));
    }
    line
}

pub fn state(component: &ComponentStatus) -> Cell {
    let tone = match component.state {
        ComponentState::Running => Tone::Good,
        ComponentState::Starting | ComponentState::Backoff { .. } => Tone::Warn,
        ComponentState::Quarantined { .. } | ComponentState::Refused { .. } | ComponentState::Blocked { .. } => {
            Tone::Bad
        }
        ComponentState::Stopped => Tone::Faint,
    };
    Cell::toned(tone, component.state.word())
}

/// Why a component does not run, or not as configured, and what it last failed by.
pub fn remark(component: &ComponentStatus) -> String {
    let mut lines = Vec::new();
    if let Some(reason) = &component.older_configuration {
        lines.push(format!("runs an older configuration: {reason}"));
    }
    lines.extend(Some(standing(component)).filter(|standing| !standing.is_empty()));
    lines.join("\n")
}

fn standing(component: &ComponentStatus) -> String {
    let fault = component.last_fault.as_ref().map(ToString::to_string);
    match &component.state {
        ComponentState::Refused { reason, retry_in_ms: None } => reason.clone(),
        ComponentState::Refused { reason, retry_in_ms: Some(wait) } => {
            format!("recovers by itself, tried again in {}; {reason}", units::milliseconds(*wait))
        }
        ComponentState::Backoff { retry_in_ms, .. } => {
            let again = format!("again in {}", units::milliseconds(*retry_in_ms));
            fault.map_or(again.clone(), |fault| format!("{again}; {fault}"))
        }
        ComponentState::Quarantined { faults } => {
            let text = format!("{faults} faults; `edgewit restart` lifts it");
            fault.map_or(text.clone(), |fault| format!("{text}; {fault}"))
        }
        ComponentState::Blocked { reason } => {
            format!("{reason}; `edgewit dead ls` lists, `edgewit dead drop` makes room")
        }
        ComponentState::Starting | ComponentState::Running | ComponentState::Stopped => {
            fault.map(|fault| format!("last fault: {fault}")).unwrap_or_default()
        }
    }
}

/// A gateway with a component in each state, for the tests of the tables.
#[cfg(test)]
pub fn sample() -> Status {
    use std::time::Duration;

    use edgewit_domain::fault::Fault;

    let average = ComponentStatus {
        state: ComponentState::Running,
        digest: "ab".repeat(32),
        handled: 1_234_567,
        failed: 1,
        rejected: 2,
        published: 500,
        dropped: 12,
        log_lines_dropped: 0,
        restarts: 1,
        expired: 0,
        recycled: 0,
        queued: 3,
        uplink_bytes: 0,
        memory: 1_310_720,
        cpu_ms: 4_200,
        p50_us: 42,
        p99_us: 1_900,
        since_ms: 7_384_000,
        last_fault: Some(Fault::Trap { reason: "unreachable".into() }),
        older_configuration: None,
    };
    let other = |state, since_ms, last_fault| ComponentStatus {
        state,
        handled: 0,
        memory: 0,
        queued: 0,
        p50_us: 0,
        p99_us: 0,
        cpu_ms: 0,
        since_ms,
        last_fault,
        ..average.clone()
    };
    let slow = Some(Fault::CpuDeadline { limit: Duration::from_millis(50) });
    let components = [
        ("alarm", other(ComponentState::Backoff { faults: 2, retry_in_ms: 1500 }, 300, slow.clone())),
        (
            "export",
            other(
                ComponentState::Refused { reason: "no file `export.wasm`\nput it there".into(), retry_in_ms: None },
                90_000,
                None,
            ),
        ),
        ("full", other(ComponentState::Refused { reason: "no space".into(), retry_in_ms: Some(42_000) }, 18_000, None)),
        ("spin", other(ComponentState::Quarantined { faults: 8 }, 61_000, slow)),
        (
            "swap",
            ComponentStatus {
                older_configuration: Some("no file `swap.wasm`; put it there".into()),
                ..other(ComponentState::Running, 90_000, None)
            },
        ),
        ("valve", other(ComponentState::Stopped, 5_000, None)),
        ("average", average),
    ];
    Status {
        version: "0.1.0".into(),
        thing: "gw-cellar-7".into(),
        dev: true,
        uptime_ms: 7_384_000,
        messages: 98_765,
        circles: 0,
        clouds: Default::default(),
        models: Default::default(),
        components: components.map(|(name, status)| (name.to_owned(), status)).into(),
    }
}
