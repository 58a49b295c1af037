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
//! | `edgewit_component_uplink_bytes_total` | counter | `component` | bytes of its messages that links have sent, repeats included |
//! | `edgewit_component_memory_bytes` | gauge | `component` | linear memory and tables |
//! | `edgewit_component_cpu_seconds_total` | counter | `component` | CPU time in the guest and its host calls |
//! | `edgewit_component_handling_seconds` | histogram | `component`, `le` | time of one handling |
//! | `edgewit_queue_messages` | gauge | `queue` | rows of a durable queue, dead letters among them; named as in `edgewit queue ls` |
//! | `edgewit_queue_bytes` | gauge | `queue` | their bytes |
//! | `edgewit_queue_oldest_seconds` | gauge | `queue` | running time for which the oldest has waited; 0 where none waits |
//! | `edgewit_queue_dropped_total` | counter | `queue` | rows that made room for others |
//! | `edgewit_queue_expired_total` | counter | `queue` | rows that waited longer than they may |
//! | `edgewit_queue_damaged` | gauge | `queue` | 1 where it is out of use because it is damaged on disk |
//! | `edgewit_cloud_connected` | gauge | `cloud` | 1 while the broker has accepted us |
//! | `edgewit_cloud_connections_total` | counter | `cloud` | how often it has |
//! | `edgewit_cloud_received_bytes_total` | counter | `cloud` | bytes of MQTT, without TLS and what is below it |
//! | `edgewit_cloud_sent_bytes_total` | counter | `cloud` | the same |
//! | `edgewit_cloud_unusable_total` | counter | `cloud` | messages from the cloud that no rule took or that could not be used |
//! | `edgewit_uplink_sent_total` | counter | `cloud`, `uplink` | messages sent, repeats included |
//! | `edgewit_uplink_sent_bytes_total` | counter | `cloud`, `uplink` | their bytes |
//! | `edgewit_uplink_acknowledged_total` | counter | `cloud`, `uplink` | messages that the broker has |
//! | `edgewit_uplink_given_up_total` | counter | `cloud`, `uplink` | messages that are dead letters |
//! | `edgewit_uplink_in_flight` | gauge | `cloud`, `uplink` | messages sent and not acknowledged yet |
//! | `edgewit_downlink_received_total` | counter | `cloud`, `downlink` | messages that came |
//! | `edgewit_downlink_received_bytes_total` | counter | `cloud`, `downlink` | their bytes |
//! | `edgewit_downlink_given_up_total` | counter | `cloud`, `downlink` | those that found no room and are dead letters |
//! | `edgewit_shadow_sync_state` | gauge | `cloud`, `state` | shadows in this state; the states of `edgewit shadow sync` |
//! | `edgewit_shadow_sync_dirty` | gauge | `cloud` | shadows with something said here that is not in the cloud |
//! | `edgewit_shadow_sync_requests_total` | counter | `cloud` | requests about shadows to the cloud |
//! | `edgewit_shadow_sync_request_bytes_total` | counter | `cloud` | their bytes |
//! | `edgewit_model_state` | gauge | `model`, `state` | 1 for the state it is in; the states of `edgewit model ls` |
//! | `edgewit_model_runs_total` | counter | `model` | inferences that ended well |
//! | `edgewit_model_failures_total` | counter | `model` | inferences that failed, took too long, or were given up |
//! | `edgewit_model_refused_total` | counter | `model` | inferences that were not begun because too many waited |
//! | `edgewit_model_waiting` | gauge | `model` | requests waiting |
//! | `edgewit_model_computing_seconds_total` | counter | `model` | time spent in inferences |
//! | `edgewit_model_memory_bytes` | gauge | `model` | memory that it takes with all instances busy, as planned; 0 where its backend cannot tell |
//!
//! Text is made anew for each request, from the same figures that `edgewit ps`, `cloud`, `model ls` and `queue ls` show. Nothing else
//! is served, and nothing is counted here.

