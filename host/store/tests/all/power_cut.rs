//! The power goes at every sync point of a process that commits, and while what it left is being opened again.
//!
//! Whatever of the unsynced rest the disk had got to: what was acknowledged is there, what was not is there whole or
//! not at all, and nothing else is.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use edgewit_store::header::HEADER_KEY;
use edgewit_store::{Disk, IfAbsent, Kind};

use crate::crash::image::{Image, Rest, Simulated};
use crate::crash::trace::Event;
use crate::crash::{Happened, State, apply, record, rounds, scratch, seed};
use crate::engines::everything;
use crate::model::{self, Seeded};

const COMMITS: u64 = 120;
const OPENING: &str = "opening again what was left, ";

/// What somebody outside knew when the power went.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    opened: bool,
    tried: u64,
    acknowledged: u64,
}

impl Known {
    fn hear(&mut self, said: &str) {
        for line in said.lines() {
            match line.split_once(' ') {
                Some(("try", number)) => self.tried = number.parse().unwrap(),
                Some(("ok", number)) => self.acknowledged = number.parse().unwrap(),
                None if line == "open" => self.opened = true,
                _ => assert_eq!(line, "closed", "the recording is of a sound disk"),
            }
        }
    }
}

struct Suite {
    kind: Kind,
    /// After each commit.
    states: Vec<State>,
    failures: Vec<String>,
    images: u64,
}

impl Suite {
    fn new(kind: Kind, seed: u64) -> Suite {
        let mut states = vec![State::new()];
        for number in 1..=COMMITS {
            let mut state = states.last().unwrap().clone();
            apply(&mut state, &model::batch(seed, number));
            states.push(state);
        }
        Suite { kind, states, failures: Vec::new(), images: 0 }
    }

    /// Opens what is left and compares it with what was known.
    fn look(&mut self, image: &Image, known: Known, case: &str) {
        self.images += 1;
        let dir = scratch();
        image.write(dir.path());
        if let Err(problem) = self.compare(dir.path(), known) {
            self.failures.push(format!("{}, {case}, {known:?}: {problem}", self.kind));
        }
    }

    fn compare(&self, dir: &Path, known: Known) -> Result<(), String> {
        let if_absent = if known.opened { IfAbsent::Refuse } else { IfAbsent::Create };
        let (disk, _) = Disk::open(dir, self.kind, if_absent).map_err(|error| format!("not opened: {error:?}"))?;
        let engine = disk.engine();
        let mut rows: State =
            everything(engine.as_ref()).map_err(|error| format!("not read: {error:?}"))?.into_iter().collect();
        rows.remove(HEADER_KEY);
        let mark = rows.get(model::MARK).map_or(0, |mark| u64::from_le_bytes(mark.as_slice().try_into().unwrap()));
        if mark < known.acknowledged || mark > known.tried {
            return Err(format!("it holds what was there after commit {mark}"));
        }
        if rows != self.states[mark as usize] {
            return Err(format!("it holds something else than what was there after commit {mark}"));
        }
        let checked = engine.check(&(Arc::new(|_| ControlFlow::Continue(())) as _));
        match checked {
            Ok(checked) if checked.complete && checked.findings.is_empty() => Ok(()),
            other => Err(format!("the check says {other:?}")),
        }
    }

    /// Cuts at each sync point of a recording, three ways; some of the images are opened, recorded and cut once more.
    fn cut(&mut self, base: &Image, dir: &Path, events: &[Event], mut known: Known, again: u64, seeded: &mut Seeded) {
        let syncs = events.iter().filter(|event| matches!(event.what, Happened::Synced { .. })).count() as u64;
        let mut disk = Simulated::new(dir, base);
        for (index, event) in events.iter().enumerate() {
            if let Happened::Synced { path } = &event.what {
                let point = format!("cut at event {index}, the sync of {}", path.display());
                for rest in [Rest::Lost, Rest::There, Rest::Torn(seeded.next())] {
                    let image = disk.cut(rest);
                    let case = format!("{point}, the rest {rest:?}");
                    self.look(&image, known, &case);
                    if seeded.below(3 * syncs) < again {
                        self.cut_while_opening(&image, known, &case, seeded);
                    }
                }
            }
            disk.happened(index, event);
            if let Happened::Said(said) = &event.what {
                known.hear(said);
            }
        }
        self.look(&disk.cut(Rest::Lost), known, "cut after the end");
    }

