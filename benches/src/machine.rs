//! What the machine did to a measurement.

use std::fs;

/// Hundredths of a second of CPU time that somebody else took from this machine since it was started.
pub fn stolen() -> u64 {
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
