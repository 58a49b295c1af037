//! Filters by their levels, so that a message meets only the filters that share its beginning.
//!
//! Routing walks down all branches that match at once, one level of the topic at a time: at most the literal
//! child and the `+` child of each. A filter's `#` is no node, but a list at the node above it, which is how
//! `a/#` comes to match `a`. A node without a list and without a child does not exist: whoever removes the
//! last of them removes the node.
//!
//! With a hundred thousand filters the time goes into fetching memory, not into comparing: so children lie
//! in their parent's list, short levels lie in place, and so does the only value of a filter.

mod children;

use smallvec::SmallVec;

use crate::topic::{Filter, Topic};
use children::Children;

pub(super) use children::FixedMap;

/// Values by filter; several to each filter, each once.
#[derive(Clone, Debug)]
pub struct Trie<T> {
    root: Node<T>,
}

#[derive(Clone, Debug)]
struct Node<T> {
    children: Children<Node<T>>,
    plus: Option<Box<Node<T>>>,
    /// Of filters that end here.
    here: List<T>,
    /// Of filters that end in `#` below here.
    below: List<T>,
}

/// Sorted.
type List<T> = SmallVec<[T; 1]>;

impl<T: Copy + Ord> Trie<T> {
    pub fn insert(&mut self, filter: &Filter, value: T) {
        let mut node = &mut self.root;
        for level in levels(filter.as_str()) {
            node = match level {
                b"#" => return add(&mut node.below, value),
                b"+" => node.plus.get_or_insert_default(),
                level => node.children.get_or_add(level),
            };
        }
        add(&mut node.here, value);
    }

    pub fn remove(&mut self, filter: &Filter, value: &T) {
        self.root.remove(levels(filter.as_str()), value);
    }

    /// Shows each list of values whose filter matches, sorted, none of them empty.
    pub fn visit<'a>(&'a self, topic: &Topic, mut show: impl FnMut(&'a [T])) {
        let mut show = |list: &'a List<T>| {
            if !list.is_empty() {
                show(list);
            }
        };
        let mut nodes: SmallVec<[&Node<T>; 8]> = SmallVec::new();
        let mut below: SmallVec<[&Node<T>; 8]> = SmallVec::new();
        nodes.push(&self.root);
        // A wildcard in the first level matches no topic that begins with `$`.
        let mut wild = !topic.as_str().starts_with('$');
        for level in levels(topic.as_str()) {
            for node in nodes.drain(..) {
                below.extend(node.children.get(level));
                if wild {
                    show(&node.below);
                    below.extend(node.plus.as_deref());
                }
            }
            if below.is_empty() {
                return;
            }
            std::mem::swap(&mut nodes, &mut below);
            wild = true;
        }
        for node in nodes {
            show(&node.here);
            show(&node.below);
        }
    }
}

impl<T: Copy + Ord> Node<T> {
    fn remove<'f>(&mut self, mut levels: impl Iterator<Item = &'f [u8]>, value: &T) {
        match levels.next() {
            None => self.here.retain(|other| other != value),
            Some(b"#") => self.below.retain(|other| other != value),
            Some(b"+") => {
                let Some(child) = &mut self.plus else { return };
                child.remove(levels, value);
                if child.is_empty() {
                    self.plus = None;
                }
            }
            Some(level) => {
                let Some(child) = self.children.get_mut(level) else { return };
                child.remove(levels, value);
                if child.is_empty() {
                    self.children.remove(level);
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.here.is_empty() && self.below.is_empty() && self.plus.is_none() && self.children.is_empty()
    }
}

fn levels(text: &str) -> impl Iterator<Item = &[u8]> {
    text.as_bytes().split(|byte| *byte == b'/')
}

fn add<T: Copy + Ord>(list: &mut List<T>, value: T) {
    if let Err(place) = list.binary_search(&value) {
        list.insert(place, value);
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Trie { root: Node::default() }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node { children: Children::default(), plus: None, here: SmallVec::new(), below: SmallVec::new() }
    }
}

#[cfg(test)]
impl<T> Trie<T> {
    /// How many nodes there are, the root included.
    pub fn nodes(&self) -> usize {
        fn count<T>(node: &Node<T>) -> usize {
            1 + node.children.iter().chain(node.plus.as_deref()).map(count).sum::<usize>()
        }
        count(&self.root)
    }
}
