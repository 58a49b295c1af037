//! Circles that a configuration permits: what `edgewit check` warns of before any message runs in one.
//!
//! A component leads to another where one of its grants to publish meets one of the other's subscriptions, and an uplink
//! to a downlink where the same cloud sends back what it was sent. Only a warning can come of it, since nobody knows here what a component really publishes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::config::{Config, Delivery, Subscription};
use crate::limits::CIRCLE_COMPARISONS;
use crate::queue::FullRule;
use crate::topic::Filter;

/// Where a message comes by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Station {
    Component(Arc<str>),
    Uplink(Arc<str>),
    Downlink(Arc<str>),
}

/// By which queues a circle is to be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// Any, the way up to a cloud and down again included.
    All,
    /// Durable ones that refuse when they are full: once all of a circle are, nobody in it can go on.
    Refusing,
}

/// For each station the shortest circle that leads back to it, each circle once and beginning with its first name by
/// the alphabet. A component that may hear itself is a circle of one. There are never more circles than stations,
/// however many ways they are connected; in a configuration with more pairs of filters than [`CIRCLE_COMPARISONS`],
/// the pairs after that are taken not to meet.
pub fn possible_circles(config: &Config, through: Through) -> Vec<Vec<Station>> {
    let stations: Vec<Station> = stations(config).collect();
    let mut search = Search { config, through, comparisons: CIRCLE_COMPARISONS };
    let mut leads_to: BTreeMap<&Station, Vec<&Station>> = BTreeMap::new();
    for from in &stations {
        leads_to.insert(from, stations.iter().filter(|to| search.leads(from, to)).collect());
    }
    let circles: BTreeSet<Vec<Station>> =
        stations.iter().filter_map(|name| shortest_circle(name, &leads_to)).map(from_first_name).collect();
    circles.into_iter().collect()
}

fn stations(config: &Config) -> impl Iterator<Item = Station> {
    let components = config.components.keys().cloned().map(Station::Component);
    let uplinks = config.uplinks.keys().cloned().map(Station::Uplink);
    components.chain(uplinks).chain(config.downlinks.keys().cloned().map(Station::Downlink))
}

struct Search<'a> {
    config: &'a Config,
    through: Through,
    comparisons: u64,
}

impl Search<'_> {
    fn leads(&mut self, from: &Station, to: &Station) -> bool {
        use Station::{Component, Downlink, Uplink};
        let config = self.config;
        match (from, to) {
            (Component(_) | Downlink(_), Component(name)) => {
                let Some(component) = config.components.get(name) else { return false };
                let hears = |heard: &&Subscription| (heard.own || from != to) && self.through.takes(heard);
                let heard: Vec<&Filter> =
                    component.subscriptions.values().filter(hears).map(|heard| &heard.filter).collect();
                self.meets(from, &heard)
            }
            (Component(_) | Downlink(_), Uplink(name)) if self.through == Through::All => {
                let heard: Vec<&Filter> = config.uplinks.get(name).map(|uplink| &uplink.filter).into_iter().collect();
                self.meets(from, &heard)
            }
            (Uplink(up), Downlink(down)) => match (config.uplinks.get(up), config.downlinks.get(down)) {
                (Some(up), Some(down)) => up.cloud == down.cloud && up.image.overlaps(&down.filter),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether anything that `from` may publish here is matched by one of `heard`.
    fn meets(&mut self, from: &Station, heard: &[&Filter]) -> bool {
        let said: Vec<&Filter> = match from {
            Station::Component(name) => {
                self.config.components.get(name).into_iter().flat_map(|of| of.grants.publish.values()).collect()
            }
            Station::Downlink(name) => {
                self.config.downlinks.get(name).map(|downlink| &downlink.image).into_iter().collect()
            }
            Station::Uplink(_) => Vec::new(),
        };
        let said = said.into_iter().filter(|filter| !filter.is_reserved());
        let affordable = |_: &_| {
            let left = self.comparisons.checked_sub(1);
            self.comparisons = left.unwrap_or(0);
            left.is_some()
        };
        let mut pairs = said.flat_map(|said| heard.iter().map(move |heard| (said, *heard))).take_while(affordable);
        pairs.any(|(said, heard)| said.overlaps(heard))
    }
}

impl Through {
    fn takes(self, subscription: &Subscription) -> bool {
        match (self, &subscription.delivery) {
            (Through::All, _) => true,
            (Through::Refusing, Delivery::Durable(queue)) => queue.limits.full == FullRule::Refuse,
            (Through::Refusing, Delivery::Live { .. }) => false,
        }
    }
}

impl fmt::Display for Station {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Station::Component(name) => f.write_str(name),
            Station::Uplink(name) => write!(f, "uplink.{name}"),
            Station::Downlink(name) => write!(f, "downlink.{name}"),
        }
    }
}

