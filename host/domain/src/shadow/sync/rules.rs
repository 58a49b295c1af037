//! Which shadows are kept the same, and how: by name, or all of a thing's that have one.

use std::collections::{BTreeMap, BTreeSet};

use super::How;
use crate::shadow::{ShadowId, ShadowName, ThingName};

/// Which of a thing's shadows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Which {
    Classic,
    Named(ShadowName),
    EveryNamed,
}

impl Which {
    /// The shadow of that thing, if it is one.
    pub fn of(&self, thing: &ThingName) -> Option<ShadowId> {
        let name = match self {
            Which::Classic => None,
            Which::Named(name) => Some(name.clone()),
            Which::EveryNamed => return None,
        };
        Some(ShadowId { thing: thing.clone(), name })
    }
}

/// What names a shadow itself goes before what names all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(BTreeMap<(ThingName, Which), How>);

impl Rules {
    pub fn how(&self, id: &ShadowId) -> Option<How> {
        let own = id.name.clone().map_or(Which::Classic, Which::Named);
        let every = id.name.is_some().then_some(Which::EveryNamed);
        let find = |which| self.0.get(&(id.thing.clone(), which));
        find(own).or_else(|| find(every?)).copied()
    }

    /// Whether a rule names this very shadow.
    pub fn names(&self, id: &ShadowId) -> bool {
        let own = id.name.clone().map_or(Which::Classic, Which::Named);
        self.0.contains_key(&(id.thing.clone(), own))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn things(&self) -> BTreeSet<&ThingName> {
        self.0.keys().map(|(thing, _)| thing).collect()
    }

    /// The shadows that are named.
    pub fn named(&self) -> impl Iterator<Item = ShadowId> {
        self.0.keys().filter_map(|(thing, which)| which.of(thing))
    }

    /// The things whose named shadows are all kept the same.
    pub fn whole(&self) -> impl Iterator<Item = &ThingName> {
        self.0.keys().filter(|(_, which)| *which == Which::EveryNamed).map(|(thing, _)| thing)
    }
}

impl FromIterator<((ThingName, Which), How)> for Rules {
    fn from_iter<I: IntoIterator<Item = ((ThingName, Which), How)>>(rules: I) -> Self {
        Rules(rules.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_shadow_goes_by_its_own_rule_before_the_one_of_all() {
        let every = |seconds| How { every: Duration::from_secs(seconds), ..How::default() };
        let thing = |name: &str| ThingName::parse(name).unwrap();
        let lamp = ShadowName::parse("lamp").unwrap();
        let rules: Rules = [
            ((thing("gw"), Which::EveryNamed), every(1)),
            ((thing("gw"), Which::Named(lamp.clone())), every(2)),
            ((thing("other"), Which::Classic), every(3)),
        ]
        .into_iter()
        .collect();
        let how = |id: &str, name: Option<&str>| {
            let id = ShadowId { thing: thing(id), name: name.map(|name| ShadowName::parse(name).unwrap()) };
            rules.how(&id).map(|how| how.every.as_secs())
        };
        assert_eq!(how("gw", Some("lamp")), Some(2));
        assert_eq!(how("gw", Some("door")), Some(1));
        assert_eq!(how("gw", None), None, "the classic one has no name");
        assert_eq!((how("other", None), how("other", Some("lamp")), how("third", None)), (Some(3), None, None));
        assert_eq!(rules.things().len(), 2);
        let id = |name| ShadowId::named(thing("gw"), ShadowName::parse(name).unwrap());
        assert!(rules.names(&id("lamp")) && !rules.names(&id("door")));
        assert_eq!(rules.whole().count(), 1);
        let named: Vec<_> = rules.named().collect();
        assert_eq!(named, [ShadowId::named(thing("gw"), lamp), ShadowId::classic(thing("other"))]);
    }
}
