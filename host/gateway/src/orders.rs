//! What a component's thread is told, apart from its deliveries.
//!
//! Orders are few and answered one by one, between two handlings. An asker that has waited long enough can
//! hurry the thread: that interrupts the handling under way, and only while an order is still waiting, so that
//! no interruption is left over for whatever the thread does next.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use edgewit_domain::config::Component;
use edgewit_domain::control::NotTaken;
use edgewit_sandbox::Interrupter;
use edgewit_sandbox::artifact::Digest;
use tokio::sync::oneshot;

use crate::loading::{Loaded, Refusal};
use crate::mailbox::Mailbox;
use crate::sync::lock;

/// Orders waiting at once. More askers are turned away.
const WAITING: usize = 64;

pub(crate) enum Order {
    Start,
    Stop,
    /// Throw the instance away and start afresh.
    Restart,
    /// What the thread asked to be loaded, by the configuration that it asked with.
    Loaded(Arc<Component>, Box<Result<Loaded, Refusal>>),
    /// Run as this says.
    Change(Wanted),
    /// What the thread asked to be loaded in order to change.
    Replace(Arc<Component>, Box<Result<Loaded, Refusal>>),
    /// Discard the instance and end the thread.
    End,
}

/// How a component is to run from now on.
pub(crate) struct Wanted {
    pub component: Arc<Component>,
    /// Its artifact as it lies there; none where it cannot be read.
    pub digest: Option<Digest>,
    /// Dropped without a word where something newer is wanted meanwhile.
    pub answer: oneshot::Sender<Answer>,
}

/// What became of a [`Wanted`].
#[derive(Debug)]
pub(crate) enum Answer {
    /// It runs so already.
    Same,
    Changed,
    NotTaken(NotTaken),
}

/// Dropped when the order was carried out.
pub(crate) type Done = oneshot::Sender<()>;

#[derive(Default)]
pub(crate) struct Orders {
    waiting: Mutex<VecDeque<(Order, Option<Done>)>>,
}

/// Too many orders wait already.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Orders {
    pub fn push(&self, order: Order, done: Option<Done>, mailbox: &Mailbox) -> Result<(), TooMany> {
        let mut waiting = lock(&self.waiting);
        // The end and what was loaded are asked for once, and must arrive.
        let may_be_refused = matches!(order, Order::Start | Order::Stop | Order::Restart);
        if may_be_refused && waiting.len() >= WAITING {
            return Err(TooMany);
        }
        // The newest configuration is the one that counts.
        if matches!(order, Order::Change(_)) {
            waiting.retain(|(order, _)| !matches!(order, Order::Change(_) | Order::Replace(..)));
        }
        waiting.push_back((order, done));
        drop(waiting);
        mailbox.call();
        Ok(())
    }

    /// The next order. Taking one ends an interruption: its handling is over by then.
    pub fn take(&self, mailbox: &Mailbox, interrupter: &Interrupter) -> Option<(Order, Option<Done>)> {
        mailbox.answer();
        let mut waiting = lock(&self.waiting);
        // What was ordered before the end is not worth beginning.
        if let Some(end) = waiting.iter().position(|(order, _)| matches!(order, Order::End)) {
            waiting.drain(..end);
        }
        let next = waiting.pop_front();
        if !waiting.is_empty() {
            mailbox.call();
        }
        if next.is_some() && interrupter.is_interrupted() {
            interrupter.reset();
        }
        next
    }

    /// Interrupts the handling that an order waits for.
    pub fn hurry(&self, interrupter: &Interrupter) {
        let waiting = lock(&self.waiting);
        if !waiting.is_empty() {
            interrupter.interrupt();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    /// Whatever was ordered before the end: none of that is begun any more, and whoever asked for it is let go.
    #[test]
    fn an_end_comes_before_the_restarts_that_wait() {
        let (orders, mailbox, interrupter) = (Orders::default(), Mailbox::default(), Interrupter::new());
        let ask = |_| {
            let (done, asker) = oneshot::channel();
            orders.push(Order::Restart, Some(done), &mailbox).unwrap();
            asker
        };
        let mut askers: Vec<oneshot::Receiver<()>> = (0..3).map(ask).collect();
        orders.push(Order::End, None, &mailbox).unwrap();
        assert!(matches!(orders.take(&mailbox, &interrupter), Some((Order::End, None))));
        assert!(askers.iter_mut().all(|asker| asker.try_recv() == Err(TryRecvError::Closed)));
        assert!(orders.take(&mailbox, &interrupter).is_none());
    }
}
