//! The second step of every publish: what has to survive is written before anyone sees it.
//!
//! Every queue of this version is a live one, so no plan holds a row to write: the step has nothing to do and
//! cannot fail. A plan with durable readers is to be written here, in one transaction with what the handling
//! consumed, and nothing of it may be delivered before that transaction is on disk.

use std::sync::Arc;

use edgewit_domain::message::Envelope;
use edgewit_domain::routing::Readers;

/// A message and who gets it.
pub(crate) struct Planned {
    pub envelope: Arc<Envelope>,
    pub readers: Readers,
}

/// Returns when everything that these plans promise to keep is kept.
pub(crate) fn commit(_planned: &[Planned]) {}
