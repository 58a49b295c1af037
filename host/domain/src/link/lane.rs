//! One uplink rule on the link: what was read ahead of the window, what the broker has and the store still keeps, its
//! share of the link, and what speaks against its first message.

use std::collections::VecDeque;

use super::Unfit;
use crate::limits::{LINK_GIVE_UP_AFTER, LINK_WEIGHTS};

/// How the rules of a link share it while several have something to send. None starves: see
/// [`crate::limits::LINK_WEIGHTS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

impl Priority {
    /// Every class, as configuration writes it.
    pub const ALL: [(&str, Priority); 3] =
        [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];

    /// What one message costs; the rule that has paid least is next.
    fn stride(self) -> u64 {
        let [high, normal, low] = LINK_WEIGHTS;
        let weight = match self {
            Priority::High => high,
            Priority::Normal => normal,
            Priority::Low => low,
        };
        high * normal * low / weight
    }
}

/// A row of a queue as the link sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub sequence: u64,
    /// On the wire.
    pub bytes: usize,
    /// Why the broker's profile forbids to send it.
    pub unfit: Option<Unfit>,
}

/// What a rule has done since the link was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounters {
    /// Sent, again included.
    pub sent: u64,
    pub sent_bytes: u64,
    pub acknowledged: u64,
    pub given_up: u64,
    /// Sent or read ahead, and not acknowledged.
    pub in_flight: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Lane {
    stride: u64,
    pass: u64,
    staged: VecDeque<Row>,
    staged_bytes: usize,
    asked: bool,
    dry: bool,
    acknowledged: Vec<u64>,
    removing: bool,
    unsettled: usize,
    /// Whether this connection brought an acknowledgement, or was counted for not doing so.
    fruitful: bool,
    /// Connections in a row that ended without one, while one was owed.
    strikes: u32,
    /// The message that was alone on its way when the last of them ended, and how many it has seen so.
    suspect: Option<(u64, u32)>,
    counters: LaneCounters,
}

impl Lane {
    pub fn new(priority: Priority) -> Lane {
        Lane {
            stride: priority.stride(),
            pass: 0,
            staged: VecDeque::new(),
            staged_bytes: 0,
            asked: false,
            dry: false,
            acknowledged: Vec::new(),
            removing: false,
            unsettled: 0,
            fruitful: false,
            strikes: 0,
            suspect: None,
            counters: LaneCounters::default(),
        }
    }

    pub fn connected(&mut self) {
        self.fruitful = false;
    }

    pub fn ready(&mut self) {
        self.dry = false;
    }

    pub fn is_dry(&self) -> bool {
        self.dry
    }

    /// What to read ahead now. Asked again only when half of it is gone, so that queues are read in batches.
    pub fn wants(&mut self, count: usize, bytes: usize) -> Option<(usize, usize)> {
        if self.dry || self.asked || self.staged.len() > count / 2 || self.staged_bytes > bytes / 2 {
            return None;
        }
        self.asked = true;
        Some((count - self.staged.len(), bytes - self.staged_bytes))
    }

    /// Takes what was read; hands back what must not be sent. `paid` is what the others have paid by now.
    pub fn stage(&mut self, rows: Vec<Row>, paid: u64) -> Vec<(u64, Unfit)> {
        self.asked = false;
        if self.staged.is_empty() {
            self.pass = self.pass.max(paid);
        }
        if rows.is_empty() {
            self.dry = true;
            if self.staged.is_empty() && self.counters.in_flight == 0 {
                // What was suspected is gone.
                self.clear_suspicion();
            }
        }
        let mut unfit = Vec::new();
        for row in rows {
            match row.unfit {
                Some(why) => {
                    self.give_up();
                    unfit.push((row.sequence, why));
                }
                None => {
                    self.staged_bytes += row.bytes;
                    self.counters.in_flight += 1;
                    self.staged.push_back(row);
                }
            }
        }
        unfit
    }

    /// Size of the next to send.
    pub fn next_bytes(&self) -> Option<usize> {
        self.staged.front().map(|row| row.bytes)
    }

    pub fn may_have_more(&self) -> bool {
        !self.staged.is_empty() || self.asked
    }

    pub fn pass(&self) -> u64 {
        self.pass
    }

    /// Takes the next to send.
    pub fn launch(&mut self) -> Option<Row> {
        let row = self.staged.pop_front()?;
        self.staged_bytes -= row.bytes;
        self.pass += self.stride;
        self.counters.sent += 1;
        self.counters.sent_bytes += row.bytes as u64;
        Some(row)
    }

    pub fn acknowledged(&mut self, sequence: u64) {
        self.acknowledged.push(sequence);
        self.unsettled += 1;
        self.counters.acknowledged += 1;
        self.counters.in_flight -= 1;
        self.fruitful = true;
        self.clear_suspicion();
    }

    /// What is to leave the store now.
    pub fn begin_removal(&mut self) -> Vec<u64> {
        if self.removing || self.acknowledged.is_empty() {
            return Vec::new();
        }
        self.removing = true;
        std::mem::take(&mut self.acknowledged)
    }

    pub fn removed(&mut self, count: usize) {
        self.unsettled = self.unsettled.saturating_sub(count);
        self.removing = false;
    }

    pub fn given_up(&mut self) {
        self.unsettled = self.unsettled.saturating_sub(1);
    }

    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    pub fn strikes(&self) -> u32 {
        self.strikes
    }

    /// A connection ends while this rule is owed an acknowledgement. `alone` is the message that was alone on its way.
    pub fn strike(&mut self, alone: Option<u64>) {
        if self.fruitful {
            return;
        }
        self.fruitful = true;
        self.strikes = self.strikes.saturating_add(1);
        if let Some(sequence) = alone {
            self.suspect = match self.suspect {
                Some((same, closes)) if same == sequence => Some((sequence, closes + 1)),
                _ => Some((sequence, 1)),
            };
        }
    }

    pub fn beyond_hope(&self) -> Option<(u64, u32)> {
        self.suspect.filter(|(_, closes)| *closes >= LINK_GIVE_UP_AFTER)
    }

    pub fn give_up(&mut self) {
        self.unsettled += 1;
        self.counters.given_up += 1;
        self.clear_suspicion();
    }

    /// Forgets what was read ahead, since it goes back.
    pub fn unstage(&mut self) -> Vec<u64> {
        self.counters.in_flight = 0;
        self.staged_bytes = 0;
        self.asked = false;
        self.dry = false;
        self.staged.drain(..).map(|row| row.sequence).collect()
    }

    pub fn counters(&self) -> LaneCounters {
        self.counters
    }

    fn clear_suspicion(&mut self) {
        self.strikes = 0;
        self.suspect = None;
    }
}
