//! How a table of the file is read: key by key, every mistake noted with its line, none of them final.
//!
//! A reader asks a [`Table`] for the keys it knows, in any order, and always gets to its end: what is
//! missing or wrong is noted here and comes back as the default or as `None`. What nobody asked for is
//! an unknown key; that falls out of the asking, and so no list of keys can be forgotten. Knows the
//! shape of TOML and nothing of what any key means.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Wrong, did_you_mean, meant, quoted, wrong};
use super::scalar::kind;
use super::substitute::Names;
use crate::limits;

/// Where the lines of a text begin.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub fn of(text: &str) -> Self {
        Lines(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// The line, from 1, that the byte at `offset` stands in.
    pub fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

const MISSING: &str = "required, and missing";

/// The line of the value that a key leads to, or of the nearest table above it that the file has.
pub fn line_of(text: &str, path: &[&str]) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut found = None;
    for part in path {
        let Some((key, value)) = table.get_key_value(*part) else { break };
        found = Some(key.span().start);
        let DeValue::Table(below) = value.get_ref() else { break };
        table = below;
    }
    found.map(|offset| Lines::of(text).at(offset))
}

/// One table of the file while it is read; one that the file lacks reads as empty.
pub(super) struct Table<'a> {
    lines: &'a Lines,
    mistakes: &'a mut Vec<Mistake>,
    entries: Option<&'a DeTable<'a>>,
    /// Something else stands where the table should, which is a mistake noted already.
    mistaken: bool,
    path: String,
    line: Option<usize>,
    asked: BTreeSet<String>,
    pub names: Names,
}

impl<'a> Table<'a> {
    /// Reads the whole file.
    pub fn root<T>(
        lines: &'a Lines,
        entries: &'a DeTable<'a>,
        mistakes: &'a mut Vec<Mistake>,
        read: impl FnOnce(&mut Table) -> T,
    ) -> T {
        let path = String::new();
        let names = Names::default();
        let root = Table {
            lines,
            mistakes,
            entries: Some(entries),
            mistaken: false,
            path,
            line: None,
            asked: BTreeSet::new(),
            names,
        };
        root.read(read)
    }

    /// The value of a key, parsed; `None` where it is absent or wrong.
    pub fn optional<T>(&mut self, key: &str, parse: impl FnOnce(&DeValue, &Names) -> Result<T, Wrong>) -> Option<T> {
        let value = self.ask(key)?;
        match parse(value, &self.names) {
            Ok(value) => Some(value),
            Err(Wrong { problem, cure }) => {
                self.mistake(key, problem, cure);
                None
            }
        }
    }

    /// The value of a key that has to be there; `example` is what may stand to the right of its `=`.
    pub fn required<T>(
        &mut self,
        key: &str,
        example: &str,
        parse: impl FnOnce(&DeValue, &Names) -> Result<T, Wrong>,
    ) -> Option<T> {
        if self.ask(key).is_none() && !self.mistaken {
            let place = if self.path.is_empty() { "at the top".into() } else { format!("under [{}]", self.path) };
            self.mistake(key, MISSING, format!("add `{key} = {example}` {place}"));
        }
        self.optional(key, parse)
    }

