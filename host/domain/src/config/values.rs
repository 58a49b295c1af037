//! Durations and sizes as people write them, in both directions: `"200ms"`, `"16MiB"`.
//!
//! Whole numbers and one unit, and nothing else: what can be written in two ways would be read in two
//! ways. What is printed here can be read here, and means the same.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 24 * 3600 * 1000), ("h", 3600 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Why a text is no duration or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("a duration is a whole number and one of the units ms, s, m, h, d, such as \"10s\"")]
    Duration,
    #[error("a size is a whole number and one of the units KiB, MiB, GiB, such as \"16MiB\", or plain bytes")]
    Size,
    #[error("the number is larger than anything here can be")]
    TooLarge,
}

/// Reads `"200ms"`, `"10s"`, `"5m"`, `"24h"`, `"7d"`.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let (number, unit) = split(text);
    let (_, factor) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or(ValueError::Duration)?;
    scaled(number, *factor, ValueError::Duration).map(Duration::from_millis)
}

/// The shortest text that [`parse_duration`] reads as this duration; parts of a millisecond are left out.
pub fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let unit = DURATION_UNITS.iter().find(|(_, factor)| millis > 0 && millis.is_multiple_of(u128::from(*factor)));
    match unit {
        Some((name, factor)) => format!("{}{name}", millis / u128::from(*factor)),
        None => "0s".to_owned(),
    }
}

/// Reads `"512KiB"`, `"16MiB"`, `"1GiB"`, and plain bytes.
pub fn parse_size(text: &str) -> Result<u64, ValueError> {
    let (number, unit) = split(text);
    let factor = match SIZE_UNITS.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => *factor,
        None if unit.is_empty() => 1,
        None => return Err(ValueError::Size),
    };
    scaled(number, factor, ValueError::Size)
}

/// The shortest text that [`parse_size`] reads as this size.
pub fn show_size(bytes: u64) -> String {
    match SIZE_UNITS.iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => bytes.to_string(),
    }
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn scaled(number: &str, factor: u64, malformed: ValueError) -> Result<u64, ValueError> {
    if number.is_empty() {
        return Err(malformed);
    }
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or(ValueError::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_exactly_or_not_at_all() {
        let ms = |ms| Ok(Duration::from_millis(ms));
        let cases = [
            ("0s", ms(0)),
            ("200ms", ms(200)),
            ("10s", ms(10_000)),
            ("5m", ms(300_000)),
            ("24h", ms(86_400_000)),
            ("7d", ms(604_800_000)),
            ("", Err(ValueError::Duration)),
            ("10", Err(ValueError::Duration)),
            ("s", Err(ValueError::Duration)),
            ("1.5s", Err(ValueError::Duration)),
            ("-1s", Err(ValueError::Duration)),
            ("1 s", Err(ValueError::Duration)),
            ("10S", Err(ValueError::Duration)),
            ("1h30m", Err(ValueError::Duration)),
            ("18446744073709551616ms", Err(ValueError::TooLarge)),
            ("18446744073709551615s", Err(ValueError::TooLarge)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_are_read_exactly_or_not_at_all() {
        let cases = [
            ("0", Ok(0)),
            ("1000", Ok(1000)),
            ("512KiB", Ok(512 << 10)),
            ("16MiB", Ok(16 << 20)),
            ("1GiB", Ok(1 << 30)),
            ("", Err(ValueError::Size)),
            ("KiB", Err(ValueError::Size)),
            ("16MB", Err(ValueError::Size)),
            ("16mib", Err(ValueError::Size)),
            ("1.5GiB", Err(ValueError::Size)),
            ("+1", Err(ValueError::Size)),
            ("18446744073709551615GiB", Err(ValueError::TooLarge)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_largest_unit_that_fits_is_printed() {
        for text in ["0s", "999ms", "90s", "2m", "36h", "7d"] {
            assert_eq!(parse_duration(text).map(show_duration).as_deref(), Ok(text));
        }
        for text in ["0", "1023", "1KiB", "1536KiB", "3GiB"] {
            assert_eq!(parse_size(text).map(show_size).as_deref(), Ok(text));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// What is printed is read as the same value, over the whole range.
        #[test]
        fn what_is_printed_is_read_as_the_same(number: u64, unit in 0..5_usize) {
            let factor = DURATION_UNITS[unit].1;
            let duration = Duration::from_millis(number / factor * factor);
            prop_assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            let factor = [1, 1 << 10, 1 << 20, 1 << 30, 1][unit];
            let size = number / factor * factor;
            prop_assert_eq!(parse_size(&show_size(size)), Ok(size));
        }

        /// Any text gets a value or an error, never a panic.
        #[test]
        fn any_text_is_answered(text in "\\PC{0,12}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
        }
    }
}
