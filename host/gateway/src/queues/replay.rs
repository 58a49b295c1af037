//! Putting dead letters back: each at the tail of the queue where it waited, with the id that it had and its first
//! attempt before it.
//!
//! A letter leaves its queue and enters the other in one, or stays. What cannot go back is passed over and said; what is
//! given up again meanwhile is not taken a second time, so that it ends.

use std::sync::Arc;

use edgewit_domain::control::{Left, Reply};
use edgewit_domain::ledger::{Consumed, Refusal, Unit, row_bytes};
use edgewit_domain::limits::{SWEEP_BYTES, SWEEP_ROWS};
use edgewit_domain::queue::{QueueId, QueueNumber};
use edgewit_store::{Page, StoredRow, Turn, rows};
use smallvec::SmallVec;

use super::{Refused, find};
use crate::core::Core;
use crate::hub::{Hub, Reservation};

type Targets = SmallVec<[QueueNumber; 2]>;

/// A letter that went back.
struct Moved {
    targets: Targets,
    bytes: u64,
    /// Held until the row is counted.
    _reserved: Reservation,
}

/// What became of some letters.
struct Piece {
    dead: QueueNumber,
    moved: Vec<Moved>,
    left: Option<Left>,
    /// Where the next piece begins, and behind which number what is there came later.
    next: Option<u64>,
    end: u64,
}

impl Core {
    pub(crate) async fn replay(&self, queue: String, sequence: Option<u64>) -> Reply {
        let (mut replayed, mut left) = (0, None::<Left>);
        let (mut from, mut end) = (sequence.unwrap_or(0), sequence.map(|sequence| sequence.saturating_add(1)));
        loop {
            let (hub, name) = (self.hub.clone(), queue.clone());
            let piece = match self.turn(move |turn| piece(&hub, &name, from, end, turn)).await {
                Ok(piece) => piece,
                Err(refused) if replayed == 0 => return refused.reply(),
                Err(refused) => {
                    let (reason, cure) = refused.parts();
                    add(&mut left, Left { rows: 1, reason, cure: cure.to_owned() });
                    return Reply::Counted { rows: replayed, left };
                }
            };
            for moved in &piece.moved {
                self.hub.free(&[(piece.dead, moved.bytes)]);
                moved.targets.iter().for_each(|target| self.hub.look_again(*target, moved.bytes));
            }
            replayed += piece.moved.len() as u64;
            piece.left.into_iter().for_each(|more| add(&mut left, more));
            match (piece.next, left) {
                (Some(next), so_far) => (from, end, left) = (next, Some(piece.end), so_far),
                (None, Some(Left { reason, cure, .. })) if replayed == 0 => return Reply::Refused { reason, cure },
                (None, None) if replayed == 0 && sequence.is_some() => {
                    let reason = format!("there is no such row in {queue}");
                    return Reply::Refused { reason, cure: "`edgewit dead show` lists its rows".to_owned() };
                }
                (None, left) => return Reply::Counted { rows: replayed, left },
            }
        }
    }
}

fn add(left: &mut Option<Left>, more: Left) {
    match left {
        Some(left) => left.rows += more.rows,
        None => *left = Some(more),
    }
}

fn piece(hub: &Hub, queue: &str, from: u64, end: Option<u64>, turn: &mut Turn<'_>) -> Result<Piece, Refused> {
    let dead = find(queue, turn)?;
    if !matches!(queue.parse(), Ok(QueueId::Dead(_))) {
        return Err(Refused::Wish(format!("{queue} holds no dead letters"), "`edgewit dead ls` lists those that do"));
    }
    if turn.ledger.is_damaged(dead) {
        return Err(Refusal::Damaged { queue: queue.to_owned() }.into());
    }
    let end = end.unwrap_or_else(|| turn.ledger.next_of(dead));
    let count = usize::try_from(end.saturating_sub(from)).unwrap_or(SWEEP_ROWS).min(SWEEP_ROWS);
    let page = rows(turn.engine, dead, from, (count, SWEEP_BYTES));
    let Page { rows, more } = page.map_err(Refusal::from)?;
    let last = rows.last().map(|row| row.sequence);
    let mut piece = Piece { dead, moved: Vec::new(), left: None, next: None, end };
    piece.next = last.filter(|_| more).map(|last| last + 1).filter(|next| *next < end);
    for row in rows.into_iter().filter(|row| row.sequence < end) {
        match put_back(hub, dead, row, turn) {
            Ok(moved) => piece.moved.push(moved),
            // Half of it may be in this batch.
            Err(refused @ Refused::Store(Refusal::Broken(_) | Refusal::Gone)) => return Err(refused),
            Err(refused) => {
                let (reason, cure) = refused.parts();
                add(&mut piece.left, Left { rows: 1, reason, cure: cure.to_owned() });
            }
        }
    }
    Ok(piece)
}

/// Moves a dead letter to the tail of the queue where it waited; one that never waited, because it came from the cloud
/// and found no room, to those that hear it now.
fn put_back(hub: &Hub, dead: QueueNumber, row: StoredRow, turn: &mut Turn<'_>) -> Result<Moved, Refused> {
    let envelope = Arc::new(row.envelope);
    let origin = row.note.and_then(|note| note.queue);
    let targets: Targets = match &origin {
        Some(id) => turn.ledger.reader_of(id).into_iter().collect(),
        None => hub.durable_readers(&envelope.message),
    };
    if targets.is_empty() {
        let what = origin.map_or_else(
            || "is heard by no durable queue".to_owned(),
            |id| format!("waited in {id}, which nobody reads any more"),
        );
        return Err(Refused::Wish(
            format!("row {} {what}", row.sequence),
            "configure its subscription or rule again and reload, or drop it",
        ));
    }
    let name = |turn: &Turn<'_>, of: QueueNumber| {
        turn.ledger
            .queues()
            .find(|queue| queue.number == of)
            .map(|queue| queue.record.id.to_string())
            .unwrap_or_default()
    };
    if let Some(target) = targets.iter().find(|target| turn.ledger.is_damaged(**target)) {
        return Err(Refusal::Damaged { queue: name(turn, *target) }.into());
    }
    let bytes = row_bytes(&envelope.message);
    let mut reserved = Reservation::default();
    if let Some(full) = targets.iter().find(|target| !hub.reserve_in(**target, bytes, &mut reserved)) {
        return Err(Refused::Wish(
            format!("row {}: queue {} has no room", row.sequence, name(turn, *full)),
            "replay again when its reader has caught up; `edgewit queue ls` shows what waits",
        ));
    }
    let consumed = Some(Consumed { queue: dead, sequence: row.sequence, envelope: envelope.clone(), failed: 0 });
    turn.ledger.apply(&Unit { consumed, ..Unit::default() }, turn.records, turn.windows)?;
    // Not published again: what was retained of it was so at its time.
    for target in &targets {
        turn.ledger.copy(*target, &envelope, turn.records, turn.windows)?;
    }
    Ok(Moved { targets, bytes, _reserved: reserved })
}
