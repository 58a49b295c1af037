//! A live queue: deliveries waiting in bounded memory for one subscription.
//!
//! Pure bookkeeping without a lock or a thread; the mailbox around it has those. It never refuses: when it is
//! full it drops, by the rule of its subscription, and counts every drop. First in, first out, so that what
//! one publisher said stays in order.

use std::collections::VecDeque;
use std::sync::Arc;

use edgewit_domain::config::{Delivery, LiveFullRule, Subscription};
use edgewit_domain::message::Envelope;

/// How much a queue holds, and what it drops when it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub messages: u64,
    pub bytes: u64,
    pub full: LiveFullRule,
}

impl Bounds {
    /// Those of a live subscription.
    pub fn of(subscription: &Subscription) -> Option<Self> {
        match subscription.delivery {
            Delivery::Live { messages, bytes, full } => Some(Bounds { messages, bytes, full }),
            Delivery::Durable(_) => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Queue {
    waiting: VecDeque<Arc<Envelope>>,
    bytes: u64,
    bounds: Bounds,
    dropped: u64,
}

impl Queue {
    pub fn new(bounds: Bounds) -> Self {
        Queue { waiting: VecDeque::new(), bytes: 0, bounds, dropped: 0 }
    }

    /// Adds at the tail. Returns how many deliveries wait more than before; negative where several small ones
    /// made room for a large one.
    pub fn push(&mut self, envelope: Arc<Envelope>) -> isize {
        let before = self.waiting.len();
        let size = size(&envelope);
        let never_fits = size > self.bounds.bytes || self.bounds.messages == 0;
        if never_fits || (self.bounds.full == LiveFullRule::DropNewest && !self.fits(size)) {
            self.dropped += 1;
            return 0;
        }
        while !self.fits(size) && self.pop().is_some() {
            self.dropped += 1;
        }
        self.bytes += size;
        self.waiting.push_back(envelope);
        self.waiting.len() as isize - before as isize
    }

    pub fn pop(&mut self) -> Option<Arc<Envelope>> {
        let envelope = self.waiting.pop_front()?;
        self.bytes -= size(&envelope);
        Some(envelope)
    }

    /// Puts back at the head what was popped and not handled. What has lost its room meanwhile is dropped.
    pub fn put_back(&mut self, envelope: Arc<Envelope>) -> bool {
        let size = size(&envelope);
        let fits = self.fits(size);
        if fits {
            self.bytes += size;
            self.waiting.push_front(envelope);
        } else {
            self.dropped += 1;
        }
        fits
    }

    /// New bounds for what waits already. Returns how many deliveries were dropped to meet them.
    pub fn resize(&mut self, bounds: Bounds) -> usize {
        self.bounds = bounds;
        let before = self.waiting.len();
        while self.waiting.len() as u64 > bounds.messages || self.bytes > bounds.bytes {
            match bounds.full {
                LiveFullRule::DropOldest => self.pop(),
                LiveFullRule::DropNewest => self.pop_newest(),
            };
            self.dropped += 1;
        }
        before - self.waiting.len()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn fits(&self, size: u64) -> bool {
        (self.waiting.len() as u64) < self.bounds.messages && self.bytes + size <= self.bounds.bytes
    }

    fn pop_newest(&mut self) -> Option<Arc<Envelope>> {
        let envelope = self.waiting.pop_back()?;
        self.bytes -= size(&envelope);
        Some(envelope)
    }
}

fn size(envelope: &Envelope) -> u64 {
    envelope.message.size() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::envelope;

    fn queue(messages: u64, bytes: u64, full: LiveFullRule) -> Queue {
        Queue::new(Bounds { messages, bytes, full })
    }

    fn drain(queue: &mut Queue) -> Vec<String> {
        std::iter::from_fn(|| queue.pop())
            .map(|envelope| String::from_utf8(envelope.message.payload.clone()).unwrap())
            .collect()
    }

    /// Pushes messages on topic `t` (one byte) and compares what is left and how many were dropped.
    fn check(mut queue: Queue, pushed: &[&str], left: &[&str], dropped: u64) {
        let grown: isize = pushed.iter().map(|payload| queue.push(envelope("t", payload))).sum();
        assert_eq!(grown, left.len() as isize, "what push reports for {pushed:?}");
        assert_eq!(queue.len(), left.len());
        assert_eq!(drain(&mut queue), left, "left of {pushed:?}");
        assert_eq!(queue.dropped(), dropped, "dropped of {pushed:?}");
        assert_eq!(queue.bytes, 0);
    }

    #[test]
    fn q1_a_full_queue_drops_by_its_rule_and_counts() {
        use LiveFullRule::{DropNewest, DropOldest};
        check(queue(3, 100, DropOldest), &["a", "b", "c"], &["a", "b", "c"], 0);
        check(queue(3, 100, DropOldest), &["a", "b", "c", "d"], &["b", "c", "d"], 1);
        check(queue(3, 100, DropNewest), &["a", "b", "c", "d"], &["a", "b", "c"], 1);
        check(queue(9, 6, DropOldest), &["a", "b", "c", "d"], &["b", "c", "d"], 1);
        check(queue(9, 6, DropNewest), &["a", "b", "c", "d"], &["a", "b", "c"], 1);
        check(queue(9, 6, DropOldest), &["a", "b", "c", "defg"], &["defg"], 3);
    }

    #[test]
    fn a_message_that_can_never_fit_costs_no_other_its_place() {
        check(queue(9, 6, LiveFullRule::DropOldest), &["a", "b", "too large"], &["a", "b"], 1);
    }

    #[test]
    fn what_is_put_back_is_next_again_and_respects_the_bounds() {
        let mut queue = queue(2, 100, LiveFullRule::DropOldest);
        queue.push(envelope("t", "a"));
        queue.push(envelope("t", "b"));
        let a = queue.pop().unwrap();
        assert!(queue.put_back(a.clone()));
        assert!(!queue.put_back(a), "there is no room for a third");
        assert_eq!(queue.dropped(), 1);
        assert_eq!(drain(&mut queue), ["a", "b"]);
    }

    #[test]
    fn smaller_bounds_apply_to_what_waits_already() {
        for (full, left) in [(LiveFullRule::DropOldest, ["c", "d"]), (LiveFullRule::DropNewest, ["a", "b"])] {
            let mut queue = queue(9, 100, full);
            for payload in ["a", "b", "c", "d"] {
                queue.push(envelope("t", payload));
            }
            assert_eq!(queue.resize(Bounds { messages: 2, bytes: 100, full }), 2);
            assert_eq!(drain(&mut queue), left);
            assert_eq!(queue.dropped(), 2);
        }
    }
}
