//! A component and its thread, as far as the store is concerned: it takes rows, handles them with every kind of
//! ending, and submits what the deliveries' machine says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use edgewit_domain::delivery::{Appetite, Death, Deliveries, Ending, Lack, Next, Policy, Verdict};
use edgewit_domain::ledger::{
    Attempt, Bucket, BucketId, Burial, Consumed, DeathNote, NoRoom, Planned, Records, Unit, Usage, ValueChange,
    ValueRead, row_bytes,
};
use edgewit_domain::message::{Envelope, WallTime};
use edgewit_domain::queue::QueueNumber;
use edgewit_domain::routing::{Plan, RoutingTable};

use super::store::{Done, From, Store};
use super::{Guests, Text, said};
use crate::memory::envelope;

const BATCH: usize = 8;

pub struct Component {
    pub place: usize,
    pub inbox: QueueNumber,
    pub dead: QueueNumber,
    /// Its messages go out under this.
    pub prefix: &'static str,
    pub deliveries: Deliveries,
    phase: Phase,
}

enum Phase {
    Idle,
    /// Its attempt is being counted, and then it is handled.
    Counting {
        taken: Consumed,
        row: Consumed,
        attempt: u32,
    },
    Committing(Batch),
}

/// What one unit stands for, and the room that was taken for it.
struct Work {
    taken: Consumed,
    end: End,
    room: Vec<(QueueNumber, u64)>,
}

enum End {
    Handled,
    Buried(Death),
    Counted,
}

/// The process is gone.
pub struct Killed;

/// What a handling may look at.
pub struct Around<'a> {
    pub now: Duration,
    pub store: &'a mut Store,
    pub table: &'a RoutingTable,
    pub guests: &'a mut Guests,
}

#[derive(Default)]
struct Batch {
    units: Vec<Unit>,
    works: Vec<Work>,
    /// What ended the batch and led to no unit.
    held: Option<Consumed>,
}

impl Batch {
    fn push(&mut self, unit: Unit, taken: Consumed, end: End, room: Vec<(QueueNumber, u64)>) {
        self.units.push(unit);
        self.works.push(Work { taken, end, room });
    }

    fn count(&mut self, taken: Consumed, attempt: Attempt) {
        self.push(Unit { attempt: Some(attempt), ..Unit::default() }, taken, End::Counted, Vec::new());
    }
}

impl Component {
    pub fn new(place: usize, inbox: QueueNumber, dead: QueueNumber, policy: Policy, unclean: bool) -> Component {
        let mut deliveries = Deliveries::default();
        deliveries.read(inbox, policy, unclean);
        let prefix = ["mid", "out"][place];
        Component { place, inbox, dead, prefix, deliveries, phase: Phase::Idle }
    }

    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Handles what there is.
    pub fn work(&mut self, around: &mut Around<'_>) -> Result<(), Killed> {
        if !self.is_idle() {
            return Ok(());
        }
        let mut taken = VecDeque::new();
        while let Some(row) = self.deliveries.due(around.now) {
            taken.push_back(row);
        }
        let most = match self.deliveries.appetite(self.inbox) {
            Appetite::Nothing => 0,
            Appetite::One => usize::from(taken.is_empty()),
            Appetite::Many => BATCH,
        };
        taken.extend((0..most).map_while(|_| around.store.take(self.inbox)));
        let mut batch = Batch::default();
        while let Some(row) = taken.pop_front() {
            if !self.handle_next(row, &mut batch, around)? {
                break;
            }
        }
        taken.into_iter().for_each(|row| self.undone(row, around.store));
        self.submit(batch, around.store);
        Ok(())
    }

    /// False where the batch is over.
    fn handle_next(&mut self, taken: Consumed, batch: &mut Batch, around: &mut Around<'_>) -> Result<bool, Killed> {
        match self.deliveries.begin(taken.clone()) {
            Next::Bury(death) => Ok(self.bury(death, taken, batch, around.store)),
            Next::Handle { alone: true, .. } if !batch.units.is_empty() => {
                self.undone(taken, around.store);
                Ok(false)
            }
            Next::Handle { row, attempt, first: Some(first), .. } => {
                let unit = Unit { attempt: Some(first), ..Unit::default() };
                around.store.submit(From::Component(self.place), vec![unit]);
                self.phase = Phase::Counting { taken, row, attempt };
                Ok(false)
            }
            Next::Handle { row, attempt, alone, .. } => Ok(self.handle(taken, row, attempt, batch, around)? && !alone),
        }
    }

