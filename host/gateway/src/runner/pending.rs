//! What a shift has handled and not yet committed.
//!
//! Handlings wait here to share one commit. Each is a unit of its own: when one is refused, those before it stand, and
//! it and those behind it never were. Then the instance has seen what never was, and has to go. Nothing of what is here
//! is seen by anyone but the handlings that come after it in the same shift.

use edgewit_domain::delivery::{Death, Ending, Verdict};
use edgewit_domain::handling::Tick;
use edgewit_domain::ledger::{Attempt, Burial, Consumed, DeathNote, Planned, Refusal, Unit};
use edgewit_domain::limits::{BACKTRACE_BYTES, BATCH};
use edgewit_domain::message::{Message, Origin};
use edgewit_domain::topic::Topic;
use edgewit_store::Outcome;

use crate::clock::wall;
use crate::desk::Desk;
use crate::hub::Reservation;
use crate::sync::lock;

/// Bytes that wait before they are committed.
const BYTES: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Pending {
    units: Vec<Unit>,
    handled: Vec<Handled>,
    reserved: Vec<Reservation>,
    bytes: usize,
}

/// Where a unit comes from.
pub(super) enum Handled {
    /// A live delivery, which is gone whatever becomes of it.
    Live,
    /// As it was taken.
    Row(Consumed),
    Tick(Tick),
    /// What is given up, and as it was taken.
    Grave(Death, Consumed),
    /// A delivery that comes again, as it was taken.
    Again(Consumed),
    /// No handling, but something to be noted.
    Note,
}

