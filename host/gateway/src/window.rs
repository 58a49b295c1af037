//! The part of a durable queue that its reader has in memory: the next rows, and no more of them than that.
//!
//! The rest is on disk. New rows come in here when they are committed, as long as nothing older is still to be read;
//! otherwise the window is behind, and is filled from the disk when its reader has caught up with it. A row that left
//! the window and was not handled yet is in its reader's hand; only what is in hand is safe from being dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::ledger::Consumed;
use edgewit_domain::message::Envelope;
use edgewit_domain::queue::QueueNumber;

/// Rows in a window, and their bytes, but for one that is larger by itself.
const ROWS: usize = 256;
pub(crate) const BYTES: usize = 1 << 20;
/// Where a queue begins of which nothing can be read.
const LOST: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub sequence: u64,
    pub envelope: Arc<Envelope>,
    pub failed: u32,
}

#[derive(Debug)]
pub(crate) struct Window {
    pub queue: QueueNumber,
    rows: VecDeque<Row>,
    bytes: usize,
    /// A row below this is gone; with the highest number nothing of the queue can be read.
    begin: u64,
    /// A row below this is here, or in hand, or gone.
    read_to: u64,
    /// There may be rows on disk from there on.
    behind: bool,
    loading: bool,
    /// Its reader wants nothing of it for now.
    pub paused: bool,
    /// A row was retracted, and may yet be there after all: nothing behind it is given out before that is known.
    fenced: bool,
}

impl Window {
    /// Of a queue whose rows begin at `head`.
    pub fn new(queue: QueueNumber, head: u64) -> Window {
        Window {
            queue,
            rows: VecDeque::new(),
            bytes: 0,
            begin: head,
            read_to: head,
            behind: true,
            loading: false,
            paused: false,
            fenced: false,
        }
    }

    /// A row that was just committed. False where it stays on disk for now.
    pub fn push(&mut self, row: Row) -> bool {
        if self.behind || !self.has_room() || self.is_lost() {
            self.behind = true;
            return false;
        }
        self.add(row);
        true
    }

    /// What was read from the disk for [`Window::lack`]; `more` if there may be rows behind it.
    pub fn fill(&mut self, rows: impl IntoIterator<Item = Row>, more: bool) {
        let before = self.read_to;
        rows.into_iter().filter(|row| row.sequence >= before).for_each(|row| self.add(row));
        self.behind = more;
        self.loading = false;
    }

    fn add(&mut self, row: Row) {
        self.read_to = row.sequence + 1;
        self.bytes += row.envelope.message.size();
        self.rows.push_back(row);
    }

    pub fn pop(&mut self) -> Option<Row> {
        let row = self.rows.pop_front()?;
        self.bytes = self.bytes.saturating_sub(row.envelope.message.size());
        Some(row)
    }

    /// At most `count` rows, and past the first at most `bytes`.
    pub fn pop_within(&mut self, count: usize, bytes: usize) -> Vec<Row> {
        let mut popped = Vec::new();
        let mut left = bytes;
        while popped.len() < count.min(self.rows.len() + popped.len()) && self.takeable() > 0 {
            let size = self.rows.front().map_or(0, |row| row.envelope.message.size());
            if size > left && !popped.is_empty() {
                break;
            }
            left = left.saturating_sub(size);
            popped.extend(self.pop());
        }
        popped
    }

    /// What was in hand and was not handled.
    pub fn put_back(&mut self, row: Row) {
        if row.sequence < self.begin {
            return;
        }
        self.bytes += row.envelope.message.size();
        let place = self.rows.partition_point(|waiting| waiting.sequence < row.sequence);
        self.rows.insert(place, row);
    }

    /// There is a row on disk that nobody pushed.
    pub fn look_again(&mut self) {
        self.behind = true;
    }

    /// From where rows are to be read, and how many, where some are wanted and nobody reads them yet.
    pub fn lack(&mut self) -> Option<(u64, usize)> {
        let wanted = self.behind && !self.loading && !self.is_lost() && self.rows.len() < ROWS / 4 && self.has_room();
        self.loading |= wanted;
        wanted.then(|| (self.read_to, ROWS - self.rows.len()))
    }

    /// What somebody was asked to read.
    pub fn wanted(&self) -> Option<(u64, usize)> {
        self.loading.then(|| (self.read_to, ROWS.saturating_sub(self.rows.len())))
    }

    fn has_room(&self) -> bool {
        self.rows.len() < ROWS && (self.bytes < BYTES || self.rows.is_empty())
    }

    /// Takes a row out that is not in hand. False if it is.
    pub fn retract(&mut self, sequence: u64) -> bool {
        if sequence >= self.read_to {
            self.fenced = true;
            return true;
        }
        let Ok(place) = self.rows.binary_search_by_key(&sequence, |row| row.sequence) else { return false };
        if let Some(row) = self.rows.remove(place) {
            self.bytes = self.bytes.saturating_sub(row.envelope.message.size());
        }
        self.fenced = true;
        true
    }

    /// What was retracted is gone for good. True where nothing is left here and more may be on disk: no row that comes
    /// wakes its reader then.
    pub fn settle(&mut self) -> bool {
        self.fenced = false;
        self.behind && self.rows.is_empty()
    }

