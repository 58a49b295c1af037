//! One child as the gateway holds it: started, told, heard, and ended in any case.
//!
//! Every wait has an end: the socket blocks neither side of the gateway, and what the child writes to its standard error
//! blocks nobody either. Dropping it kills the child and waits for it.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr};
use std::sync::Arc;
use std::time::Instant;

use edgewit_worker::{WorkerCommand, dies, end, last_words};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::frame::{Header, Order, SAID_BYTES, Said};
use super::keeper::Keeper;
use super::memory;
use crate::session::LOOK;

/// Times that a pipe's worth of words is read at once, and no more of one that says them faster than they are read.
const WORDS_AT_ONCE: usize = 16;

pub(super) struct Talk {
    child: Child,
    socket: UnixStream,
    memory: OwnedFd,
    stderr: Option<ChildStderr>,
    ended: bool,
    /// It must not end before the child has.
    _keeper: Arc<Keeper>,
}

/// How long somebody waits.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    pub(super) until: Instant,
    pub(super) given_up: &'a dyn Fn() -> bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Silence {
    /// The child closed its end.
    Ended,
    Late,
    GivenUp,
    /// What it said makes no sense.
    Garbled,
}

/// Why a child ended, in words.
#[derive(Debug)]
pub(super) struct Death {
    pub(super) out_of_memory: bool,
    pub(super) text: String,
}

impl From<io::Error> for Silence {
    fn from(error: io::Error) -> Silence {
        match error.kind() {
            io::ErrorKind::InvalidData => Silence::Garbled,
            _ => Silence::Ended,
        }
    }
}

impl Talk {
    pub(super) fn start(command: &WorkerCommand) -> io::Result<Talk> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let memory = memory::create()?;
        let mut command = command.verb("infer");
        command.stdin(OwnedFd::from(theirs)).stdout(memory.try_clone()?);
        let keeper = Keeper::get()?;
        let mut child = keeper.start(command)?;
        let stderr = child.stderr.take();
        let talk = Talk { child, socket, memory, stderr, ended: false, _keeper: keeper };
        if let Some(stderr) = &talk.stderr {
            rustix::io::ioctl_fionbio(stderr, true)?;
        }
        Ok(talk)
    }

    pub(super) fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    pub(super) fn tell(&self, order: &Order, patience: Patience<'_>) -> Result<(), Silence> {
        let frame = order.frame();
        let mut left = frame.as_slice();
        while !left.is_empty() {
            match (&self.socket).write(left) {
                Ok(count) => left = left.get(count..).unwrap_or_default(),
                Err(error) => self.wait(error, PollFlags::OUT, patience)?,
            }
        }
        Ok(())
    }

    pub(super) fn hear(&self, patience: Patience<'_>) -> Result<Said, Silence> {
        let mut header = [0; Header::BYTES];
        self.read(&mut header, patience)?;
        let header = Header::read(&header)?;
        if header.bytes > SAID_BYTES {
            return Err(Silence::Garbled);
        }
        let mut body = vec![0; usize::try_from(header.bytes).unwrap_or_default()];
        self.read(&mut body, patience)?;
        Ok(Said::read(header, &body)?)
    }

    fn read(&self, mut into: &mut [u8], patience: Patience<'_>) -> Result<(), Silence> {
        while !into.is_empty() {
            match (&self.socket).read(into) {
                Ok(0) => return Err(Silence::Ended),
                Ok(count) => into = into.get_mut(count..).unwrap_or_default(),
                Err(error) => self.wait(error, PollFlags::IN, patience)?,
            }
        }
        Ok(())
    }

    /// After a call that could not be done at once: until it can be.
    fn wait(&self, error: io::Error, for_what: PollFlags, patience: Patience<'_>) -> Result<(), Silence> {
        match error.kind() {
            io::ErrorKind::WouldBlock => {}
            io::ErrorKind::Interrupted => return Ok(()),
            _ => return Err(Silence::Ended),
        }
        loop {
            if (patience.given_up)() {
                return Err(Silence::GivenUp);
            }
            let left = patience.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Silence::Late);
            }
            let look = left.min(LOOK);
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(look.subsec_nanos()) };
            match poll(&mut [PollFd::new(&self.socket, for_what)], Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(_) => return Err(Silence::Ended),
            }
        }
    }

    /// Forgets what the child has written to its standard error, so that it never waits for a reader, and its last words
    /// are about what it is asked next.
    pub(super) fn forget_words(&mut self) {
        let mut buffer = [0; 4096];
        for _ in 0..WORDS_AT_ONCE {
            let Some(Ok(1..)) = self.stderr.as_mut().map(|stderr| stderr.read(&mut buffer)) else { return };
        }
    }

    /// Whether it has ended, as one that closed its end does before long.
    pub(super) fn has_ended(&mut self, patience: Patience<'_>) -> bool {
        dies(&mut self.child, &|| (patience.given_up)() || Instant::now() >= patience.until)
    }

    /// Why it ended.
    pub(super) fn death(mut self) -> Death {
        let status = end(&mut self.child, true);
        self.ended = true;
        let words = self.stderr.as_mut().map(last_words).unwrap_or_default();
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        Death {
            // What Rust's standard library says before it aborts.
            out_of_memory: words.contains("memory allocation of"),
            text: if words.is_empty() { status } else { format!("{status}: {words}") },
        }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if !self.ended {
            // There is nothing to be done about a child that cannot be waited for.
            let _ = end(&mut self.child, false);
        }
    }
}
