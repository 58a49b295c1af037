//! The waits of the link's loop that have nothing to wait for at times, each of which may be dropped and asked again;
//! and its only chance.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use edgewit_domain::link::Link;
use tokio::time::sleep;

use super::{BoxFuture, Plan};

pub(super) async fn within(wait: Option<Duration>) {
    match wait {
        Some(wait) => sleep(wait).await,
        None => pending().await,
    }
}

/// Ends with the future there may be, which is gone then.
pub(super) async fn or_never<T>(slot: &mut Option<BoxFuture<T>>) -> T {
    let Some(future) = slot else { return pending().await };
    let output = Pin::new(future).await;
    *slot = None;
    output
}

/// A rule that had nothing more and has now.
pub(super) async fn ready(link: &Link, plan: &Plan) -> usize {
    poll_fn(|cx| {
        let mut dry = plan.uplinks.iter().enumerate().filter(|(rule, _)| link.is_dry(*rule));
        match dry.find(|(_, uplink)| uplink.outbox.poll_ready(cx).is_ready()) {
            Some((rule, _)) => Poll::Ready(rule),
            None => Poll::Pending,
        }
    })
    .await
}

/// Any number; where the system has none to give, always the whole wait.
pub(super) fn random() -> u64 {
    let mut bytes = [0; 8];
    match rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => u64::MAX,
    }
}
