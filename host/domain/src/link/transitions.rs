//! What each input changes, and what may be sent after it.

use std::time::Duration;

use super::{Effect, Lane, Link, Phase, Row, Side, Watch, Why};
use crate::limits::{
    LINK_ACK_WAIT, LINK_AHEAD, LINK_AHEAD_BYTES, LINK_LEAVE_WAIT, LINK_SOLO_AFTER, LINK_UNSETTLED, LINK_WINDOW,
    LINK_WINDOW_BYTES,
};

impl Link {
    pub(super) fn connect(&mut self, now: Duration, out: &mut Vec<Effect>) {
        self.phase = Phase::Connecting { since: now };
        self.backoff.tries(now);
        out.push(Effect::Connect);
    }

    pub(super) fn connected(&mut self, now: Duration, session_present: bool, out: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Connecting { .. }) {
            return;
        }
        self.phase = Phase::Connected { since: now };
        self.watch = Watch { heard: now, sent: now, owed_since: now, pinged: false, closing: false };
        self.connections += 1;
        self.solo = self.lanes.iter().any(|lane| lane.strikes() >= LINK_SOLO_AFTER);
        self.lanes.iter_mut().for_each(Lane::connected);
        if session_present && self.subscribed {
            return;
        }
        // Whatever this process did not subscribe to itself may be out of date: the configuration may have changed.
        self.subscribed = true;
        let at_once = self.settings.profile.filters_per_subscribe.max(1);
        for start in (0..self.settings.filters).step_by(at_once) {
            let packet = self.flights.next_packet(&self.subscribing);
            self.subscribing.push(packet);
            out.push(Effect::Subscribe { packet, filters: start..(start + at_once).min(self.settings.filters) });
        }
    }

    pub(super) fn subscribed(&mut self, now: Duration, packet: u16, granted: bool) {
        self.heard(now);
        self.watch.owed_since = now;
        self.subscribing.retain(|waiting| *waiting != packet);
        self.subscribed &= granted;
    }

    pub(super) fn heard(&mut self, now: Duration) {
        self.watch.heard = now;
        self.watch.pinged = false;
    }

    pub(super) fn with_lane(&mut self, rule: usize, change: impl FnOnce(&mut Lane)) {
        if let Some(lane) = self.lanes.get_mut(rule) {
            change(lane);
        }
    }

    pub(super) fn rows(&mut self, rule: usize, rows: Vec<Row>, out: &mut Vec<Effect>) {
        let Some(lane) = self.lanes.get_mut(rule) else { return };
        let unfit = lane.stage(rows, self.paid);
        out.extend(unfit.into_iter().map(|(sequence, why)| Effect::GiveUp { rule, sequence, why: Why::Unfit(why) }));
    }

    pub(super) fn acknowledged(&mut self, now: Duration, packet: u16) {
        self.heard(now);
        let Some(flight) = self.flights.land(packet) else { return };
        self.watch.owed_since = now;
        self.with_lane(flight.rule, |lane| lane.acknowledged(flight.sequence));
        self.solo = self.lanes.iter().any(|lane| lane.strikes() >= LINK_SOLO_AFTER);
    }

    pub(super) fn woke(&mut self, now: Duration, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Backoff { until, .. } if until <= now => self.connect(now, out),
            Phase::Connected { .. } if !self.watch.closing => {
                if now >= self.stall_at() {
                    self.close(false, Why::Silence(self.stall_after()), out);
                } else if self.owed() && now >= self.watch.owed_since + LINK_ACK_WAIT {
                    self.strike();
                    self.close(false, Why::NoAcknowledgement(LINK_ACK_WAIT), out);
                } else if !self.watch.pinged && now >= self.ping_at() {
                    self.watch.pinged = true;
                    self.watch.sent = now;
                    out.push(Effect::Ping);
                }
            }
            _ => {}
        }
    }

    /// Ends the connection when all that is owed has come, or when it has been waited for long enough.
    pub(super) fn leave(&mut self, now: Duration, why: Why) {
        let renewing = why == Why::Renewed;
        let connected = matches!(self.phase, Phase::Connected { .. });
        if renewing && (!connected || self.leaving.is_some()) {
            return;
        }
        self.leaving = Some((why, now + LINK_LEAVE_WAIT));
    }

    pub(super) fn stop(&mut self, now: Duration, out: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Connected { .. }) {
            return self.leave(now, Why::Stopped);
        }
        if self.phase != Phase::Stopped {
            self.end(now, out);
        }
    }

    /// For good: a link that has ended does not begin again.
    fn end(&mut self, now: Duration, out: &mut Vec<Effect>) {
        self.phase = Phase::Stopped;
        self.leaving = Some((Why::Stopped, now));
        out.push(Effect::End);
    }

    fn close(&mut self, goodbye: bool, why: Why, out: &mut Vec<Effect>) {
        self.watch.closing = true;
        out.push(Effect::Close { goodbye, why });
    }

    /// A connection that ends now counts against the rules that it brought nothing for, and against the message
    /// that is alone on its way.
    fn strike(&mut self) {
        for (rule, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(first) = self.flights.first_of(rule) {
                lane.strike(self.solo.then_some(first));
            }
        }
    }

    pub(super) fn lost(&mut self, now: Duration, by: Side, jitter: u64, out: &mut Vec<Effect>) {
        let stood = match self.phase {
            Phase::Stopped | Phase::Backoff { .. } => return,
            Phase::Connecting { .. } => Duration::ZERO,
            Phase::Connected { since } => now.saturating_sub(since),
        };
        if by == Side::Peer {
            self.strike();
        }
        self.subscribing.clear();
        for (rule, lane) in self.lanes.iter_mut().enumerate() {
            let given_up = lane.beyond_hope();
            let mut sequences = self.flights.drain(rule);
            sequences.extend(lane.unstage());
            if let Some((sequence, closes)) = given_up
                && let Some(place) = sequences.iter().position(|other| *other == sequence)
            {
                sequences.remove(place);
                lane.give_up();
                out.push(Effect::GiveUp { rule, sequence, why: Why::EndsConnections(closes) });
            }
            if !sequences.is_empty() {
                out.push(Effect::PutBack { rule, sequences });
            }
        }
        match self.leaving.take() {
            Some((Why::Stopped, _)) => self.end(now, out),
            Some(_) if by == Side::Us => self.connect(now, out),
            _ => {
                let (step, wait) = self.backoff.failed(now, stood, jitter);
                self.phase = Phase::Backoff { until: now + wait, step };
            }
        }
    }

    /// Everything that may be done now without waiting for anything.
    pub(super) fn pump(&mut self, now: Duration, out: &mut Vec<Effect>) {
        self.settle(out);
        self.paced_until = None;
        let Phase::Connected { .. } = self.phase else { return };
        if self.watch.closing {
            return;
        }
        if let Some((why, until)) = &self.leaving {
            if !self.owed() || now >= *until {
                let why = why.clone();
                self.close(true, why, out);
            }
            return;
        }
        self.fetch(out);
        while let Some(rule) = self.next_lane() {
            let ready_at = self.buckets.iter().flatten().map(|bucket| bucket.ready_at()).max().unwrap_or_default();
            if ready_at > now {
                self.paced_until = Some(ready_at);
                return;
            }
            self.send(now, rule, out);
        }
    }

    /// What the broker has goes out of the store, one removal of a rule at a time: those that come meanwhile are the
    /// next one together.
    fn settle(&mut self, out: &mut Vec<Effect>) {
        for (rule, lane) in self.lanes.iter_mut().enumerate() {
            let sequences = lane.begin_removal();
            if !sequences.is_empty() {
                out.push(Effect::Remove { rule, sequences });
            }
        }
    }

    fn fetch(&mut self, out: &mut Vec<Effect>) {
        let in_flight = self.flights.len();
        for (rule, lane) in self.lanes.iter_mut().enumerate() {
            if lane.unsettled() + in_flight > LINK_UNSETTLED {
                continue;
            }
            if let Some((count, bytes)) = lane.wants(LINK_AHEAD, LINK_AHEAD_BYTES) {
                out.push(Effect::Fetch { rule, count, bytes });
            }
        }
    }

    /// Whose turn it is: the rule that is suspected of ending connections, otherwise the one that is furthest behind
    /// its share.
    fn next_lane(&self) -> Option<usize> {
        let window = if self.solo { 1 } else { LINK_WINDOW.min(self.settings.profile.unacknowledged) };
        if self.flights.len() >= window {
            return None;
        }
        let suspects_waiting = self.lanes.iter().any(|lane| lane.strikes() >= LINK_SOLO_AFTER && lane.may_have_more());
        let waiting = self.lanes.iter().enumerate().filter(|(_, lane)| {
            lane.next_bytes().is_some() && (!suspects_waiting || lane.strikes() >= LINK_SOLO_AFTER)
        });
        let (rule, lane) = waiting.min_by_key(|(_, lane)| lane.pass())?;
        let bytes = self.flights.bytes() + lane.next_bytes()?;
        (self.flights.is_empty() || bytes <= LINK_WINDOW_BYTES).then_some(rule)
    }

    fn send(&mut self, now: Duration, rule: usize, out: &mut Vec<Effect>) {
        let packet = self.flights.next_packet(&self.subscribing);
        let owed_before = self.owed();
        let Some(lane) = self.lanes.get_mut(rule) else { return };
        self.paid = lane.pass();
        let Some(row) = lane.launch() else { return };
        self.flights.launch(packet, rule, &row);
        for (place, bucket) in self.buckets.iter_mut().enumerate() {
            if let Some(bucket) = bucket {
                bucket.charge(now, if place % 2 == 0 { 1 } else { row.bytes as u64 });
            }
        }
        self.watch.sent = now;
        if !owed_before {
            self.watch.owed_since = now;
        }
        out.push(Effect::Send { rule, sequence: row.sequence, packet });
    }
}