mod server;
mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use edgewit_domain::control::{
    CloudStatus, ComponentState, ComponentStatus, DownlinkStatus, LinkState, ModelStatus, QueueStatus, ShadowsStatus,
    UplinkStatus,
};
use edgewit_domain::shadow::sync::Standing;

use crate::core::Core;
use crate::histogram::Reading;
pub(crate) use server::listen;
use text::{family, heading, labels, sample};

/// A figure that is one number: its name's end, its type, and where it is.
type Figure<T> = (&'static str, &'static str, fn(&T) -> u64);

const COMPONENT: [Figure<ComponentStatus>; 12] = [
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
    ("uplink_bytes_total", "counter", |status| status.uplink_bytes),
    ("memory_bytes", "gauge", |status| status.memory),
];

const QUEUE: [Figure<QueueStatus>; 6] = [
    ("messages", "gauge", |queue| queue.messages),
    ("bytes", "gauge", |queue| queue.bytes),
    ("oldest_seconds", "gauge", |queue| queue.oldest_ms.unwrap_or_default() / 1000),
    ("dropped_total", "counter", |queue| queue.dropped),
    ("expired_total", "counter", |queue| queue.expired),
    ("damaged", "gauge", |queue| queue.damaged.into()),
];

const CLOUD: [Figure<CloudStatus>; 5] = [
    ("connected", "gauge", |cloud| matches!(cloud.state, LinkState::Connected { .. }).into()),
    ("connections_total", "counter", |cloud| cloud.connections),
    ("received_bytes_total", "counter", |cloud| cloud.bytes_in),
    ("sent_bytes_total", "counter", |cloud| cloud.bytes_out),
    ("unusable_total", "counter", |cloud| cloud.unmatched),
];

const UPLINK: [Figure<UplinkStatus>; 5] = [
    ("sent_total", "counter", |uplink| uplink.sent),
    ("sent_bytes_total", "counter", |uplink| uplink.sent_bytes),
    ("acknowledged_total", "counter", |uplink| uplink.acknowledged),
    ("given_up_total", "counter", |uplink| uplink.given_up),
    ("in_flight", "gauge", |uplink| uplink.in_flight),
];

const DOWNLINK: [Figure<DownlinkStatus>; 3] = [
    ("received_total", "counter", |downlink| downlink.received),
    ("received_bytes_total", "counter", |downlink| downlink.bytes),
    ("given_up_total", "counter", |downlink| downlink.given_up),
];

const SHADOWS: [Figure<ShadowsStatus>; 3] = [
    ("dirty", "gauge", |shadows| shadows.dirty),
    ("requests_total", "counter", |shadows| shadows.requests),
    ("request_bytes_total", "counter", |shadows| shadows.request_bytes),
];

const MODEL: [Figure<ModelStatus>; 5] = [
    ("runs_total", "counter", |model| model.runs),
    ("failures_total", "counter", |model| model.failures),
    ("refused_total", "counter", |model| model.refused),
    ("waiting", "gauge", |model| model.waiting),
    ("memory_bytes", "gauge", |model| model.planned_memory.unwrap_or_default()),
];

/// The words of all states of a model.
const MODEL_STATES: [&str; 3] = ["loading", "ready", "failed"];

/// The words of all states.
const STATES: [&str; 7] = ["starting", "running", "backoff", "quarantined", "refused", "stopped", "blocked"];

/// What one look at a component gives.
struct Seen {
    name: String,
    status: ComponentStatus,
    cpu_seconds: f64,
    times: Reading,
}

/// Everything, as Prometheus reads it. What is on disk is left out where the store does not say.
async fn render(core: &Core) -> String {
    let mut text = String::new();
    let (status, counts) = (core.status(), core.hub.counts());
    let about = labels(&[("version", &status.version), ("thing", &status.thing), ("dev", &status.dev.to_string())]);
    family(&mut text, "edgewit_info", "gauge", [(about, "1".to_owned())]);
    let seconds = core.hub.since_start().as_secs_f64();
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
    let queues = core.queue_statuses().await.unwrap_or_default();
    let queues: Vec<_> = queues.iter().map(|queue| (labels(&[("queue", &queue.queue)]), queue)).collect();
    figures(&mut text, "edgewit_queue", &QUEUE, &queues);
    clouds(&mut text, &status.clouds);
    models(&mut text, &status.models);
    text
}

