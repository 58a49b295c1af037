//! One bit flipped in a copy of a store, over and over: opening refuses, or reading or the check says what is wrong, or
//! it does no harm. Never is a wrong value handed out, and never does it hang.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use edgewit_store::Kind;

use crate::crash::trace::disturbed;
use crate::crash::{State, WORKLOAD, apply, rounds, scratch, seed};
use crate::model::{self, Seeded};

const COMMITS: u64 = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// What the store said after a flip.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It opened, and everything is there.
    Harmless,
    /// It says that something is wrong, and what it handed out is right.
    Said,
    /// The commits behind this number are gone, and nothing says so.
    Shorter(u64),
    /// Everything else: a failure.
    Wrong(String),
}

struct Sample {
    kind: Kind,
    dir: tempfile::TempDir,
    states: Vec<State>,
    acknowledged: u64,
}

impl Sample {
    /// Left open, as by a crash, or closed.
    fn new(kind: Kind, closed: bool) -> Sample {
        let (dir, seed) = (scratch(), seed());
        // What goes wrong with `closed` is a call that nobody makes.
        let fault = if closed { "kill:error=EPERM".into() } else { format!("write:signal=KILL:when={}", 2 * COMMITS) };
        let (path, seed_text, commits) = (dir.path().to_str().unwrap(), seed.to_string(), COMMITS.to_string());
        let said = disturbed(&fault, &["run", kind.name(), path, &seed_text, &commits]).said;
        let acknowledged = said.iter().filter_map(|line| line.strip_prefix("ok ")?.parse().ok()).max().unwrap();
        assert!(acknowledged > COMMITS / 2 && closed == said.contains(&"closed".into()), "{said:?}");
        let mut states = vec![State::new()];
        for number in 1..=COMMITS {
            let mut state = states.last().unwrap().clone();
            apply(&mut state, &model::batch(seed, number));
            states.push(state);
        }
        Sample { kind, dir, states, acknowledged }
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.path().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if name != "lock" && !name.ends_with("-shm") && fs::metadata(&path).unwrap().len() > 0 {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    fn copy_to(&self, to: &Path) {
        let copied = Command::new("cp").arg("-r").arg(self.dir.path().join(".")).arg(to).status().unwrap();
        assert!(copied.success());
    }

    fn flip(&self, file: &Path, byte: u64, bit: u32) -> Outcome {
        let dir = scratch();
        self.copy_to(dir.path());
        let target = dir.path().join(file.strip_prefix(self.dir.path()).unwrap());
        let mut bytes = fs::read(&target).unwrap();
        bytes[byte as usize] ^= 1 << bit;
        fs::write(&target, bytes).unwrap();
        match look(self.kind, dir.path()) {
            None => Outcome::Wrong("it hangs".into()),
            Some(said) => self.judge(&said),
        }
    }

    fn judge(&self, said: &str) -> Outcome {
        let mut rows = State::new();
        for line in said.lines().filter_map(|line| line.strip_prefix("row ")) {
            let (key, value) = line.split_once(' ').unwrap();
            rows.insert(unhex(key), unhex(value));
        }
        rows.remove(edgewit_store::header::HEADER_KEY);
        if let Some(at) = self.states.iter().rposition(|state| *state == rows) {
            return match said.ends_with("sound\n") {
                // The last one cannot be told from one that the power cut through.
                true if at as u64 >= self.acknowledged - 1 => Outcome::Harmless,
                true => Outcome::Shorter(at as u64),
                false => Outcome::Said,
            };
        }
        let state_of =
            |rows: &State| self.states.iter().any(|state| rows.iter().all(|row| state.get(row.0) == Some(row.1)));
        match (said.ends_with("sound\n"), state_of(&rows)) {
            (false, true) => Outcome::Said,
            (true, true) => Outcome::Wrong("rows are missing and nothing says so".into()),
            (_, false) => Outcome::Wrong("it holds a value that was never there".into()),
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// In a process of its own, since an engine may abort or never end. `None` where it does not end.
fn look(kind: Kind, dir: &Path) -> Option<String> {
    let mut child = Command::new(WORKLOAD);
    child.args(["look", kind.name()]).arg(dir).stdout(Stdio::piped()).stderr(Stdio::null());
    // A store of this size needs a hundredth of it; damage must not make it ask for the whole machine's memory.
    let mut child = child.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let reader = std::thread::Builder::new().spawn(move || {
        let mut said = String::new();
        out.read_to_string(&mut said).map(|_| said).unwrap_or_default()
    });
    let deadline = Instant::now() + PATIENCE;
    let reader = reader.unwrap();
    while !reader.is_finished() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    child.wait().unwrap();
    Some(reader.join().unwrap())
}

/// Every so many bytes of every file, from a seeded start.
fn flip_all(kind: Kind, closed: bool, flips: u64) -> Vec<(String, Outcome)> {
    let sample = Sample::new(kind, closed);
    let files = sample.files();
    let all: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    let mut seeded = Seeded(seed());
    let mut outcomes = Vec::new();
    for file in &files {
        let length = fs::metadata(file).unwrap().len();
        let here = (flips * length / all).max(8);
        for turn in 0..here {
            let byte = (turn * length / here + seeded.below(length / here + 1)).min(length - 1);
            let outcome = sample.flip(file, byte, seeded.below(8) as u32);
            outcomes.push((format!("{kind}, byte {byte} of {}", file.file_name().unwrap().to_string_lossy()), outcome));
        }
    }
    outcomes
}

fn worst(outcomes: &[(String, Outcome)]) -> Vec<String> {
    let bad = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Wrong(_) | Outcome::Shorter(_)));
    bad.map(|(case, outcome)| format!("{case}: {outcome:?}")).collect()
}

#[test]
fn a_flipped_bit_is_refused_said_or_harmless_with_sqlite() {
    for closed in [true, false] {
        let outcomes = flip_all(Kind::Sqlite, closed, rounds(300));
        assert!(
            worst(&outcomes).is_empty(),
            "closed: {closed}, of {}:\n{}",
            outcomes.len(),
            worst(&outcomes).join("\n")
        );
        assert!(outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Said));
    }
}

/// sled ends its reading at the first entry that is damaged and takes what was there before for the whole: what was
/// committed later is gone without a word. What it hands out is right, and it ends.
#[test]
fn sled_drops_what_was_committed_after_a_flipped_bit_and_does_not_say_so() {
    for closed in [true, false] {
        let outcomes = flip_all(Kind::Sled, closed, rounds(150));
        let wrong: Vec<_> = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Wrong(_))).collect();
        assert!(wrong.is_empty(), "closed: {closed}, of {}: {wrong:#?}", outcomes.len());
        assert!(outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Shorter(at) if *at < COMMITS - 1)));
    }
}
