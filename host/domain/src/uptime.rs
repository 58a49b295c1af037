//! Running time over restarts: where it goes on.
//!
//! Everything that ages does so by running time. What was switched off counts only where the wall clock can be believed
//! at both ends; a clock that jumped while nobody looked must make nothing older, and never anything younger.

use std::time::Duration;

use crate::message::WallTime;

/// Running time at a start. `kept` is what was kept of it last, and the wall clock then.
pub fn resume(kept: Option<(Duration, WallTime)>, now: WallTime) -> Duration {
    let Some((uptime, then)) = kept else { return Duration::ZERO };
    let off = if then.trusted && now.trusted { now.unix_ms.saturating_sub(then.unix_ms) } else { 0 };
    uptime.saturating_add(Duration::from_millis(off))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(unix_ms: u64, trusted: bool) -> WallTime {
        WallTime { unix_ms, trusted }
    }

    /// [T1] Ten years either way.
    #[test]
    fn t1_time_switched_off_counts_only_between_two_trusted_clocks() {
        let hour = Duration::from_secs(3600);
        let years = 10 * 365 * 24 * 3_600_000;
        let base = 2_000_000_000_000;
        let cases = [
            (None, wall(base, true), Duration::ZERO),
            (Some((hour, wall(base, true))), wall(base + 60_000, true), hour + Duration::from_secs(60)),
            (Some((hour, wall(base, false))), wall(base + years, true), hour),
            (Some((hour, wall(base, true))), wall(base + years, false), hour),
            (Some((hour, wall(base, true))), wall(base - years, true), hour),
            (Some((hour, wall(0, false))), wall(base, true), hour),
        ];
        for (kept, now, expected) in cases {
            assert_eq!(resume(kept, now), expected, "{kept:?} {now:?}");
        }
    }
}