    /// The values of an array, each parsed; nothing where the key is absent.
    pub fn list<T>(
        &mut self,
        key: &str,
        example: &str,
        parse: impl Fn(&DeValue, &Names) -> Result<T, Wrong>,
    ) -> Vec<T> {
        let list = match self.ask(key) {
            None => return Vec::new(),
            Some(DeValue::Array(list)) => list,
            Some(other) => {
                let problem = format!("has to be an array, and is {}", kind(other));
                self.mistake(key, problem, format!("write `{key} = [{example}]`"));
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for entry in list.iter() {
            match parse(entry.get_ref(), &self.names) {
                Ok(value) => found.push(value),
                Err(Wrong { problem, cure }) => {
                    let line = Some(self.lines.at(entry.span().start));
                    self.mistakes.push(Mistake { line, path: self.path_to(key), problem, cure });
                }
            }
        }
        found
    }

    /// The table below a key, read by `read` even if it is absent, so that its defaults stand in one place.
    pub fn table<T>(&mut self, key: &str, read: impl FnOnce(&mut Table) -> T) -> T {
        let (entries, mistaken) = match self.ask(key) {
            None => (None, self.mistaken),
            Some(DeValue::Table(entries)) => (Some(entries), false),
            Some(other) => {
                self.not_a_table(key, other);
                (None, true)
            }
        };
        let table = Table {
            lines: self.lines,
            entries,
            mistaken,
            path: self.path_to(key),
            line: self.line_of(key),
            asked: BTreeSet::new(),
            names: self.names.clone(),
            mistakes: &mut *self.mistakes,
        };
        table.read(read)
    }

    /// The table below a key, where there is one.
    pub fn optional_table<T>(&mut self, key: &str, read: impl FnOnce(&mut Table) -> T) -> Option<T> {
        self.ask(key)?;
        Some(self.table(key, read))
    }

    /// The entries of a table whose keys are names that the operator chose, at most `most` of them.
    pub fn named<T>(
        &mut self,
        key: &str,
        most: usize,
        mut read: impl FnMut(&mut Table, &str) -> Option<T>,
    ) -> BTreeMap<Arc<str>, T> {
        if let Some(DeValue::Array(_)) = self.ask(key) {
            let cure = format!("give each entry a name of its own: [{}.NAME]", self.path_to(key));
            self.mistake(key, "has to be a table of names, and is an array", cure);
            return BTreeMap::new();
        }
        self.table(key, |table| {
            let names = table.keys();
            if names.len() > most {
                let problem = format!("{} entries are too many", names.len());
                table.mistakes.push(Mistake {
                    line: table.line,
                    path: table.path.clone(),
                    problem,
                    cure: format!("at most {most} can be here"),
                });
            }
            let mut found = BTreeMap::new();
            for name in names {
                if let Err(Wrong { problem, cure }) = check_name(&name) {
                    table.mistake(&name, problem, cure);
                }
                if let Some(value) = read(table, &name) {
                    found.insert(Arc::from(name), value);
                }
            }
            found
        })
    }

    /// Every key of this table, as text.
    pub fn keys(&self) -> Vec<String> {
        self.entries.map(|entries| entries.keys().map(|key| key.get_ref().to_string()).collect()).unwrap_or_default()
    }

    /// The value of a key; from now on the key is known here.
    pub fn ask(&mut self, key: &str) -> Option<&'a DeValue<'a>> {
        self.asked.insert(key.to_owned());
        self.entries?.get(key).map(|value| value.get_ref())
    }

    fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// Takes every key as known, where there is no use in reading them.
    pub fn leave_the_rest(&mut self) {
        let keys = self.keys();
        self.asked.extend(keys);
    }

    /// Notes a mistake at a key of this table.
    pub fn mistake(&mut self, key: &str, problem: impl Into<String>, cure: impl Into<String>) {
        let (line, path) = (self.line_of(key), self.path_to(key));
        self.mistakes.push(Mistake { line, path, problem: problem.into(), cure: cure.into() });
    }

    /// Notes a mistake at a key further down; where the file lacks it, at the last of the keys that it has.
    pub fn mistake_at(&mut self, keys: &[&str], problem: impl Into<String>, cure: impl Into<String>) {
        let (mut entries, mut line, mut path) = (self.entries, self.line, self.path.clone());
        for key in keys {
            let found = entries.and_then(|entries| entries.get_key_value(*key));
            line = found.map_or(line, |(key, _)| Some(self.lines.at(key.span().start)));
            entries = found.and_then(|(_, value)| value.get_ref().as_table());
            path = join(&path, key);
        }
        self.mistakes.push(Mistake { line, path, problem: problem.into(), cure: cure.into() });
    }

    fn not_a_table(&mut self, key: &str, value: &DeValue) {
        let path = self.path_to(key);
        let problem = format!("has to be a table, and is {}", kind(value));
        self.mistake(key, problem, format!("write [{path}], and its keys below it"));
    }

    fn line_of(&self, key: &str) -> Option<usize> {
        let entry = self.entries.and_then(|entries| entries.get_key_value(key));
        entry.map_or(self.line, |(key, _)| Some(self.lines.at(key.span().start)))
    }

    fn path_to(&self, key: &str) -> String {
        join(&self.path, key)
    }

    fn read<T>(mut self, read: impl FnOnce(&mut Table) -> T) -> T {
        let value = read(&mut self);
        for key in self.keys() {
            if !self.asked.contains(&key) {
                self.unknown(&key);
            }
        }
        value
    }

    /// A slip in a key that has to be there, or in the table of such keys, is one mistake.
    fn unknown(&mut self, key: &str) {
        let known = || self.asked.iter().map(String::as_str);
        if let Some(word) = meant(key, known()).filter(|word| !self.has(word)) {
            let path = self.path_to(word);
            let within =
                |other: &str| other.strip_prefix(&path).is_some_and(|rest| matches!(rest.get(..1), None | Some(".")));
            self.mistakes.retain(|mistake| mistake.problem != MISSING || !within(&mistake.path));
        }
        let cure = did_you_mean(key, known());
        self.mistake(key, "unknown key", cure);
    }
}

fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let key = if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quoted(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A name becomes part of topics, paths, metrics and command lines, and must need quoting in none of them.
pub(crate) fn is_name(text: &str) -> bool {
    check_name(text).is_ok()
}

fn check_name(name: &str) -> Result<(), Wrong> {
    let cure = format!("use 1 to {} of: lower-case letters, digits, `-`", limits::NAME_BYTES);
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return wrong(format!("{} cannot be a name", quoted(name)), cure);
    }
    if name.len() > limits::NAME_BYTES {
        return wrong(format!("a name of {} characters is too long", name.len()), cure);
    }
    Ok(())
}
