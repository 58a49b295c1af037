//! A component's configuration: the strings under `[component.NAME.config]`.
//!
//! Whoever installs a component never reads its source, so every error names the key and says what to write.
//! Read the configuration in [`Component::from_config`](crate::Component::from_config), where an error is reported
//! before any delivery is touched.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::host;

/// What is wrong with the configuration, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The key has no value and no default.
    Missing {
        /// The key.
        key: String,
    },
    /// The key has a value that does not do.
    Invalid {
        /// The key.
        key: String,
        /// The value as it is written.
        value: String,
        /// Why it does not do.
        reason: String,
    },
    /// Keys contradict each other, or one of several is needed.
    Conflict {
        /// The keys.
        keys: String,
        /// Why they do not go together.
        reason: String,
    },
    /// No such key: most likely a typing mistake.
    Unknown {
        /// The key.
        key: String,
        /// The keys that there are.
        known: String,
    },
    /// The gateway could not read the configuration.
    Unreadable(String),
}

impl ConfigError {
    /// The value of `key` does not do, for this reason.
    pub fn invalid(key: &str, reason: impl fmt::Display) -> Self {
        let value = get(key).unwrap_or_default();
        Self::Invalid { key: key.into(), value, reason: reason.to_string() }
    }

    /// These keys do not go together, for this reason.
    pub fn conflict(keys: &[&str], reason: impl fmt::Display) -> Self {
        Self::Conflict { keys: keys.join("`, `"), reason: reason.to_string() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PLACE: &str = "[component.NAME.config]";
        match self {
            Self::Missing { key } => {
                write!(out, "config `{key}` is missing: add `{key} = \"…\"` under {PLACE}")
            }
            Self::Invalid { key, value, reason } => {
                write!(out, "config `{key} = \"{value}\"` does not do: {reason}; change it under {PLACE}")
            }
            Self::Conflict { keys, reason } => write!(out, "config `{keys}`: {reason}; change it under {PLACE}"),
            Self::Unknown { key, known } => {
                write!(out, "config `{key}` is not known: remove it from {PLACE}, or use one of: {known}")
            }
            Self::Unreadable(reason) => write!(out, "the configuration could not be read: {reason}"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The value of a key as it is written. What cannot be read counts as absent; the other functions tell the two apart.
pub fn get(key: &str) -> Option<String> {
    host::config_get(key).ok().flatten()
}

/// The value of a key that must be there.
pub fn required<T: FromStr<Err: fmt::Display>>(key: &str) -> Result<T, ConfigError> {
    optional(key)?.ok_or_else(|| ConfigError::Missing { key: key.into() })
}

/// The value of a key that may be absent.
pub fn optional<T: FromStr<Err: fmt::Display>>(key: &str) -> Result<Option<T>, ConfigError> {
    read(key, |value| value.parse().map_err(|error: T::Err| error.to_string()))
}

/// The value of a key, or this one where it is absent.
pub fn or<T: FromStr<Err: fmt::Display>>(key: &str, default: T) -> Result<T, ConfigError> {
    Ok(optional(key)?.unwrap_or(default))
}

/// A length of time, such as `250ms`, `10s`, `5m` or `24h`.
pub fn duration(key: &str) -> Result<Option<Duration>, ConfigError> {
    read(key, parse_duration)
}

/// Refuses every key that is not one of these. A key that nobody reads is a typing mistake of somebody.
pub fn only(known: &[&str]) -> Result<(), ConfigError> {
    let pairs = host::config_all().map_err(ConfigError::Unreadable)?;
    match pairs.into_iter().find(|(key, _)| !known.contains(&key.as_str())) {
        Some((key, _)) => Err(ConfigError::Unknown { key, known: known.join(", ") }),
        None => Ok(()),
    }
}

fn read<T>(key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<Option<T>, ConfigError> {
    match host::config_get(key).map_err(ConfigError::Unreadable)? {
        None => Ok(None),
        Some(value) => match parse(value.trim()) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(reason) => Err(ConfigError::Invalid { key: key.into(), value, reason }),
        },
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "expected a whole number and a unit, such as 250ms, 10s, 5m or 24h";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| FORM.to_string())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    milliseconds.map(Duration::from_millis).ok_or_else(|| FORM.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_a_unit() {
        for (text, milliseconds) in [("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("24h", 86_400_000), ("0s", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "10", "s", "1.5s", "-1s", "10 s", "10d", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_error_names_its_key_and_the_cure() {
        let missing = ConfigError::Missing { key: "field".into() }.to_string();
        assert_eq!(missing, "config `field` is missing: add `field = \"…\"` under [component.NAME.config]");
        let unknown = ConfigError::Unknown { key: "feild".into(), known: "field, above".into() }.to_string();
        assert!(unknown.contains("`feild`") && unknown.contains("field, above"), "{unknown}");
    }
}
