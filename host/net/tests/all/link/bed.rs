//! A link with queues in memory, and what a test wants to know of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use edgewit_domain::limits::{LINK_CONNECT_WAIT, LINK_FILES_EVERY};
use edgewit_domain::link::{Broker, Format, Priority, Profile, Rate, Rewrite};
use edgewit_domain::message::{Envelope, Message, MessageId, Origin, WallTime};
use edgewit_domain::topic::{Filter, Topic};
use edgewit_net::link::{
    BoxFuture, Downlink, DownlinkRule, Files, LinkError, Material, NotStored, Outbox, Outgoing, Plan, State, Status,
    Stop, UplinkRule, run,
};
use edgewit_testbed::until;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Rows {
    waiting: VecDeque<Outgoing>,
    taken: BTreeMap<u64, Outgoing>,
    removed: BTreeSet<u64>,
    dead: Vec<(u64, String)>,
    published: u64,
    waker: Option<Waker>,
}

/// A durable queue without the disk.
#[derive(Default)]
pub struct Queue {
    rows: Mutex<Rows>,
    broken: bool,
}

impl Queue {
    pub fn broken() -> Queue {
        Queue { broken: true, ..Queue::default() }
    }

    pub fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        let mut rows = self.rows.lock().unwrap();
        let envelope = Envelope::new(
            Message::new(Topic::parse(topic).unwrap(), payload),
            MessageId { epoch: 1, number: rows.published },
            Origin::Operator,
            WallTime { unix_ms: 0, trusted: false },
        );
        let sequence = rows.published;
        rows.waiting.push_back(Outgoing { sequence, envelope: Arc::new(envelope) });
        rows.published += 1;
        if let Some(waker) = rows.waker.take() {
            waker.wake();
        }
    }

    /// Everything published is settled, one way or the other.
    pub fn is_drained(&self) -> bool {
        let rows = self.rows.lock().unwrap();
        rows.waiting.is_empty() && rows.taken.is_empty()
    }

    pub fn dead(&self) -> Vec<(u64, String)> {
        self.rows.lock().unwrap().dead.clone()
    }

    pub async fn drained(&self) {
        until("the queue is empty", DEADLINE, async || self.is_drained()).await;
    }
}

impl Outbox for Queue {
    fn take(&self, count: usize, bytes: usize) -> Vec<Outgoing> {
        let mut rows = self.rows.lock().unwrap();
        let mut taken = Vec::new();
        let mut size = 0;
        while taken.len() < count
            && let Some(row) = rows.waiting.pop_front()
        {
            size += row.envelope.message.size();
            if !taken.is_empty() && size > bytes {
                rows.waiting.push_front(row);
                break;
            }
            rows.taken.insert(row.sequence, row.clone());
            taken.push(row);
        }
        taken
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rows = self.rows.lock().unwrap();
        if !rows.waiting.is_empty() {
            return Poll::Ready(());
        }
        rows.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn put_back(&self, back: Vec<Outgoing>) {
        let mut rows = self.rows.lock().unwrap();
        for row in back.into_iter().rev() {
            rows.taken.remove(&row.sequence).expect("put back what was not taken");
            rows.waiting.push_front(row);
        }
        assert!(rows.waiting.iter().map(|row| row.sequence).is_sorted());
    }

    fn acknowledged(&self, sequences: Vec<u64>) -> BoxFuture<Result<(), NotStored>> {
        if self.broken {
            return Box::pin(async { Err(NotStored("the disk is gone".into())) });
        }
        let mut rows = self.rows.lock().unwrap();
        for sequence in sequences {
            rows.taken.remove(&sequence).expect("acknowledged what was not taken");
            assert!(rows.removed.insert(sequence));
        }
        Box::pin(async { Ok(()) })
    }

    fn give_up(&self, sequence: u64, reason: String) -> BoxFuture<Result<(), NotStored>> {
        let mut rows = self.rows.lock().unwrap();
        rows.taken.remove(&sequence).expect("gave up what was not taken");
        rows.dead.push((sequence, reason));
        Box::pin(async { Ok(()) })
    }
}

/// What came from the cloud. While the gate is closed nothing is on disk.
pub struct Received {
    messages: Mutex<Vec<(String, Message)>>,
    pub gate: watch::Sender<bool>,
    sessions_lost: Mutex<u32>,
}

impl Received {
    pub fn new() -> Arc<Received> {
        let (gate, _) = watch::channel(true);
        Arc::new(Received { messages: Mutex::default(), gate, sessions_lost: Mutex::default() })
    }

    pub fn messages(&self) -> Vec<(String, Message)> {
        self.messages.lock().unwrap().clone()
    }

