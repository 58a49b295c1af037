//! How long a handling may take: so much computing, so much waiting, and not a moment after it was interrupted.
//!
//! Computing is stopped by the engine's epoch, whose ticks are cheap but only an upper bound: a thread that was
//! merely waiting for a core must not pay for it. So when an epoch deadline passes, the thread's CPU clock decides,
//! and the deadline moves on where it was not the guest that used the time. Waiting never passes through wasm,
//! so every host function that waits does so through [`Deadline::wait`] or [`Deadline::elsewhere`].

use std::future::Future;
use std::time::{Duration, Instant};

use edgewit_domain::config::ComponentLimits;
use rustix::time::{ClockId, clock_gettime};

use crate::engine::EPOCH_TICK;
use crate::services::Interrupter;

mod park;

/// Ticks after which a computing guest is looked at, whatever its limit: the longest that an interruption waits.
const CHECK_TICKS: u64 = 20;

/// How old a reading of the CPU clock may be to stand for the start of a handling. The reading costs half a
/// microsecond, the monotonic clock a twentieth of that.
const READING_AGE: Duration = Duration::from_millis(1);

/// Why a handling was stopped from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the CPU deadline passed")]
    Cpu,
    #[error("the wall deadline passed")]
    Wall,
    #[error("interrupted")]
    Interrupted,
}

pub(crate) struct Deadline {
    cpu: Duration,
    wall: Duration,
    interrupter: Interrupter,
    io: tokio::runtime::Handle,
    reading: Reading,
    cpu_end: Duration,
    wall_end: Instant,
}

/// The thread's CPU clock, and when it was read.
struct Reading {
    cpu: Duration,
    at: Instant,
}

impl Reading {
    fn now() -> Self {
        Reading { cpu: thread_cpu(), at: Instant::now() }
    }
}

impl Deadline {
    /// Made on the thread that the guest will run on: it is that thread's clock.
    pub fn new(limits: &ComponentLimits, interrupter: Interrupter, io: tokio::runtime::Handle) -> Self {
        let reading = Reading::now();
        let (cpu_end, wall_end) = (reading.cpu, reading.at);
        Deadline { cpu: limits.cpu, wall: limits.wall, interrupter, io, reading, cpu_end, wall_end }
    }

    /// Reads the CPU clock. Called at both ends of a batch of handlings.
    pub fn read_cpu(&mut self) -> Duration {
        self.reading = Reading::now();
        self.reading.cpu
    }

    /// Starts the time of a handling. `factor` stretches both limits for what happens once in an instance's life.
    pub fn begin(&mut self, factor: u32) {
        let mut now = Instant::now();
        if now.duration_since(self.reading.at) > READING_AGE {
            self.read_cpu();
            now = self.reading.at;
        }
        self.cpu_end = self.reading.cpu.saturating_add(self.cpu.saturating_mul(factor)).saturating_add(READING_AGE);
        self.wall_end = now + self.wall.saturating_mul(factor);
    }

    /// Ticks after which a handling that has just begun is looked at.
    pub fn first_look(&self) -> u64 {
        ticks(self.cpu)
    }

    /// Called when the guest computed past an epoch deadline: how many ticks it may go on, or why it may not.
    pub fn extend(&self) -> Result<u64, Stop> {
        if self.interrupter.is_interrupted() {
            return Err(Stop::Interrupted);
        }
        let left = self.cpu_end.saturating_sub(thread_cpu());
        if left.is_zero() {
            return Err(Stop::Cpu);
        }
        Ok(ticks(left))
    }

    /// Waits for `work`, but not past the wall deadline and not after an interruption.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> wasmtime::Result<T> {
        let ended = async {
            tokio::select! {
                biased;
                done = work => Ok(done),
                () = self.interrupter.interrupted() => Err(Stop::Interrupted),
            }
        };
        let _io = self.io.enter();
        park::block_on(ended, self.wall_end).unwrap_or(Err(Stop::Wall)).map_err(Into::into)
    }

    /// Lets something compute that is not the guest's to pay for, and keeps to the same end by itself.
    pub fn elsewhere<T, E>(
        &mut self,
        compute: impl FnOnce(Instant, &dyn Fn() -> bool) -> Result<T, E>,
    ) -> wasmtime::Result<Result<T, E>> {
        let before = thread_cpu();
        let done = compute(self.wall_end, &|| self.interrupter.is_interrupted());
        self.cpu_end = self.cpu_end.saturating_add(thread_cpu().saturating_sub(before));
        // What was done is given, even if the time has passed since.
        if done.is_err() {
            if self.interrupter.is_interrupted() {
                return Err(Stop::Interrupted.into());
            }
            if Instant::now() >= self.wall_end {
                return Err(Stop::Wall.into());
            }
        }
        Ok(done)
    }
}

/// Ticks in which so much time has surely passed, but no more than an interruption may wait.
fn ticks(time: Duration) -> u64 {
    let ticks = time.as_nanos().div_ceil(EPOCH_TICK.as_nanos()) + 1;
    u64::try_from(ticks).unwrap_or(CHECK_TICKS).min(CHECK_TICKS)
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