fn models(text: &mut String, models: &BTreeMap<String, ModelStatus>) {
    let states = models.iter().flat_map(|(name, model)| MODEL_STATES.map(|state| (name, model, state)));
    let states = states.map(|(name, model, state)| {
        let value = if model.state.word() == state { "1" } else { "0" };
        (labels(&[("model", name), ("state", state)]), value.to_owned())
    });
    family(text, "edgewit_model_state", "gauge", states);
    let of: Vec<_> = models.iter().map(|(name, model)| (labels(&[("model", name)]), model)).collect();
    figures(text, "edgewit_model", &MODEL, &of);
    let seconds = |model: &ModelStatus| Duration::from_micros(model.computing_us).as_secs_f64().to_string();
    let computing = models.iter().map(|(name, model)| (labels(&[("model", name)]), seconds(model)));
    family(text, "edgewit_model_computing_seconds_total", "counter", computing);
}

fn clouds(text: &mut String, clouds: &BTreeMap<String, CloudStatus>) {
    let links: Vec<_> = clouds.iter().map(|(name, cloud)| (labels(&[("cloud", name)]), cloud)).collect();
    figures(text, "edgewit_cloud", &CLOUD, &links);
    let up = clouds.iter().flat_map(|(cloud, status)| status.uplinks.iter().map(move |rule| (cloud, rule)));
    let up: Vec<_> = up.map(|(cloud, (rule, of))| (labels(&[("cloud", cloud), ("uplink", rule)]), of)).collect();
    figures(text, "edgewit_uplink", &UPLINK, &up);
    let down = clouds.iter().flat_map(|(cloud, status)| status.downlinks.iter().map(move |rule| (cloud, rule)));
    let down: Vec<_> = down.map(|(cloud, (rule, of))| (labels(&[("cloud", cloud), ("downlink", rule)]), of)).collect();
    figures(text, "edgewit_downlink", &DOWNLINK, &down);
    let synced = clouds.iter().filter_map(|(cloud, status)| Some((cloud, status.shadows.as_ref()?)));
    let synced: Vec<_> = synced.collect();
    let states = synced.iter().flat_map(|(cloud, shadows)| {
        Standing::ALL.map(|standing| {
            let count = shadows.states.get(standing.word()).copied().unwrap_or_default();
            (labels(&[("cloud", cloud), ("state", standing.word())]), count.to_string())
        })
    });
    family(text, "edgewit_shadow_sync_state", "gauge", states);
    let synced: Vec<_> = synced.iter().map(|(cloud, shadows)| (labels(&[("cloud", cloud)]), *shadows)).collect();
    figures(text, "edgewit_shadow_sync", &SHADOWS, &synced);
}

/// Every figure of each of these, which have their labels.
fn figures<T>(text: &mut String, prefix: &str, figures: &[Figure<T>], of: &[(String, &T)]) {
    for (name, kind, figure) in figures {
        let samples = of.iter().map(|(labels, of)| (labels.clone(), figure(of).to_string()));
        family(text, &format!("{prefix}_{name}"), kind, samples);
    }
}

fn components(text: &mut String, seen: &[Seen]) {
    let states = seen.iter().flat_map(|seen| STATES.map(|state| (seen, state)));
    let states = states.map(|(seen, state)| {
        let value = if is_in(&seen.status.state, state) { "1" } else { "0" };
        (labels(&[("component", &seen.name), ("state", state)]), value.to_owned())
    });
    family(text, "edgewit_component_state", "gauge", states);
    let of: Vec<_> = seen.iter().map(|seen| (labels(&[("component", &seen.name)]), &seen.status)).collect();
    figures(text, "edgewit_component", &COMPONENT, &of);
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
