//! What a configuration may mean and probably does not: said by `edgewit check`, and no reason not to start.

use super::{Component, Config};

impl Config {
    /// One line for each thing that is allowed and looks like a slip.
    pub fn warnings(&self) -> Vec<String> {
        self.components
            .values()
            .filter(|component| component.never_called())
            .map(|component| {
                format!(
                    "component.{}: nothing ever calls it: it has neither a subscription nor a timer",
                    component.name
                )
            })
            .collect()
    }
}

impl Component {
    fn never_called(&self) -> bool {
        self.subscriptions.is_empty() && self.timers.is_empty() && self.grants.timer_pending.is_none()
    }
}
