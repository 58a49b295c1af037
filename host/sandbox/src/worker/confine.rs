//! What the compiling child takes away from itself.
//!
//! Everything here is irrevocable and applies to the calling thread, or to its whole process: it must run on the
//! only thread of the child, and never in the gateway.

use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Confinement;

/// Ends this process when its parent ends, even if that has happened already.
pub(super) fn end_with_parent(parent: u64) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if now.map(i64::from) == i64::try_from(parent).ok() {
        Ok(())
    } else {
        Err(io::Error::other("the parent has ended"))
    }
}

/// Limits this process. It cannot open anything afterwards, whatever the kernel knows of Landlock.
pub(super) fn limit(memory: u64, cpu_seconds: u64) -> io::Result<()> {
    let set = |resource, value: u64| {
        // A limit that this process was started under cannot be raised, and need not be.
        let value = getrlimit(resource).maximum.map_or(value, |inherited| inherited.min(value));
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
    };
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    set(Resource::Nofile, 0)?;
    set(Resource::Cpu, cpu_seconds)?;
    set(Resource::As, memory)?;
    // Guests that run meanwhile come first. Being refused this is no reason not to compile.
    let _ = rustix::process::nice(10);
    Ok(())
}

/// Closes the file system, the network and other processes to the calling thread and all that it starts.
pub(super) fn close() -> io::Result<Confinement> {
    rustix::thread::set_no_new_privs(true)?;
    match landlock() {
        Ok(RulesetStatus::FullyEnforced) => Ok(Confinement::Full),
        Ok(RulesetStatus::PartiallyEnforced) => Ok(Confinement::Partial),
        Ok(RulesetStatus::NotEnforced) => Ok(Confinement::None),
        Err(error) => Err(io::Error::other(error)),
    }
}

fn landlock() -> Result<RulesetStatus, RulesetError> {
    let newest = ABI::V6;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(newest))?
        .handle_access(AccessNet::from_all(newest))?
        .scope(Scope::from_all(newest))?
        .create()?
        .restrict_self()?;
    Ok(status.ruleset)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::thread;

    use super::*;

    /// Landlock holds for the calling thread only, so a thread can stand in for the child.
    #[test]
    fn a_closed_thread_opens_nothing() {
        let exe = std::env::current_exe().unwrap();
        assert!(File::open(&exe).is_ok());
        let (closed, opened) =
            thread::scope(|scope| scope.spawn(|| (close().unwrap(), File::open(&exe))).join().unwrap());
        match closed {
            Confinement::None => assert!(opened.is_ok(), "this kernel has no Landlock"),
            _ => assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::PermissionDenied),
        }
        assert!(File::open(&exe).is_ok(), "only that thread was closed");
    }
}
