//! For each check the machine that turns it red, and one good machine that turns none.

use std::path::PathBuf;

use super::*;

fn good() -> Facts {
    Facts {
        kernel: "6.1.0-18-arm64".into(),
        architecture: "aarch64".into(),
        cpu_features: vec!["fp".into(), "asimd".into()],
        cores: 4,
        memory: Some(2048 * MIB),
        memory_limit: None,
        address_space_limit: None,
        address_bits: Some(39),
        file_descriptors: Some(1024),
        unix_seconds: 1_790_000_000,
        clock_synchronised: Some(true),
        landlock: 2,
        data: Data {
            directory: PathBuf::from("/var/lib/edgewit"),
            kind: Some(0xef53),
            free: Some(4096 * MIB),
            durable_write: Ok(()),
        },
    }
}

#[test]
fn a_good_machine_has_nothing_to_say() {
    for finding in all(&good()) {
        assert_eq!((finding.verdict, finding.cure.as_str()), (Verdict::Ok, ""), "{finding:?}");
    }
}

/// Changes a good machine and expects exactly one check to say so.
fn check(change: impl FnOnce(&mut Facts), name: &str, verdict: Verdict) {
    let mut facts = good();
    change(&mut facts);
    let bad: Vec<Finding> = all(&facts).into_iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
    let named: Vec<_> = bad.iter().map(|finding| (finding.check, finding.verdict)).collect();
    assert_eq!(named, [(name, verdict)], "{bad:?}");
    assert!(bad.iter().all(|finding| !finding.cure.is_empty() && !finding.found.is_empty()), "{bad:?}");
}

#[test]
fn an_old_kernel() {
    check(|f| f.kernel = "3.10.0-1160.el7".into(), "kernel", Verdict::Fail);
    check(|f| f.kernel = "4.9.337".into(), "kernel", Verdict::Fail);
    check(|f| f.kernel = "5.4.0-150-generic".into(), "kernel", Verdict::Warn);
    check(|f| f.kernel = "something else".into(), "kernel", Verdict::Warn);
}

#[test]
fn a_processor_that_is_not_compiled_for() {
    check(|f| f.architecture = "armv7l".into(), "processor", Verdict::Fail);
    check(|f| f.architecture = "i686".into(), "processor", Verdict::Fail);
    check(|f| f.architecture = "x86_64".into(), "processor", Verdict::Warn);
}

#[test]
fn one_core() {
    check(|f| f.cores = 1, "cores", Verdict::Warn);
}

#[test]
fn too_little_memory() {
    check(|f| f.memory = Some(32 * MIB), "memory", Verdict::Fail);
    check(|f| f.memory = Some(58 * MIB), "memory", Verdict::Warn);
    check(|f| f.memory_limit = Some(40 * MIB), "memory", Verdict::Fail);
    check(|f| f.memory = None, "memory", Verdict::Warn);
}

#[test]
fn too_little_address_space() {
    check(|f| f.address_space_limit = Some(512 * MIB), "address space", Verdict::Fail);
    check(|f| f.address_space_limit = Some(2048 * MIB), "address space", Verdict::Warn);
    check(|f| f.address_bits = Some(32), "address space", Verdict::Fail);
    check(|f| f.address_bits = Some(36), "address space", Verdict::Warn);
    check(|f| f.address_bits = None, "address space", Verdict::Warn);
}

#[test]
fn too_few_open_files() {
    check(|f| f.file_descriptors = Some(64), "open files", Verdict::Fail);
    check(|f| f.file_descriptors = Some(256), "open files", Verdict::Warn);
}

#[test]
fn a_clock_that_was_never_set() {
    check(|f| f.unix_seconds = 86_400, "clock", Verdict::Fail);
    check(|f| f.unix_seconds = 4_200_000_000, "clock", Verdict::Fail);
}

#[test]
fn a_clock_that_nothing_keeps_right() {
    check(|f| f.clock_synchronised = Some(false), "clock source", Verdict::Warn);
    check(|f| f.clock_synchronised = None, "clock source", Verdict::Warn);
}

#[test]
fn no_landlock() {
    check(|f| f.landlock = 0, "Landlock", Verdict::Warn);
}

#[test]
fn a_file_system_that_forgets_or_breaks() {
    for forgetful in [0x0102_1994, 0x8584_58f6, 0x794c_7630, 0x4d44] {
        check(|f| f.data.kind = Some(forgetful), "file system", Verdict::Warn);
    }
    for remote in [0x6969, 0xff53_4d42, 0x0102_1997] {
        check(|f| f.data.kind = Some(remote), "file system", Verdict::Fail);
    }
    check(|f| f.data.kind = None, "file system", Verdict::Warn);
}

#[test]
fn a_directory_that_cannot_be_written_durably() {
    check(|f| f.data.durable_write = Err("Read-only file system".into()), "write and sync", Verdict::Fail);
}

#[test]
fn a_full_disk() {
    check(|f| f.data.free = Some(8 * MIB), "free space", Verdict::Fail);
    check(|f| f.data.free = Some(100 * MIB), "free space", Verdict::Warn);
    check(|f| f.data.free = None, "free space", Verdict::Warn);
}
