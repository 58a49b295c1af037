//! The exit codes that scripts rely on, and the sentence and cure that come with each.

use std::path::Path;
use std::process::Stdio;

use edgewit_domain::control::Reply;
use expect_test::{Expect, expect};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::{Ran, StandIn, edgewit, folder_with, run};

fn check(ran: &Ran, code: i32, err: Expect) {
    assert_eq!(ran.code, code, "{ran:?}");
    err.assert_eq(&ran.err);
}

#[test]
fn a_command_line_that_is_not_understood_is_2() {
    for arguments in
        [&["fly"][..], &["ps", "--colour"], &["pub", "topic"], &["sub"], &["top", "--interval", "0"], &["try"], &[]]
    {
        assert_eq!(run(Path::new("."), arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn no_gateway_is_69() {
    let folder = tempfile::tempdir().unwrap();
    let verbs: [&[&str]; 7] =
        [&["ps"], &["top", "--once"], &["logs"], &["pub", "a", "b"], &["sub", "a"], &["restart", "a"], &["reload"]];
    for verb in verbs {
        let ran = run(folder.path(), &[verb, &["--socket", "none.sock"]].concat()).expect(69);
        assert_eq!(
            ran.err,
            "edgewit: no gateway answers at none.sock; start it with `edgewit run --dev`, or name its configuration with \
             --config, or the socket itself with --socket where `gateway.data` has changed since its start: No such file or directory (os error 2)\n"
        );
    }
}

#[test]
fn a_configuration_that_is_not_there_is_64() {
    let folder = tempfile::tempdir().unwrap();
    check(
        &run(folder.path(), &["ps"]),
        64,
        expect![[r#"
        edgewit: cannot read the configuration edgewit.toml: No such file or directory (os error 2)
          name the configuration with --config FILE
    "#]],
    );
}

#[test]
fn mistakes_in_the_configuration_are_64_and_shown_at_once() {
    let folder = folder_with("[component.a]\nartefact = \"a.wasm\"\n[metrics]\nlisten = \"0.0.0.0:9100\"\n");
    check(
        &run(folder.path(), &["ps"]),
        64,
        expect![[r#"
            edgewit: the configuration has mistakes
            edgewit.toml:6: component.a.artefact: unknown key
                did you mean `artifact`?
            edgewit.toml:8: metrics.listen: 0.0.0.0 can be reached by others, and this port asks nobody who they are
                write a loopback address and a port, such as "127.0.0.1:9100" or "[::1]:9100"
              correct it, or name what you mean on the command line
        "#]],
    );
    for verb in [&["check"][..], &["run", "--dev"]] {
        let ran = run(folder.path(), verb).expect(64);
        let said = ran.out + &ran.err;
        assert!(said.contains("artefact") && said.contains("metrics.listen"), "{said}");
    }
}

#[test]
fn unsigned_components_do_not_run_without_a_word() {
    let folder = folder_with("");
    check(
        &run(folder.path(), &["run"]),
        64,
        expect![[r#"
        edgewit: signatures come with deployments, and there are none yet; start with --dev to run unsigned components
    "#]],
    );
    assert!(!folder.path().join("data").exists(), "nothing may be written before the refusal");
}

#[test]
fn a_refusal_is_1_with_its_cure() {
    let refused =
        Reply::Refused { reason: "there is no component `x\u{1b}[2J`".into(), cure: "`edgewit ps` lists them".into() };
    let gateway = StandIn::new(vec![vec![refused]]);
    check(
        &gateway.run(&["restart", "x"]),
        1,
        expect![[r#"
        edgewit: there is no component `x\u{1b}[2J`
          `edgewit ps` lists them
    "#]],
    );
}

#[test]
fn an_answer_that_is_none_is_1_and_a_broken_connection_is_69() {
    let gateway = StandIn::raw(vec!["{\"reply\":\"poem\"}\n".into()]);
    assert_eq!(gateway.run(&["ps"]).code, 1);
    let gateway = StandIn::new(vec![vec![Reply::Done]]);
    assert_eq!(gateway.run(&["ps"]).code, 1);
    let gateway = StandIn::raw(vec![]);
    assert_eq!(gateway.run(&["ps"]).code, 69);
}

#[test]
fn whoever_stops_reading_ends_it_quietly() {
    let mut child = edgewit(Path::new("."))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}

#[test]
fn what_is_no_component_cannot_be_inspected() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.wasm"), "(module)").unwrap();
    check(
        &run(folder.path(), &["inspect", "a.wasm"]),
        1,
        expect![[r#"
        edgewit: a.wasm is not a component: not WebAssembly: it does not begin with `\0asm`; this is the text format, which `wasm-tools parse` makes binary
          `edgewit build` makes components
    "#]],
    );
    assert_eq!(run(folder.path(), &["inspect", "b.wasm"]).code, 1);
}

#[test]
fn the_doctor_ends_with_1_only_where_edgewit_cannot_run() {
    let folder = tempfile::tempdir().unwrap();
    let examination = run(folder.path(), &["doctor", "--data", "data", "--json"]);
    let verdict = examination.json()["verdict"].as_str().unwrap().to_owned();
    assert_eq!(examination.code, i32::from(verdict == "fail"), "{verdict}");
    let unwritable = run(folder.path(), &["doctor", "--data", "/proc/edgewit"]).expect(1);
    assert!(unwritable.out.contains("cannot run edgewit as it is"), "{unwritable:?}");
}

#[test]
fn the_version_is_printed() {
    assert_eq!(run(Path::new("."), &["--version"]).expect(0).out, format!("edgewit {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_pipe_in_the_place_of_the_configuration_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("edgewit.toml");
    mkfifoat(CWD, &pipe, Mode::RWXU).unwrap();
    for verb in [&["ps"][..], &["run", "--dev"], &["check"]] {
        let ran = run(folder.path(), verb).expect(64);
        assert!(format!("{}{}", ran.out, ran.err).contains("not a file"), "{ran:?}");
    }
}
