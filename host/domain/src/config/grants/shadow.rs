//! `[component.NAME.grant.shadow]`: whose shadows a component may read, report to and desire of.
//!
//! One entry covers one thing or every thing, and there the classic shadow, one named shadow or every named one; never
//! both kinds at once, so that nobody grants more than he has written.

use toml::de::DeValue;

use crate::config::mistake::{Wrong, quoted, wrong};
use crate::config::scalar::{choice, substituted};
use crate::config::source::Table;
use crate::config::substitute::Names;
use crate::shadow::{Section, ShadowId, ShadowName, ThingName};

/// Stands for every thing, or every named shadow.
const EVERY: &str = "+";

/// Some shadows, and what may be done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowGrant {
    /// None is every thing.
    pub thing: Option<ThingName>,
    pub which: Which,
    pub allow: Allow,
}

/// Which shadows of a thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    Classic,
    Named(ShadowName),
    EveryNamed,
}

/// What may be done with a shadow. To delete it takes both `report` and `desire`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    pub read: bool,
    pub report: bool,
    pub desire: bool,
}

impl ShadowGrant {
    pub(super) fn read(t: &mut Table, name: &str) -> Option<ShadowGrant> {
        let is_table = matches!(t.ask(name)?, DeValue::Table(_));
        t.table(name, |t| {
            let thing = match t.ask("thing") {
                None => t.names.thing.as_deref().and_then(|own| ThingName::parse(own).ok()).map(Some),
                Some(_) => t.optional("thing", thing),
            };
            let which = match t.ask("shadow") {
                None => Some(Which::Classic),
                Some(_) => t.optional("shadow", which),
            };
            let words = t.list("allow", "\"read\"", |value, _| choice(value, &Allow::WORDS));
            let allow = words.into_iter().fold(Allow::default(), Allow::and);
            let is_empty = t.ask("allow").is_none_or(|list| list.as_array().is_some_and(|list| list.is_empty()));
            if is_table && is_empty {
                t.mistake("allow", "allows nothing", "write `allow = [\"read\"]`, with any of read, report, desire");
            }
            Some(ShadowGrant { thing: thing?, which: which?, allow })
        })
    }

    pub fn covers(&self, id: &ShadowId) -> bool {
        self.covers_thing(&id.thing) && self.which.covers(id.name.as_ref())
    }

    pub fn covers_thing(&self, thing: &ThingName) -> bool {
        self.thing.as_ref().is_none_or(|granted| granted == thing)
    }
}

impl Which {
    pub fn of(name: Option<&ShadowName>) -> Which {
        name.cloned().map_or(Which::Classic, Which::Named)
    }

    fn covers(&self, name: Option<&ShadowName>) -> bool {
        match (self, name) {
            (Which::Classic, None) | (Which::EveryNamed, Some(_)) => true,
            (Which::Named(granted), Some(name)) => granted == name,
            (Which::Classic, Some(_)) | (Which::Named(_) | Which::EveryNamed, None) => false,
        }
    }
}

impl Allow {
    pub const READ: Allow = Allow { read: true, report: false, desire: false };
    pub const DELETE: Allow = Allow { read: false, report: true, desire: true };
    const REPORT: Allow = Allow { read: false, report: true, desire: false };
    const DESIRE: Allow = Allow { read: false, report: false, desire: true };
    const WORDS: [(&str, Allow); 3] = [("read", Allow::READ), ("report", Allow::REPORT), ("desire", Allow::DESIRE)];

    /// What it takes to change a section.
    pub fn to_change(section: Section) -> Allow {
        match section {
            Section::Reported => Allow::REPORT,
            Section::Desired => Allow::DESIRE,
        }
    }

    pub fn and(self, other: Allow) -> Allow {
        Allow {
            read: self.read || other.read,
            report: self.report || other.report,
            desire: self.desire || other.desire,
        }
    }

    pub fn includes(self, other: Allow) -> bool {
        self.and(other) == self
    }

    /// As configuration has it.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Allow::WORDS.into_iter().filter(move |(_, word)| self.includes(*word)).map(|(word, _)| word)
    }
}

fn thing(value: &DeValue, names: &Names) -> Result<Option<ThingName>, Wrong> {
    let text = substituted(value, names)?;
    if text == EVERY {
        return Ok(None);
    }
    let cure = "write one thing's name, or \"+\" for every thing; without `thing` it is the gateway's own";
    ThingName::parse(&text).map(Some).or_else(|error| wrong(format!("{}: {error}", quoted(&text)), cure))
}

fn which(value: &DeValue, names: &Names) -> Result<Which, Wrong> {
    let text = substituted(value, names)?;
    if text == EVERY {
        return Ok(Which::EveryNamed);
    }
    let cure = "write one shadow's name, or \"+\" for every named one; without `shadow` it is the classic one";
    ShadowName::parse(&text).map(Which::Named).or_else(|error| wrong(format!("{}: {error}", quoted(&text)), cure))
}
