//! A link as an operator sees it, and as components hear of it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use edgewit_domain::control::{CloudStatus, DownlinkStatus, LinkState, UplinkStatus};
use edgewit_domain::limits::CLOUD_TOLD_EVERY;
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::Topic;
use edgewit_net::link::{State, Status};
use tokio::sync::watch;
use tokio::time::interval;

use super::Made;
use super::downlink::StoredDownlink;
use super::outbox::StoredOutbox;
use crate::hub::Hub;
use crate::shadow::Syncing;

/// All there is to see of a link.
pub(super) struct Watched {
    pub made: Made,
    pub status: watch::Receiver<Status>,
    /// Why it ended, where nobody asked it to.
    pub failed: OnceLock<String>,
    pub outboxes: Vec<Arc<StoredOutbox>>,
    pub downlink: Arc<StoredDownlink>,
    pub syncing: Option<Arc<Syncing>>,
}

impl Watched {
    pub fn view(&self, hub: &Hub) -> CloudStatus {
        let now = hub.uptime();
        let status = self.status.borrow().clone();
        let failed = self.failed.get().cloned();
        let uplinks = self.made.uplinks.iter().zip(&self.outboxes).zip(&status.uplinks);
        let downlinks = self.made.downlinks.iter().zip(&status.downlinks);
        CloudStatus {
            state: if failed.is_some() { LinkState::Stopped } else { state(&status, now) },
            broker: self.made.cloud.broker.authority(),
            trouble: failed.or_else(|| status.trouble.as_ref().map(|trouble| trouble.text.clone())),
            connections: status.connections,
            one_at_a_time: status.solo,
            bytes_in: status.bytes_in,
            bytes_out: status.bytes_out,
            unmatched: status.unmatched + status.unusable,
            uplinks: uplinks
                .map(|((uplink, outbox), counters)| {
                    let level = hub.level_of(outbox.queue());
                    let view = UplinkStatus {
                        queued: level.waiting.messages,
                        queued_bytes: level.waiting.bytes,
                        oldest_ms: outbox.oldest().map(|since| crate::desk::millis(now.saturating_sub(since))),
                        dropped: level.dropped,
                        expired: level.expired,
                        sent: counters.sent,
                        sent_bytes: counters.sent_bytes,
                        acknowledged: counters.acknowledged,
                        given_up: counters.given_up,
                        in_flight: counters.in_flight,
                    };
                    (uplink.name.to_string(), view)
                })
                .collect(),
            downlinks: downlinks
                .map(|(downlink, counters)| {
                    let given_up = self.downlink.given_up(&downlink.name);
                    let view = DownlinkStatus { received: counters.received, bytes: counters.bytes, given_up };
                    (downlink.name.to_string(), view)
                })
                .collect(),
            shadows: self.syncing.as_ref().map(|syncing| syncing.status()),
        }
    }
}

fn state(status: &Status, now: Duration) -> LinkState {
    let millis = |time: Duration| crate::desk::millis(time);
    match status.state {
        State::Stopped => LinkState::Stopped,
        State::Backoff { until } => LinkState::Backoff { retry_in_ms: millis(until.saturating_sub(now)) },
        State::Connecting => LinkState::Connecting,
        State::Connected { since } => LinkState::Connected { for_ms: millis(now.saturating_sub(since)) },
    }
}

/// Keeps the retained topic `$edgewit/cloud/NAME` as the link is: its state at once, its figures from time to time, since
/// each word is written to disk. Never ends.
pub(super) async fn tell(hub: &Hub, watched: &Watched) {
    let mut status = watched.status.clone();
    let mut pace = interval(CLOUD_TOLD_EVERY);
    let mut told: Option<CloudStatus> = None;
    loop {
        let all = tokio::select! {
            // Whoever changes it ends with this task.
            _ = status.changed() => false,
            _ = pace.tick() => true,
        };
        let view = watched.view(hub);
        let is_news = told.as_ref().is_none_or(|told| {
            let standing = |view: &CloudStatus| (view.state.word(), view.trouble.clone());
            standing(told) != standing(&view) || (all && figures(told) != figures(&view))
        });
        if is_news {
            say(hub, watched, &view);
            told = Some(view);
        }
    }
}

/// What does not change by itself.
fn figures(view: &CloudStatus) -> CloudStatus {
    let mut figures = CloudStatus { state: LinkState::Stopped, ..view.clone() };
    figures.uplinks.values_mut().for_each(|uplink| uplink.oldest_ms = None);
    figures
}

/// The last word of a link whose task has ended.
pub(super) fn say_stopped(hub: &Hub, watched: &Watched) {
    say(hub, watched, &CloudStatus { state: LinkState::Stopped, ..watched.view(hub) });
}

/// A cloud that the configuration does not name any more is in no state.
pub(super) fn clear(hub: &Hub, cloud: &str) {
    publish(hub, cloud, String::new());
}

fn say(hub: &Hub, watched: &Watched, view: &CloudStatus) {
    let text = serde_json::json!({
        "state": view.state.word(),
        "trouble": view.trouble,
        "connections": view.connections,
        "bytes_in": view.bytes_in,
        "bytes_out": view.bytes_out,
        "uplinks": view.uplinks,
        "downlinks": view.downlinks,
        "shadows": view.shadows,
    });
    publish(hub, &watched.made.cloud.name, text.to_string());
}

fn publish(hub: &Hub, cloud: &str, text: String) {
    // The name of a cloud is always a level of a topic.
    let Ok(topic) = Topic::parse(format!("$edgewit/cloud/{cloud}")) else { return };
    let message = Message { retain: true, ..Message::new(topic, text) };
    hub.publish_then(message, Origin::Service("cloud".into()), |told| {
        if let Err(error) = told {
            tracing::debug!(%error, "The state of a link was not published");
        }
    });
}
