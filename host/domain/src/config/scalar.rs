//! The kinds of value that a key can have: each takes what the file says and gives the value, or says
//! what is wrong and what to write instead.
//!
//! Knows no key and no place: [`super::source`] adds those. Every range comes from `limits`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::mistake::{Wrong, did_you_mean, quoted, wrong};
use super::source::Table;
use super::substitute::Names;
use super::values::{ValueError, parse_duration, parse_size, show_duration, show_size};
use crate::limits::Range;
use crate::topic::Filter;

/// Shorthands for the kinds that most keys have.
impl Table<'_> {
    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        self.optional(key, flag).unwrap_or(default)
    }

    pub fn choice<T: Copy + Default>(&mut self, key: &str, words: &[(&str, T)]) -> T {
        self.optional(key, |value, _| choice(value, words)).unwrap_or_default()
    }

    pub fn duration(&mut self, key: &str, range: Range<Duration>) -> Duration {
        self.optional(key, duration(range)).unwrap_or(range.default)
    }

    pub fn size(&mut self, key: &str, range: Range<u64>) -> u64 {
        self.optional(key, size(range)).unwrap_or(range.default)
    }

    pub fn count(&mut self, key: &str, range: Range<u64>) -> u64 {
        self.optional(key, count(range)).unwrap_or(range.default)
    }
}

/// What TOML calls a value.
pub(super) fn kind(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(true) => "`true`",
        DeValue::Boolean(false) => "`false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn text<'a>(value: &'a DeValue, _: &Names) -> Result<&'a str, Wrong> {
    match value {
        DeValue::String(text) => Ok(text),
        other => wrong(format!("has to be a string, and is {}", kind(other)), "write a string, in quotes"),
    }
}

pub(super) fn flag(value: &DeValue, _: &Names) -> Result<bool, Wrong> {
    match value {
        DeValue::Boolean(flag) => Ok(*flag),
        other => {
            wrong(format!("has to be true or false, and is {}", kind(other)), "write true or false, without quotes")
        }
    }
}

/// A whole number as the file has it, in any of TOML's notations.
pub(super) fn integer(value: &DeValue) -> Option<Result<i64, Wrong>> {
    let DeValue::Integer(integer) = value else { return None };
    let parsed = i64::from_str_radix(integer.as_str(), integer.radix());
    Some(parsed.or_else(|_| wrong(format!("{integer} is larger than a whole number can be"), "write fewer digits")))
}

pub(super) fn count(range: Range<u64>) -> impl FnOnce(&DeValue, &Names) -> Result<u64, Wrong> {
    move |value, _| {
        let Some(integer) = integer(value) else {
            let cure = format!("write a number such as {}, without quotes", range.default);
            return wrong(format!("has to be a whole number, and is {}", kind(value)), cure);
        };
        match u64::try_from(integer?) {
            Ok(count) => within(count, range, |count| count.to_string()),
            Err(_) => wrong("a count cannot be below zero", "write it without the `-`"),
        }
    }
}

pub(super) fn duration(range: Range<Duration>) -> impl FnOnce(&DeValue, &Names) -> Result<Duration, Wrong> {
    move |value, _| {
        let example = show_duration(range.default);
        let DeValue::String(text) = value else {
            let cure = format!("write a number and a unit, in quotes, such as {example:?}");
            return wrong(format!("has to be a duration, and is {}", kind(value)), cure);
        };
        match parse_duration(text) {
            Ok(duration) => within(duration, range, show_duration),
            Err(ValueError::TooLarge) => too_large(quoted(text), range, show_duration),
            Err(error) => wrong(format!("{} is no duration", quoted(text)), error.to_string()),
        }
    }
}

