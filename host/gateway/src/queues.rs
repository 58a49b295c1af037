//! Looking into durable queues, dropping what is in them, and putting dead letters back.
//!
//! All of it happens between two batches of the store's writer, so that what is shown is what is there, and what is
//! dropped is in nobody's hand.

use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::control::{DeadView, QueueStatus, Reply, RowView};
use edgewit_domain::ledger::{Consumed, Planned, QueueView, Refusal, Swept, Unit, row_bytes};
use edgewit_domain::limits::{ROWS_SHOWN, SWEEP_ROWS};
use edgewit_domain::queue::{QueueId, QueueNumber};
use edgewit_domain::routing::ReaderId;
use edgewit_store::{StoredRow, Turn, rows};
use tokio::sync::oneshot;

use crate::control::view;
use crate::core::{Core, refused};
use crate::desk::millis;

/// Why an operator's wish was not done, and what to do.
pub(crate) type Refused = (String, &'static str);

impl Core {
    pub(crate) async fn queues(&self) -> Reply {
        match self.queue_statuses().await {
            Ok(queues) => Reply::Queues { queues },
            Err((reason, cure)) => refused(reason, cure),
        }
    }

    pub(crate) async fn queue_statuses(&self) -> Result<Vec<QueueStatus>, Refused> {
        let listed = self.turn(|turn| {
            let views: Vec<QueueView> = turn.ledger.queues().collect();
            Ok(views.into_iter().map(|view| status(&view, turn)).collect())
        });
        listed.await
    }

    pub(crate) async fn rows(&self, queue: String, from: u64, count: usize) -> Reply {
        let shown = self.turn(move |turn| {
            let number = find(&queue, turn)?;
            let found = rows(turn.engine, number, from, count.min(ROWS_SHOWN)).map_err(Refusal::from).map_err(told)?;
            let now = turn.now;
            Ok(found.iter().map(|row| row_view(row, now)).collect())
        });
        match shown.await {
            Ok(rows) => Reply::Rows { rows },
            Err((reason, cure)) => refused(reason, cure),
        }
    }

    /// In pieces, so that nobody waits long for the writer.
    pub(crate) async fn drop_rows(&self, queue: String) -> Reply {
        let mut dropped = 0;
        loop {
            let queue = queue.clone();
            let swept = self.turn(move |turn| {
                let number = find(&queue, turn)?;
                turn.ledger.drop_rows(number, SWEEP_ROWS, turn.records, turn.windows).map_err(told)
            });
            match swept.await {
                Ok(Swept { freed, more }) => {
                    self.hub.free(&freed);
                    dropped += freed.len() as u64;
                    if !more {
                        return Reply::Counted { rows: dropped };
                    }
                }
                Err((reason, cure)) => return refused(reason, cure),
            }
        }
    }

    /// A replayed message has the id it had, and its first attempt before it.
    pub(crate) async fn replay(&self, queue: String, sequence: Option<u64>) -> Reply {
        let mut replayed = 0;
        loop {
            let (hub, queue) = (self.hub.clone(), queue.clone());
            let done = self.turn(move |turn| {
                let dead = find(&queue, turn)?;
                if !matches!(queue.parse(), Ok(QueueId::Dead(_))) {
                    return Err((format!("{queue} holds no dead letters"), "name one that `edgewit dead ls` lists"));
                }
                let from = sequence.unwrap_or(0);
                let count = if sequence.is_some() { 1 } else { SWEEP_ROWS };
                let found = rows(turn.engine, dead, from, count).map_err(Refusal::from).map_err(told)?;
                let wanted = found.into_iter().filter(|row| sequence.is_none_or(|sequence| row.sequence == sequence));
                let mut moved = Vec::new();
                for row in wanted {
                    moved.push(put_back(dead, row, turn)?);
                }
                if moved.is_empty() && sequence.is_some() {
                    return Err((format!("there is no such row in {queue}"), "`edgewit dead show` lists its rows"));
                }
                for (target, bytes) in &moved {
                    hub.free(&[(dead, *bytes)]);
                    hub.look_again(*target, *bytes);
                }
                Ok(moved.len())
            });
            match done.await {
                Ok(count) => {
                    replayed += count as u64;
                    if sequence.is_some() || count < SWEEP_ROWS {
                        return Reply::Counted { rows: replayed };
                    }
                }
                Err((reason, cure)) => return refused(reason, cure),
            }
        }
    }

    async fn turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let ended = || told(Refusal::Closed);
        let store = self.hub.store().map_err(|_| ended())?;
        let (tell, outcome) = oneshot::channel();
        // What the work says is kept beside what becomes of its batch.
        let work = move |turn: &mut Turn<'_>| match work(turn) {
            Ok(value) => Ok(Ok(value)),
            Err(refused) => Ok(Err(refused)),
        };
        store.turn(work, move |done: Result<Result<T, Refused>, Refusal>| {
            // Who does not wait any more does not want to know.
            let _ = tell.send(done.map_err(told).and_then(|done| done));
        });
        outcome.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn find(queue: &str, turn: &Turn<'_>) -> Result<QueueNumber, Refused> {
    let id: QueueId =
        queue.parse().map_err(|error| (format!("`{queue}`: {error}"), "`edgewit queue ls` lists them"))?;
    turn.ledger.number_of(&id).ok_or_else(|| (format!("there is no queue {queue}"), "`edgewit queue ls` lists them"))
}

/// Moves a dead letter to the tail of the queue where it waited.
fn put_back(dead: QueueNumber, row: StoredRow, turn: &mut Turn<'_>) -> Result<(QueueNumber, u64), Refused> {
    let origin = row.note.as_ref().and_then(|note| note.queue.as_ref());
    let target = origin.and_then(|id| turn.ledger.queues().find(|queue| queue.record.id == *id));
    let target = target.filter(|queue| queue.limits.is_some()).map(|queue| queue.number).ok_or_else(|| {
        let problem = format!("row {} waited in a queue that nobody reads any more", row.sequence);
        (problem, "configure its subscription or rule again, or publish what it holds anew")
    })?;
    let envelope = Arc::new(row.envelope);
    let bytes = row_bytes(&envelope.message);
    let consumed = Some(Consumed { queue: dead, sequence: row.sequence, envelope: envelope.clone(), failed: 0 });
    let readers = [ReaderId::Durable(target)].into_iter().collect();
    let unit = Unit { consumed, publishes: vec![Planned { envelope, readers }], ..Unit::default() };
    turn.ledger.apply(&unit, turn.records, turn.windows).map_err(told)?;
    Ok((target, bytes))
}

fn status(view: &QueueView, turn: &Turn<'_>) -> QueueStatus {
    let oldest = rows(turn.engine, view.number, view.record.head, 1).ok().and_then(|mut rows| rows.pop());
    QueueStatus {
        queue: view.record.id.to_string(),
        messages: view.record.messages,
        bytes: view.record.bytes,
        dropped: view.record.dropped,
        expired: view.record.expired,
        read: view.limits.is_some(),
        damaged: view.damaged,
        oldest_ms: oldest.map(|row| millis(turn.now.saturating_sub(row.envelope.since))),
    }
}

fn row_view(row: &StoredRow, now: Duration) -> RowView {
    RowView {
        sequence: row.sequence,
        message: view(&row.envelope, 0),
        age_ms: millis(now.saturating_sub(row.envelope.since)),
        failed: row.failed,
        dead: row.note.as_ref().map(|note| DeadView {
            queue: note.queue.as_ref().map(ToString::to_string),
            reason: note.reason.clone(),
            attempts: note.attempts,
            backtrace: note.backtrace.clone(),
            at_ms: note.at.unix_ms,
        }),
    }
}

fn told(refusal: Refusal) -> Refused {
    (refusal.to_string(), "see the gateway's log; `edgewit store check` says what is broken, if something is")
}