    fn handle(
        &mut self,
        taken: Consumed,
        row: Consumed,
        attempt: u32,
        batch: &mut Batch,
        around: &mut Around<'_>,
    ) -> Result<bool, Killed> {
        let mut room = Vec::new();
        let ended = self.call(&row, attempt, batch, &mut room, around)?;
        let ending = match ended {
            Ok(mut unit) => {
                unit.consumed = Some(row);
                batch.push(unit, taken, End::Handled, room);
                return Ok(true);
            }
            Err(ending) => ending,
        };
        room.into_iter().for_each(|(queue, bytes)| around.store.release(queue, bytes));
        let goes_on = matches!(ending, Ending::Rejected { .. });
        Ok(self.fail(taken, row, ending, batch, around) && goes_on)
    }

    /// One call of the guest's handler.
    fn call(
        &mut self,
        row: &Consumed,
        attempt: u32,
        batch: &Batch,
        room: &mut Vec<(QueueNumber, u64)>,
        around: &mut Around<'_>,
    ) -> Result<Result<Unit, Ending>, Killed> {
        let text = said(&row.envelope);
        let failed = || Ending::Failed { reason: "trapped".into(), backtrace: String::new() };
        if around.guests.kills(self.place, text) {
            return Err(Killed);
        }
        let mut unit = Unit::default();
        if around.guests.counts(text) {
            self.count(&mut unit, batch, around.store);
        }
        let message = self.message(&row.envelope, text, around);
        let Plan::Readers(readers) = around.table.plan(&message) else { panic!("there is no circle") };
        let planned = Planned { envelope: Arc::new(message), readers };
        let bytes = row_bytes(&planned.envelope.message);
        for queue in planned.queues() {
            match around.store.reserve(queue, bytes) {
                Ok(()) => room.push((queue, bytes)),
                Err(NoRoom::Full { wanted, .. }) => return Ok(Err(Ending::NoRoom(Lack { queue, wanted }))),
                Err(NoRoom::Never { .. }) => return Ok(Err(failed())),
            }
        }
        unit.publishes.push(planned);
        if around.guests.traps(self.place, text, attempt) {
            return Ok(Err(failed()));
        }
        if around.guests.rejects(self.place, text) {
            return Ok(Err(Ending::Rejected { reason: "no use".into() }));
        }
        Ok(Ok(unit))
    }

    fn message(&self, cause: &Envelope, text: Text, around: &mut Around<'_>) -> Envelope {
        let topic = format!("{}/{}", self.prefix, text.publisher);
        let mut message = envelope(around.guests.next_id(), &topic, cause.message.payload.clone(), around.now);
        message.message.qos = cause.message.qos;
        message.hops = cause.hops + 1;
        message
    }

    /// Adds one to a value that both components write.
    fn count(&self, unit: &mut Unit, batch: &Batch, store: &Store) {
        let bucket = Arc::new(Bucket { id: BucketId::Shared("count".into()), quota: 1000 });
        let key = String::from("n");
        let own = batch.units.iter().rev().flat_map(|unit| &unit.values).next();
        let value: Option<Arc<[u8]>> = match own {
            Some(change) => change.value.clone(),
            None => store.memory.value(&bucket.id, &key).unwrap().map(Arc::from),
        };
        let count = value.as_deref().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
        let change = Some(Arc::from((count + 1).to_be_bytes().as_slice()));
        unit.reads.push(ValueRead { bucket: bucket.clone(), key: key.clone(), value });
        unit.values.push(ValueChange { bucket, key, value: change });
    }

