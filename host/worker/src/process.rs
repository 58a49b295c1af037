//! The parent's side of any child: how it is started and how it ends.
//!
//! A child belongs to a group of its own, so that whatever it started ends with it, and sees nothing of the gateway's
//! environment.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use edgewit_domain::limits::KIB;
use rustix::process::{Pid, Signal, kill_process_group};

/// Kept of a refusal's reason, and of what a dying child wrote to its standard error.
const WORDS: u64 = 4 * KIB;
/// A child that closed its end without an answer gets this long to die of its own cause.
const LEAVE: Duration = Duration::from_secs(1);

/// How a child is started; what it is to do follows as the last argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerCommand {
    pub program: PathBuf,
    pub args: Vec<OsString>,
}

impl WorkerCommand {
    /// This very binary, even if its file has been replaced since: the child must be built with the same libraries.
    pub fn this_binary() -> WorkerCommand {
        WorkerCommand { program: "/proc/self/exe".into(), args: vec!["worker".into()] }
    }

    /// A child that does `verb`, all of its standard streams piped.
    pub fn verb(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .arg(verb)
            .env_clear()
            // glibc reserves address space for each thread's own heap, which counts towards the limit.
            .env("MALLOC_ARENA_MAX", "1")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Ends the child: at once, unless it is dying anyway and its cause of death is of interest.
pub fn end(child: &mut Child, dying: bool) -> io::Result<ExitStatus> {
    // One that has ended must not be killed, for its number may be another's by now.
    if !(dying && dies(child, &|| false)) {
        kill(child);
    }
    child.wait()
}

/// Whether a child that closed its end dies of its own cause while it is waited for.
pub fn dies(child: &mut Child, given_up: &dyn Fn() -> bool) -> bool {
    let deadline = Instant::now() + LEAVE;
    loop {
        if let Ok(Some(_)) = child.try_wait() {
            return true;
        }
        if Instant::now() >= deadline || given_up() {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Kills the child and whatever it started. To be called before the child is waited for: its number may belong to
/// another process afterwards.
pub fn kill(child: &Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself this very moment.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// What a child that has ended left on its standard error.
pub fn last_words(stderr: &mut ChildStderr) -> String {
    // Should anything else still hold the other end, what is there has to do.
    match rustix::io::ioctl_fionbio(&*stderr, true) {
        Ok(()) => words(stderr),
        Err(_) => String::new(),
    }
}

/// As much as is kept of what a child says.
pub fn words(input: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // What could be read until an error is as good as it gets.
    let _ = input.take(WORDS).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).trim().to_owned()
}
