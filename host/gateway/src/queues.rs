//! Looking into durable queues, dropping what is in them, and putting dead letters back.
//!
//! All of it happens between two batches of the store's writer, so that what is shown is what is there, and what is
//! dropped is in nobody's hand. It happens in pieces, so that nobody waits long for the writer; a piece that fails
//! changes nothing.

mod replay;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgewit_domain::control::{DeadView, QueueStatus, Reply, RowView};
use edgewit_domain::ledger::{Anew, QueueView, Refusal, Swept};
use edgewit_domain::limits::{ROWS_SHOWN, ROWS_SHOWN_BYTES, SWEEP_ROWS};
use edgewit_domain::queue::{QueueId, QueueNumber};
use edgewit_store::{Page, StoredRow, Turn, rows};
use tokio::sync::oneshot;

use crate::control::view;
use crate::core::{Core, refused};
use crate::desk::millis;
use crate::sync::lock;

/// Why an operator's wish was not done.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The wish cannot be done, and what to do instead.
    Wish(String, &'static str),
    Store(Refusal),
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Refused::Store(refusal)
    }
}

impl Refused {
    fn parts(self) -> (String, &'static str) {
        match self {
            Refused::Wish(reason, cure) => (reason, cure),
            Refused::Store(refusal) => {
                let cure = match &refusal {
                    Refusal::Full | Refusal::NoSpace => "drain or drop a queue, or raise `store.bytes`",
                    Refusal::Closed => "ask again when it runs",
                    Refusal::Broken(broken) if broken.queue.is_some() => {
                        "`edgewit queue drop` begins it anew; `edgewit store check` says what is broken"
                    }
                    _ => "see the gateway's log; `edgewit store check` says what is broken, if something is",
                };
                (refusal.to_string(), cure)
            }
        }
    }

    fn reply(self) -> Reply {
        let (reason, cure) = self.parts();
        refused(reason, cure)
    }
}

impl Core {
    pub(crate) async fn queues(&self) -> Reply {
        self.queue_statuses().await.map_or_else(Refused::reply, |queues| Reply::Queues { queues })
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
            let most = (count.min(ROWS_SHOWN), ROWS_SHOWN_BYTES);
            let Page { rows, more } = rows(turn.engine, number, from, most).map_err(Refusal::from)?;
            let now = turn.now;
            Ok(Reply::Rows { rows: rows.iter().map(|row| row_view(row, now)).collect(), more })
        });
        shown.await.unwrap_or_else(Refused::reply)
    }

    pub(crate) async fn drop_rows(&self, queue: String) -> Reply {
        let mut dropped = 0;
        loop {
            let name = queue.clone();
            let swept = self.turn(move |turn| {
                let number = find(&name, turn)?;
                if turn.ledger.is_damaged(number) {
                    return Ok(None);
                }
                Ok(Some(turn.ledger.drop_rows(number, SWEEP_ROWS, turn.records, turn.windows)?))
            });
            match swept.await {
                Ok(Some(Swept { freed, more })) => {
                    self.hub.free(&freed);
                    dropped += freed.len() as u64;
                    if !more {
                        return Reply::Counted { rows: dropped, left: None };
                    }
                }
                // From now on it is one that is damaged.
                Err(Refused::Store(Refusal::Broken(broken))) if broken.queue.is_some() => {}
                Ok(None) => {
                    return match self.begin_anew(&queue, SWEEP_ROWS).await {
                        Ok(rows) => Reply::Counted { rows: dropped + rows, left: None },
                        Err(refused) => refused.reply(),
                    };
                }
                Err(refused) => return refused.reply(),
            }
        }
    }

    /// Drops what is in a queue whose rows cannot be read. Returns how many were counted in it.
    async fn begin_anew(&self, queue: &str, rows: usize) -> Result<u64, Refused> {
        let (mut after, mut rows, mut dropped) = (None, rows, 0);
        loop {
            let (name, from) = (queue.to_owned(), after.clone());
            let piece = self.turn(move |turn| {
                let number = find(&name, turn)?;
                let Anew { gone, next } = turn.ledger.begin_anew(number, from, rows, turn.records)?;
                Ok((number, turn.ledger.head_of(number), gone, next))
            });
            match piece.await {
                Ok((number, head, gone, next)) => {
                    dropped += gone.messages;
                    self.hub.forget(number, gone);
                    after = next;
                    if after.is_none() {
                        if let Ok(id) = queue.parse() {
                            self.hub.begin_anew(number, &id, head);
                        }
                        return Ok(dropped);
                    }
                }
                // What cannot be removed is left lying: nothing below the head is ever read.
                Err(Refused::Store(Refusal::Broken(_))) if rows > 0 => (after, rows) = (None, 0),
                Err(refused) => return Err(refused),
            }
        }
    }

    async fn turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let store = self.hub.store().map_err(|_| Refusal::Closed)?;
        let (tell, outcome) = oneshot::channel();
        // The writer only has to know that nothing of it is to be done.
        let wish = Arc::new(Mutex::new(None));
        let said = wish.clone();
        let work = move |turn: &mut Turn<'_>| {
            work(turn).map_err(|refused| match refused {
                Refused::Store(refusal) => refusal,
                refused @ Refused::Wish(..) => {
                    *lock(&said) = Some(refused);
                    Refusal::Gone
                }
            })
        };
        store.turn(work, move |done: Result<T, Refusal>| {
            // Who does not wait any more does not want to know.
            let _ = tell.send(done.map_err(|refusal| lock(&wish).take().unwrap_or(Refused::Store(refusal))));
        });
        outcome.await.unwrap_or(Err(Refused::Store(Refusal::Closed)))
    }
}

fn find(queue: &str, turn: &Turn<'_>) -> Result<QueueNumber, Refused> {
    let list =
        if queue.starts_with("dead/") { "`edgewit dead ls` lists them" } else { "`edgewit queue ls` lists them" };
    let id: QueueId = queue.parse().map_err(|error| Refused::Wish(format!("`{queue}`: {error}"), list))?;
    turn.ledger.number_of(&id).ok_or_else(|| Refused::Wish(format!("there is no queue {queue}"), list))
}

fn status(view: &QueueView, turn: &Turn<'_>) -> QueueStatus {
    let oldest = rows(turn.engine, view.number, view.record.head, (1, 0)).ok().and_then(|mut page| page.rows.pop());
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
