//! What a durable queue is called, and what it may hold.
//!
//! A queue's name is its identity over every restart, reload and move to another engine: it is its name on disk,
//! at the command line and in metrics, and so its text never changes and reads back to the same queue. It names
//! who reads the queue and never what is in it, since a filter may change while messages wait.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::config::is_name;

/// Which durable queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QueueId {
    /// What waits for a component, by one of its subscriptions: `component/average/readings`.
    Inbox { component: Arc<str>, subscription: Arc<str> },
    /// What waits for the cloud, by an uplink rule: `uplink/alerts`.
    Uplink(Arc<str>),
    /// What was given up: `dead/component/average`.
    Dead(DeadOf),
}

/// A queue's number in its store, where its name would take more room. The first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueNumber(pub u32);

/// Who gave up what is in a dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadOf {
    Component(Arc<str>),
    Uplink(Arc<str>),
    Downlink(Arc<str>),
}

/// What a durable queue may hold. Past messages or bytes it does what its rule says; past the age a message is
/// dropped, whatever the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    pub messages: u64,
    pub bytes: u64,
    /// Running time that a message may wait; none is for ever.
    pub age: Option<Duration>,
    pub full: FullRule,
}

/// What a durable queue does with one message more than it has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FullRule {
    /// The new one is refused, and its publisher hears so. The only rule that loses nothing.
    #[default]
    Refuse,
    /// The oldest that nobody holds makes room.
    DropOldest,
    /// The one that waits with the same topic is replaced, at any time; where none does, the oldest makes room.
    LastPerTopic,
}

impl FullRule {
    /// Every rule, as configuration writes it.
    pub const ALL: [(&str, FullRule); 3] = [
        ("refuse", FullRule::Refuse),
        ("drop-oldest", FullRule::DropOldest),
        ("last-per-topic", FullRule::LastPerTopic),
    ];
}

impl fmt::Display for FullRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FullRule::Refuse => "refuse",
            FullRule::DropOldest => "drop-oldest",
            FullRule::LastPerTopic => "last-per-topic",
        })
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueueId::Inbox { component, subscription } => write!(f, "component/{component}/{subscription}"),
            QueueId::Uplink(rule) => write!(f, "uplink/{rule}"),
            QueueId::Dead(of) => write!(f, "dead/{of}"),
        }
    }
}

impl fmt::Display for DeadOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeadOf::Component(name) => write!(f, "component/{name}"),
            DeadOf::Uplink(name) => write!(f, "uplink/{name}"),
            DeadOf::Downlink(name) => write!(f, "downlink/{name}"),
        }
    }
}

/// A text that names no queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error(
    "no queue has such a name; write component/NAME/SUBSCRIPTION, uplink/NAME, dead/component/NAME, \
     dead/uplink/NAME or dead/downlink/NAME"
)]
pub struct NoSuchName;

impl FromStr for QueueId {
    type Err = NoSuchName;

    fn from_str(text: &str) -> Result<Self, NoSuchName> {
        if let Some(of) = text.strip_prefix("dead/") {
            return Ok(QueueId::Dead(of.parse()?));
        }
        match text.split('/').collect::<Vec<_>>().as_slice() {
            ["component", component, subscription] => {
                Ok(QueueId::Inbox { component: name(component)?, subscription: name(subscription)? })
            }
            ["uplink", rule] => Ok(QueueId::Uplink(name(rule)?)),
            _ => Err(NoSuchName),
        }
    }
}

impl FromStr for DeadOf {
    type Err = NoSuchName;

    fn from_str(text: &str) -> Result<Self, NoSuchName> {
        match text.split_once('/') {
            Some(("component", component)) => Ok(DeadOf::Component(name(component)?)),
            Some(("uplink", rule)) => Ok(DeadOf::Uplink(name(rule)?)),
            Some(("downlink", rule)) => Ok(DeadOf::Downlink(name(rule)?)),
            _ => Err(NoSuchName),
        }
    }
}

fn name(text: &str) -> Result<Arc<str>, NoSuchName> {
    if is_name(text) { Ok(text.into()) } else { Err(NoSuchName) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// These texts are on disk: none of them may ever change.
    #[test]
    fn every_kind_of_queue_has_its_text_and_reads_back() {
        let cases = [
            (
                QueueId::Inbox { component: "average".into(), subscription: "readings".into() },
                "component/average/readings",
            ),
            (QueueId::Uplink("alerts".into()), "uplink/alerts"),
            (QueueId::Dead(DeadOf::Component("average".into())), "dead/component/average"),
            (QueueId::Dead(DeadOf::Uplink("alerts".into())), "dead/uplink/alerts"),
            (QueueId::Dead(DeadOf::Downlink("orders".into())), "dead/downlink/orders"),
        ];
        for (id, text) in cases {
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
    }

    #[test]
    fn what_is_no_name_of_a_queue_is_refused() {
        let long = format!("uplink/{}", "a".repeat(65));
        let cases = [
            "",
            "/",
            "uplink",
            "uplink/",
            "uplink/a/b",
            "uplink/A",
            "uplink/a ",
            "uplink/../x",
            "downlink/a",
            "component/a",
            "component//a",
            "component/a/",
            "component/a/b/c",
            "dead",
            "dead/",
            "dead/a",
            "dead/component",
            "dead/component/a/b",
            "dead/dead/component/a",
            "Uplink/a",
            &long,
        ];
        for text in cases {
            assert_eq!(text.parse::<QueueId>(), Err(NoSuchName), "{text:?}");
        }
    }

    #[test]
    fn each_rule_is_listed_under_its_own_text() {
        for (text, rule) in FullRule::ALL {
            assert_eq!(rule.to_string(), text);
        }
    }

    fn any_id() -> impl Strategy<Value = QueueId> {
        let name = || "[a-z0-9-]{1,64}".prop_map(Arc::<str>::from);
        prop_oneof![
            (name(), name()).prop_map(|(component, subscription)| QueueId::Inbox { component, subscription }),
            name().prop_map(QueueId::Uplink),
            name().prop_map(|name| QueueId::Dead(DeadOf::Component(name))),
            name().prop_map(|name| QueueId::Dead(DeadOf::Uplink(name))),
            name().prop_map(|name| QueueId::Dead(DeadOf::Downlink(name))),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn every_name_reads_back_to_its_queue(id in any_id()) {
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        /// What is read is what is written: no second spelling of any queue.
        #[test]
        fn no_queue_has_two_names(text in "(dead/)?(component|uplink|downlink|x)(/[a-zA-Z0-9-]{0,3}){0,3}/?") {
            if let Ok(id) = text.parse::<QueueId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
