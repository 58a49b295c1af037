//! Topics: matching them against filters, and making one from another.
//!
//! Pure text, no imports: what a component publishes to is usually a rule about what it heard.

use std::fmt;

/// Whether a topic matches an MQTT filter (`+` for one level, a final `#` for the rest).
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        if part == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if part == "+" || part == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// What is wrong with a topic to publish to; `Ok` where nothing is.
pub fn check(topic: &str) -> Result<(), &'static str> {
    match topic {
        "" => Err("a topic has at least one character"),
        _ if topic.len() > 65_535 => Err("a topic has at most 65,535 bytes"),
        _ if topic.contains(['+', '#']) => Err("a topic to publish to has no wildcards"),
        _ if topic.contains('\0') => Err("a topic has no null character"),
        _ => Ok(()),
    }
}

/// A topic with places to fill from another topic, such as `alerts/{2}` or `averages/{key}`.
///
/// `{topic}` is the whole topic, `{1}` its first level, `{-1}` its last; other names are given by the component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Topic,
    FromStart(usize),
    FromEnd(usize),
    Named(String),
}

impl Template {
    /// Reads a template whose names are the ones given.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (inner, behind) = after.split_once('}').ok_or_else(|| format!("`{{` without `}}` in `{text}`"))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            pieces.push(Piece::parse(inner, names)?);
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        let template = Self { pieces };
        template.check_text()?;
        Ok(template)
    }

    /// The topic for this source. None where the source has no such level, or the outcome is no topic.
    pub fn fill(&self, source: &str, values: &[(&str, &str)]) -> Option<String> {
        let mut filled = String::new();
        for piece in &self.pieces {
            filled.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Topic => source,
                Piece::FromStart(index) => source.split('/').nth(*index)?,
                Piece::FromEnd(index) => source.rsplit('/').nth(*index)?,
                Piece::Named(name) => values.iter().find(|(known, _)| known == name).map(|(_, value)| *value)?,
            });
        }
        check(&filled).is_ok().then_some(filled)
    }

    fn check_text(&self) -> Result<(), String> {
        if self.pieces.is_empty() {
            return Err("a topic has at least one character".into());
        }
        let texts = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text),
            _ => None,
        });
        for text in texts {
            check(text)?;
        }
        Ok(())
    }
}

impl Piece {
    fn parse(inner: &str, names: &[&str]) -> Result<Self, String> {
        if inner == "topic" {
            return Ok(Self::Topic);
        }
        if names.contains(&inner) {
            return Ok(Self::Named(inner.into()));
        }
        let level: i64 = inner.parse().map_err(|_| unknown_place(inner, names))?;
        let distance = usize::try_from(level.unsigned_abs()).map_err(|_| unknown_place(inner, names))?;
        match (distance.checked_sub(1), level > 0) {
            (Some(index), true) => Ok(Self::FromStart(index)),
            (Some(index), false) => Ok(Self::FromEnd(index)),
            (None, _) => Err(unknown_place(inner, names)),
        }
    }
}

fn unknown_place(inner: &str, names: &[&str]) -> String {
    let named: String = names.iter().map(|name| format!("{{{name}}}, ")).collect();
    format!(
        "`{{{inner}}}` stands for nothing; there are {named}{{topic}}, {{1}} for the first level, {{-1}} for the last"
    )
}

impl fmt::Display for Template {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => write!(out, "{text}"),
            Piece::Topic => write!(out, "{{topic}}"),
            Piece::FromStart(index) => write!(out, "{{{}}}", index + 1),
            Piece::FromEnd(index) => write!(out, "{{-{}}}", index + 1),
            Piece::Named(name) => write!(out, "{{{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_in_mqtt() {
        let cases = [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("+/b", "a/b", true),
            ("+", "a/b", false),
            ("+/+", "/b", true),
            ("a/+", "a/", true),
            ("a/#", "a/b/c", true),
            ("a/#", "a", true),
            ("#", "a/b", true),
            ("#", "$sys/a", false),
            ("+/a", "$sys/a", false),
            ("$sys/#", "$sys/a", true),
        ];
        for (filter, topic, expected) in cases {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn a_template_takes_levels_from_both_ends() {
        let cases = [
            ("alerts/{2}", Some("alerts/room")),
            ("alerts/{topic}", Some("alerts/sensors/room/temperature")),
            ("{-1}/{-2}", Some("temperature/room")),
            ("averages/{key}/x", Some("averages/k/x")),
            ("fixed", Some("fixed")),
            ("alerts/{4}", None),
            ("alerts/{-4}", None),
        ];
        for (template, expected) in cases {
            let parsed = Template::parse(template, &["key"]).unwrap();
            assert_eq!(parsed.to_string(), template);
            assert_eq!(parsed.fill("sensors/room/temperature", &[("key", "k")]).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_a_topic_is_refused() {
        for template in ["", "a/#", "a/+/b", "a/{", "a/{0}", "a/{name}", "a/{}", "a/{99999999999999999999}"] {
            assert!(Template::parse(template, &["key"]).is_err(), "{template}");
        }
    }

    #[test]
    fn a_value_never_brings_a_wildcard_into_a_topic() {
        let template = Template::parse("averages/{key}", &["key"]).unwrap();
        assert_eq!(template.fill("a", &[("key", "#")]), None);
        assert_eq!(template.fill("a", &[]), None);
    }
}
