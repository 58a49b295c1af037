//! The digests of compiled code, where the sandbox looks for them: in the store.

use std::io;
use std::sync::Arc;

use edgewit_domain::ledger::Broken;
use edgewit_sandbox::artifact::{Digest, DigestIndex};

use crate::error::chain;
use crate::hub::Hub;

/// The hub has the store as long as there is one.
pub(crate) struct Digests(pub Arc<Hub>);

impl DigestIndex for Digests {
    fn get(&self, key: &str) -> Option<Digest> {
        let kept = self.0.store().ok()?.digest(key);
        let unread = |error: &Broken| tracing::warn!(error = chain(error), "A component is compiled again");
        kept.inspect_err(unread).ok().flatten().map(Digest::from_bytes)
    }

    fn put(&self, key: &str, digest: Digest) -> io::Result<()> {
        let store = self.0.store().map_err(io::Error::other)?;
        store.keep_digest(key, *digest.as_bytes()).map_err(io::Error::other)
    }

    fn retain(&self, keep: &dyn Fn(&str) -> bool) -> io::Result<()> {
        let store = self.0.store().map_err(io::Error::other)?;
        store.retain_digests(keep).map_err(io::Error::other)
    }
}
