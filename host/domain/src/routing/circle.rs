//! Circles that a configuration permits: what `edgewit check` warns of before any message runs in one.
//!
//! A component leads to another where one of its grants to publish meets one of the other's subscriptions. Only
//! a warning can come of it, since nobody knows here what a component really publishes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::config::Component;
use crate::limits::CIRCLE_COMPARISONS;

type Name<'a> = &'a Arc<str>;

/// For each component the shortest circle that leads back to it, each circle once and beginning with its first
/// name by the alphabet. A component that may hear itself is a circle of one. There are never more circles than
/// components, however many ways they are connected; in a configuration with more pairs of grant and subscription
/// than [`CIRCLE_COMPARISONS`], the pairs after that are taken not to meet.
pub fn possible_circles(components: &BTreeMap<Arc<str>, Arc<Component>>) -> Vec<Vec<Arc<str>>> {
    let mut comparisons = CIRCLE_COMPARISONS;
    let mut leads_to: BTreeMap<Name, Vec<Name>> = BTreeMap::new();
    for (name, from) in components {
        let reached = components.iter().filter(|(_, to)| leads(from, to, &mut comparisons)).map(|(name, _)| name);
        leads_to.insert(name, reached.collect());
    }
    let circles: BTreeSet<Vec<Arc<str>>> =
        components.keys().filter_map(|name| shortest_circle(name, &leads_to)).map(from_first_name).collect();
    circles.into_iter().collect()
}

fn leads(from: &Component, to: &Component, comparisons: &mut u64) -> bool {
    let itself = from.name == to.name;
    let said = from.grants.publish.values().filter(|filter| !filter.is_reserved());
    let pairs = said.flat_map(|said| to.subscriptions.values().map(move |heard| (said, heard)));
    let affordable = |_: &_| {
        let left = comparisons.checked_sub(1);
        *comparisons = left.unwrap_or(0);
        left.is_some()
    };
    pairs.take_while(affordable).any(|(said, heard)| (heard.own || !itself) && said.overlaps(&heard.filter))
}

/// Breadth first from `start` until it is reached again.
fn shortest_circle(start: Name, leads_to: &BTreeMap<Name, Vec<Name>>) -> Option<Vec<Arc<str>>> {
    let mut reached_from: BTreeMap<Name, Name> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(name) = queue.pop_front() {
        for &next in leads_to.get(name)? {
            if next == start {
                return Some(path_to(name, start, &reached_from));
            }
            reached_from.entry(next).or_insert_with(|| {
                queue.push_back(next);
                name
            });
        }
    }
    None
}

fn path_to(end: Name, start: Name, reached_from: &BTreeMap<Name, Name>) -> Vec<Arc<str>> {
    let mut path = vec![end.clone()];
    let mut at = end;
    while at != start
        && let Some(before) = reached_from.get(at)
    {
        path.push((*before).clone());
        at = before;
    }
    path.reverse();
    path
}

fn from_first_name(mut circle: Vec<Arc<str>>) -> Vec<Arc<str>> {
    let first = circle.iter().enumerate().min_by_key(|(_, name)| *name).map_or(0, |(place, _)| place);
    circle.rotate_left(first);
    circle
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Each component as its name, what it hears, and what it may publish; `!` before a filter is one's own too.
    fn check(components: &[(&str, &[&str], &[&str])], expected: &[&[&str]]) {
        let mut text = String::from("schema = 1\n[gateway]\nthing = \"gw\"\ndata = \"/tmp\"\n");
        for (name, heard, said) in components {
            text += &format!("[component.{name}]\nartifact = \"a.wasm\"\n");
            for (number, filter) in heard.iter().enumerate() {
                let (own, filter) = (filter.starts_with('!'), filter.trim_start_matches('!'));
                text +=
                    &format!("subscribe.s{number} = {{ filter = \"{filter}\", delivery = \"live\", own = {own} }}\n");
            }
            for (number, filter) in said.iter().enumerate() {
                text += &format!("grant.publish.p{number} = \"{filter}\"\n");
            }
        }
        let found = possible_circles(&Config::parse(&text).unwrap().components);
        let found: Vec<Vec<&str>> = found.iter().map(|circle| circle.iter().map(|name| &**name).collect()).collect();
        assert_eq!(found, expected, "{components:?}");
    }

    /// A chain is no circle, and neither is a component that does not ask to hear itself.
    #[test]
    fn a_chain_is_no_circle() {
        check(&[], &[]);
        check(&[("a", &["in"], &["x"]), ("b", &["x"], &["y"]), ("c", &["y"], &["out"])], &[]);
        check(&[("a", &["x/#"], &["x/+"])], &[]);
        check(&[("a", &["!#"], &["$aws/things/t/shadow/get"])], &[]);
    }

    /// The search ends with its comparisons, whatever is left to compare.
    #[test]
    fn the_search_is_bounded() {
        let text = "schema = 1\n[gateway]\nthing = \"gw\"\ndata = \"/tmp\"\n[component.a]\nartifact = \"a.wasm\"\n\
            subscribe.s = { filter = \"x\", delivery = \"live\", own = true }\ngrant.publish.p = \"x\"\n";
        let config = Config::parse(text).unwrap();
        let a = &config.components["a"];
        assert!(leads(a, a, &mut 1) && !leads(a, a, &mut 0));
    }

    /// Circles are named once, shortest first way round, from their first name by the alphabet.
    #[test]
    fn circles_are_found_and_named_once() {
        check(&[("a", &["!x"], &["x"])], &[&["a"]]);
        check(&[("b", &["y"], &["x"]), ("a", &["x"], &["y"])], &[&["a", "b"]]);
        let ring: [(&str, &[&str], &[&str]); 4] = [
            ("c", &["one/+"], &["two/x"]),
            ("a", &["two/#"], &["four/+"]),
            ("b", &["four/three"], &["one/x"]),
            ("d", &["two/x"], &["elsewhere"]),
        ];
        check(&ring, &[&["a", "b", "c"]]);
        check(&[("a", &["z"], &["#"]), ("b", &["#"], &["#"]), ("c", &["#"], &["z"])], &[&["a", "b"], &["a", "c"]]);
    }
}
