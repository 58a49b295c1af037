//! A shift: the ticks and deliveries that are handled between two looks at orders and clocks.
//!
//! Each is a unit of its own: its effects become real when it has returned well, before the next one begins,
//! and the first that fails ends the shift with everything after it untouched. A live delivery is consumed when
//! it is handed over; a failed tick is tried again.
//!
//! This is the hot path. Per delivery it reads one clock, takes no lock but the hub's, and counts without locked
//! instructions.

use std::collections::VecDeque;
use std::time::Duration;

use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Delivery, Effects, Outcome};
use edgewit_domain::limits::BATCH;
use edgewit_domain::message::Envelope;
use edgewit_domain::rate::TokenBucket;
use edgewit_sandbox::Instance;

use super::guard::guarded;
use crate::desk::Desk;
use crate::mailbox::Taken;
use crate::sync::lock;

/// Handles what is due and what is in `batch`. What is left in there was not handed over.
pub(super) fn work(
    desk: &Desk,
    instance: &mut Instance,
    batch: &mut VecDeque<Taken>,
    log_rate: &mut TokenBucket,
    until: Option<Duration>,
) -> Result<(), Fault> {
    let now = desk.now();
    let ticks = instance.exports().tick && lock(&desk.timers).next_due().is_some_and(|due| due <= now);
    if batch.is_empty() && !ticks {
        return Ok(());
    }
    guarded(|| {
        let (ended, cpu) = instance.batch(|instance| {
            let mut shift = Shift { desk, instance, log_rate, until, at: now };
            if ticks {
                shift.ticks()?;
            }
            shift.deliveries(batch)
        });
        desk.stats.add_cpu(cpu);
        ended
    })
}

struct Shift<'a> {
    desk: &'a Desk,
    instance: &'a mut Instance,
    log_rate: &'a mut TokenBucket,
    /// When something else is due.
    until: Option<Duration>,
    /// The last look at the clock.
    at: Duration,
}

impl Shift<'_> {
    fn ticks(&mut self) -> Result<(), Fault> {
        for _ in 0..BATCH {
            if self.desk.mailbox.is_called() {
                break;
            }
            let Some(tick) = lock(&self.desk.timers).take_due(self.at) else { break };
            let outcome = guarded(|| self.instance.on_tick(&tick));
            let now = self.count();
            match outcome {
                Ok(Outcome::Done(effects)) => {
                    lock(&self.desk.timers).done(now, &tick);
                    self.done(None, effects);
                }
                Ok(Outcome::Rejected { reason }) => {
                    lock(&self.desk.timers).rejected(now, &tick);
                    self.rejected("timer", &tick.name, &reason);
                }
                Err(fault) => {
                    lock(&self.desk.timers).failed(now, &tick);
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    fn deliveries(&mut self, batch: &mut VecDeque<Taken>) -> Result<(), Fault> {
        let next_tick = if self.instance.exports().tick { lock(&self.desk.timers).next_due() } else { None };
        self.until = [self.until, next_tick].into_iter().flatten().min();
        while let Some(taken) = batch.pop_front() {
            if taken.envelope.is_expired(self.at) {
                self.desk.stats.expired.add(1);
                continue;
            }
            let delivery = Delivery { envelope: taken.envelope, attempt: 1, sequence: None };
            let outcome = self.instance.on_message(&delivery)?;
            self.count();
            match outcome {
                Outcome::Done(effects) => self.done(Some(&delivery.envelope), effects),
                Outcome::Rejected { reason } => {
                    self.rejected("message", delivery.envelope.message.topic.as_str(), &reason);
                }
            }
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }

    fn done(&mut self, cause: Option<&Envelope>, effects: Effects) {
        self.desk.stats.handled.add(1);
        if !effects.is_empty() {
            self.desk.commit(cause, effects);
        }
    }

    fn rejected(&mut self, what: &str, which: &str, reason: &str) {
        self.desk.stats.rejected.add(1);
        if self.log_rate.take(self.at) {
            tracing::warn!(component = &*self.desk.name, what, which, reason, "Gave it up");
        }
    }

    /// One handling is over: how long it took.
    fn count(&mut self) -> Duration {
        let now = self.desk.now();
        self.desk.stats.times.record(now.saturating_sub(self.at));
        self.at = now;
        now
    }

    fn is_over(&self) -> bool {
        self.desk.mailbox.is_called() || self.until.is_some_and(|until| self.at >= until)
    }
}
