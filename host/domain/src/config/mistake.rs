//! A mistake in a configuration, as the operator reads it: where, what, and what to do about it.
//!
//! Nothing in here stops at the first one: whoever finds a mistake adds it and goes on. The words of the
//! file are shown escaped and shortened, since a terminal prints them.

use std::fmt;

/// Characters of a value that a mistake shows.
const SHOWN: usize = 60;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1; none where the file lacks the place altogether.
    pub line: Option<usize>,
    /// The full key, such as `component.average.limits.memory`; empty where no key is to blame.
    pub path: String,
    pub problem: String,
    pub cure: String,
}

/// Every mistake of one file, by line. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.in_file("configuration"))]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(super) fn new(mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| mistake.line);
        Mistakes(list)
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }

    /// The mistakes as text, each with the name of the file that they are in.
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        InFile { file, mistakes: &self.0 }
    }
}

struct InFile<'a> {
    file: &'a str,
    mistakes: &'a [Mistake],
}

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            f.write_str(self.file)?;
            if let Some(line) = mistake.line {
                write!(f, ":{line}")?;
            }
            if !mistake.path.is_empty() {
                write!(f, ": {}", mistake.path)?;
            }
            write!(f, ": {}\n    {}", mistake.problem, mistake.cure)?;
        }
        Ok(())
    }
}

/// What is wrong with one value, before anyone knows where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub problem: String,
    pub cure: String,
}

pub(super) fn wrong<T>(problem: impl Into<String>, cure: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { problem: problem.into(), cure: cure.into() })
}

/// A value in quotes, escaped, and not longer than a line can bear.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Where `given` is no key (or word) of `known`: the one that was meant, or else all there are.
pub(super) fn did_you_mean<'a>(given: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match (meant(given, known.clone()), known.collect::<Vec<_>>()) {
        (Some(word), _) => format!("did you mean `{word}`?"),
        (None, known) if known.is_empty() => "nothing is known here; remove it".to_owned(),
        (None, known) => format!("known here: {}", known.join(", ")),
    }
}

/// The word of `known` that `given` is a slip of, as far as that can be told.
pub(super) fn meant<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (steps, word) = known.map(|word| (distance(given, word), word)).min()?;
    (steps <= word.len().div_ceil(3)).then_some(word)
}

/// Characters to insert, drop or replace to get from one word to the other.
fn distance(given: &str, word: &str) -> usize {
    let mut row: Vec<usize> = (0..=word.chars().count()).collect();
    for (i, a) in given.chars().take(SHOWN).enumerate() {
        let mut before = i;
        let mut left = i + 1;
        for (b, cell) in word.chars().zip(row.iter_mut().skip(1)) {
            let here = (before + usize::from(a != b)).min(*cell + 1).min(left + 1);
            before = std::mem::replace(cell, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        let cases = [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("memroy", "memory", 2)];
        for (given, word, expected) in cases {
            assert_eq!(distance(given, word), expected, "{given} {word}");
        }
    }

    #[test]
    fn a_near_word_is_suggested_and_a_far_one_gets_the_list() {
        let known = ["memory", "publish-bytes", "cpu"];
        let cases = [
            ("memroy", "did you mean `memory`?"),
            ("publish_bytes", "did you mean `publish-bytes`?"),
            ("gpu", "did you mean `cpu`?"),
            ("broker", "known here: memory, publish-bytes, cpu"),
        ];
        for (given, expected) in cases {
            assert_eq!(did_you_mean(given, known.into_iter()), expected, "{given}");
        }
    }

    #[test]
    fn what_is_shown_of_a_value_is_short_and_harmless() {
        assert_eq!(quoted("a\u{1b}[31m\n"), r#""a\u{1b}[31m\n""#);
        assert_eq!(quoted(&"é".repeat(1000)).chars().count(), SHOWN + 3);
    }
}
