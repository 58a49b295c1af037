//! The children of a node by their level: a list while they are few, a map when they are many.
//!
//! Most nodes of a large trie have one child. A map for each of them would cost several hundred bytes and
//! two more fetches from memory, a list costs what is in it.

use std::hash::{BuildHasherDefault, DefaultHasher};

use smallvec::SmallVec;

/// A map that is the same in every run: what is planned depends on the routes and on nothing else. Whoever finds
/// many levels of one hash gains nothing by publishing them: only what is subscribed is in a map.
#[expect(clippy::disallowed_types, reason = "its hasher is fixed and draws no random number")]
pub(in crate::routing) type FixedMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// The text of a level; one of usual length lies in place.
type Level = SmallVec<[u8; 16]>;

/// From here on they are many.
const MANY: usize = 8;

#[derive(Clone, Debug)]
pub(super) enum Children<N> {
    Few(Vec<(Level, N)>),
    Many(FixedMap<Level, N>),
}

impl<N: Default> Children<N> {
    pub fn get(&self, level: &[u8]) -> Option<&N> {
        match self {
            Children::Few(few) => few.iter().find(|(other, _)| other.as_slice() == level).map(|(_, child)| child),
            Children::Many(many) => many.get(level),
        }
    }

    pub fn get_mut(&mut self, level: &[u8]) -> Option<&mut N> {
        match self {
            Children::Few(few) => few.iter_mut().find(|(other, _)| other.as_slice() == level).map(|(_, child)| child),
            Children::Many(many) => many.get_mut(level),
        }
    }

    pub fn get_or_add(&mut self, level: &[u8]) -> &mut N {
        if let Children::Few(few) = self
            && few.len() >= MANY
        {
            *self = Children::Many(few.drain(..).collect());
        }
        match self {
            Children::Many(many) => many.entry(Level::from_slice(level)).or_default(),
            Children::Few(few) => {
                let child = match few.iter().position(|(other, _)| other.as_slice() == level) {
                    Some(place) => few.swap_remove(place),
                    None => (Level::from_slice(level), N::default()),
                };
                few.reserve_exact(1);
                &mut few.push_mut(child).1
            }
        }
    }

    pub fn remove(&mut self, level: &[u8]) {
        match self {
            Children::Few(few) => few.retain(|(other, _)| other.as_slice() != level),
            Children::Many(many) => {
                many.remove(level);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Children::Few(few) => few.is_empty(),
            Children::Many(many) => many.is_empty(),
        }
    }

    #[cfg(test)]
    pub fn iter(&self) -> Box<dyn Iterator<Item = &N> + '_> {
        match self {
            Children::Few(few) => Box::new(few.iter().map(|(_, child)| child)),
            Children::Many(many) => Box::new(many.values()),
        }
    }
}

impl<N> Default for Children<N> {
    fn default() -> Self {
        Children::Few(Vec::new())
    }
}
