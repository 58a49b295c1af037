//! The last lines of the log, and those who follow it.
//!
//! Bounded twice: the ring forgets the oldest line, and a follower that does not keep up misses lines and is
//! told how many.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use edgewit_domain::control::LogLine;
use edgewit_domain::limits::{CONTROL_BACKLOG, LOG_LINES_KEPT};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::sync::lock;

pub(crate) struct Ring {
    lines: Mutex<VecDeque<Arc<LogLine>>>,
    followers: broadcast::Sender<Arc<LogLine>>,
}

impl Default for Ring {
    fn default() -> Self {
        Ring { lines: Mutex::default(), followers: broadcast::Sender::new(CONTROL_BACKLOG) }
    }
}

/// Lines that a follower did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missed(pub u64);

impl Ring {
    pub fn push(&self, line: Arc<LogLine>) {
        let mut lines = lock(&self.lines);
        if lines.len() >= LOG_LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line.clone());
        // Nobody following is no failure.
        let _ = self.followers.send(line);
    }

    #[cfg(test)]
    pub fn last(&self, count: usize, component: Option<&str>) -> Vec<Arc<LogLine>> {
        newest(&lock(&self.lines), count, component)
    }

    /// The last `count` lines, oldest first, of one component where one is named; and everything that comes
    /// after them, without a gap.
    pub fn follow(&self, count: usize, component: Option<&str>) -> (Vec<Arc<LogLine>>, Follower) {
        let lines = lock(&self.lines);
        (newest(&lines, count, component), Follower(self.followers.subscribe()))
    }
}

fn newest(lines: &VecDeque<Arc<LogLine>>, count: usize, component: Option<&str>) -> Vec<Arc<LogLine>> {
    let wanted = lines.iter().rev().filter(|line| component.is_none() || line.component.as_deref() == component);
    let mut wanted: Vec<_> = wanted.take(count).cloned().collect();
    wanted.reverse();
    wanted
}

pub(crate) struct Follower(broadcast::Receiver<Arc<LogLine>>);

impl Follower {
    /// The next line, of whatever component; `None` when the log has ended.
    pub async fn next(&mut self) -> Option<Result<Arc<LogLine>, Missed>> {
        match self.0.recv().await {
            Ok(line) => Some(Ok(line)),
            Err(RecvError::Lagged(count)) => Some(Err(Missed(count))),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn line(component: &str, number: usize) -> Arc<LogLine> {
        Arc::new(LogLine {
            at_ms: 0,
            level: "info".into(),
            component: Some(component.into()),
            text: number.to_string(),
            fields: BTreeMap::new(),
        })
    }

    fn texts(lines: &[Arc<LogLine>]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn the_ring_keeps_the_newest_lines_and_finds_a_component() {
        let ring = Ring::default();
        for number in 0..LOG_LINES_KEPT + 10 {
            ring.push(line(if number % 2 == 0 { "even" } else { "odd" }, number));
        }
        assert_eq!(ring.last(usize::MAX, None).len(), LOG_LINES_KEPT);
        assert_eq!(texts(&ring.last(2, None)), ["2008", "2009"]);
        assert_eq!(texts(&ring.last(2, Some("even"))), ["2006", "2008"]);
    }

    #[tokio::test]
    async fn a_follower_that_falls_behind_is_told_how_far() {
        let ring = Ring::default();
        let (_, mut follower) = ring.follow(0, None);
        for number in 0..CONTROL_BACKLOG + 5 {
            ring.push(line("a", number));
        }
        assert_eq!(follower.next().await, Some(Err(Missed(5))));
        assert_eq!(follower.next().await.unwrap().unwrap().text, "5");
    }
}
