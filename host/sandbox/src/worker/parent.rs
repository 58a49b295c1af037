//! The gateway's side of a compile: start the child, feed it, take its result, and be rid of it in any case.
//!
//! It must never wait longer than the time limit plus a moment, hold the result in memory, or leave a child
//! behind. One thread feeds and reads, which cannot deadlock because the child reads all before it answers; a
//! second ends the child when time is up, which ends every read and write of the first.

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use edgewit_domain::config::Profile;
use edgewit_domain::limits::KIB;
use edgewit_worker::{WorkerCommand, end, kill, last_words, words};
use rustix::process::Signal;

use super::frame::{Reply, Request, Status};
use super::{CompileLimits, Compiled, WorkerError};

/// Compiles `wasm` in a child, and writes the code to `out`.
pub(crate) fn compile(
    command: &WorkerCommand,
    profile: Profile,
    limits: &CompileLimits,
    wasm: &[u8],
    out: &mut dyn Write,
) -> Result<Compiled, WorkerError> {
    let threads = threads(profile);
    let started = command.verb("compile").env("RAYON_NUM_THREADS", threads.to_string()).spawn();
    let mut child = started.map_err(WorkerError::Start)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let request = Request {
        profile,
        memory: limits.memory,
        // Each of its threads may compute all of the time; a part of a second counts as a whole one.
        cpu_seconds: limits.time.as_secs().saturating_add(1).saturating_mul(threads),
        parent: u64::from(std::process::id()),
        bytes: wasm.len() as u64,
    };
    let child = Mutex::new(child);
    let talked = under_deadline(&child, limits.time, || {
        let (Some(mut stdin), Some(mut stdout)) = (stdin, stdout) else { return Err(Talk::Ended) };
        request.write(&mut stdin)?;
        stdin.write_all(wasm)?;
        drop(stdin);
        listen(&mut stdout, limits, out)
    });
    let status = end(&mut lock(&child), matches!(talked, Err(Talk::Ended)));
    match talked {
        Ok(compiled) => Ok(compiled),
        Err(Talk::Said(error)) => Err(error),
        Err(Talk::Late) => Err(WorkerError::Time { limit: limits.time }),
        Err(Talk::Ended) => Err(death(status, stderr, limits)),
    }
}

/// How a talk with the child goes wrong.
enum Talk {
    /// It closed its end.
    Ended,
    Late,
    Said(WorkerError),
}

impl From<io::Error> for Talk {
    fn from(_: io::Error) -> Talk {
        Talk::Ended
    }
}

fn threads(profile: Profile) -> u64 {
    match profile {
        // More threads hold more functions in memory at once, and take more cores from running guests.
        Profile::Standard => thread::available_parallelism().map_or(1, |count| count.get().min(4) as u64),
        Profile::Small => 1,
    }
}

/// Runs `talk` while a second thread watches the time.
fn under_deadline<T>(child: &Mutex<Child>, limit: Duration, talk: impl FnOnce() -> Result<T, Talk>) -> Result<T, Talk> {
    let (done, watched) = mpsc::sync_channel::<()>(1);
    thread::scope(|scope| {
        let watch = move || match watched.recv_timeout(limit) {
            Err(RecvTimeoutError::Timeout) => {
                kill(&lock(child));
                true
            }
            _ => false,
        };
        let watch = thread::Builder::new().name("edgewit-compile".into()).spawn_scoped(scope, watch);
        let watch = watch.map_err(|error| Talk::Said(WorkerError::Start(error)))?;
        let talked = talk();
        drop(done);
        match (talked, watch.join()) {
            (Ok(value), _) => Ok(value),
            (Err(Talk::Said(error)), _) => Err(Talk::Said(error)),
            (Err(_), Ok(true)) => Err(Talk::Late),
            (Err(error), _) => Err(error),
        }
    })
}

fn listen(stdout: &mut impl Read, limits: &CompileLimits, out: &mut dyn Write) -> Result<Compiled, Talk> {
    let reply = Reply::read(stdout)?;
    match reply.status {
        Status::Compiled if reply.bytes > limits.output => {
            Err(Talk::Said(WorkerError::Output { limit: limits.output }))
        }
        Status::Compiled => {
            copy(stdout, reply.bytes, out)?;
            Ok(Compiled { confinement: reply.confinement })
        }
        Status::Memory => Err(Talk::Said(WorkerError::Memory { limit: limits.memory })),
        Status::Refused => Err(Talk::Said(WorkerError::Refused { reason: words(stdout) })),
        Status::Failed => Err(Talk::Said(WorkerError::Start(io::Error::other(words(stdout))))),
    }
}

fn copy(input: &mut impl Read, bytes: u64, out: &mut dyn Write) -> Result<(), Talk> {
    let mut left = bytes;
    let mut buffer = vec![0; 64 * KIB as usize];
    while left > 0 {
        let count = input.read(&mut buffer)?;
        let (part, _) = buffer.split_at(count.min(buffer.len()));
        left = match left.checked_sub(part.len() as u64) {
            Some(left) if !part.is_empty() => left,
            _ => return Err(Talk::Ended),
        };
        out.write_all(part).map_err(|error| Talk::Said(WorkerError::Sink(error)))?;
    }
    Ok(())
}

/// Why the child ended without an answer.
fn death(status: io::Result<ExitStatus>, stderr: Option<ChildStderr>, limits: &CompileLimits) -> WorkerError {
    let words = stderr.map(|mut stderr| last_words(&mut stderr)).unwrap_or_default();
    let out_of_time = Signal::XCPU.as_raw();
    match status {
        Ok(status) if status.signal() == Some(out_of_time) => WorkerError::Time { limit: limits.time },
        // What Rust's standard library says before it aborts.
        _ if words.contains("memory allocation of") => WorkerError::Memory { limit: limits.memory },
        Ok(status) => WorkerError::Died { status: status.to_string(), words },
        Err(error) => WorkerError::Died { status: error.to_string(), words },
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
