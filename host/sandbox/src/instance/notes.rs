//! What is worth telling of the handling under way beside its effects: the last that the guest said on standard error,
//! and what was refused to it.
//!
//! Told with a fault, and to whoever tries a component. Nothing is decided by it, it is begun anew with every call,
//! and it keeps little, since the guest writes it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edgewit_domain::limits;

/// Lines of standard error that are kept: a panic's are three.
const LINES: usize = 8;
/// What Rust says of a panic: `thread 'main' panicked at src/lib.rs:7:5:`, and below it why.
const PANIC: &str = "panicked at ";

/// Cheap to clone; all clones are the same notes.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Spares the lock where nothing was noted, as in nearly every call.
    any: AtomicBool,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    said: VecDeque<String>,
    refused: Vec<String>,
}

impl Notes {
    /// Forgets what an earlier call left behind.
    pub fn begin(&self) {
        if self.0.any.load(Ordering::Acquire) {
            self.0.any.store(false, Ordering::Release);
            *self.noted() = Noted::default();
        }
    }

    /// A line of standard error.
    pub fn said(&self, line: &str) {
        let mut noted = self.noted();
        if noted.said.len() >= LINES {
            noted.said.pop_front();
        }
        noted.said.push_back(line.to_owned());
        self.0.any.store(true, Ordering::Release);
    }

    /// What the guest asked for and did not get.
    pub fn refused(&self, reason: &str) {
        let reason = cut(reason.to_owned());
        let mut noted = self.noted();
        if noted.refused.len() < limits::REFUSALS_TOLD && !noted.refused.contains(&reason) {
            noted.refused.push(reason);
        }
        self.0.any.store(true, Ordering::Release);
    }

    pub fn refusals(&self) -> Vec<String> {
        self.noted().refused.clone()
    }

    /// With what `trap` became of it, as far as the guest itself said why.
    pub fn explain(&self, trap: &str) -> String {
        let noted = self.noted();
        let said = || noted.said.iter().map(|line| line.trim());
        let panic = said().rev().position(|line| line.contains(PANIC));
        match (panic, said().next_back()) {
            (Some(back), _) => {
                let words: Vec<&str> = said().skip(said().count() - back - 1).collect();
                let words = words.join(" ");
                words.get(words.find(PANIC).unwrap_or(0)..).unwrap_or(&words).to_owned()
            }
            (None, Some(last)) => format!("{trap}; its last words: {last}"),
            (None, None) => trap.to_owned(),
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refusal that is kept, no longer than one may be.
pub(crate) fn cut(mut reason: String) -> String {
    if reason.len() > limits::REFUSAL_BYTES {
        reason.truncate(reason.floor_char_boundary(limits::REFUSAL_BYTES));
        reason.push_str(" […]");
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_is_explained_by_what_the_guest_said_last() {
        let cases: [(&[&str], &str); 4] = [
            (&[], "unreachable"),
            (&["one", "two"], "unreachable; its last words: two"),
            (
                &["one", "thread 'main' (1) panicked at src/lib.rs:7:5:", "no", "room"],
                "panicked at src/lib.rs:7:5: no room",
            ),
            (&["panicked at a:", "first", "thread '<unnamed>' panicked at b:", "second"], "panicked at b: second"),
        ];
        for (lines, expected) in cases {
            let notes = Notes::default();
            lines.iter().for_each(|line| notes.said(line));
            assert_eq!(notes.explain("unreachable"), expected);
            notes.begin();
            assert_eq!(notes.explain("unreachable"), "unreachable");
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let notes = Notes::default();
        for number in 0..1000 {
            notes.said("line");
            notes.refused(&number.to_string());
            notes.refused("0");
        }
        assert_eq!(notes.refusals().len(), limits::REFUSALS_TOLD);
        assert_eq!(notes.noted().said.len(), LINES);
        notes.begin();
        notes.refused(&"é".repeat(limits::REFUSAL_BYTES));
        assert_eq!(notes.refusals()[0].len(), limits::REFUSAL_BYTES + " […]".len());
    }
}