    /// Many ways in which the disk may have gone on between two syncs of sled's folder while it was opened.
    fn cut_between_name_and_log(&mut self, image: &Image, known: Known, seeded: &mut Seeded) {
        let dir = scratch();
        let inner = dir.path().join("store");
        std::fs::create_dir(&inner).unwrap();
        image.write(&inner);
        let events = record(&inner, &["open", self.kind.name(), inner.to_str().unwrap()]);
        let mut disk = Simulated::new(&inner, image);
        for (index, event) in events.iter().enumerate() {
            if matches!(&event.what, Happened::Synced { path } if path.ends_with("store.sled")) {
                (0..12).for_each(|_| self.look(&disk.cut(Rest::Torn(seeded.next())), known, "torn"));
            }
            disk.happened(index, event);
        }
    }

    fn cut_while_opening(&mut self, image: &Image, known: Known, case: &str, seeded: &mut Seeded) {
        let (dir, before) = (scratch(), self.failures.len());
        let inner = dir.path().join("store");
        std::fs::create_dir(&inner).unwrap();
        image.write(&inner);
        let events = record(&inner, &["open", self.kind.name(), inner.to_str().unwrap()]);
        self.cut(image, &inner, &events, known, 0, seeded);
        for failure in self.failures.iter_mut().skip(before) {
            *failure = format!("{OPENING}{case}: {failure}");
        }
    }
}

fn suite(kind: Kind) -> Suite {
    let mut all = Suite::new(kind, 0);
    for round in 0..rounds(1) {
        let seed = seed().wrapping_add(round);
        let mut suite = Suite::new(kind, seed);
        let dir = scratch();
        let inner = dir.path().join("store");
        std::fs::create_dir(&inner).unwrap();
        let (seed_text, commits) = (seed.to_string(), COMMITS.to_string());
        let events = record(&inner, &["run", kind.name(), inner.to_str().unwrap(), &seed_text, &commits]);
        suite.cut(&Image::default(), &inner, &events, Known::default(), 8, &mut Seeded(seed));
        all.images += suite.images;
        all.failures.extend(suite.failures);
    }
    assert!(all.images > 3 * COMMITS, "every commit syncs: {} images", all.images);
    all
}

#[test]
fn sqlite_keeps_what_it_acknowledged_wherever_the_power_goes() {
    let suite = suite(Kind::Sqlite);
    assert!(suite.failures.is_empty(), "{} of {}:\n{}", suite.failures.len(), suite.images, suite.failures.join("\n"));
}

/// While it commits and is closed, as SQLite does; while it opens, where the disk keeps to the order of writes.
#[test]
fn sled_keeps_what_it_acknowledged_wherever_the_power_goes() {
    let suite = suite(Kind::Sled);
    let mended = |failure: &&String| !(failure.starts_with(OPENING) && failure.contains("the rest Torn"));
    let failures: Vec<_> = suite.failures.iter().filter(mended).cloned().collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), suite.images, failures.join("\n"));
}

/// sled changes its log before the name of its new snapshot is on disk: a cut between the two, on a disk that writes
/// in another order, leaves a store that is refused, or an older one.
#[test]
fn sled_may_be_broken_by_a_second_power_cut_while_it_opens() {
    let mut seeded = Seeded(seed());
    let mut suite = Suite::new(Kind::Sled, 0);
    for seed in [81, 87u64] {
        suite.states = Suite::new(Kind::Sled, seed).states;
        let dir = scratch();
        let inner = dir.path().join("store");
        std::fs::create_dir(&inner).unwrap();
        let arguments = ["run", "sled", inner.to_str().unwrap(), &seed.to_string(), &COMMITS.to_string()];
        let events = record(&inner, &arguments);
        let (mut disk, mut known) = (Simulated::new(&inner, &Image::default()), Known::default());
        for (index, event) in events.iter().enumerate() {
            match &event.what {
                Happened::Said(said) => known.hear(said),
                Happened::Synced { .. } if known.acknowledged == 74 => {
                    suite.cut_between_name_and_log(&disk.cut(Rest::Lost), known, &mut seeded);
                }
                _ => {}
            }
            disk.happened(index, event);
        }
    }
    assert!(!suite.failures.is_empty(), "sled has become better: say so where it is written that it does not");
}
