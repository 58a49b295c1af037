//! Figures for Prometheus, where a port is configured for them.
//!
//! | name | type | labels | what |
//! |---|---|---|---|
//! | `edgewit_info` | gauge | `version`, `thing`, `dev` | always 1 |
//! | `edgewit_uptime_seconds` | gauge | | running time |
//! | `edgewit_messages_total` | counter | | messages that the hub has taken |
//! | `edgewit_deliveries_total` | counter | | messages put into queues, once for each queue |
//! | `edgewit_circles_total` | counter | | messages dropped because they ran in a circle |
//! | `edgewit_component_state` | gauge | `component`, `state` | 1 for the state it is in |
//! | `edgewit_component_handled_total` | counter | `component` | deliveries and ticks handled well |
//! | `edgewit_component_failed_total` | counter | `component` | deliveries and ticks that failed |
//! | `edgewit_component_rejected_total` | counter | `component` | deliveries and ticks given up by the component |
//! | `edgewit_component_published_total` | counter | `component` | messages published |
//! | `edgewit_component_dropped_total` | counter | `component` | deliveries dropped by a full queue |
//! | `edgewit_component_expired_total` | counter | `component` | deliveries whose expiry passed while they waited |
//! | `edgewit_component_log_lines_dropped_total` | counter | `component` | lines it logged too fast |
//! | `edgewit_component_restarts_total` | counter | `component` | starts after a fault |
//! | `edgewit_component_recycled_total` | counter | `component` | renewals by plan |
//! | `edgewit_component_queued` | gauge | `component` | deliveries waiting |
//! | `edgewit_component_memory_bytes` | gauge | `component` | linear memory and tables |
//! | `edgewit_component_cpu_seconds_total` | counter | `component` | CPU time in the guest and its host calls |
//! | `edgewit_component_handling_seconds` | histogram | `component`, `le` | time of one handling |
//!
//! Text is made anew for each request, from the same figures that `edgewit ps` shows. Nothing else is served, and
//! nothing is counted here.

mod server;

use std::fmt::Write as _;

use edgewit_domain::control::{ComponentState, ComponentStatus};

use crate::core::Core;
use crate::histogram::Reading;
pub(crate) use server::listen;

type Figure = (&'static str, &'static str, fn(&ComponentStatus) -> u64);

/// The figures of a component that are one number.
const FIGURES: [Figure; 11] = [
    ("handled_total", "counter", |status| status.handled),
    ("failed_total", "counter", |status| status.failed),
    ("rejected_total", "counter", |status| status.rejected),
    ("published_total", "counter", |status| status.published),
    ("dropped_total", "counter", |status| status.dropped),
    ("expired_total", "counter", |status| status.expired),
    ("log_lines_dropped_total", "counter", |status| status.log_lines_dropped),
    ("restarts_total", "counter", |status| status.restarts),
    ("recycled_total", "counter", |status| status.recycled),
    ("queued", "gauge", |status| status.queued),
    ("memory_bytes", "gauge", |status| status.memory),
];

/// The words of all states.
const STATES: [&str; 6] = ["starting", "running", "backoff", "quarantined", "refused", "stopped"];

/// What one look at a component gives.
struct Seen {
    name: String,
    status: ComponentStatus,
    cpu_seconds: f64,
    times: Reading,
}

/// Everything, as Prometheus reads it.
fn render(core: &Core) -> String {
    let mut text = String::new();
    let (status, counts) = (core.status(), core.hub.counts());
    let labels = labels(&[("version", &status.version), ("thing", &status.thing), ("dev", &status.dev.to_string())]);
    family(&mut text, "edgewit_info", "gauge", [(labels, "1".to_owned())]);
    let seconds = core.hub.uptime().as_secs_f64();
    family(&mut text, "edgewit_uptime_seconds", "gauge", [(String::new(), seconds.to_string())]);
    let totals = [("messages", counts.taken), ("deliveries", counts.delivered), ("circles", counts.circles)];
    for (name, value) in totals {
        family(&mut text, &format!("edgewit_{name}_total"), "counter", [(String::new(), value.to_string())]);
    }
    let seen: Vec<Seen> = core
        .components
        .desks()
        .iter()
        .map(|desk| Seen {
            name: desk.name.to_string(),
            status: desk.status(),
            cpu_seconds: desk.stats.cpu().as_secs_f64(),
            times: desk.stats.times.read(),
        })
        .collect();
    components(&mut text, &seen);
    text
}

fn components(text: &mut String, seen: &[Seen]) {
    let states = seen.iter().flat_map(|seen| STATES.map(|state| (seen, state)));
    let states = states.map(|(seen, state)| {
        let value = if is_in(&seen.status.state, state) { "1" } else { "0" };
        (labels(&[("component", &seen.name), ("state", state)]), value.to_owned())
    });
    family(text, "edgewit_component_state", "gauge", states);
    for (name, kind, figure) in FIGURES {
        let values = seen.iter().map(|seen| (labels(&[("component", &seen.name)]), figure(&seen.status).to_string()));
        family(text, &format!("edgewit_component_{name}"), kind, values);
    }
    let cpu = seen.iter().map(|seen| (labels(&[("component", &seen.name)]), seen.cpu_seconds.to_string()));
    family(text, "edgewit_component_cpu_seconds_total", "counter", cpu);
    histograms(text, seen);
}

fn is_in(state: &ComponentState, word: &str) -> bool {
    state.word() == word
}

fn histograms(text: &mut String, seen: &[Seen]) {
    const NAME: &str = "edgewit_component_handling_seconds";
    heading(text, NAME, "histogram");
    for seen in seen {
        let component = [("component", seen.name.as_str())];
        for (upper_us, count) in seen.times.cumulative() {
            let upper = format!("{}.{:06}", upper_us / 1_000_000, upper_us % 1_000_000);
            let labels = labels(&[("component", &seen.name), ("le", &upper)]);
            sample(text, &format!("{NAME}_bucket"), &labels, &count.to_string());
        }
        let count = seen.times.count().to_string();
        let infinite = labels(&[("component", &seen.name), ("le", "+Inf")]);
        sample(text, &format!("{NAME}_bucket"), &infinite, &count);
        sample(text, &format!("{NAME}_sum"), &labels(&component), &seen.times.sum.as_secs_f64().to_string());
        sample(text, &format!("{NAME}_count"), &labels(&component), &count);
    }
}

fn family(text: &mut String, name: &str, kind: &str, samples: impl IntoIterator<Item = (String, String)>) {
    heading(text, name, kind);
    for (labels, value) in samples {
        sample(text, name, &labels, &value);
    }
}

// Writing to a string cannot fail.

fn heading(text: &mut String, name: &str, kind: &str) {
    let _ = writeln!(text, "# TYPE {name} {kind}");
}

fn sample(text: &mut String, name: &str, labels: &str, value: &str) {
    let _ = writeln!(text, "{name}{labels} {value}");
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(labels(&[("a", "x\"y\\z\n"), ("b", "")]), r#"{a="x\"y\\z\n",b=""}"#);
    }
}
