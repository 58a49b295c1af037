//! The help of every verb, word for word: it is what most people read instead of the guide.

use std::path::{Path, PathBuf};

use expect_test::expect_file;

use crate::support::run;

const VERBS: [&str; 24] = [
    "run",
    "check",
    "ps",
    "top",
    "logs",
    "pub",
    "sub",
    "cloud",
    "queue",
    "dead",
    "shadow",
    "model",
    "store",
    "restart",
    "stop",
    "start",
    "reload",
    "try",
    "new",
    "build",
    "inspect",
    "doctor",
    "completions",
    "man",
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/help").join(format!("{name}.txt"))
}

#[test]
fn every_verb_teaches_itself() {
    for verb in VERBS {
        let help = run(Path::new("."), &[verb, "--help"]).expect(0).out;
        assert!(help.contains("\nExample"), "{verb} has no example");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{verb} has a line of more than 100 characters");
        expect_file![golden(verb)].assert_eq(&help);
    }
}

#[test]
fn the_table_of_verbs_is_complete_and_names_the_exit_codes() {
    let help = run(Path::new("."), &["--help"]).expect(0).out;
    expect_file![golden("edgewit")].assert_eq(&help);
    let listed: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    assert_eq!(listed, VERBS);
}

#[test]
fn there_is_a_manual_page_for_every_verb() {
    let folder = tempfile::tempdir().unwrap();
    let written = run(folder.path(), &["man", "."]).expect(0).out;
    assert_eq!(written.lines().count(), VERBS.len() + 1);
    for verb in VERBS {
        let page = std::fs::read_to_string(folder.path().join(format!("edgewit-{verb}.1"))).unwrap();
        assert!(page.contains("Example"), "{verb}");
    }
    assert!(run(folder.path(), &["man"]).expect(0).out.contains(".TH edgewit 1"));
}

#[test]
fn shells_get_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(Path::new("."), &["completions", shell]).expect(0).out.contains("doctor"), "{shell}");
    }
}
