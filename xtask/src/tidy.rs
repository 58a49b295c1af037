//! `cargo xtask tidy`: the house rules that no lint knows, checked over the files that git tracks.
//!
//! Each rule is a function from a file to complaints. What a rule does not fit stands in [`EXCEPTIONS`], each with its
//! reason, and an exception that is not needed any more is itself a complaint.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::root;

mod features;
mod layers;
mod mutants;
mod promises;

const LINES_ABOVE_TESTS: usize = 400;

/// Rule, file, and why the rule does not fit there.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

pub struct File {
    pub path: String,
    pub text: String,
}

struct Rule {
    name: &'static str,
    check: fn(&File) -> Option<String>,
}

const RULES: &[Rule] = &[
    Rule { name: "header", check: opens_with_its_purpose },
    Rule { name: "length", check: is_short },
    Rule { name: "mod-rs", check: is_not_called_mod },
    Rule { name: "unfinished", check: is_finished },
    Rule { name: "sleep", check: tests_do_not_sleep },
    Rule { name: "ignored", check: tests_are_not_ignored },
    Rule { name: "history", check: does_not_tell_its_history },
];

pub fn run_verb(_: &[String]) -> Result<()> {
    let files = tracked()?;
    let mut complaints = Vec::new();
    let mut used = vec![false; EXCEPTIONS.len()];
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        for rule in RULES {
            let Some(complaint) = (rule.check)(file) else { continue };
            match EXCEPTIONS.iter().position(|(name, path, _)| *name == rule.name && *path == file.path) {
                Some(index) => used.iter_mut().skip(index).take(1).for_each(|used| *used = true),
                None => complaints.push(format!("{}: {complaint} [{}]", file.path, rule.name)),
            }
        }
    }
    let idle = EXCEPTIONS.iter().zip(used).filter(|(_, used)| !used);
    complaints.extend(idle.map(|((name, path, _), _)| format!("{path}: needs no exception from {name} any more")));
    complaints.extend(layers::check(&files));
    complaints.extend(promises::check(&files));
    complaints.extend(features::check()?);
    complaints.extend(mutants::check());
    if complaints.is_empty() {
        return Ok(());
    }
    bail!("{} complaints\n  {}", complaints.len(), complaints.join("\n  "))
}

fn tracked() -> Result<Vec<File>> {
    let listed = Command::new("git").arg("ls-files").current_dir(root()).output().context("git ls-files")?;
    let names = String::from_utf8_lossy(&listed.stdout).into_owned();
    let text = ["rs", "toml", "md"];
    let wanted = names.lines().filter(|name| text.iter().any(|ending| name.ends_with(&format!(".{ending}"))));
    // What git tracks and somebody has just removed is no business of ours.
    let read =
        wanted.filter_map(|path| Some(File { path: path.into(), text: fs::read_to_string(root().join(path)).ok()? }));
    Ok(read.collect())
}

fn opens_with_its_purpose(file: &File) -> Option<String> {
    let opens = file.text.lines().take(3).any(|line| line.starts_with("//!"));
    (!opens).then(|| "does not open with //! and what it is for".into())
}

fn is_short(file: &File) -> Option<String> {
    let lines = file.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    (lines > LINES_ABOVE_TESTS).then(|| format!("{lines} lines above its tests, {LINES_ABOVE_TESTS} are the ceiling"))
}

fn is_not_called_mod(file: &File) -> Option<String> {
    file.path.ends_with("/mod.rs").then(|| "is called mod.rs; name the file after its module".into())
}

fn is_finished(file: &File) -> Option<String> {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("todo", "!("),
        concat!("unimpl", "emented!("),
    ];
    let found = words.iter().find(|word| file.text.contains(*word))?;
    Some(format!("says {found}: finish it or file an issue"))
}

fn is_test(file: &File) -> bool {
    file.path.contains("/tests/")
}

fn tests_do_not_sleep(file: &File) -> Option<String> {
    let sleeps = is_test(file) && file.text.contains(concat!("sl", "eep("));
    sleeps.then(|| "sleeps; wait for a condition with a deadline".into())
}

fn tests_are_not_ignored(file: &File) -> Option<String> {
    file.text.contains(concat!("#[ign", "ore")).then(|| "has an ignored test".into())
}

fn does_not_tell_its_history(file: &File) -> Option<String> {
    let words = ["used to be", "previously,", "issue #", "refactored"];
    let comment = |line: &&str| line.trim_start().starts_with("//");
    let found = file.text.lines().filter(comment).find(|line| words.iter().any(|word| line.contains(word)))?;
    Some(format!("tells its history: {}", found.trim()))
}