    fn fail(
        &mut self,
        taken: Consumed,
        row: Consumed,
        ending: Ending,
        batch: &mut Batch,
        around: &mut Around<'_>,
    ) -> bool {
        match self.deliveries.failed(around.now, row, ending) {
            Verdict::Bury(death) => return self.bury(death, taken, batch, around.store),
            Verdict::Again(Some(attempt)) => batch.count(taken, attempt),
            Verdict::Again(None) => batch.held = Some(taken),
        }
        false
    }

    fn bury(&mut self, death: Death, taken: Consumed, batch: &mut Batch, store: &mut Store) -> bool {
        let bytes = row_bytes(&death.row.envelope.message);
        if store.reserve(self.dead, bytes).is_err() {
            let attempt = self.deliveries.unburied(death);
            batch.count(taken, attempt);
            return false;
        }
        let unit = burial(self.dead, death.row.clone(), &death.reason, death.attempts);
        batch.push(unit, taken, End::Buried(death), vec![(self.dead, bytes)]);
        true
    }

    fn undone(&mut self, row: Consumed, store: &mut Store) {
        if let Some(row) = self.deliveries.undone(row) {
            store.put_back(row.queue, row.sequence);
        }
    }

    fn submit(&mut self, mut batch: Batch, store: &mut Store) {
        if !batch.units.is_empty() {
            store.submit(From::Component(self.place), std::mem::take(&mut batch.units));
            self.phase = Phase::Committing(batch);
        }
    }

    /// What was submitted is on disk, or some of it is not.
    pub fn done(&mut self, done: Done, around: &mut Around<'_>) -> Result<(), Killed> {
        let mut batch = Batch::default();
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle => panic!("nothing was submitted"),
            Phase::Counting { taken, row, attempt } => match done.refusal {
                None => drop(self.handle(taken, row, attempt, &mut batch, around)?),
                Some(_) => self.undone(taken, around.store),
            },
            Phase::Committing(Batch { works, held, .. }) => {
                for (place, work) in works.into_iter().enumerate() {
                    let refusal = (place == done.committed).then(|| done.refusal.clone()).flatten();
                    self.settle(work, place < done.committed, refusal, &mut batch, around);
                }
                if let Some(row) = held.filter(|_| done.refusal.is_some()) {
                    self.undone(row, around.store);
                }
            }
        }
        self.submit(batch, around.store);
        Ok(())
    }

    fn settle(
        &mut self,
        work: Work,
        committed: bool,
        refusal: Option<edgewit_domain::ledger::Refusal>,
        batch: &mut Batch,
        around: &mut Around<'_>,
    ) {
        let Work { taken, end, room } = work;
        if committed {
            return match end {
                End::Handled => self.deliveries.handled(&taken),
                End::Buried(death) => self.deliveries.buried(&death.row),
                End::Counted => {}
            };
        }
        room.into_iter().for_each(|(queue, bytes)| around.store.release(queue, bytes));
        match (refusal, end) {
            (Some(refusal), End::Handled) => {
                let row = taken.clone();
                self.fail(taken, row, Ending::Refused(refusal), batch, around);
            }
            (Some(_), End::Buried(death)) => {
                let attempt = self.deliveries.unburied(death);
                batch.count(taken, attempt);
            }
            _ => self.undone(taken, around.store),
        }
    }

    /// Goes back to what it may wait for.
    pub fn look(&mut self, store: &Store) {
        let has = |queue, wanted| store.rooms.get(&queue).is_none_or(|room| room.has(wanted));
        self.deliveries.look_for_room(|lack| has(lack.queue, lack.wanted));
        self.deliveries.look_for_graves(|bytes| has(self.dead, Usage { messages: 1, bytes }));
    }
}

pub fn burial(queue: QueueNumber, row: Consumed, reason: &str, attempts: u32) -> Unit {
    let at = WallTime { unix_ms: 0, trusted: false };
    let note = DeathNote { queue: None, reason: reason.to_owned(), attempts, backtrace: String::new(), at };
    let burial = Some(Burial { queue, envelope: row.envelope.clone(), note });
    Unit { consumed: Some(row), burial, ..Unit::default() }
}
