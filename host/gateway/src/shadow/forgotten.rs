//! What was remembered for clouds that no shadow is kept the same with any more: renamed, removed, or without their rules.
//!
//! A link forgets the shadows that its rules do not name any more by itself. Where there is no link that could, the rows
//! would stay for ever, and if a cloud of that name came back, it would be merged with on a base that is long gone.

use edgewit_domain::ledger::{SyncRow, Unit};
use edgewit_domain::limits::{ROWS_SHOWN, SHADOW_SYNC_SHADOWS};

use crate::hub::Hub;

/// Reads from the disk. Called when the links of such clouds have ended. What is more than a link may have, or is refused
/// now, is left for the next time.
pub(crate) fn forget_all_but(hub: &Hub, is_kept: impl Fn(&str) -> bool) {
    let Ok(store) = hub.store() else { return };
    let mut gone = Vec::new();
    let found = store.sync_rows(|cloud, id| {
        if gone.len() < SHADOW_SYNC_SHADOWS && !is_kept(cloud) {
            gone.push(SyncRow { cloud: cloud.into(), id, row: None });
        }
    });
    if let Err(broken) = found {
        tracing::error!(%broken, "What is known of shadows in the cloud cannot all be read");
    }
    for rows in gone.chunks(ROWS_SHOWN) {
        let units = rows.iter().map(|row| Unit { sync: Some(row.clone()), ..Unit::default() });
        store.submit(units.collect(), |_| ());
    }
}
