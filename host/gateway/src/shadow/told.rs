//! What the thread that keeps shadows the same is told: by its link, by the store's writer, by its own commits.
//!
//! Nobody who tells it something waits. A change of a document takes the place of an earlier one, a message from the
//! cloud is acknowledged when the thread has taken it, and commits are as many as it has under way: so what waits here is
//! bounded by who tells.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use edgewit_domain::shadow::ShadowId;
use edgewit_domain::shadow::sync::{Input, Rules, Seen};
use edgewit_domain::topic::Topic;
use tokio::sync::oneshot;

use crate::sync::lock;

pub(crate) struct Told {
    rules: Rules,
    inner: Mutex<Inner>,
    came: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Since it was last taken the link went down, and whether the broker owed an acknowledgement of a request then.
    down: Option<bool>,
    /// It stands, and that was not taken yet.
    up: bool,
    /// A session was lost since it was last taken that the link stands.
    lost: bool,
    heard: VecDeque<(Topic, Vec<u8>, oneshot::Sender<()>)>,
    changed: BTreeMap<ShadowId, Seen>,
    committed: VecDeque<Input>,
    ended: bool,
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.down.is_none()
            && !self.up
            && self.heard.is_empty()
            && self.changed.is_empty()
            && self.committed.is_empty()
            && !self.ended
    }
}

impl Told {
    pub fn new(rules: Rules) -> Told {
        Told { rules, inner: Mutex::default(), came: Condvar::new() }
    }

    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    pub fn up(&self, session_kept: bool) {
        self.tell(|inner| {
            inner.up = true;
            inner.lost |= !session_kept;
        });
    }

    pub fn down(&self, owed: bool) {
        self.tell(|inner| {
            inner.down = Some(owed || inner.down == Some(true));
            inner.up = false;
        });
    }

    /// The receiver hears when the thread has taken it.
    pub fn heard(&self, topic: Topic, payload: Vec<u8>) -> oneshot::Receiver<()> {
        let (taken, receiver) = oneshot::channel();
        self.tell(|inner| inner.heard.push_back((topic, payload, taken)));
        receiver
    }

    pub fn changed(&self, id: &ShadowId, seen: Seen) {
        if self.rules.how(id).is_some() {
            self.tell(|inner| {
                inner.changed.insert(id.clone(), seen);
            });
        }
    }

    pub fn committed(&self, input: Input) {
        self.tell(|inner| inner.committed.push_back(input));
    }

    pub fn end(&self) {
        self.tell(|inner| inner.ended = true);
    }

    fn tell(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut lock(&self.inner));
        self.came.notify_one();
    }

    /// Waits for something to be told, at most so long, and takes all of it. None at the end.
    pub fn take(&self, time: Option<Duration>) -> Option<Vec<Input>> {
        let mut inner = lock(&self.inner);
        let waits = |inner: &mut Inner| inner.is_empty();
        inner = match time {
            None => self.came.wait_while(inner, waits).unwrap_or_else(PoisonError::into_inner),
            Some(time) => self.came.wait_timeout_while(inner, time, waits).unwrap_or_else(PoisonError::into_inner).0,
        };
        if inner.ended {
            return None;
        }
        let Inner { down, up, lost, heard, changed, committed, ended: _ } = std::mem::take(&mut *inner);
        inner.lost = lost && !up;
        drop(inner);
        let mut inputs: Vec<Input> = down.map(|owed| Input::Down { owed }).into_iter().collect();
        inputs.extend(up.then_some(Input::Up { session_kept: !lost }));
        inputs.extend(changed.into_iter().map(|(id, local)| Input::Changed { id, local }));
        inputs.extend(committed);
        inputs.extend(heard.into_iter().map(|(topic, payload, taken)| {
            // A link that has ended does not wait.
            let _ = taken.send(());
            Input::Heard { topic, payload }
        }));
        Some(inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(told: &Told) -> Vec<Input> {
        told.take(Some(Duration::ZERO)).unwrap()
    }

    #[test]
    fn a_link_that_stood_for_a_moment_is_down_and_the_session_it_lost_is_not_forgotten() {
        let told = Told::new(Rules::default());
        told.up(false);
        told.down(false);
        assert_eq!(taken(&told), [Input::Down { owed: false }]);
        told.up(true);
        assert_eq!(taken(&told), [Input::Up { session_kept: false }]);
        told.down(false);
        told.up(true);
        assert_eq!(taken(&told), [Input::Down { owed: false }, Input::Up { session_kept: true }]);
        told.down(true);
        told.up(false);
        told.down(false);
        told.up(true);
        assert_eq!(taken(&told), [Input::Down { owed: true }, Input::Up { session_kept: false }]);
    }
}
