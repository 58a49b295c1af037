//! Topics and filters: MQTT's rules exactly, checked once, when a text becomes a [`Topic`] or a [`Filter`].
//!
//! Whoever holds one of these holds a valid one; nothing later asks again, and nothing in here may make one
//! past its check. Both are a shared text: a clone is a counter, not a copy. A topic is parsed for every
//! message that a guest publishes, so its check is one pass without branches over the bytes.
//!
//! Shared subscriptions (`$share/GROUP/FILTER`) are a word of the MQTT protocol, not a filter: whoever speaks
//! the protocol takes them apart first.

mod filter;
mod reserved;

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::limits::{TOPIC_BYTES, TOPIC_LEVELS};

pub use filter::Filter;
pub use reserved::{RESERVED, Reserved};

/// What a message is published to: levels between slashes, no wildcards.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    pub fn parse(text: impl Into<String>) -> Result<Topic, TopicError> {
        let text = text.into();
        check_length(&text)?;
        let mut slashes = 0;
        let mut bad = false;
        for &byte in text.as_bytes() {
            slashes += usize::from(byte == b'/');
            bad |= (byte == 0) | (byte == b'+') | (byte == b'#');
        }
        if bad && let Some(error) = first_bad_character(&text) {
            return Err(error);
        }
        if slashes >= TOPIC_LEVELS {
            return Err(TopicError::TooManyLevels);
        }
        Ok(Topic(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Published by the gateway's own services only, whatever a grant says: see [`RESERVED`].
    pub fn is_reserved(&self) -> bool {
        reserved::is_reserved(&self.0)
    }
}

/// What is wrong with a topic or filter, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TopicError {
    #[error("empty; write at least one character")]
    Empty,
    #[error("{bytes} bytes long; use at most {TOPIC_BYTES}")]
    TooLong { bytes: usize },
    #[error("more than {TOPIC_LEVELS} levels; use fewer slashes")]
    TooManyLevels,
    #[error("a NUL character in level {level}; leave it out")]
    Nul { level: usize },
    #[error("the wildcard `{wildcard}` in level {level} of a topic; write the level out, wildcards are for filters")]
    Wildcard { wildcard: char, level: usize },
    #[error("`{wildcard}` beside other characters in level {level}; let it stand alone, as in `a/{wildcard}`")]
    MixedWildcard { wildcard: char, level: usize },
    #[error("`#` in level {level}, which is not the last; end the filter there, or use `+` for one level")]
    HashNotLast { level: usize },
}

impl TopicError {
    /// What is wrong, and what to write instead, apart.
    pub fn parts(&self) -> (String, String) {
        let told = self.to_string();
        let (problem, cure) = told.split_once("; ").unwrap_or((&told, "write it as MQTT does"));
        (problem.to_owned(), cure.to_owned())
    }
}

fn check_length(text: &str) -> Result<(), TopicError> {
    match text.len() {
        0 => Err(TopicError::Empty),
        bytes if bytes > TOPIC_BYTES => Err(TopicError::TooLong { bytes }),
        _ => Ok(()),
    }
}

fn first_bad_character(text: &str) -> Option<TopicError> {
    let mut level = 1;
    for character in text.chars() {
        match character {
            '/' => level += 1,
            '+' | '#' => return Some(TopicError::Wildcard { wildcard: character, level }),
            '\0' => return Some(TopicError::Nul { level }),
            _ => {}
        }
    }
    None
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({:?})", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), &str>) {
        let found = Topic::parse(text).map(|topic| assert_eq!(topic.as_str(), text)).map_err(|e| e.to_string());
        assert_eq!(found, expected.map_err(String::from), "{text:?}");
    }

    /// MQTT 3.1.1 §4.7 and 5.0 §4.7: what is a topic name, and what each mistake is called.
    #[test]
    fn a_topic_is_what_mqtt_says() {
        for text in ["a", "/", "//", "a/b", "/a", "a/", "$SYS/x", "a b", "ä/€", "a/$b", "\u{1}", "a//b"] {
            check(text, Ok(()));
        }
        check("", Err("empty; write at least one character"));
        check("a/\0", Err("a NUL character in level 2; leave it out"));
        let cure = "write the level out, wildcards are for filters";
        check("a/+/b", Err(&format!("the wildcard `+` in level 2 of a topic; {cure}")));
        check("#", Err(&format!("the wildcard `#` in level 1 of a topic; {cure}")));
        check("a/b/c+", Err(&format!("the wildcard `+` in level 3 of a topic; {cure}")));
    }

    /// The limits themselves are allowed, one more is not.
    #[test]
    fn a_topic_has_limits() {
        check(&"x".repeat(TOPIC_BYTES), Ok(()));
        check(&"x".repeat(TOPIC_BYTES + 1), Err("1025 bytes long; use at most 1024"));
        check(&"/".repeat(TOPIC_LEVELS - 1), Ok(()));
        check(&"/".repeat(TOPIC_LEVELS), Err("more than 32 levels; use fewer slashes"));
    }

    /// `levels` keeps empty levels, since MQTT counts them.
    #[test]
    fn empty_levels_count() {
        let topic = Topic::parse("/a//b/").unwrap();
        assert_eq!(topic.levels().collect::<Vec<_>>(), ["", "a", "", "b", ""]);
    }
}
