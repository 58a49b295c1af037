//! A shift: the ticks and deliveries that are handled between two looks at orders and clocks.
//!
//! Each is a unit of its own. What has nothing to be kept becomes real when its handler has returned well, before the
//! next one begins; the rest waits to be committed together, and everything behind it waits with it, so that nothing
//! overtakes. The first that fails ends the shift, with what was handled before it committed and everything after it
//! untouched. A live delivery is consumed when it is handed over; a durable one when its unit is on disk; a failed
//! tick is tried again.
//!
//! This is the hot path. Per live delivery it reads one clock, takes no lock but the hub's, and counts without locked
//! instructions.

use std::collections::VecDeque;
use std::time::Duration;

use edgewit_domain::delivery::{Ending, Next};
use edgewit_domain::fault::Fault;
use edgewit_domain::handling::{Delivery, Effects, Outcome, Tick};
use edgewit_domain::ledger::{Consumed, TimerRow, Unit};
use edgewit_domain::limits::BATCH;
use edgewit_domain::message::Envelope;
use edgewit_domain::rate::TokenBucket;
use edgewit_sandbox::Instance;

use super::guard::guarded;
use super::pending::{Handled, Pending, Undone};
use crate::clock::Moment;
use crate::desk::Desk;
use crate::hub::Reservation;
use crate::mailbox::Taken;
use crate::sync::lock;

/// How a shift ended.
pub(super) enum Ended {
    Well,
    /// The instance has to go, and there is nothing wrong with the component: it failed at a delivery that is tried
    /// again for itself, or what it did was undone.
    Renew,
    Fault(Fault),
}

/// Handles what is due and what is in `batch`. What is left in there was not handed over.
pub(super) fn work(
    desk: &Desk,
    instance: &mut Instance,
    batch: &mut VecDeque<Taken>,
    log_rate: &mut TokenBucket,
    until: Option<Duration>,
) -> Ended {
    let now = desk.now();
    let ticks = instance.exports().tick && lock(&desk.timers).next_due().is_some_and(|due| due <= now);
    if batch.is_empty() && !ticks {
        return Ended::Well;
    }
    let worked = guarded(|| {
        let (ended, cpu) = instance.batch(|instance| {
            let mut shift =
                Shift { desk, instance, log_rate, until, at: desk.common.clock.moment(), pending: Pending::default() };
            let ended = shift.all(ticks, batch);
            shift.end(ended)
        });
        desk.stats.add_cpu(cpu);
        Ok(ended)
    });
    worked.unwrap_or_else(Ended::Fault)
}

struct Shift<'a> {
    desk: &'a Desk,
    instance: &'a mut Instance,
    log_rate: &'a mut TokenBucket,
    /// When something else is due.
    until: Option<Duration>,
    /// The last look at the clocks.
    at: Moment,
    pending: Pending,
}

/// Why a shift ended before its time.
enum Stop {
    Fault(Fault),
    /// A durable delivery failed; what follows from it waits to be committed.
    Delivery(Fault),
    Undone(Undone),
    /// What is to be given up has no place: nothing behind it is handled.
    Blocked,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Stop::Fault(fault)
    }
}

impl From<Undone> for Stop {
    fn from(undone: Undone) -> Self {
        Stop::Undone(undone)
    }
}

