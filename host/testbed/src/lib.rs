//! The far side for tests: a real broker, certificates for it, a network that fails as told, and somebody who hears
//! what arrives.
//!
//! Only tests depend on it, so it panics where something is not as it should be, and names what is missing. It knows
//! nothing of the gateway: what is shown with it, any broker and any subscriber would show. Of edgewit it has the document
//! engine alone, for a cloud that keeps shadows.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so and ends"
)]

mod broker;
mod certificates;
mod cloud;
mod device;
mod network;
mod observer;
mod port;

use std::time::{Duration, Instant};

pub use broker::Broker;
pub use certificates::{Authority, Identity};
pub use cloud::{Faults, Place, ShadowCloud, Tls, TlsError, Told};
pub use device::{Client, Device};
pub use network::{Mood, Network};
pub use observer::{Arrived, Observer};
pub use port::Port;

/// Asks again and again, as long as it takes and no longer than it may.
pub async fn until(what: &str, within: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < within, "never came: {what}");
        pace.tick().await;
    }
}
