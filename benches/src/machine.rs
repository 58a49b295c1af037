//! What the machine did to a measurement.

use std::fs;
use std::time::Instant;

use anyhow::{Result, bail};

const REPEATS: usize = 10;
/// Stolen time above which a measurement is repeated: one part in a hundred.
const STOLEN_MOST: f64 = 0.01;

/// What was measured while nobody else took the machine's CPU: anything else shows nothing.
pub fn undisturbed<T>(mut measure: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..REPEATS {
        let (before, started) = (stolen(), Instant::now());
        let measured = measure()?;
        let share = (stolen() - before) as f64 / 100.0 / started.elapsed().as_secs_f64();
        if share <= STOLEN_MOST {
            return Ok(measured);
        }
        eprintln!("    measured again: {:.1} % of the CPU were stolen", share * 100.0);
    }
    bail!("this machine is disturbed too much to tell")
}

/// Hundredths of a second of CPU time that somebody else took from this machine since it was started.
fn stolen() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    first.split_whitespace().nth(8).and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// Proportional set size of a process and what shares its memory, in bytes.
pub fn pss(process: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0) * 1024
}
