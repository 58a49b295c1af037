//! One group of submissions as one batch.
//!
//! A unit that is refused leaves the others as they are. Where it turns out in the middle that a row cannot be read, or
//! that the disk has no room, the batch is undone and made again without the units concerned; each time there are
//! fewer of them, so it ends.

use std::collections::{BTreeMap, HashSet};

use edgewit_domain::ledger::{Ledger, Planned, Planner, Refusal, Said, Sequences, Unit};
use edgewit_domain::queue::QueueNumber;

use super::pending::Submission;
use super::{Outcome, Retracting, Writer};
use crate::writer::rows::Rows;

/// The units of a group: which submission, which of its units.
type Place = (usize, usize);

/// What the batch made of a submission.
#[derive(Default)]
struct Made {
    units: Vec<(Sequences, Said)>,
    refusal: Option<Refusal>,
}

impl Writer {
    pub fn commit(&mut self, group: Vec<Submission>) {
        if group.is_empty() {
            return;
        }
        let mut barred: BTreeMap<Place, Refusal> = BTreeMap::new();
        let mut gone = HashSet::new();
        if !self.holds_reserve() {
            bar_what_adds(&mut barred, &group, &Refusal::NoSpace);
        }
        let made = loop {
            match self.try_commit(&group, &barred, &mut gone) {
                Ok(made) => break made,
                Err((at, refusal)) => {
                    self.undo(&gone);
                    gone.clear();
                    if self.stopped {
                        return;
                    }
                    // Whatever touches a queue that is out of use is refused by the ledger.
                    if self.notice(&refusal) {
                        continue;
                    }
                    let full = refusal == Refusal::NoSpace;
                    let helped = full && (bar_what_adds(&mut barred, &group, &refusal) || self.release_reserve());
                    if !helped {
                        bar(&mut barred, &group, at, &refusal);
                    }
                }
            }
        };
        self.keep(&gone);
        for (submission, made) in group.into_iter().zip(made) {
            let committed = made.units.len();
            for (mut unit, (mut sequences, said)) in submission.units.into_iter().zip(made.units) {
                for (id, seen) in said.changed {
                    self.readers.changed(&id, seen);
                }
                unit.publishes.extend(said.publishes);
                sequences.extend(said.sequences);
                let sequences = still_there(&unit, sequences, &gone);
                self.readers.committed(unit, sequences);
            }
            (submission.done)(Outcome { committed, refusal: made.refusal });
        }
    }

    /// Says at which unit it could not go on, if it was one.
    fn try_commit(
        &mut self,
        group: &[Submission],
        barred: &BTreeMap<Place, Refusal>,
        gone: &mut HashSet<(QueueNumber, u64)>,
    ) -> Result<Vec<Made>, (Option<Place>, Refusal)> {
        self.batch.clear();
        self.ledger.begin();
        let engine = self.engine.clone();
        let mut rows = Rows::new(&*engine, &mut self.batch);
        let mut windows = Retracting { readers: &mut *self.readers, gone };
        let mut all = Vec::with_capacity(group.len());
        for (number, submission) in group.iter().enumerate() {
            let mut made = Made::default();
            for (place, unit) in submission.units.iter().enumerate() {
                let place = (number, place);
                let applied = match barred.get(&place) {
                    Some(refusal) => Err(refusal.clone()),
                    None => match apply(&mut self.ledger, unit, &mut rows, &mut windows) {
                        Err(broken @ Refusal::Broken(_)) => return Err((Some(place), broken)),
                        applied => applied,
                    },
                };
                match applied {
                    Ok(applied) => made.units.push(applied),
                    Err(refusal) => {
                        made.refusal = Some(refusal);
                        break;
                    }
                }
            }
            all.push(made);
        }
        self.ledger.finish(&mut rows);
        self.write().map_err(|refusal| (None, refusal))?;
        Ok(all)
    }
}

/// A unit, and what services say to it.
fn apply(
    ledger: &mut Ledger,
    unit: &Unit,
    rows: &mut Rows<'_>,
    planner: &mut dyn Planner,
) -> Result<(Sequences, Said), Refusal> {
    let sequences = ledger.apply(unit, rows, planner)?;
    let asks = unit.publishes.iter().any(Planned::asks_shadow);
    let said = if asks { ledger.answer(unit, rows, planner)? } else { Said::default() };
    Ok((sequences, said))
}

/// Keeps units out of the next try: the one that failed, or, where the whole batch did, all of them.
fn bar(barred: &mut BTreeMap<Place, Refusal>, group: &[Submission], at: Option<Place>, refusal: &Refusal) {
    match at {
        Some(place) => {
            barred.insert(place, refusal.clone());
        }
        None => barred.extend(units(group).map(|(place, _)| (place, refusal.clone()))),
    }
}

/// Keeps those out that add something. False where that are none but those that are kept out already.
fn bar_what_adds(barred: &mut BTreeMap<Place, Refusal>, group: &[Submission], refusal: &Refusal) -> bool {
    let before = barred.len();
    for (place, _) in units(group).filter(|(_, unit)| !unit.only_frees()) {
        barred.entry(place).or_insert_with(|| refusal.clone());
    }
    barred.len() > before
}

fn units(group: &[Submission]) -> impl Iterator<Item = (Place, &Unit)> {
    let numbered = group.iter().enumerate();
    numbered.flat_map(|(number, submission)| {
        submission.units.iter().enumerate().map(move |(place, unit)| ((number, place), unit))
    })
}

/// With zeros for the rows that a later unit of the same batch has dropped again.
fn still_there(unit: &Unit, mut sequences: Sequences, gone: &HashSet<(QueueNumber, u64)>) -> Sequences {
    if !gone.is_empty() {
        let queues = unit.publishes.iter().flat_map(Planned::queues);
        for (queue, sequence) in queues.zip(&mut sequences) {
            if gone.contains(&(queue, *sequence)) {
                *sequence = 0;
            }
        }
    }
    sequences
}
