//! The gateway's two clocks: running time, by which everything is decided, and the wall clock, which is only told.
//!
//! The pure crates never read a clock; this is where their `now` comes from.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgewit_domain::message::WallTime;

/// A wall clock before this (the beginning of 2026) was never set: this version did not exist then.
const SET_FROM_MS: u64 = 1_767_225_600_000;

/// To what the wall clock is read.
const WALL_STEP: Duration = Duration::from_millis(1);

/// Running time, over all restarts of the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    before: Duration,
    start: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Clock::from(Duration::ZERO)
    }

    /// Goes on from there.
    pub fn from(before: Duration) -> Self {
        Clock { before, start: Instant::now() }
    }

    pub fn now(&self) -> Duration {
        self.before + self.start.elapsed()
    }

    /// How long this process has been running.
    pub fn since_start(&self) -> Duration {
        self.start.elapsed()
    }

    pub fn moment(&self) -> Moment {
        let running = self.now();
        Moment { running, wall: wall(), wall_read: running }
    }
}

/// Both clocks, looked at together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub running: Duration,
    pub wall: WallTime,
    /// When, in running time.
    wall_read: Duration,
}

impl Moment {
    /// Looks again; at the wall clock only where it may show another millisecond.
    pub fn renew(&mut self, clock: &Clock) {
        self.running = clock.now();
        if self.running.saturating_sub(self.wall_read) >= WALL_STEP {
            (self.wall, self.wall_read) = (wall(), self.running);
        }
    }
}

/// The wall clock as it is kept beside running time: trusted only where somebody keeps it right, since it has to tell
/// how long the gateway was off.
pub(crate) fn kept_wall() -> WallTime {
    let wall = wall();
    WallTime { trusted: wall.trusted && is_kept_right(), ..wall }
}

/// Whether the kernel says that the clock is synchronised.
#[expect(unsafe_code, reason = "no safe wrapper of adjtimex is at hand; it reads here and changes nothing")]
fn is_kept_right() -> bool {
    // SAFETY: all zeros is a valid `timex`, and with `modes` zero the call only fills it in.
    let state = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        libc::adjtimex(&mut timex)
    };
    state >= 0 && state != libc::TIME_ERROR
}

/// The wall clock. An edge device without a battery starts in 1970, and says so by `trusted`.
pub(crate) fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    WallTime { unix_ms, trusted: unix_ms >= SET_FROM_MS }
}
