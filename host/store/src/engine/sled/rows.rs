//! How rows lie in sled: short values as they are, long ones as a note and chunks.
//!
//! | sled's key | sled's value |
//! |---|---|
//! | `r` key | `0` sealed value |
//! | `r` key | `1` chunk set (u64), chunks (u32): the sealed value lies in chunks |
//! | `c` chunk set, index (u32) | a chunk |
//!
//! Numbers are big-endian. The number of a chunk set is never used twice, so chunks can only be found or missing, and
//! the seal over the whole value tells. A change of a row removes the chunks that the row had before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use sled::{Db, IVec};

use crate::batch::{self, Batch};
use crate::seal;

/// The longest value, and the longest chunk.
const CHUNK: usize = 4096 - 1;
const ROW: u8 = b'r';
const PART: u8 = b'c';
const INLINE: u8 = 0;
const CHUNKED: u8 = 1;

pub(super) struct Rows {
    db: Db,
    next_set: AtomicU64,
}

pub(super) enum Fetched {
    Absent,
    Value(Vec<u8>),
    Damaged,
}

type Found = sled::Result<(Vec<u8>, Fetched)>;

#[derive(Clone, Copy)]
struct Set {
    number: u64,
    chunks: u32,
}

impl Rows {
    pub fn new(db: Db) -> sled::Result<Rows> {
        let last = db.scan_prefix([PART]).keys().next_back().transpose()?;
        let number = |key: IVec| key.get(1..9)?.try_into().ok().map(u64::from_be_bytes);
        let next = last.and_then(number).map_or(0, |number| number.saturating_add(1));
        Ok(Rows { db, next_set: AtomicU64::new(next) })
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    pub fn get(&self, key: &[u8]) -> sled::Result<Fetched> {
        match self.db.get(row_key(key))? {
            None => Ok(Fetched::Absent),
            Some(stored) => self.value(key, &stored),
        }
    }

    fn value(&self, key: &[u8], stored: &[u8]) -> sled::Result<Fetched> {
        let whole;
        let sealed = match stored.split_first() {
            Some((&INLINE, sealed)) => sealed,
            _ => match set_of(stored) {
                None => return Ok(Fetched::Damaged),
                Some(set) => {
                    whole = self.chunks(set)?;
                    whole.as_slice()
                }
            },
        };
        Ok(seal::open(key, sealed).map_or(Fetched::Damaged, |value| Fetched::Value(value.to_vec())))
    }

    /// What is there of them: a seal tells whether it is all.
    fn chunks(&self, set: Set) -> sled::Result<Vec<u8>> {
        let mut whole = Vec::new();
        for part in self.db.scan_prefix(part_key(set.number, 0).get(..9).unwrap_or_default()).values() {
            whole.extend_from_slice(&part?);
        }
        Ok(whole)
    }

    pub fn range<'a>(&'a self, from: &[u8], to: &[u8]) -> impl Iterator<Item = Found> + use<'a> {
        // sled takes an end before the start for a mistake of its caller's.
        let to = row_key(to.max(from));
        self.fetch(self.db.range(row_key(from)..to))
    }

    pub fn range_from<'a>(&'a self, from: &[u8]) -> impl Iterator<Item = Found> + use<'a> {
        self.fetch(self.db.range(row_key(from)..vec![ROW + 1]))
    }

    fn fetch(&self, rows: sled::Iter) -> impl Iterator<Item = Found> {
        rows.map(|row| {
            let (key, stored) = row?;
            let key = key.get(1..).unwrap_or_default().to_vec();
            let fetched = self.value(&key, &stored)?;
            Ok((key, fetched))
        })
    }

    /// A batch as sled's own.
    pub fn changes(&self, batch: &Batch) -> sled::Result<sled::Batch> {
        let mut changes = sled::Batch::default();
        let mut sets: HashMap<&[u8], Set> = HashMap::new();
        for batch::Row { key, sealed } in batch.rows() {
            let row = row_key(key);
            let before = match sets.remove(key) {
                Some(set) => Some(set),
                None => self.db.get(&row)?.as_deref().and_then(set_of),
            };
            for index in 0..before.map_or(0, |set| set.chunks) {
                changes.remove(part_key(before.map_or(0, |set| set.number), index).as_slice());
            }
            match sealed {
                None => changes.remove(row),
                Some(sealed) if sealed.len() <= CHUNK => changes.insert(row, [&[INLINE], sealed].concat()),
                Some(sealed) => {
                    let set = self.put_chunks(&mut changes, sealed);
                    let note = [&[CHUNKED][..], &set.number.to_be_bytes(), &set.chunks.to_be_bytes()].concat();
                    changes.insert(row, note);
                    sets.insert(key, set);
                }
            }
        }
        Ok(changes)
    }

    fn put_chunks(&self, changes: &mut sled::Batch, sealed: &[u8]) -> Set {
        let mut set = Set { number: self.next_set.fetch_add(1, Ordering::Relaxed), chunks: 0 };
        for chunk in sealed.chunks(CHUNK) {
            changes.insert(part_key(set.number, set.chunks).as_slice(), chunk);
            set.chunks += 1;
        }
        set
    }
}

fn row_key(key: &[u8]) -> Vec<u8> {
    [&[ROW], key].concat()
}

fn part_key(set: u64, index: u32) -> [u8; 13] {
    let mut key = [PART; 13];
    let (_, rest) = key.split_at_mut(1);
    let (number, place) = rest.split_at_mut(8);
    number.copy_from_slice(&set.to_be_bytes());
    place.copy_from_slice(&index.to_be_bytes());
    key
}

fn set_of(stored: &[u8]) -> Option<Set> {
    let (&CHUNKED, rest) = stored.split_first()? else { return None };
    let (number, chunks) = rest.split_first_chunk::<8>()?;
    Some(Set { number: u64::from_be_bytes(*number), chunks: u32::from_be_bytes(chunks.try_into().ok()?) })
}
