//! A link as an operator sees it, and as components hear of it.

use std::time::Duration;

use edgewit_domain::control::{CloudStatus, DownlinkStatus, LinkState, UplinkStatus};
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::Topic;
use edgewit_net::link::{State, Status};
use tokio::sync::watch;

use super::Link;
use crate::hub::Hub;

impl Link {
    pub(super) fn view(&self, hub: &Hub, now: Duration) -> CloudStatus {
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
                    let waiting = hub.usage_of(outbox.queue());
                    let view = UplinkStatus {
                        queued: waiting.messages,
                        queued_bytes: waiting.bytes,
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

/// Keeps the retained topic `$edgewit/cloud/NAME` as the link is. Never ends.
pub(super) async fn tell(hub: &Hub, cloud: &str, mut status: watch::Receiver<Status>) {
    loop {
        let (word, trouble) = {
            let status = status.borrow_and_update();
            let word = match status.state {
                State::Stopped => "stopped",
                State::Backoff { .. } => "backoff",
                State::Connecting => "connecting",
                State::Connected { .. } => "connected",
            };
            (word, status.trouble.as_ref().map(|trouble| trouble.text.clone()))
        };
        say(hub, cloud, word, trouble.as_deref());
        if status.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// The last word of a link whose task has ended.
pub(super) fn say_stopped(hub: &Hub, cloud: &str, trouble: Option<&str>) {
    say(hub, cloud, "stopped", trouble);
}

/// A cloud that the configuration does not name any more is in no state.
pub(super) fn clear(hub: &Hub, cloud: &str) {
    publish(hub, cloud, String::new());
}

fn say(hub: &Hub, cloud: &str, state: &str, trouble: Option<&str>) {
    publish(hub, cloud, serde_json::json!({ "state": state, "trouble": trouble }).to_string());
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
