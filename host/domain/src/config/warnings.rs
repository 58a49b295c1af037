//! What a configuration may mean and probably does not: shown by `edgewit check`, and no reason not to start.

use std::sync::Arc;

use super::{Component, Config};
use crate::limits::HOPS;
use crate::routing::possible_circles;

impl Config {
    /// One line for each thing that is allowed and looks like a slip.
    pub fn warnings(&self) -> Vec<String> {
        let idle = self.components.values().filter(|component| component.is_never_called()).map(|component| {
            format!("component.{}: nothing ever calls it: it has neither a subscription nor a timer", component.name)
        });
        idle.chain(possible_circles(&self.components).iter().map(|circle| circle_warning(circle))).collect()
    }
}

impl Component {
    fn is_never_called(&self) -> bool {
        self.subscriptions.is_empty() && self.timers.is_empty() && self.grants.timer_pending.is_none()
    }
}

fn circle_warning(circle: &[Arc<str>]) -> String {
    let names: Vec<&str> = circle.iter().chain(circle.first()).map(AsRef::as_ref).collect();
    let path = names.join(" -> ");
    format!("{path}: messages may run in this circle, by the grants; one that does is dropped after {HOPS} hops")
}
