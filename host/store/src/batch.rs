//! Changes that are made together or not at all.
//!
//! Keys and values lie one behind the other in one allocation that is kept over `clear`, because the writer fills a
//! batch a hundred thousand times a second. Each value is sealed as it is put, so that no engine can forget to. A batch
//! never drops or reorders a change; of two changes to one key the later one counts.

use crate::seal::{self, SEAL};

#[derive(Clone, Debug, Default)]
pub struct Batch {
    arena: Vec<u8>,
    changes: Vec<Span>,
}

/// Where a change lies: its key from the end of the change before, then its sealed value.
#[derive(Clone, Copy, Debug)]
struct Span {
    key_end: usize,
    end: usize,
    put: bool,
}

/// One change of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    Put { key: &'a [u8], value: &'a [u8] },
    Delete { key: &'a [u8] },
}

/// One change as an engine writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub key: &'a [u8],
    /// `None` deletes.
    pub sealed: Option<&'a [u8]>,
}

impl Batch {
    pub fn new() -> Batch {
        Batch::default()
    }

    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.arena.reserve(key.len() + value.len() + SEAL);
        self.arena.extend_from_slice(key);
        let key_end = self.arena.len();
        self.arena.extend_from_slice(value);
        self.arena.extend_from_slice(&seal::of(key, value));
        self.changes.push(Span { key_end, end: self.arena.len(), put: true });
    }

    pub fn delete(&mut self, key: &[u8]) {
        self.arena.extend_from_slice(key);
        let end = self.arena.len();
        self.changes.push(Span { key_end: end, end, put: false });
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.changes.clear();
    }

    /// Changes in it.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Bytes of its keys and sealed values.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// In the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.rows().map(|Row { key, sealed }| match sealed {
            Some(sealed) => Change::Put { key, value: seal::strip(sealed) },
            None => Change::Delete { key },
        })
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let mut start = 0;
        self.changes.iter().map(move |span| {
            let key = self.arena.get(start..span.key_end).unwrap_or_default();
            let sealed = span.put.then(|| self.arena.get(span.key_end..span.end).unwrap_or_default());
            start = span.end;
            Row { key, sealed }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_in_their_order_with_what_was_put() {
        let mut batch = Batch::new();
        for _ in 0..2 {
            batch.put(b"b", b"two");
            batch.delete(b"a");
            batch.put(b"", b"");
            let changes: Vec<_> = batch.iter().collect();
            let expected = [
                Change::Put { key: b"b", value: b"two" },
                Change::Delete { key: b"a" },
                Change::Put { key: b"", value: b"" },
            ];
            assert_eq!((changes.as_slice(), batch.len(), batch.bytes()), (&expected[..], 3, 1 + 3 + 4 + 1 + 4));
            batch.clear();
            assert!(batch.is_empty() && batch.bytes() == 0 && batch.iter().next().is_none());
        }
    }
}
