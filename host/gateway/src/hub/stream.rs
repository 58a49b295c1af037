//! A subscription from outside the components: `edgewit sub`, a test, a native reader.
//!
//! The same queues under the same rules as a component's: bounded, dropping the oldest, counting.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgewit_domain::config::LiveFullRule;
use edgewit_domain::message::Envelope;
use edgewit_domain::routing::ReaderId;
use edgewit_domain::topic::Filter;

use super::{Hub, Interest, Sink};
use crate::mailbox::{Mailbox, Slot, Taken, current_thread};
use crate::queue::Bounds;

/// What matches, as it comes. Ends with the value.
pub struct Stream {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    reader: ReaderId,
}

impl Hub {
    /// A message that matches several filters comes once. First come the retained messages that match; blocks until they
    /// are read.
    pub fn subscribe(self: &Arc<Self>, filters: Vec<Filter>, bounds: Bounds) -> Stream {
        let wanted = filters.clone();
        let (stream, slot) = self.open(filters, bounds);
        self.replay_retained(wanted.into_iter().map(|filter| (filter, slot)).collect(), &stream.mailbox);
        stream
    }

    /// As [`Hub::subscribe`], for who waits for an answer and not for what was retained before: blocks for nothing.
    pub(crate) fn listen(self: &Arc<Self>, filters: Vec<Filter>, messages: u64) -> Stream {
        self.open(filters, Bounds { messages, bytes: u64::MAX, full: LiveFullRule::DropOldest }).0
    }

    fn open(self: &Arc<Self>, filters: Vec<Filter>, bounds: Bounds) -> (Stream, Slot) {
        let mailbox = Arc::new(Mailbox::default());
        let slot = mailbox.open(bounds);
        let interest = Interest { filters, owner: None, own: false, qos0: true };
        let reader = self.attach(interest, Sink { mailbox: mailbox.clone(), slot });
        (Stream { hub: self.clone(), mailbox, reader }, slot)
    }
}

impl Stream {
    /// What waits now and is still wanted, at most `count` messages.
    pub fn take(&self, count: usize) -> Vec<Arc<Envelope>> {
        let mut taken: Vec<Taken> = Vec::new();
        self.mailbox.take(&mut taken, count);
        let now = self.hub.uptime();
        taken.into_iter().map(|taken| taken.envelope).filter(|envelope| !envelope.is_expired(now)).collect()
    }

    /// Waits for the next messages, at most `count`.
    pub async fn next(&self, count: usize) -> Vec<Arc<Envelope>> {
        poll_fn(|context| self.mailbox.poll(context)).await;
        self.take(count)
    }

    /// Blocks until messages come or the time is over.
    pub fn wait(&self, count: usize, time: Duration) -> Vec<Arc<Envelope>> {
        let waker = current_thread();
        let deadline = Instant::now() + time;
        loop {
            let taken = self.take(count);
            let left = deadline.saturating_duration_since(Instant::now());
            if !taken.is_empty() || left.is_zero() {
                return taken;
            }
            self.mailbox.sleep(&waker, true, Some(left));
        }
    }

    /// Messages dropped so far because they were not taken in time.
    pub fn dropped(&self) -> u64 {
        self.mailbox.level().dropped
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.detach(self.reader);
    }
}
