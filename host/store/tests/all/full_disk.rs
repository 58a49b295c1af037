//! A small disk, filled to its end three times over: what is to be stored is refused, and what is to be removed goes.
//!
//! The disk is a tmpfs in a user namespace of the test's own, so it takes no rights. Where the machine permits no user
//! namespaces the tests fail and say so.

use std::process::Command;

use edgewit_store::Kind;

use crate::crash::WORKLOAD;

const MIB: u64 = 20;

/// What the workload said.
fn drained(kind: Kind) -> String {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size="$1"m tmpfs "$2" && exec "$3" full "$4" "$2""#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", &MIB.to_string()]);
    let ended = unshare.arg(dir.path()).args([WORKLOAD, kind.name()]).output().expect("util-linux's unshare is there");
    let (said, complained) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(!complained.contains("unshare failed"), "the test needs user namespaces: {complained}");
    assert!(ended.status.success() && said.ends_with("drained\n"), "{kind}:\n{said}\n{complained}");
    said.into_owned()
}

#[test]
fn a_full_disk_drains_to_empty_without_help_and_fills_again() {
    let said = drained(Kind::Sqlite);
    assert_eq!(said.matches("empty with").count(), 3, "{said}");
    assert!(!said.contains("did not come back"), "{said}");
}

/// Everything can be removed from sled as well. Whether its log gives the space back to the disk, sled alone knows.
#[test]
fn sled_drains_to_empty_and_may_keep_the_space() {
    let said = drained(Kind::Sled);
    assert!(said.contains("round 1: empty with"), "{said}");
}