pub(super) fn size(range: Range<u64>) -> impl FnOnce(&DeValue, &Names) -> Result<u64, Wrong> {
    move |value, _| {
        let size = match (value, integer(value)) {
            (_, Some(integer)) => {
                u64::try_from(integer?).or_else(|_| wrong("a size cannot be below zero", "write it without the `-`"))?
            }
            (DeValue::String(text), _) => match parse_size(text) {
                Ok(size) => size,
                Err(ValueError::TooLarge) => return too_large(quoted(text), range, show_size),
                Err(error) => return wrong(format!("{} is no size", quoted(text)), error.to_string()),
            },
            (other, _) => {
                let cure = format!("write a size in quotes, such as {:?}, or plain bytes", show_size(range.default));
                return wrong(format!("has to be a size, and is {}", kind(other)), cure);
            }
        };
        within(size, range, show_size)
    }
}

pub(super) fn choice<T: Copy>(value: &DeValue, words: &[(&str, T)]) -> Result<T, Wrong> {
    let known = words.iter().map(|(word, _)| *word);
    let DeValue::String(text) = value else {
        let cure = format!("write one of these, in quotes: {}", known.collect::<Vec<_>>().join(", "));
        return wrong(format!("has to be a word, and is {}", kind(value)), cure);
    };
    match words.iter().find(|(word, _)| word == text) {
        Some((_, meaning)) => Ok(*meaning),
        None => wrong(format!("{} is not known here", quoted(text)), did_you_mean(text, known)),
    }
}

/// A string with its substitutions made.
pub(super) fn substituted(value: &DeValue, names: &Names) -> Result<String, Wrong> {
    names.substitute(text(value, names)?)
}

pub(super) fn filter(value: &DeValue, names: &Names) -> Result<Filter, Wrong> {
    let text = substituted(value, names)?;
    Filter::parse(text.as_str()).or_else(|error| {
        let (problem, cure) = error.parts();
        wrong(format!("{} is no filter: {problem}", quoted(&text)), cure)
    })
}

/// A path as it is written: a relative one starts at the folder of the configuration file.
pub(super) fn path(value: &DeValue, names: &Names) -> Result<PathBuf, Wrong> {
    let path = substituted(value, names)?;
    if path.is_empty() || path.contains('\0') {
        return wrong(format!("{} cannot be a path", quoted(&path)), "write the path of a file or folder");
    }
    Ok(PathBuf::from(path))
}

/// A reference to a file that holds the value, since nothing secret belongs into a configuration.
pub(super) fn file(value: &DeValue, names: &Names) -> Result<PathBuf, Wrong> {
    let text = substituted(value, names)?;
    let cure = "put the value into a file, and write \"file:\" and its path here";
    match text.strip_prefix("file:") {
        Some(path) if !path.is_empty() && !path.contains('\0') => Ok(PathBuf::from(path)),
        _ => wrong("a value that is no reference to a file (and is not shown, for it may be secret)", cure),
    }
}

/// An address and port that only this machine can reach.
pub(super) fn loopback(value: &DeValue, names: &Names) -> Result<SocketAddr, Wrong> {
    let text = text(value, names)?;
    let cure = "write a loopback address and a port, such as \"127.0.0.1:9100\" or \"[::1]:9100\"";
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(address) => {
            wrong(format!("{} can be reached by others, and this port asks nobody who they are", address.ip()), cure)
        }
        Err(_) => wrong(format!("{} is no address with a port", quoted(text)), cure),
    }
}

fn within<T: Copy + PartialOrd>(value: T, range: Range<T>, show: impl Fn(T) -> String) -> Result<T, Wrong> {
    if value < range.min {
        return wrong(format!("{} is too small", show(value)), ends(range, show));
    }
    if value > range.max {
        return too_large(show(value), range, show);
    }
    Ok(value)
}

fn too_large<T, U>(value: String, range: Range<U>, show: impl Fn(U) -> String) -> Result<T, Wrong> {
    wrong(format!("{value} is too large"), ends(range, show))
}

fn ends<T>(range: Range<T>, show: impl Fn(T) -> String) -> String {
    format!("choose from {} to {}", show(range.min), show(range.max))
}
