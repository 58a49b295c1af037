//! When a value is out of bounds, and who is: pure, without messages.

use serde::{Deserialize, Serialize};

/// What is published at an edge.
#[derive(Serialize)]
pub struct Alert<'a> {
    pub alert: Edge,
    pub source: &'a str,
    pub bound: Side,
    /// The configured bound; none where the configuration has lost it since the alert was raised.
    pub limit: Option<f64>,
    pub value: f64,
    /// Milliseconds since 1970; none while the gateway's clock is not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    Raised,
    Cleared,
}

/// Which bound is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Above,
    Below,
}

pub struct Bounds {
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub hysteresis: f64,
}

impl Bounds {
    /// On which side a value is, given on which side its source was. Hysteresis only holds an alert, it never raises one.
    pub fn judge(&self, value: f64, before: Option<Side>) -> Option<Side> {
        let slack = |side| if before == Some(side) { self.hysteresis } else { 0.0 };
        if self.above.is_some_and(|above| value > above - slack(Side::Above)) {
            Some(Side::Above)
        } else if self.below.is_some_and(|below| value < below + slack(Side::Below)) {
            Some(Side::Below)
        } else {
            None
        }
    }

    pub fn limit(&self, side: Side) -> Option<f64> {
        match side {
            Side::Above => self.above,
            Side::Below => self.below,
        }
    }
}
