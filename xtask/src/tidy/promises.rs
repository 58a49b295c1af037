//! `docs/promises.md`: every promise names a test or a bench that exists, and what breaks it.
//!
//! A test that nobody has seen fail may hold nothing. So every clause of the contract names an entry of `mutants.toml`
//! besides, whose test is among those that hold the clause.

use std::collections::BTreeMap;

use super::File;
use crate::mutants::{self, Mutant};

pub fn check(files: &[File]) -> Vec<String> {
    let Some(promises) = files.iter().find(|file| file.path == "docs/promises.md") else {
        return vec!["docs/promises.md is missing [promises]".into()];
    };
    let mut wrong = Vec::new();
    let rows: Vec<Row> = promises.text.lines().filter(|line| line.starts_with('|')).map(Row::of).collect();
    for row in &rows {
        let missing = row.tests.iter().filter(|name| !exists(name, files));
        wrong.extend(missing.map(|name| format!("there is no test `{name}`")));
    }
    // What is wrong with the list itself, its own rule says.
    if let Ok(mutants) = mutants::listed(&[]) {
        wrong.extend(rows.iter().flat_map(|row| row.unbroken(&mutants)));
    }
    wrong.into_iter().map(|wrong| format!("docs/promises.md: {wrong} [promises]")).collect()
}

fn exists(name: &str, files: &[File]) -> bool {
    let function = format!("fn {name}(");
    let bench = format!("\"{name}\"");
    files.iter().any(|file| {
        file.path.ends_with(".rs")
            && (file.text.contains(&function) || (file.path.starts_with("benches/") && file.text.contains(&bench)))
    })
}

struct Row<'a> {
    promise: &'a str,
    tests: Vec<&'a str>,
    mutants: Vec<&'a str>,
}

impl<'a> Row<'a> {
    fn of(line: &'a str) -> Self {
        let column = |number| line.split('|').nth(number).unwrap_or_default().trim();
        let named = |number| column(number).split('`').skip(1).step_by(2);
        Row {
            promise: column(1),
            tests: named(2).filter_map(|name| name.rsplit("::").next()).collect(),
            mutants: named(3).collect(),
        }
    }

    fn unbroken(&self, mutants: &BTreeMap<String, Mutant>) -> Vec<String> {
        let mut wrong: Vec<String> = self.mutants.iter().filter_map(|name| self.not_broken_by(name, mutants)).collect();
        if self.is_clause() && self.mutants.is_empty() {
            let cure = "add an entry to mutants.toml that breaks one of its tests, and name it in the third column";
            wrong.push(format!("nothing breaks \"{}\"; {cure}", self.promise));
        }
        wrong
    }

    fn not_broken_by(&self, name: &str, mutants: &BTreeMap<String, Mutant>) -> Option<String> {
        match mutants.get(name) {
            None => Some(format!("mutants.toml has no `{name}`")),
            Some(mutant) if !self.tests.contains(&mutant.test.as_str()) => {
                Some(format!("`{name}` breaks `{}`, which does not hold \"{}\"", mutant.test, self.promise))
            }
            Some(_) => None,
        }
    }

    /// Whether it names a clause of the contract: `[H3]`, or `[H3, live]`.
    fn is_clause(&self) -> bool {
        self.promise.split('[').skip(1).any(|bracket| {
            let mut letters = bracket.chars();
            letters.next().is_some_and(|first| first.is_ascii_uppercase())
                && letters.next().is_some_and(|second| second.is_ascii_digit())
        })
    }
}
