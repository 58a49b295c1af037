//! `edgewit try` with real components: what they publish, what they are refused, and how they fail.

use crate::support::{ECHO, fixture, folder_with, run_with_input};

#[test]
fn lines_go_in_and_effects_come_out() {
    let folder = folder_with(ECHO);
    let input = b"in/a 9.5 degrees\n\n# a remark\nin/b\n";
    let ran = run_with_input(folder.path(), &["try", "--component", "echo"], input).expect(0);
    assert_eq!(ran.out, "out 9.5 degrees\nout \n", "{ran:?}");
    assert!(ran.err.contains("in/a: done (") && ran.err.contains("CPU"), "{ran:?}");
}

#[test]
fn programs_get_a_line_for_each_line() {
    let folder = folder_with(ECHO);
    let ran = run_with_input(folder.path(), &["try", "--component", "echo", "--json"], b"in/a 9\n").expect(0);
    let last: serde_json::Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["outcome"], &last["publishes"][0]["payload"]), (&"done".into(), &"9".into()), "{ran:?}");
    assert!(last["wall_us"].as_u64().is_some() && last["cpu_us"].as_u64().is_some(), "{last}");
}

#[test]
fn a_bare_file_has_no_grants_and_is_told_which_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let file = fixture("echo");
    let ran = run_with_input(folder.path(), &["try", file.to_str().unwrap()], b"in/a 9\n").expect(1);
    assert!(ran.err.contains(".grant.publish]"), "{ran:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a trial leaves nothing behind");
}

#[test]
fn a_publish_beyond_the_grant_is_refused_with_its_line() {
    let folder = folder_with(&ECHO.replace("out = \"out\"", "elsewhere = \"elsewhere\""));
    let ran = run_with_input(folder.path(), &["try", "--component", "echo"], b"in/a 9\n").expect(1);
    assert!(ran.out.is_empty() && ran.err.contains("out = \"out\""), "{ran:?}");
}

#[test]
fn a_refusal_that_the_component_swallows_is_shown() {
    let folder = folder_with(
        "[component.x]\nartifact = \"trespass.wasm\"\n[component.x.subscribe.all]\nfilter = \"#\"\n\
         delivery = \"live\"\n[component.x.grant.publish]\nown = \"trespass/out\"\n",
    );
    let ran = run_with_input(folder.path(), &["try", "--component", "x"], b"in/a 9\n").expect(0);
    assert!(ran.err.contains("in/a: refused: component `x` may not publish to `forbidden/place`"), "{ran:?}");
    assert!(ran.err.contains("in/a: done ("), "{ran:?}");
}

#[test]
fn faults_are_named_and_the_next_line_finds_a_fresh_instance() {
    let config = |name: &str| {
        format!(
            "[component.x]\nartifact = \"{name}.wasm\"\n[component.x.subscribe.all]\nfilter = \"#\"\ndelivery = \"live\"\n\
             [component.x.limits]\ncpu = \"20ms\"\nmemory = \"8MiB\"\n[component.x.grant.publish]\nall = \"#\"\n"
        )
    };
    for (name, word) in [("trap", "trapped"), ("spin", "computed longer than 20ms")] {
        let folder = folder_with(&config(name));
        let ran = run_with_input(folder.path(), &["try", "--component", "x"], b"a 1\na 2\n").expect(1);
        let failed = |line: &&str| line.starts_with("a: failed (") && line.contains(word);
        assert_eq!(ran.err.lines().filter(failed).count(), 2, "{ran:?}");
    }
}

#[test]
fn a_line_that_no_message_could_be_is_skipped_and_not_kept() {
    let folder = folder_with(ECHO);
    let input = [b"in/a ".as_slice(), &vec![b'x'; 4 << 20], b"\nin/a 1\n", &vec![b'y'; 4 << 20]].concat();
    let ran = run_with_input(folder.path(), &["try", "--component", "echo"], &input).expect(1);
    assert_eq!((ran.out.as_str(), ran.err.matches("bytes is skipped").count()), ("out 1\n", 2));
    assert!(ran.err.len() < 1000, "what was skipped is not repeated");
}

#[test]
fn a_line_that_is_not_understood_is_said_and_counts() {
    let folder = folder_with(ECHO);
    let ran = run_with_input(folder.path(), &["try", "--component", "echo"], b"!tock x\nin/a 1\n").expect(1);
    assert!(ran.err.contains("`!tock` is not known") && ran.out == "out 1\n", "{ran:?}");
}

#[test]
fn values_are_kept_from_line_to_line_and_shown() {
    let config = "[component.x]\nartifact = \"keyvalue.wasm\"\n\
        [component.x.subscribe.all]\nfilter = \"in\"\ndelivery = \"live\"\n\
        [component.x.grant.publish]\nout = \"keyvalue/out\"\n[component.x.grant.kv]\nown = \"own\"\n";
    let folder = folder_with(config);
    let input = b"in increment n 41\nin increment n 1\nin delete n\nin get n\n";
    let ran = run_with_input(folder.path(), &["try", "--component", "x"], input).expect(0);
    let expected = [
        "keyvalue/out 41",
        "# value own/n = 41",
        "keyvalue/out 42",
        "# value own/n = 42",
        "keyvalue/out ok",
        "# value own/n is deleted",
        "keyvalue/out -",
    ];
    assert_eq!(ran.out.lines().collect::<Vec<_>>(), expected, "{ran:?}");
}
