//! Rows by their kinds, as they are committed: read past the writer, and believed only where their bytes make sense.

use std::ops::ControlFlow;

use edgewit_domain::ledger::{Broken, QueueRecord};
use edgewit_domain::message::Envelope;
use edgewit_domain::queue::QueueNumber;

use super::StoredRow;
use crate::engine::{Engine, EngineError, Finding};
use crate::format::bytes::Reader;
use crate::format::{envelope, key, record};
use crate::writer::rows::{MALFORMED, broken};

/// Every retained message.
pub fn retained(engine: &dyn Engine, mut visit: impl FnMut(Envelope)) -> Result<(), Broken> {
    each(engine, &[key::RETAINED], |_, row| {
        visit(envelope::read(&mut Reader(row))?);
        Some(())
    })
}

/// Rows of a queue that were read at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub rows: Vec<StoredRow>,
    /// There may be rows behind them.
    pub more: bool,
}

/// The queue that damage is in, where it is in one and still there.
pub fn damaged_queue(engine: &dyn Engine, found: &Finding) -> Option<QueueNumber> {
    let queue = key::queue_of(&found.from)?;
    // Its kind and its number.
    let end = key::end(found.from.get(..5)?);
    let to = found.to.as_deref().filter(|to| *to < end.as_slice()).unwrap_or(&end);
    let read = engine.scan(&found.from, to, &mut |_, _| ControlFlow::Continue(()));
    matches!(read, Err(EngineError::Damaged { .. } | EngineError::Torn { .. })).then_some(queue)
}

/// Rows of a queue from a sequence number on: at most `count`, and past the first at most so many `bytes`.
pub fn rows(
    engine: &dyn Engine,
    queue: QueueNumber,
    from: u64,
    (count, bytes): (usize, usize),
) -> Result<Page, Broken> {
    let dead = |record: &QueueRecord| matches!(record.id, edgewit_domain::queue::QueueId::Dead(_));
    let record = engine.get(&key::queue(queue)).map_err(|error| broken(&error))?;
    let record = record.and_then(|row| record::read_queue(&row));
    let dead = record.as_ref().is_some_and(dead);
    // Below the head lies at most what could not be removed of a damaged queue.
    let from = from.max(record.map_or(0, |record| record.head));
    let (mut rows, mut more, mut left): (Vec<StoredRow>, _, _) = (Vec::new(), false, bytes);
    if count == 0 {
        return Ok(Page::default());
    }
    range(engine, &key::row(queue, from), &key::end(&key::queue_rows(queue)), |key, row| {
        let mut reader = Reader(row);
        let sequence = key::sequence(key::ROWS, queue, key)?;
        more = rows.len() >= count || (row.len() > left && !rows.is_empty());
        if more {
            return Some(ControlFlow::Break(()));
        }
        left = left.saturating_sub(row.len());
        let envelope = envelope::read(&mut reader)?;
        let note = if dead { Some(envelope::read_note(&mut reader)?) } else { None };
        rows.push(StoredRow { sequence, envelope, failed: 0, note });
        Some(ControlFlow::Continue(()))
    })?;
    let last = rows.last().map_or(from, |row| row.sequence);
    range(engine, &key::attempts(queue, from), &key::attempts(queue, last.saturating_add(1)), |key, row| {
        let sequence = key::sequence(key::ATTEMPTS, queue, key)?;
        let failed = u32::try_from(record::read_number(row)?).ok()?;
        if let Ok(place) = rows.binary_search_by_key(&sequence, |row| row.sequence)
            && let Some(row) = rows.get_mut(place)
        {
            row.failed = failed;
        }
        Some(ControlFlow::Continue(()))
    })?;
    Ok(Page { rows, more })
}

pub(super) fn unreadable(key: &[u8], reason: &str) -> Broken {
    Broken { queue: None, reason: format!("the row with the key {}: {reason}", key.escape_ascii()) }
}

/// Every row whose key begins so.
pub(super) fn each(
    engine: &dyn Engine,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Option<()>,
) -> Result<(), Broken> {
    range(engine, prefix, &key::end(prefix), |key, row| visit(key, row).map(ControlFlow::Continue))
}

/// The same, past rows that are damaged: each is a matter of its own, and told where somebody asks for it.
pub(super) fn each_readable(
    engine: &dyn Engine,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Option<()>,
) -> Result<(), Broken> {
    let (mut from, end) = (prefix.to_vec(), key::end(prefix));
    loop {
        let first = from.clone();
        let scanned = engine.scan(&first, &end, &mut |key, row| {
            visit(key, row);
            ControlFlow::Continue(())
        });
        match scanned {
            Err(EngineError::Damaged { key }) if key >= from => from = [key.as_slice(), &[0]].concat(),
            other => return other.map_err(|error| broken(&error)),
        }
    }
}

/// Rows between two keys, until `visit` breaks. What it can make no sense of is damaged.
pub(super) fn range(
    engine: &dyn Engine,
    from: &[u8],
    to: &[u8],
    mut visit: impl FnMut(&[u8], &[u8]) -> Option<ControlFlow<()>>,
) -> Result<(), Broken> {
    let mut malformed = None;
    let scanned = engine.scan(from, to, &mut |key, row| {
        visit(key, row).unwrap_or_else(|| {
            let reason = format!("the row with the key {}: {MALFORMED}", key.escape_ascii());
            malformed = Some(Broken { queue: key::queue_of(key), reason });
            ControlFlow::Break(())
        })
    });
    scanned.map_err(|error| broken(&error))?;
    malformed.map_or(Ok(()), Err)
}
