//! What a child takes away from itself.
//!
//! Everything here is irrevocable and applies to the calling thread, or to its whole process: it must run on the
//! only thread of the child, and never in the gateway.

use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Confinement;

/// Ends this process when its parent ends, even if that has happened already.
pub fn end_with_parent(parent: u64) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if now.map(i64::from) == i64::try_from(parent).ok() {
        Ok(())
    } else {
        Err(io::Error::other("the parent has ended"))
    }
}

/// What is left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Nothing,
    /// Files may be read and devices used, which drivers of accelerators do all the time. Nothing else may be written,
    /// and the network stays closed.
    Devices,
}

/// What a child may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Address space, in bytes.
    pub memory: Option<u64>,
    /// Time that it may compute in its whole life.
    pub cpu_seconds: Option<u64>,
    /// That a file which it was handed open may grow to.
    pub file: u64,
    /// How far it stands back behind guests that run meanwhile.
    pub nice: i32,
    pub reach: Reach,
}

/// Limits this process. A child that reaches nothing cannot open anything afterwards, whatever the kernel knows of
/// Landlock.
pub fn limit(limits: Limits) -> io::Result<()> {
    let set = |resource, value: u64| {
        // A limit that this process was started under cannot be raised, and need not be.
        let value = getrlimit(resource).maximum.map_or(value, |inherited| inherited.min(value));
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
    };
    set(Resource::Core, 0)?;
    set(Resource::Fsize, limits.file)?;
    if limits.reach == Reach::Nothing {
        set(Resource::Nofile, 0)?;
    }
    for (resource, value) in [(Resource::Cpu, limits.cpu_seconds), (Resource::As, limits.memory)] {
        if let Some(value) = value {
            set(resource, value)?;
        }
    }
    // Being refused this is no reason not to work.
    let _ = rustix::process::nice(limits.nice);
    Ok(())
}

/// Closes the file system, the network and other processes to the calling thread and all that it starts.
pub fn close(reach: Reach) -> io::Result<Confinement> {
    rustix::thread::set_no_new_privs(true)?;
    match landlock(reach) {
        Ok(RulesetStatus::FullyEnforced) => Ok(Confinement::Full),
        Ok(RulesetStatus::PartiallyEnforced) => Ok(Confinement::Partial),
        Ok(RulesetStatus::NotEnforced) => Ok(Confinement::None),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn landlock(reach: Reach) -> Result<RulesetStatus, RulesetError> {
    let newest = ABI::V6;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?;
    if reach == Reach::Devices {
        let devices = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        rules = rules
            .add_rules(path_beneath_rules(["/"], AccessFs::from_read(newest)))?
            .add_rules(path_beneath_rules(["/dev"], devices))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_with_devices_reads_and_writes_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("new");
        let (closed, read, written) = thread::scope(|scope| {
            let tried = || (close(Reach::Devices).unwrap(), File::open("/proc/self/status"), File::create(&file));
            scope.spawn(tried).join().unwrap()
        });
        read.unwrap();
        match closed {
            Confinement::None => assert!(written.is_ok(), "this kernel has no Landlock"),
            _ => assert_eq!(written.unwrap_err().kind(), io::ErrorKind::PermissionDenied),
        }
    }

    /// Landlock holds for the calling thread only, so a thread can stand in for the child.
    #[test]
    fn a_closed_thread_opens_nothing() {
        let exe = std::env::current_exe().unwrap();
        assert!(File::open(&exe).is_ok());
        let (closed, opened) =
            thread::scope(|scope| scope.spawn(|| (close(Reach::Nothing).unwrap(), File::open(&exe))).join().unwrap());
        match closed {
            Confinement::None => assert!(opened.is_ok(), "this kernel has no Landlock"),
            _ => assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::PermissionDenied),
        }
        assert!(File::open(&exe).is_ok(), "only that thread was closed");
    }
}
