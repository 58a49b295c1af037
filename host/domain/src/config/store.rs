//! `[store]`: where what must survive a power cut is kept, and how much of it.

use std::time::Duration;

use super::source::Table;
use crate::limits;

/// `[store]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store {
    pub engine: StoreEngine,
    /// All that may be stored. Past it what would add is refused, whatever the disk has left.
    pub bytes: u64,
    /// How long a queue is kept after its subscription or rule is gone.
    pub keep: Duration,
}

/// `store.engine`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreEngine {
    #[default]
    Sqlite,
    Sled,
}

impl Store {
    pub(super) fn read(t: &mut Table) -> Store {
        Store {
            engine: t.choice("engine", &[("sqlite", StoreEngine::Sqlite), ("sled", StoreEngine::Sled)]),
            bytes: t.size("bytes", limits::STORE_BYTES),
            keep: t.duration("keep", limits::STORE_KEEP),
        }
    }
}
