//! How many handlings led to a message, and by whose hands: what ends a circle and names it.
//!
//! A count travels with every message; names travel only in the last hops before the limit, where they are
//! likely to be needed, so that ordinary messages pay for a number and nothing else.

use std::fmt;
use std::sync::Arc;

use crate::limits::{HOPS, TRAIL_HOPS};
use crate::message::{Envelope, Trail};

/// Hops and trail of what `component` publishes while it handles `envelope`, or, if there is none, a timer or
/// its own start.
pub fn next_hop(envelope: Option<&Envelope>, component: &Arc<str>) -> (u32, Option<Arc<Trail>>) {
    let hops = envelope.map_or(0, |envelope| envelope.hops).saturating_add(1);
    if hops <= HOPS - TRAIL_HOPS {
        return (hops, None);
    }
    let before = envelope.and_then(|envelope| envelope.trail.clone());
    (hops, Some(Arc::new(Trail { component: component.clone(), before })))
}

/// A message that more handlings led to than any should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// In the order of their handlings. The first is also the last, unless the circle is longer than what is
    /// remembered of it, or there is none and the chain was merely long.
    pub components: Vec<Arc<str>>,
}

impl Circle {
    /// Reads the circle off the trail of a message past the limit.
    pub fn of(envelope: &Envelope) -> Circle {
        let mut components = Vec::new();
        let mut next = envelope.trail.as_ref();
        while let Some(trail) = next {
            components.push(trail.component.clone());
            if components.len() > 1 && components.first() == components.last() {
                break;
            }
            next = trail.before.as_ref();
        }
        components.reverse();
        Circle { components }
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {HOPS} handlings led to it: ")?;
        if self.components.len() < 2 || self.components.first() != self.components.last() {
            f.write_str("… → ")?;
        }
        f.write_str(&self.components.join(" → "))
    }
}
