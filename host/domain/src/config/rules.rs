//! `[uplink.NAME]` and `[downlink.NAME]`: what goes up to a cloud and what comes down, and under which topics.
//!
//! A rule owns none of the topics that the gateway's services keep in step with the cloud themselves: two ways for
//! one message would be two messages. Everything about a rule that its table alone shows is checked here; what two
//! tables show together is in `checks`.

use std::sync::Arc;

use toml::de::DeValue;

use super::mistake::{Wrong, did_you_mean, quoted, wrong};
use super::queue::{DeadLetter, read_limits};
use super::scalar::{self, substituted, text};
use super::source::Table;
use super::substitute::Names;
use crate::link::{Format, Priority, Rewrite};
use crate::queue::QueueLimits;
use crate::topic::{Filter, Topic, TopicError};

/// `[uplink.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    pub name: Arc<str>,
    /// Of local topics.
    pub filter: Filter,
    pub cloud: Arc<str>,
    pub rewrite: Rewrite,
    /// What the filter's topics are called in the cloud.
    pub image: Filter,
    pub priority: Priority,
    pub format: Format,
    /// Whether messages of quality 0 are sent, too.
    pub qos0: bool,
    pub queue: QueueLimits,
    pub dead_letter: DeadLetter,
}

/// `[downlink.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downlink {
    pub name: Arc<str>,
    /// Of topics in the cloud.
    pub filter: Filter,
    pub cloud: Arc<str>,
    pub rewrite: Rewrite,
    /// What the filter's topics are called here.
    pub image: Filter,
    pub dead_letter: DeadLetter,
}

/// What both directions have.
struct Path {
    filter: Filter,
    cloud: Arc<str>,
    rewrite: Rewrite,
    image: Filter,
}

impl Uplink {
    pub(super) fn read(t: &mut Table, name: &str, clouds: &[String]) -> Option<Uplink> {
        let path = Path::read(t, clouds, "\"alerts/#\"", upwards);
        let priority = t.choice("priority", &Priority::ALL);
        let format = t.choice("format", &Format::ALL);
        let qos0 = t.flag("qos0", false);
        let queue = t.table("queue", read_limits);
        let dead_letter = t.table("dead-letter", DeadLetter::read);
        let Path { filter, cloud, rewrite, image } = path?;
        let name = name.into();
        Some(Uplink { name, filter, cloud, rewrite, image, priority, format, qos0, queue, dead_letter })
    }
}

impl Downlink {
    pub(super) fn read(t: &mut Table, name: &str, clouds: &[String]) -> Option<Downlink> {
        let path = Path::read(t, clouds, "\"commands/${thing}/#\"", downwards);
        let dead_letter = t.table("dead-letter", DeadLetter::read_limits);
        let Path { filter, cloud, rewrite, image } = path?;
        Some(Downlink { name: name.into(), filter, cloud, rewrite, image, dead_letter })
    }
}

impl Path {
    fn read(
        t: &mut Table,
        clouds: &[String],
        example: &str,
        target: impl FnOnce(&DeValue, &Names) -> Result<Topic, Wrong>,
    ) -> Option<Path> {
        let filter = t.required("filter", example, rule_filter);
        let topic = t.optional("topic", target);
        let cloud = read_cloud(t, clouds);
        let filter = filter?;
        let rewrite = Rewrite::new(&filter, topic.as_ref());
        let image = match rewrite.image(&filter) {
            Ok(image) => image,
            Err(error) => {
                let (problem, cure) = told(&error);
                t.mistake("topic", format!("the filter's topics become none: {problem}"), cure);
                return None;
            }
        };
        Some(Path { filter, cloud: cloud?, rewrite, image })
    }
}

/// The cloud that is named, or the only one there is.
pub(super) fn read_cloud(t: &mut Table, clouds: &[String]) -> Option<Arc<str>> {
    let known = || clouds.iter().map(String::as_str);
    if t.ask("cloud").is_some() {
        return t.optional("cloud", |value, names| {
            let given = text(value, names)?;
            match (known().any(|name| name == given), clouds) {
                (true, _) => Ok(given.into()),
                (false, []) => wrong(format!("there is no cloud {}", quoted(given)), format!("add [cloud.{given}]")),
                (false, _) => wrong(format!("there is no cloud {}", quoted(given)), did_you_mean(given, known())),
            }
        });
    }
    match clouds {
        [only] => return Some(only.as_str().into()),
        [] => t.mistake("cloud", "there is no cloud", "add [cloud.NAME] with the address of its `broker`"),
        [first, ..] => {
            let all = known().collect::<Vec<_>>().join(", ");
            t.mistake("cloud", format!("there are several clouds: {all}"), format!("add `cloud = \"{first}\"`"));
        }
    }
    None
}

fn rule_filter(value: &DeValue, names: &Names) -> Result<Filter, Wrong> {
    let filter = scalar::filter(value, names)?;
    not_ours(filter.levels().next(), filter.as_str())?;
    Ok(filter)
}

fn downwards(value: &DeValue, names: &Names) -> Result<Topic, Wrong> {
    let topic = topic(value, names)?;
    not_ours(topic.levels().next(), topic.as_str())?;
    Ok(topic)
}

/// Rules of AWS IoT take messages directly under `$aws/rules/NAME`, where nothing is synchronised.
fn upwards(value: &DeValue, names: &Names) -> Result<Topic, Wrong> {
    let topic = topic(value, names)?;
    match topic.as_str().strip_prefix("$aws/rules/") {
        Some(rule) if !rule.is_empty() && !rule.starts_with('/') => {}
        _ => not_ours(topic.levels().next(), topic.as_str())?,
    }
    Ok(topic)
}

fn topic(value: &DeValue, names: &Names) -> Result<Topic, Wrong> {
    let text = substituted(value, names)?;
    Topic::parse(text.as_str()).or_else(|error| {
        let (problem, cure) = told(&error);
        wrong(format!("{} is no topic: {problem}", quoted(&text)), cure)
    })
}

fn told(error: &TopicError) -> (String, String) {
    let told = error.to_string();
    let (problem, cure) = told.split_once("; ").unwrap_or((&told, "write a topic such as \"plant/alerts\""));
    (problem.to_owned(), cure.to_owned())
}

fn not_ours(first: Option<&str>, text: &str) -> Result<(), Wrong> {
    let (why, cure) = match first {
        Some("$aws") => ("the gateway's services speak there with the cloud themselves", "use other topics in a rule"),
        Some("$edgewit") => ("what the gateway says of itself stays here", "use other topics in a rule"),
        Some("$share") => {
            ("a shared subscription would leave part of the messages to others", "write the filter alone")
        }
        _ => return Ok(()),
    };
    wrong(format!("{} cannot be in a rule: {why}", quoted(text)), cure)
}
