//! Figures as people read them. Programs get the bare numbers through `--json`, never these.

use edgewit_domain::limits::{KIB, MIB};

/// `1,234,567`
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 message`, `1,234 messages`
pub fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `12.5 MiB`
pub fn bytes(number: u64) -> String {
    let scaled = |unit: u64, name: &str| format!("{:.1} {name}", number as f64 / unit as f64);
    match number {
        0..KIB => format!("{number} B"),
        KIB..MIB => scaled(KIB, "KiB"),
        _ if number < 1024 * MIB => scaled(MIB, "MiB"),
        _ => scaled(1024 * MIB, "GiB"),
    }
}

/// `250 ms`, `12s`, `5m 03s`, `3h 02m`, `2d 07h`
pub fn milliseconds(number: u64) -> String {
    let seconds = number / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0 => format!("{number} ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// `850 µs`, `1.2 ms`, `3.4 s`
pub fn microseconds(number: u64) -> String {
    match number {
        0..1000 => format!("{number} µs"),
        1000..1_000_000 => format!("{:.1} ms", number as f64 / 1e3),
        _ => format!("{:.1} s", number as f64 / 1e6),
    }
}

/// `0.0`, `12.5`, `1,250`
pub fn rate(number: f64) -> String {
    if number < 100.0 { format!("{number:.1}") } else { count(number.round() as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_have_their_unit() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1, 1000].map(|n| counted(n, "alert")), ["0 alerts", "1 alert", "1,000 alerts"]);
        assert_eq!(
            [0, 1023, 1536, 12 * MIB, 3072 * MIB].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "12.0 MiB", "3.0 GiB"]
        );
        assert_eq!(
            [250, 12_000, 303_000, 10_920_000, 198_000_000].map(milliseconds),
            ["250 ms", "12s", "5m 03s", "3h 02m", "2d 07h"]
        );
        assert_eq!([850, 1_234, 3_400_000].map(microseconds), ["850 µs", "1.2 ms", "3.4 s"]);
        assert_eq!([0.0, 12.46, 1250.2].map(rate), ["0.0", "12.5", "1,250"]);
    }
}