/// Breadth first from `start` until it is reached again.
fn shortest_circle(start: &Station, leads_to: &BTreeMap<&Station, Vec<&Station>>) -> Option<Vec<Station>> {
    let mut reached_from: BTreeMap<&Station, &Station> = BTreeMap::new();
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

fn path_to(end: &Station, start: &Station, reached_from: &BTreeMap<&Station, &Station>) -> Vec<Station> {
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

fn from_first_name(mut circle: Vec<Station>) -> Vec<Station> {
    let first = circle.iter().enumerate().min_by_key(|(_, name)| *name).map_or(0, |(place, _)| place);
    circle.rotate_left(first);
    circle
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(circles(&text, Through::All), expected, "{components:?}");
    }

    fn circles(text: &str, through: Through) -> Vec<Vec<String>> {
        let config = Config::parse(text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let found = possible_circles(&config, through);
        found.iter().map(|circle| circle.iter().map(Station::to_string).collect()).collect()
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
        let a = Station::Component("a".into());
        let leads = |comparisons| Search { config: &config, through: Through::All, comparisons }.leads(&a, &a);
        assert!(leads(1) && !leads(0));
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

    const GATEWAY: &str = "schema = 1\n[gateway]\nthing = \"gw\"\ndata = \"/tmp\"\n";

    /// [Q5] A circle stands still only if every queue of it refuses, whatever else its components hear.
    #[test]
    fn q5_a_circle_of_queues_that_refuse_is_told_from_the_others() {
        let component = |name: &str, hears: &str, delivery: &str, says: &str| {
            format!(
                "[component.{name}]\nartifact = \"a.wasm\"\ngrant.publish.x = {says:?}\n\
                 subscribe.x = {{ filter = {hears:?}, {delivery} }}\n"
            )
        };
        let refuse = "delivery = \"durable\"";
        let drop = "delivery = \"durable\", queue.full = \"drop-oldest\"";
        let live = "delivery = \"live\"";
        let three = |of: [&str; 3]| {
            let [a, b, c] = of;
            let (a, b) = (component("a", "three/+", a, "one"), component("b", "one", b, "two/x"));
            format!("{GATEWAY}{a}{b}{}", component("c", "two/#", c, "three/x"))
        };
        assert_eq!(circles(&three([refuse, refuse, refuse]), Through::Refusing), [["a", "b", "c"]]);
        for of in [[refuse, drop, refuse], [refuse, refuse, live], [live, live, live]] {
            assert_eq!(circles(&three(of), Through::Refusing), Vec::<Vec<String>>::new(), "{of:?}");
            assert_eq!(circles(&three(of), Through::All), [["a", "b", "c"]], "{of:?}");
        }
        let also_live = format!("{}subscribe.y = {{ filter = \"#\", {live} }}\n", three([refuse, refuse, refuse]));
        assert_eq!(circles(&also_live, Through::Refusing), [["a", "b", "c"]]);
    }

    /// What goes up comes down where a downlink's filter meets it, in the same cloud and under its names there.
    #[test]
    fn a_circle_may_lead_through_a_cloud() {
        let clouds = "[cloud.one]\nbroker = \"mqtts://one\"\n[cloud.two]\nbroker = \"mqtts://two\"\n";
        let up = |filter: &str, rest: &str| format!("[uplink.up]\ncloud = \"one\"\nfilter = {filter:?}\n{rest}\n");
        let down = |cloud: &str, filter: &str, rest: &str| {
            format!("[downlink.down]\ncloud = {cloud:?}\nfilter = {filter:?}\n{rest}\n")
        };
        let full = "queue.full = \"drop-oldest\"";
        let with = |rules: String| circles(&format!("{GATEWAY}{clouds}{rules}"), Through::All);
        let direct = vec![vec!["uplink.up".to_owned(), "downlink.down".to_owned()]];
        let none = Vec::<Vec<String>>::new();
        assert_eq!(with(up("a/#", full) + &down("one", "a/b", "")), direct);
        assert_eq!(with(up("a/#", full) + &down("two", "a/b", "")), none);
        assert_eq!(with(up("a/#", &format!("topic = \"x\"\n{full}")) + &down("one", "a/b", "")), none);
        assert_eq!(with(up("a/#", &format!("topic = \"x\"\n{full}")) + &down("one", "x/+", "topic = \"a\"")), direct);
        let component = "[component.c]\nartifact = \"a.wasm\"\ngrant.publish.x = \"answers/#\"\n\
            subscribe.x = { filter = \"questions/#\", delivery = \"live\" }\n";
        let asked = down("one", "#", "topic = \"questions\"");
        let through = ["c", "uplink.up", "downlink.down"].map(String::from);
        assert_eq!(with(up("answers/#", full) + &asked + component), [through]);
    }
}
