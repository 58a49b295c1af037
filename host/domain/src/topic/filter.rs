//! Filters, and the three questions asked of them: does a topic match, does one filter cover another, can
//! two of them meet.
//!
//! All three answers are exact: they speak of the very topics that [`Topic`] accepts, the limit on their
//! length apart. `$` is the rule that is easily forgotten: a wildcard in the first level matches no topic
//! that begins with `$`.

use std::fmt;
use std::sync::Arc;

use super::{RESERVED, Topic, TopicError, check_length};
use crate::limits::TOPIC_LEVELS;

/// What a subscription or grant covers: a topic that may have `+` for one level and end in `#` for the rest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(Arc<str>);

impl Filter {
    pub fn parse(text: impl Into<String>) -> Result<Filter, TopicError> {
        let text = text.into();
        check_length(&text)?;
        let mut hash = None;
        for (index, part) in text.split('/').enumerate() {
            let level = index + 1;
            if level > TOPIC_LEVELS {
                return Err(TopicError::TooManyLevels);
            }
            if let Some(level) = hash {
                return Err(TopicError::HashNotLast { level });
            }
            if part.contains('\0') {
                return Err(TopicError::Nul { level });
            }
            if let Some(wildcard) = part.chars().find(|c| matches!(c, '+' | '#')) {
                if part.len() > 1 {
                    return Err(TopicError::MixedWildcard { wildcard, level });
                }
                hash = (wildcard == '#').then_some(level);
            }
        }
        Ok(Filter(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    pub fn matches(&self, topic: &Topic) -> bool {
        text_matches(&self.0, topic.as_str())
    }

    /// All its topics are published by services only, so that granting them grants nothing.
    pub fn is_reserved(&self) -> bool {
        RESERVED.iter().any(|row| text_covers(row.filter, &self.0))
    }

    /// Every topic that `other` matches, this one matches too.
    pub fn covers(&self, other: &Filter) -> bool {
        text_covers(&self.0, &other.0)
    }

    /// Some topic is matched by both.
    pub fn overlaps(&self, other: &Filter) -> bool {
        let (mut mine, mut theirs) = (spelled_out(&self.0).split('/'), spelled_out(&other.0).split('/'));
        let mut first = true;
        loop {
            match (mine.next(), theirs.next()) {
                (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
                (Some("+"), Some(level)) | (Some(level), Some("+")) if !(first && level.starts_with('$')) => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
            first = false;
        }
    }
}

/// Whether `filter` matches `topic`, both known to be valid. Asked for every publish, and so by bytes: where a
/// wildcard is met, both are at the beginning of a level.
pub(super) fn text_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.as_bytes(), topic.as_bytes());
    loop {
        match (filter, topic) {
            ([b'#', ..], _) => return true,
            ([b'+', after @ ..], _) => {
                let end = topic.iter().position(|byte| *byte == b'/').unwrap_or(topic.len());
                (filter, topic) = (after, topic.split_at(end).1);
            }
            ([wanted, after @ ..], [byte, rest @ ..]) if wanted == byte => (filter, topic) = (after, rest),
            (left, []) => return left.is_empty() || left == b"/#",
            _ => return false,
        }
    }
}

/// Whether `filter` matches all that `other` matches, both known to be valid.
fn text_covers(filter: &str, other: &str) -> bool {
    let (mut mine, mut theirs) = (spelled_out(filter).split('/'), spelled_out(other).split('/'));
    let mut first = true;
    loop {
        match (mine.next(), theirs.next()) {
            (Some("#"), _) | (None, None) => return true,
            (_, Some("#")) => return false,
            (Some("+"), Some(level)) if !(first && level.starts_with('$')) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
        first = false;
    }
}

/// The two filters whose `#` cannot stand for nothing, since no topic is empty, written so that it need not.
fn spelled_out(filter: &str) -> &str {
    match filter {
        "#" => "+/#",
        "/#" => "/+/#",
        other => other,
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({:?})", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    fn topic(text: &str) -> Topic {
        Topic::parse(text).unwrap()
    }

    fn check(text: &str, expected: Result<(), &str>) {
        let found = Filter::parse(text).map(|filter| assert_eq!(filter.as_str(), text)).map_err(|e| e.to_string());
        assert_eq!(found, expected.map_err(String::from), "{text:?}");
    }

    /// MQTT 3.1.1 §4.7.1: where wildcards may stand, and what each mistake is called.
    #[test]
    fn a_filter_is_what_mqtt_says() {
        for text in ["#", "+", "a", "/", "+/+", "a/#", "/#", "+/a/#", "$SYS/#", "a//+", "/+/"] {
            check(text, Ok(()));
        }
        check("", Err("empty; write at least one character"));
        check("a/\0/b", Err("a NUL character in level 2; leave it out"));
        check("a/b+", Err("`+` beside other characters in level 2; let it stand alone, as in `a/+`"));
        check("a#", Err("`#` beside other characters in level 1; let it stand alone, as in `a/#`"));
        check("##", Err("`#` beside other characters in level 1; let it stand alone, as in `a/#`"));
        let last = "which is not the last; end the filter there, or use `+` for one level";
        check("a/#/b", Err(&format!("`#` in level 2, {last}")));
        check("#/", Err(&format!("`#` in level 1, {last}")));
        check(&"/".repeat(TOPIC_LEVELS - 1), Ok(()));
        check(&"/".repeat(TOPIC_LEVELS), Err("more than 32 levels; use fewer slashes"));
    }

    /// The examples of the MQTT standard, and the corners of empty levels and `$`.
    #[test]
    fn matching_is_what_mqtt_says() {
        let cases = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/tennis/player1/#", "sport/tennis/player2", false),
            ("sport/#", "sport", true),
            ("#", "a/b/c", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a/+", "a/$b", true),
            ("a", "A", false),
            ("a/b", "a/b/", false),
        ];
        for (text, name, expected) in cases {
            assert_eq!(filter(text).matches(&topic(name)), expected, "{text} {name}");
        }
    }

    /// The corners that a level-by-level comparison gets wrong.
    #[test]
    fn covering_knows_the_corners() {
        let cases = [
            ("#", "+/#", true),
            ("+/#", "#", true),
            ("/+/#", "/#", true),
            ("a/+/#", "a/#", false),
            ("a/#", "a", true),
            ("a/#", "a/+/#", true),
            ("#", "$SYS/#", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/+", true),
            ("+", "#", false),
            ("a/+", "a/#", false),
            ("a/+", "a/b", true),
            ("a/b", "a/+", false),
        ];
        for (one, other, expected) in cases {
            assert_eq!(filter(one).covers(&filter(other)), expected, "{one} covers {other}");
        }
    }

    /// Every topic of up to four levels over an alphabet with one letter that no filter below uses: enough to
    /// tell any two filters of up to three levels apart.
    fn every_topic() -> Vec<Topic> {
        let alphabet = ["", "a", "b", "other", "$x"];
        let mut texts: Vec<String> = alphabet.iter().map(|level| level.to_string()).collect();
        let mut longest = texts.clone();
        for _ in 1..4 {
            longest = longest.iter().flat_map(|head| alphabet.map(|level| format!("{head}/{level}"))).collect();
            texts.extend(longest.iter().cloned());
        }
        texts.into_iter().filter_map(|text| Topic::parse(text).ok()).collect()
    }

    fn any_filter() -> impl Strategy<Value = Filter> {
        let level = prop::sample::select(vec!["", "a", "b", "$x", "+"]);
        (prop::collection::vec(level, 0..3), any::<bool>()).prop_filter_map("not empty", |(mut levels, hash)| {
            levels.extend(hash.then_some("#"));
            Filter::parse(levels.join("/")).ok()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// `covers` and `overlaps` say of two filters what trying every topic says.
        #[test]
        fn covers_and_overlaps_are_exact(one in any_filter(), other in any_filter()) {
            let topics = every_topic();
            let covered = topics.iter().all(|topic| !other.matches(topic) || one.matches(topic));
            prop_assert_eq!(one.covers(&other), covered, "{:?} covers {:?}", one, other);
            let meet = topics.iter().any(|topic| other.matches(topic) && one.matches(topic));
            prop_assert_eq!(one.overlaps(&other), meet, "{:?} overlaps {:?}", one, other);
        }
    }
}