/// Why the instance has to go.
#[derive(Debug)]
pub(super) struct Undone(pub Refusal);

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    pub fn push(&mut self, desk: &Desk, unit: Unit, handled: Handled, reserved: Reservation) -> Result<(), Undone> {
        desk.values.lay_over(&unit.values);
        desk.shadows.lay_over(&unit.publishes);
        let publishes = unit.publishes.iter().map(|planned| planned.envelope.message.size());
        let values = unit.values.iter().filter_map(|change| Some(change.value.as_ref()?.len()));
        self.bytes += publishes.sum::<usize>() + values.sum::<usize>();
        self.units.push(unit);
        self.handled.push(handled);
        self.reserved.push(reserved);
        if self.units.len() >= BATCH || self.bytes >= BYTES { self.flush(desk) } else { Ok(()) }
    }

    /// Commits all of it, and returns when it is on disk.
    pub fn flush(&mut self, desk: &Desk) -> Result<(), Undone> {
        if self.units.is_empty() {
            return Ok(());
        }
        let outcome = desk.commit_units(std::mem::take(&mut self.units));
        let mut handled = std::mem::take(&mut self.handled).into_iter();
        let reserved = std::mem::take(&mut self.reserved);
        self.bytes = 0;
        desk.values.clear();
        desk.shadows.clear();
        let Outcome { committed, refusal } = outcome;
        {
            let mut deliveries = lock(&desk.inbox.deliveries);
            for handled in handled.by_ref().take(committed) {
                match handled {
                    Handled::Row(row) => deliveries.handled(&row),
                    Handled::Grave(death, _) => deliveries.buried(&death.row),
                    Handled::Live | Handled::Tick(_) | Handled::Again(_) | Handled::Note => {}
                }
            }
        }
        drop(reserved);
        let Some(refusal) = refusal else { return Ok(()) };
        desk.restore_timers();
        let mut first = Some(refusal.clone());
        for handled in handled {
            self.undo(desk, handled, first.take());
        }
        // What is noted here frees or rewrites, and is refused only where nothing works any more.
        let _ = self.flush(desk);
        Err(Undone(refusal))
    }

    /// Nothing of it happened; `refusal` where it was its own fault.
    fn undo(&mut self, desk: &Desk, handled: Handled, refusal: Option<Refusal>) {
        let now = desk.now();
        match (handled, refusal) {
            (Handled::Grave(_, row) | Handled::Again(row), Some(Refusal::Gone)) => {
                lock(&desk.inbox.deliveries).buried(&row);
            }
            (Handled::Live, _) => desk.stats.failed.add(1),
            (Handled::Note, _) => {}
            (Handled::Tick(tick), _) => {
                lock(&desk.timers).failed(now, &tick);
            }
            (Handled::Grave(death, _), Some(_)) => {
                let attempt = lock(&desk.inbox.deliveries).unburied(death);
                self.note(attempt, Handled::Note);
            }
            (Handled::Row(row), Some(refusal)) => {
                let ending = Ending::Refused(refusal);
                let verdict = lock(&desk.inbox.deliveries).failed(now, row.clone(), ending);
                self.follow(desk, verdict, row);
            }
            (Handled::Row(row) | Handled::Grave(_, row) | Handled::Again(row), _) => {
                let back = lock(&desk.inbox.deliveries).undone(row);
                back.into_iter().for_each(|row| desk.inbox.put_back_row(row));
            }
        }
    }

    /// Does what has to be done about a delivery that was not handled well.
    /// `taken` is the delivery as it was taken.
    pub fn follow(&mut self, desk: &Desk, verdict: Verdict, taken: Consumed) {
        match verdict {
            Verdict::Again(attempt) => self.add(Unit { attempt, ..Unit::default() }, Handled::Again(taken)),
            Verdict::Bury(death) => self.bury(desk, death, taken),
        }
    }

    fn note(&mut self, attempt: Attempt, handled: Handled) {
        self.add(Unit { attempt: Some(attempt), ..Unit::default() }, handled);
    }

    fn add(&mut self, unit: Unit, handled: Handled) {
        self.units.push(unit);
        self.handled.push(handled);
        self.reserved.push(Reservation::default());
    }

    /// Consumes a delivery and makes it a dead letter, in one.
    pub fn bury(&mut self, desk: &Desk, death: Death, taken: Consumed) {
        let message = &death.row.envelope.message;
        let Some((queue, reserved)) = desk.inbox.grave(message) else {
            tracing::error!(
                component = &*desk.name,
                "Dead-letter queue full, or damaged: it handles nothing until there is room; see `edgewit dead ls`"
            );
            let attempt = lock(&desk.inbox.deliveries).unburied(death);
            return self.note(attempt, Handled::Again(taken));
        };
        let mut backtrace = death.backtrace.clone();
        backtrace.truncate(backtrace.floor_char_boundary(BACKTRACE_BYTES));
        let note = DeathNote {
            queue: desk.inbox.id_of(death.row.queue),
            reason: death.reason.clone(),
            attempts: death.attempts,
            backtrace,
            at: wall(),
        };
        tracing::error!(
            component = &*desk.name,
            topic = %message.topic,
            attempts = death.attempts,
            reason = death.reason,
            "Gave a message up; it is a dead letter now"
        );
        let publishes = desk.announce_death(message, &note);
        let burial = Burial { queue, envelope: death.row.envelope.clone(), note };
        let consumed = Some(death.row.clone());
        self.units.push(Unit { consumed, burial: Some(burial), publishes, ..Unit::default() });
        self.handled.push(Handled::Grave(death, taken));
        self.reserved.push(reserved);
    }
}

impl Desk {
    /// What others hear of a dead letter.
    fn announce_death(&self, message: &Message, note: &DeathNote) -> Vec<Planned> {
        let Ok(topic) = Topic::parse(format!("$edgewit/dead/{}", self.name)) else { return Vec::new() };
        let text = serde_json::json!({
            "component": &*self.name,
            "topic": message.topic.as_str(),
            "reason": note.reason,
            "attempts": note.attempts,
        });
        self.common.hub.plan(&Origin::Service("dead-letter".into()), Message::new(topic, text.to_string()))
    }
}
