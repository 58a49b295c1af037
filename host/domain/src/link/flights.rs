//! What the broker owes an acknowledgement for: packet id to row, and the rows of a rule in the order they were sent.

use std::collections::BTreeMap;

use super::lane::Row;

/// One message on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub rule: usize,
    pub sequence: u64,
    bytes: usize,
    /// Counts launches, since packet ids begin again.
    place: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Flights {
    by_packet: BTreeMap<u16, Flight>,
    bytes: usize,
    last_packet: u16,
    launched: u64,
}

impl Flights {
    /// An id that nobody uses. The window is a hundredth of what there are.
    pub fn next_packet(&mut self, also_used: &[u16]) -> u16 {
        loop {
            self.last_packet = self.last_packet.checked_add(1).unwrap_or(1);
            if !self.by_packet.contains_key(&self.last_packet) && !also_used.contains(&self.last_packet) {
                return self.last_packet;
            }
        }
    }

    pub fn launch(&mut self, packet: u16, rule: usize, row: &Row) {
        self.launched += 1;
        self.bytes += row.bytes;
        self.by_packet.insert(packet, Flight { rule, sequence: row.sequence, bytes: row.bytes, place: self.launched });
    }

    pub fn land(&mut self, packet: u16) -> Option<Flight> {
        let flight = self.by_packet.remove(&packet)?;
        self.bytes -= flight.bytes;
        Some(flight)
    }

    /// Takes back all of one rule, in the order they were sent.
    pub fn drain(&mut self, rule: usize) -> Vec<u64> {
        let mut found: Vec<Flight> = self.by_packet.values().filter(|flight| flight.rule == rule).copied().collect();
        found.sort_unstable_by_key(|flight| flight.place);
        self.by_packet.retain(|_, flight| flight.rule != rule);
        self.bytes -= found.iter().map(|flight| flight.bytes).sum::<usize>();
        found.into_iter().map(|flight| flight.sequence).collect()
    }

    /// The one of a rule that was sent first.
    pub fn first_of(&self, rule: usize) -> Option<u64> {
        let of_rule = self.by_packet.values().filter(|flight| flight.rule == rule);
        of_rule.min_by_key(|flight| flight.place).map(|flight| flight.sequence)
    }

    pub fn is_empty(&self) -> bool {
        self.by_packet.is_empty()
    }

    pub fn len(&self) -> usize {
        self.by_packet.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