    pub fn sessions_lost(&self) -> u32 {
        *self.sessions_lost.lock().unwrap()
    }
}

impl Downlink for Received {
    fn receive(&self, rule: &str, message: Message) -> BoxFuture<Result<(), NotStored>> {
        self.messages.lock().unwrap().push((rule.into(), message));
        let mut gate = self.gate.subscribe();
        Box::pin(async move {
            let _ = gate.wait_for(|open| *open).await;
            Ok(())
        })
    }

    fn up(&self, session_kept: bool) {
        *self.sessions_lost.lock().unwrap() += u32::from(!session_kept);
    }
}

/// Files that a test can change.
#[derive(Default)]
pub struct Shelf(pub Mutex<Material>);

impl Files for Shelf {
    fn read(&self) -> Result<Material, String> {
        Ok(self.0.lock().unwrap().clone())
    }
}

/// A plan with short times, to which a test adds what it is about.
pub fn plan(broker: &str) -> Plan {
    let start = Instant::now();
    Plan {
        thing: "gw".into(),
        epoch: 7,
        broker: Broker::parse(broker).unwrap(),
        proxy: None,
        server_name: None,
        client_id: "gw".into(),
        username: None,
        profile: Profile::named("generic").unwrap(),
        keep_alive: Duration::from_secs(5),
        backoff: Duration::from_millis(20),
        backoff_max: Duration::from_millis(160),
        rate: Rate::default(),
        connect_wait: LINK_CONNECT_WAIT,
        files_every: LINK_FILES_EVERY,
        uplinks: Vec::new(),
        downlinks: Vec::new(),
        downlink: Received::new(),
        files: Arc::new(Shelf::default()),
        clock: Arc::new(move || start.elapsed()),
    }
}

/// An uplink rule from `NAME/#` to `up/NAME/#`, as it is.
pub fn uplink(name: &str, queue: &Arc<Queue>) -> UplinkRule {
    let filter = Filter::parse(format!("{name}/#")).unwrap();
    let with = Topic::parse(format!("up/{name}")).unwrap();
    UplinkRule {
        name: name.into(),
        priority: Priority::Normal,
        format: Format::Raw,
        rewrite: Rewrite::new(&filter, Some(&with)),
        outbox: queue.clone(),
    }
}

/// A downlink rule from `FILTER` to where it says.
pub fn downlink(name: &str, filter: &str, with: Option<&str>) -> DownlinkRule {
    let filter = Filter::parse(filter).unwrap();
    let with = with.map(|topic| Topic::parse(topic).unwrap());
    DownlinkRule { name: name.into(), rewrite: Rewrite::new(&filter, with.as_ref()), filter }
}

/// A link that runs.
pub struct Running {
    pub stop: Stop,
    pub status: watch::Receiver<Status>,
    pub task: JoinHandle<Result<(), LinkError>>,
}

impl Running {
    pub fn start(plan: Plan) -> Running {
        let (stop, status, link) = run(plan);
        Running { stop, status, task: tokio::spawn(link) }
    }

    pub async fn wait_for(&mut self, what: &str, holds: impl FnMut(&Status) -> bool) -> Status {
        let found = tokio::time::timeout(DEADLINE, self.status.wait_for(holds)).await;
        found.unwrap_or_else(|_| panic!("never came: {what}")).expect("the link has ended").clone()
    }

    pub async fn connected(&mut self) {
        self.wait_for("connected", |status| matches!(status.state, State::Connected { .. })).await;
    }

    /// Waits for trouble of which `text` is a part.
    pub async fn trouble(&mut self, text: &str) {
        let mut last = String::new();
        let found = self.status.wait_for(|status| {
            last = format!("{:?}", status.trouble);
            status.trouble.as_ref().is_some_and(|trouble| trouble.text.contains(text))
        });
        let found = tokio::time::timeout(DEADLINE, found).await.is_ok();
        assert!(found, "expected {text:?}, and the last trouble was {last}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Payloads `0`, `1`, … of one topic: each there, first ones in order, and how many came twice.
#[track_caller]
pub fn complete(arrived: &[(String, Vec<u8>)], topic: &str, count: u64) -> usize {
    let numbers = arrived.iter().filter(|(other, _)| other == topic);
    let numbers: Vec<u64> = numbers
        .map(|(_, payload)| String::from_utf8_lossy(payload).trim_start_matches('0').parse().unwrap_or(0))
        .collect();
    let mut next = 0;
    for number in &numbers {
        assert!(*number <= next, "{number} came before {next} at {topic}");
        next += u64::from(*number == next);
    }
    assert_eq!(next, count, "some of {topic} are missing");
    numbers.len() - count as usize
}