    /// Rows from there on were retracted and are there after all: they are read anew.
    pub fn restore(&mut self, from: u64) {
        while self.rows.back().is_some_and(|row| row.sequence >= from) {
            self.rows.pop_back();
        }
        self.bytes = self.rows.iter().map(|row| row.envelope.message.size()).sum();
        self.read_to = self.read_to.min(from);
        self.behind = true;
        self.fenced = false;
    }

    /// Nothing of it can be read any more, and what comes back from a hand has no place.
    pub fn give_up(&mut self) {
        self.begin_anew(LOST);
    }

    /// All that was in the queue has gone, and it begins with this row.
    pub fn begin_anew(&mut self, head: u64) {
        let paused = self.paused;
        *self = Window { paused, ..Window::new(self.queue, head) };
    }

    fn is_lost(&self) -> bool {
        self.begin == LOST
    }

    /// Since when there is the first of its rows.
    pub fn first_since(&self) -> Option<Duration> {
        self.rows.front().map(|row| row.envelope.since)
    }

    /// Rows that its reader can take now.
    pub fn takeable(&self) -> usize {
        if self.paused || self.fenced { 0 } else { self.rows.len() }
    }
}

impl Row {
    pub fn of(consumed: Consumed) -> Row {
        let Consumed { sequence, envelope, failed, .. } = consumed;
        Row { sequence, envelope, failed }
    }

    pub fn taken(self, queue: QueueNumber) -> Consumed {
        let Row { sequence, envelope, failed } = self;
        Consumed { queue, sequence, envelope, failed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::envelope;

    fn row(sequence: u64) -> Row {
        Row { sequence, envelope: envelope("t", "x"), failed: 0 }
    }

    fn window() -> Window {
        let mut window = Window::new(QueueNumber(1), 1);
        assert_eq!(window.lack(), Some((1, ROWS)));
        assert_eq!(window.lack(), None, "somebody reads already");
        window.fill([], false);
        window
    }

    fn sequences(window: &Window) -> Vec<u64> {
        window.rows.iter().map(|row| row.sequence).collect()
    }

    #[test]
    fn of_a_queue_that_was_begun_anew_nothing_old_comes_back() {
        let mut window = window();
        assert!(window.push(row(1)) && window.push(row(2)));
        let taken = window.pop().unwrap();
        window.give_up();
        window.put_back(taken.clone());
        window.look_again();
        assert!(!window.push(row(3)));
        assert_eq!((window.takeable(), window.lack()), (0, None), "out of use");
        window.begin_anew(4);
        assert_eq!(window.lack(), Some((4, ROWS)));
        window.fill([row(4)], false);
        window.put_back(taken);
        assert_eq!(sequences(&window), [4]);
    }

    #[test]
    fn what_is_behind_a_full_window_stays_on_disk_until_it_is_wanted() {
        let mut window = window();
        for sequence in 1..=ROWS as u64 {
            assert!(window.push(row(sequence)));
        }
        assert!(!window.push(row(ROWS as u64 + 1)));
        assert_eq!(window.lack(), None, "nothing is wanted yet");
        while window.takeable() >= ROWS / 4 {
            window.pop();
        }
        assert!(!window.push(row(ROWS as u64 + 2)), "nothing overtakes what is still to be read");
        let (from, count) = window.lack().unwrap();
        assert_eq!((from, count), (ROWS as u64 + 1, ROWS - ROWS / 4 + 1));
        window.fill([row(from), row(from + 1)], false);
        assert!(window.push(row(from + 2)));
        assert!(sequences(&window).is_sorted());
    }

    #[test]
    fn only_what_is_in_hand_is_safe() {
        let mut window = window();
        (1..=3).for_each(|sequence| assert!(window.push(row(sequence))));
        let held = window.pop().unwrap();
        assert!(!window.retract(1), "in hand");
        assert!(window.retract(2));
        assert_eq!(window.takeable(), 0, "the row may be there after all, before what is behind it");
        assert!(!window.settle());
        assert_eq!(window.takeable(), 1);
        assert!(window.retract(9), "on disk");
        window.put_back(held);
        assert_eq!(sequences(&window), [1, 3]);
        assert!(window.retract(1));
    }

    #[test]
    fn who_has_nothing_left_and_more_on_disk_has_to_be_told() {
        let mut window = window();
        (1..=ROWS as u64 + 1).for_each(|sequence| {
            window.push(row(sequence));
        });
        (1..=ROWS as u64).for_each(|sequence| assert!(window.retract(sequence)));
        assert!(window.settle());
        assert_eq!(window.lack(), Some((ROWS as u64 + 1, ROWS)));
    }

    #[test]
    fn what_was_retracted_in_vain_is_read_again() {
        let mut window = window();
        (1..=4).for_each(|sequence| assert!(window.push(row(sequence))));
        window.pop();
        assert!(window.retract(3));
        window.restore(3);
        assert_eq!(sequences(&window), [2]);
        assert_eq!(window.lack().map(|(from, _)| from), Some(3));
        window.fill([row(3), row(4)], false);
        assert_eq!(sequences(&window), [2, 3, 4]);
    }
}
