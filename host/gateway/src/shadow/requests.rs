//! Requests to the cloud about shadows, as their link takes them: in memory, and gone with the connection.
//!
//! Whoever asks asks again when no answer comes, so that nothing here has to last. The link treats them as the rows of
//! one more uplink rule: they take part in its rates and its window. Which of them ends connections is searched for by whoever
//! asks, since none comes twice; here is known what the broker has not acknowledged.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use edgewit_domain::message::Envelope;
use edgewit_net::link::{BoxFuture, NotStored, Outbox, Outgoing};

use crate::sync::lock;

#[derive(Default)]
pub(crate) struct Requests(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// Whoever asks knows of the connection that stands, if one does.
    open: bool,
    requests: VecDeque<Outgoing>,
    /// Went to the network, and are not acknowledged.
    owed: BTreeSet<u64>,
    sequence: u64,
    sent: u64,
    sent_bytes: u64,
    waker: Option<Waker>,
}

impl Requests {
    pub fn open(&self) {
        lock(&self.0).open = true;
    }

    /// Not more of them come at once than shadows may be under way. What is asked by who does not know yet that the
    /// connection has ended goes with that: a deletion must not arrive long after the look that it was decided by.
    pub fn push(&self, envelope: Arc<Envelope>) {
        let mut waiting = lock(&self.0);
        if !waiting.open {
            return;
        }
        waiting.sequence += 1;
        let sequence = waiting.sequence;
        waiting.requests.push_back(Outgoing { sequence, envelope });
        let waker = waiting.waker.take();
        drop(waiting);
        waker.into_iter().for_each(Waker::wake);
    }

    /// The connection has ended, and with it whatever waited. Says whether the broker owed an acknowledgement.
    pub fn clear(&self) -> bool {
        let mut waiting = lock(&self.0);
        waiting.requests.clear();
        waiting.open = false;
        !std::mem::take(&mut waiting.owed).is_empty()
    }

    /// How many went to the network since the link was made, and their bytes.
    pub fn counted(&self) -> (u64, u64) {
        let waiting = lock(&self.0);
        (waiting.sent, waiting.sent_bytes)
    }
}

impl Outbox for Requests {
    fn take(&self, count: usize, bytes: usize) -> Vec<Outgoing> {
        let mut waiting = lock(&self.0);
        let mut left = bytes;
        let mut taken = Vec::new();
        while let Some(next) = waiting.requests.front() {
            let size = next.envelope.message.size();
            if taken.len() >= count || (size > left && !taken.is_empty()) {
                break;
            }
            left = left.saturating_sub(size);
            taken.extend(waiting.requests.pop_front());
        }
        taken
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiting = lock(&self.0);
        if !waiting.requests.is_empty() {
            return Poll::Ready(());
        }
        waiting.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn put_back(&self, _: Vec<Outgoing>) {}

    fn acknowledged(&self, sequences: Vec<u64>) -> BoxFuture<Result<(), NotStored>> {
        let mut waiting = lock(&self.0);
        for sequence in sequences {
            waiting.owed.remove(&sequence);
        }
        Box::pin(async { Ok(()) })
    }

    fn sent(&self, row: &Outgoing, bytes: usize) {
        let mut waiting = lock(&self.0);
        waiting.owed.insert(row.sequence);
        waiting.sent += 1;
        waiting.sent_bytes += bytes as u64;
    }

    fn give_up(&self, sequence: u64, reason: String) -> BoxFuture<Result<(), NotStored>> {
        tracing::error!(sequence, reason, "A request about a shadow was given up; `edgewit shadow sync` shows whose");
        Box::pin(async { Ok(()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::envelope;

    #[test]
    fn what_was_decided_before_the_connection_ended_is_not_asked_on_the_next_one() {
        let requests = Requests::default();
        let push = || requests.push(envelope("$aws/things/gw/shadow/delete", "{}"));
        requests.open();
        push();
        assert!(!requests.clear(), "it was not sent");
        // Nobody has told the thread yet.
        push();
        assert!(requests.take(10, 1 << 20).is_empty());
        requests.open();
        push();
        let sent = requests.take(10, 1 << 20);
        sent.iter().for_each(|request| requests.sent(request, 10));
        assert!(requests.clear(), "it was sent, and nobody has it for sure");
    }
}