impl Shift<'_> {
    fn all(&mut self, ticks: bool, batch: &mut VecDeque<Taken>) -> Result<(), Stop> {
        if ticks {
            self.ticks()?;
        }
        self.deliveries(batch)
    }

    /// Whatever ended it, what was handled well before is committed.
    fn end(&mut self, ended: Result<(), Stop>) -> Ended {
        let flushed = self.pending.flush(self.desk);
        match (ended, flushed) {
            (Err(Stop::Fault(fault)), _) => Ended::Fault(fault),
            (Err(Stop::Delivery(fault)), _) => {
                self.desk.note_fault(fault);
                Ended::Renew
            }
            (Err(Stop::Undone(Undone(refusal))), _) | (Ok(()) | Err(Stop::Blocked), Err(Undone(refusal))) => {
                tracing::debug!(component = &*self.desk.name, %refusal, "Undone, and done again");
                Ended::Renew
            }
            (Ok(()) | Err(Stop::Blocked), Ok(())) => Ended::Well,
        }
    }

    fn ticks(&mut self) -> Result<(), Stop> {
        for _ in 0..BATCH {
            if self.desk.mailbox.is_called() {
                break;
            }
            let Some(tick) = lock(&self.desk.timers).take_due(self.at.running) else { break };
            let outcome = guarded(|| self.instance.on_tick(&tick));
            let now = self.count();
            match outcome {
                Ok(Outcome::Done(effects)) => {
                    lock(&self.desk.timers).done(now, &tick);
                    self.done(None, effects, Handled::Tick(tick))?;
                }
                Ok(Outcome::Rejected { reason }) => {
                    self.desk.forget_reserved();
                    lock(&self.desk.timers).rejected(now, &tick);
                    self.forget_tick(tick.clone())?;
                    self.rejected("timer", &tick.name, &reason);
                }
                Err(fault) => {
                    self.desk.forget_reserved();
                    lock(&self.desk.timers).failed(now, &tick);
                    return Err(Stop::Fault(fault));
                }
            }
        }
        Ok(())
    }

    fn deliveries(&mut self, batch: &mut VecDeque<Taken>) -> Result<(), Stop> {
        let next_tick = if self.instance.exports().tick { lock(&self.desk.timers).next_due() } else { None };
        self.until = [self.until, next_tick].into_iter().flatten().min();
        while let Some(taken) = batch.pop_front() {
            let expired = taken.envelope.is_expired(self.at.running);
            if expired {
                self.desk.stats.expired.add(1);
            }
            match taken.row {
                None if expired => {}
                None => self.live(taken)?,
                Some(row) if expired => self.consume(row)?,
                Some(row) => self.durable(row)?,
            }
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }

    fn live(&mut self, taken: Taken) -> Result<(), Stop> {
        let delivery = Delivery { envelope: taken.envelope, attempt: 1, sequence: None };
        let outcome = guarded(|| self.instance.deliver(&delivery));
        self.count();
        let outcome = outcome.inspect_err(|_| {
            self.desk.forget_reserved();
        })?;
        match outcome {
            Outcome::Done(effects) => self.done(Some(&delivery.envelope), effects, Handled::Live)?,
            Outcome::Rejected { reason } => {
                self.desk.forget_reserved();
                self.rejected("message", delivery.envelope.message.topic.as_str(), &reason);
            }
        }
        Ok(())
    }

    fn durable(&mut self, taken: Consumed) -> Result<(), Stop> {
        let next = lock(&self.desk.inbox.deliveries).begin(taken.clone());
        let (row, attempt, first, alone) = match next {
            Next::Bury(death) => {
                self.pending.bury(self.desk, death, taken);
                return self.unless_blocked();
            }
            Next::Handle { row, attempt, first, alone } => (row, attempt, first, alone),
        };
        if alone {
            self.pending.flush(self.desk)?;
        }
        if let Some(first) = first {
            let unit = Unit { attempt: Some(first), ..Unit::default() };
            self.pending.push(self.desk, unit, Handled::Note, Reservation::default())?;
            self.pending.flush(self.desk)?;
            self.at.renew(&self.desk.common.clock);
        }
        let delivery = Delivery { envelope: row.envelope.clone(), attempt, sequence: Some(row.sequence) };
        let outcome = guarded(|| self.instance.deliver(&delivery));
        let now = self.count();
        let ending = match outcome {
            Ok(Outcome::Done(effects)) => {
                self.done(Some(&delivery.envelope), effects, Handled::Row(taken))?;
                if alone {
                    self.pending.flush(self.desk)?;
                    self.at.renew(&self.desk.common.clock);
                }
                return Ok(());
            }
            Ok(Outcome::Rejected { reason }) => {
                self.desk.forget_reserved();
                self.desk.stats.rejected.add(1);
                let verdict = lock(&self.desk.inbox.deliveries).failed(now, row, Ending::Rejected { reason });
                self.pending.follow(self.desk, verdict, taken);
                return self.unless_blocked();
            }
            Err(fault) => fault,
        };
        let lack = self.desk.forget_reserved();
        let how = match (&ending, lack) {
            (Fault::Interrupted, _) => Ending::Interrupted,
            (_, Some(lack)) => Ending::NoRoom(lack),
            (fault, None) => Ending::Failed { reason: fault.to_string(), backtrace: self.instance.take_backtrace() },
        };
        let interrupted = how == Ending::Interrupted;
        let verdict = lock(&self.desk.inbox.deliveries).failed(now, row, how);
        self.pending.follow(self.desk, verdict, taken);
        Err(if interrupted { Stop::Fault(ending) } else { Stop::Delivery(ending) })
    }

    fn unless_blocked(&self) -> Result<(), Stop> {
        if lock(&self.desk.inbox.deliveries).is_blocked() { Err(Stop::Blocked) } else { Ok(()) }
    }

    /// A row that nobody wants any more.
    fn consume(&mut self, row: Consumed) -> Result<(), Stop> {
        let unit = Unit { consumed: Some(row.clone()), ..Unit::default() };
        Ok(self.pending.push(self.desk, unit, Handled::Row(row), Reservation::default())?)
    }

    /// A one-shot timer that was given up.
    fn forget_tick(&mut self, tick: Tick) -> Result<(), Stop> {
        let timers: Vec<TimerRow> = self.desk.timer_rows([tick.name.as_str()]);
        if timers.is_empty() {
            return Ok(());
        }
        let unit = Unit { timers, ..Unit::default() };
        Ok(self.pending.push(self.desk, unit, Handled::Tick(tick), Reservation::default())?)
    }

    fn done(&mut self, cause: Option<&Envelope>, effects: Effects, handled: Handled) -> Result<(), Stop> {
        let desk = self.desk;
        desk.stats.handled.add(1);
        let durable = matches!(handled, Handled::Row(_));
        if effects.is_empty() && !durable && !matches!(handled, Handled::Tick(_)) {
            return Ok(());
        }
        let Effects { publishes, timers, values, reads, shadow_reads } = effects;
        desk.stats.published.add(publishes.len() as u64);
        let looked = !reads.is_empty() || !shadow_reads.is_empty();
        let hold = durable || looked || !timers.is_empty() || !values.is_empty() || !self.pending.is_empty();
        let planned = desk.common.hub.commit(&desk.name, cause, publishes, self.at, hold);
        let reserved = desk.take_reserved();
        if planned.is_none() && !hold && matches!(handled, Handled::Live) {
            return Ok(());
        }
        let publishes = planned.unwrap_or_default();
        let timers = self.set_timers(timers, &handled);
        let consumed = if let Handled::Row(row) = &handled { Some(row.clone()) } else { None };
        let unit = Unit { consumed, publishes, reads, shadow_reads, values, timers, ..Unit::default() };
        if unit.is_volatile() && !hold {
            return Ok(());
        }
        Ok(self.pending.push(desk, unit, handled, reserved)?)
    }

    /// Changes the timers, and says what of that has to be kept.
    fn set_timers(&mut self, changes: Vec<edgewit_domain::handling::TimerChange>, handled: &Handled) -> Vec<TimerRow> {
        let desk = self.desk;
        let mut names: Vec<String> = changes.iter().map(|change| change.name().to_owned()).collect();
        if let Handled::Tick(tick) = handled {
            names.push(tick.name.clone());
        }
        if names.is_empty() {
            return Vec::new();
        }
        lock(&desk.timers).apply(self.at.running, changes);
        names.sort_unstable();
        names.dedup();
        desk.timer_rows(names.iter().map(String::as_str))
    }

    fn rejected(&mut self, what: &str, which: &str, reason: &str) {
        self.desk.stats.rejected.add(1);
        if self.log_rate.take(self.at.running) {
            tracing::warn!(component = &*self.desk.name, what, which, reason, "Gave it up");
        }
    }

    /// One handling is over: how long it took.
    fn count(&mut self) -> Duration {
        let before = self.at.running;
        self.at.renew(&self.desk.common.clock);
        self.desk.stats.times.record(self.at.running.saturating_sub(before));
        self.at.running
    }

    fn is_over(&self) -> bool {
        self.desk.mailbox.is_called() || self.until.is_some_and(|until| self.at.running >= until)
    }
}
