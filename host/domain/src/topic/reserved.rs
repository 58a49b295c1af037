//! The topics that only the gateway's own services publish to. One table: grants refuse by it, and the guide
//! prints it.
//!
//! A component asks a service by publishing a request (`$aws/things/X/shadow/update`), which takes a grant
//! like any other topic and must never stand in here; the answers and events stand in here, so that nobody
//! can forge them.

use super::filter::text_matches;

/// One row of [`RESERVED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The topics, as a filter.
    pub filter: &'static str,
    /// What is published there.
    pub meaning: &'static str,
}

const fn row(filter: &'static str, meaning: &'static str) -> Reserved {
    Reserved { filter, meaning }
}

/// Every reserved topic.
pub const RESERVED: [Reserved; 15] = [
    row("$edgewit/#", "events of the gateway itself"),
    row("$aws/things/+/shadow/+/accepted", "a request to the classic shadow was carried out"),
    row("$aws/things/+/shadow/+/rejected", "a request to the classic shadow was refused"),
    row("$aws/things/+/shadow/update/delta", "desired and reported state of the classic shadow differ"),
    row("$aws/things/+/shadow/update/documents", "the classic shadow before and after an update"),
    row("$aws/things/+/shadow/name/+/+/accepted", "a request to a named shadow was carried out"),
    row("$aws/things/+/shadow/name/+/+/rejected", "a request to a named shadow was refused"),
    row("$aws/things/+/shadow/name/+/update/delta", "desired and reported state of a named shadow differ"),
    row("$aws/things/+/shadow/name/+/update/documents", "a named shadow before and after an update"),
    row("$aws/things/+/jobs/notify", "the list of pending jobs changed"),
    row("$aws/things/+/jobs/notify-next", "another job is the next one"),
    row("$aws/things/+/jobs/+/accepted", "`get` or `start-next` was carried out"),
    row("$aws/things/+/jobs/+/rejected", "`get` or `start-next` was refused"),
    row("$aws/things/+/jobs/+/+/accepted", "`get` or `update` of one job was carried out"),
    row("$aws/things/+/jobs/+/+/rejected", "`get` or `update` of one job was refused"),
];

pub(super) fn is_reserved(topic: &str) -> bool {
    topic.starts_with('$') && RESERVED.iter().any(|row| text_matches(row.filter, topic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Filter, Topic};

    fn check(topics: &[&str], expected: bool) {
        for topic in topics {
            assert_eq!(Topic::parse(*topic).unwrap().is_reserved(), expected, "{topic}");
        }
    }

    /// [M2] What a service answers or announces cannot be published by anyone else.
    #[test]
    fn answers_and_events_are_reserved() {
        check(
            &[
                "$edgewit",
                "$edgewit/dead/alarm",
                "$aws/things/gw/shadow/get/accepted",
                "$aws/things/gw/shadow/update/rejected",
                "$aws/things/gw/shadow/delete/accepted",
                "$aws/things/gw/shadow/update/delta",
                "$aws/things/gw/shadow/update/documents",
                "$aws/things/gw/shadow/name/lamp/get/rejected",
                "$aws/things/gw/shadow/name/lamp/update/delta",
                "$aws/things/gw/shadow/name/lamp/update/documents",
                "$aws/things/gw/shadow/name/lamp/delete/accepted",
                "$aws/things/gw/jobs/notify",
                "$aws/things/gw/jobs/notify-next",
                "$aws/things/gw/jobs/get/accepted",
                "$aws/things/gw/jobs/start-next/rejected",
                "$aws/things/gw/jobs/$next/get/accepted",
                "$aws/things/gw/jobs/42/update/rejected",
            ],
            true,
        );
    }

    /// [M2] Requests to a service need a grant, and nothing more; names that look like answers change nothing.
    #[test]
    fn requests_are_not_reserved() {
        check(
            &[
                "$aws/things/gw/shadow/get",
                "$aws/things/gw/shadow/update",
                "$aws/things/gw/shadow/delete",
                "$aws/things/gw/shadow/name/lamp/update",
                "$aws/things/gw/shadow/name/accepted/update",
                "$aws/things/gw/jobs/get",
                "$aws/things/gw/jobs/start-next",
                "$aws/things/gw/jobs/$next/get",
                "$aws/things/gw/jobs/accepted/update",
                "$edgewitness/x",
                "edgewit/x",
                "x/$edgewit",
                "aws/things/gw/jobs/notify",
            ],
            false,
        );
    }

    /// A grant of nothing but answers is one; a grant that also holds a request is none.
    #[test]
    fn a_filter_is_reserved_if_all_its_topics_are() {
        let cases = [
            ("$edgewit/#", true),
            ("$edgewit/dead/+", true),
            ("$aws/things/gw/shadow/update/accepted", true),
            ("$aws/things/+/shadow/update/delta", true),
            ("$aws/things/gw/shadow/update", false),
            ("$aws/things/gw/shadow/update/#", false),
            ("$aws/things/gw/shadow/#", false),
            ("#", false),
        ];
        for (text, expected) in cases {
            assert_eq!(Filter::parse(text).unwrap().is_reserved(), expected, "{text}");
        }
    }

    /// Every row of the table is a filter by the gateway's own rules.
    #[test]
    fn every_row_is_a_filter() {
        for row in RESERVED {
            assert!(Filter::parse(row.filter).is_ok(), "{}", row.filter);
        }
    }

    #[test]
    fn the_guide_lists_every_row() {
        let guide = include_str!("../../../../docs/guide/grants.md");
        for row in RESERVED {
            let line = format!("| `{}` | {} |", row.filter, row.meaning);
            assert!(guide.contains(&line), "docs/guide/grants.md lacks {line}");
        }
    }
}
