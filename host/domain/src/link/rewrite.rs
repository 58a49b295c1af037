//! From a local topic to the cloud's and back: what stands before the first wildcard of a rule's filter is replaced by
//! the rule's `topic`, the rest stays.
//!
//! One rule covers what is wanted (a prefix of one's own, a renamed subtree, one topic for another) and can be said in
//! one sentence. It never drops a level that a wildcard matched, so two topics never become one.

use std::sync::Arc;

use crate::topic::{Filter, Topic, TopicError};

/// How one rule names its messages on the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Bytes of the filter's fixed levels, with the slash after them where something follows.
    fixed: usize,
    /// What stands in their place; none leaves topics as they are.
    with: Option<Arc<str>>,
}

impl Rewrite {
    /// `with` is the rule's `topic`, and itself a topic.
    pub fn new(filter: &Filter, with: Option<&Topic>) -> Rewrite {
        let mut fixed = 0;
        for level in filter.levels() {
            if matches!(level, "+" | "#") {
                break;
            }
            fixed += level.len() + 1;
        }
        Rewrite { fixed, with: with.map(|topic| topic.as_str().into()) }
    }

    /// Whether a message may go by another topic than its own.
    pub fn changes_names(&self) -> bool {
        self.with.is_some()
    }

    /// `topic` is matched by the filter.
    pub fn apply(&self, topic: &Topic) -> Result<Topic, TopicError> {
        let Some(with) = &self.with else { return Ok(topic.clone()) };
        Topic::parse(self.replaced(with, topic.as_str()))
    }

    /// Matches what the filter's topics become.
    pub fn image(&self, filter: &Filter) -> Result<Filter, TopicError> {
        let Some(with) = &self.with else { return Ok(filter.clone()) };
        Filter::parse(self.replaced(with, filter.as_str()))
    }

    fn replaced(&self, with: &str, text: &str) -> String {
        match text.get(self.fixed..) {
            Some(rest) => format!("{with}/{rest}"),
            // No more than the fixed levels, as `a` has for the filters `a` and `a/#`.
            None => with.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filter: &str, with: Option<&str>, topic: &str, expected: &str) {
        let with = with.map(|text| Topic::parse(text).unwrap());
        let filter = Filter::parse(filter).unwrap();
        let topic = Topic::parse(topic).unwrap();
        assert!(filter.matches(&topic));
        let rewrite = Rewrite::new(&filter, with.as_ref());
        let rewritten = rewrite.apply(&topic).unwrap();
        assert_eq!(rewritten.as_str(), expected);
        assert!(rewrite.image(&filter).unwrap().matches(&rewritten), "{filter} {expected}");
    }

    #[test]
    fn what_stands_before_the_first_wildcard_is_replaced() {
        check("alerts/#", None, "alerts/cellar", "alerts/cellar");
        check("alerts/#", Some("dt/gw/alerts"), "alerts/cellar/1", "dt/gw/alerts/cellar/1");
        check("alerts/#", Some("dt/gw/alerts"), "alerts", "dt/gw/alerts");
        check("alerts/#", Some("dt"), "alerts/", "dt/");
        check("#", Some("dt/gw"), "a/b", "dt/gw/a/b");
        check("+/b", Some("dt"), "a/b", "dt/a/b");
        check("a/+/c", Some("x/y"), "a/b/c", "x/y/b/c");
        check("door", Some("dt/gw/door"), "door", "dt/gw/door");
        check("a/b", Some("c"), "a/b", "c");
    }

    #[test]
    fn what_becomes_no_topic_is_said() {
        let filter = Filter::parse("#").unwrap();
        let with = Topic::parse("x".repeat(1000)).unwrap();
        let long = Topic::parse("y".repeat(100)).unwrap();
        let refused = Rewrite::new(&filter, Some(&with)).apply(&long);
        assert_eq!(refused, Err(TopicError::TooLong { bytes: 1101 }));
    }
}
