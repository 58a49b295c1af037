//! The digests of compiled code: rows by which the gateway knows again what it has compiled itself.
//!
//! They are this machine's and this gateway's alone, say nothing of any message, and are gone with the store: then
//! everything is compiled again. A damaged one counts as none.

use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;

use edgewit_domain::ledger::{Broken, Refusal};

use crate::engine::EngineError;
use crate::format::key;
use crate::store::Store;
use crate::writer::rows::broken;
use crate::writer::{Changes, Request};

impl Store {
    /// The digest that was kept under this name.
    pub fn digest(&self, name: &str) -> Result<Option<[u8; 32]>, Broken> {
        match self.engine().get(&key::digest(name)) {
            Ok(row) => Ok(row.and_then(|row| row.try_into().ok())),
            Err(EngineError::Damaged { .. }) => Ok(None),
            Err(error) => Err(broken(&error)),
        }
    }

    /// Returns when it is on disk.
    pub fn keep_digest(&self, name: &str, digest: [u8; 32]) -> Result<(), Refusal> {
        self.change(vec![(key::digest(name), Some(digest.to_vec()))])
    }

    /// Forgets those whose names are not kept, and those that are damaged.
    pub fn retain_digests(&self, keep: impl Fn(&str) -> bool) -> Result<(), Refusal> {
        let prefix = [key::DIGESTS];
        let (mut from, end) = (prefix.to_vec(), key::end(&prefix));
        let mut gone = Vec::new();
        loop {
            let scanned = self.engine().scan(&from, &end, &mut |key, _| {
                let name = key.strip_prefix(&prefix).and_then(|name| std::str::from_utf8(name).ok());
                if !name.is_some_and(&keep) {
                    gone.push((key.to_vec(), None));
                }
                ControlFlow::Continue(())
            });
            match scanned {
                Ok(()) => break,
                Err(EngineError::Damaged { key }) => {
                    from = [key.as_slice(), &[0]].concat();
                    gone.push((key, None));
                }
                Err(error) => return Err(Refusal::Broken(broken(&error))),
            }
        }
        if gone.is_empty() { Ok(()) } else { self.change(gone) }
    }

    fn change(&self, changes: Changes) -> Result<(), Refusal> {
        let (sender, receiver) = sync_channel(1);
        let answer = move |outcome| {
            let _ = sender.send(outcome);
        };
        self.request(Request::Rows(changes, Box::new(answer))).map_err(|_| Refusal::Closed)?;
        receiver.recv().unwrap_or(Err(Refusal::Closed))
    }
}

#[cfg(test)]
mod tests {
    use crate::format::key;
    use crate::store::tests::{damage, open};

    fn name(number: u8) -> String {
        format!("code-{number}")
    }

    #[test]
    fn a_digest_is_there_after_opening_anew_until_it_is_not_kept_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        for number in 1..=3 {
            store.keep_digest(&name(number), [number; 32]).unwrap();
        }
        store.keep_digest(&name(2), [9; 32]).unwrap();
        store.close();
        drop(store);
        let (store, _) = open(dir.path());
        let digests = |store: &crate::Store| [1, 2, 3].map(|number| store.digest(&name(number)).unwrap());
        assert_eq!(digests(&store), [Some([1; 32]), Some([9; 32]), Some([3; 32])]);
        store.retain_digests(|kept| kept == name(2)).unwrap();
        assert_eq!(digests(&store), [None, Some([9; 32]), None]);
    }

    #[test]
    fn a_damaged_digest_counts_as_none_and_is_replaced_or_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        for number in 1..=3 {
            store.keep_digest(&name(number), [number; 32]).unwrap();
        }
        store.close();
        drop(store);
        for number in 1..=2 {
            assert_eq!(damage(dir.path(), &key::digest(&name(number))), 1);
        }
        let (store, _) = open(dir.path());
        assert_eq!(store.digest(&name(1)).unwrap(), None);
        store.keep_digest(&name(1), [7; 32]).unwrap();
        assert_eq!(store.digest(&name(1)).unwrap(), Some([7; 32]));
        store.retain_digests(|_| true).unwrap();
        assert!(store.engine().get(&key::digest(&name(2))).unwrap().is_none(), "the damaged one is gone");
        assert_eq!(store.digest(&name(3)).unwrap(), Some([3; 32]));
    }

    #[test]
    fn a_closed_store_keeps_nothing_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path());
        store.close();
        assert!(store.keep_digest(&name(1), [1; 32]).is_err());
    }
}
