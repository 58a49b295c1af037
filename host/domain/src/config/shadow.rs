//! `[shadow]` and `[shadow.sync.NAME]`: how large a document may be, and which of them are the same in a cloud.
//!
//! A rule names one shadow of one thing, or with `+` all that have names; what names the shadow itself goes before what
//! names all.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;

use super::mistake::{Wrong, wrong};
use super::rules::read_cloud;
use super::scalar::{choice, substituted};
use super::source::Table;
use super::substitute::Names;
use crate::limits;
use crate::shadow::sync::{Direction, How, Which, Winner, Winners};
use crate::shadow::{Limits, NameError, ShadowName, ThingName};

/// `[shadow.sync.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowSync {
    pub name: Arc<str>,
    pub cloud: Arc<str>,
    pub thing: ThingName,
    pub which: Which,
    pub how: How,
}

impl ShadowSync {
    fn read(t: &mut Table, name: &str, clouds: &[String]) -> Option<ShadowSync> {
        let cloud = read_cloud(t, clouds);
        let thing = match t.ask("thing") {
            Some(_) => t.optional("thing", thing),
            None => t.names.thing.as_ref().and_then(|thing| ThingName::parse(thing).ok()),
        };
        let which = match t.ask("shadow") {
            Some(_) => t.optional("shadow", which),
            None => Some(Which::Classic),
        };
        let directions =
            [("both", Direction::Both), ("to-cloud", Direction::ToCloud), ("from-cloud", Direction::FromCloud)];
        let direction = t.choice("direction", &directions);
        let every = t.duration("every", limits::SHADOW_SYNC_EVERY);
        let (otherwise, sides) = (Winners::default(), [("cloud", Winner::Cloud), ("device", Winner::Device)]);
        let winners = Winners {
            desired: t.optional("desired", |value, _| choice(value, &sides)).unwrap_or(otherwise.desired),
            reported: t.optional("reported", |value, _| choice(value, &sides)).unwrap_or(otherwise.reported),
        };
        if direction != Direction::Both {
            for key in ["desired", "reported"] {
                if t.ask(key).is_some() {
                    let problem = "changes go one way here, so that there is nothing to win";
                    t.mistake(key, problem, "remove it, or write direction = \"both\"");
                }
            }
        }
        let how = How { direction, winners, every };
        Some(ShadowSync { name: name.into(), cloud: cloud?, thing: thing?, which: which?, how })
    }
}

pub(super) fn read(t: &mut Table, clouds: &[String]) -> (Limits, BTreeMap<Arc<str>, ShadowSync>) {
    let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
    let limits = Limits {
        bytes: number(t.size("bytes", limits::SHADOW_BYTES)),
        depth: number(t.count("depth", limits::SHADOW_DEPTH)),
    };
    let most = limits::SHADOW_SYNC_RULES;
    let syncs = t.named("sync", most, |t, name| t.table(name, |t| ShadowSync::read(t, name, clouds)));
    (limits, syncs)
}

fn thing(value: &DeValue, names: &Names) -> Result<ThingName, Wrong> {
    ThingName::parse(&substituted(value, names)?).or_else(told)
}

fn which(value: &DeValue, names: &Names) -> Result<Which, Wrong> {
    match substituted(value, names)?.as_str() {
        "+" => Ok(Which::EveryNamed),
        name => ShadowName::parse(name).map(Which::Named).or_else(told),
    }
}

fn told<T>(error: NameError) -> Result<T, Wrong> {
    let told = error.to_string();
    let (problem, cure) = told.split_once("; ").unwrap_or((&told, "use another name"));
    wrong(problem, cure)
}
