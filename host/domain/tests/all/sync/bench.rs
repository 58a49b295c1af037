//! One shadow, step by step: what is done here is on disk at once, and the test says what becomes of each request.

use std::collections::VecDeque;
use std::time::Duration;

use edgewit_domain::shadow::sync::{Effect, How, Input, Seen, Settings, Status, Sync};
use edgewit_domain::shadow::{Limits, Rejection, Reply, Request, RequestTopic, ShadowId, Stored, Verb};
use edgewit_domain::topic::Topic;
use serde_json::{Value, json};

use super::network::Cloud;
use super::state;
use super::world::{EPOCH, id};

pub struct Bench {
    pub id: ShadowId,
    how: How,
    pub now: Duration,
    sync: Sync,
    pub local: Option<Stored>,
    pub row: Option<Vec<u8>>,
    cloud: Cloud,
    asked: VecDeque<(Topic, Vec<u8>)>,
    run: u64,
    /// What the next commits end as.
    pub refuses: bool,
}

impl Bench {
    /// The link stands, and the cloud was asked once.
    pub fn new(how: How) -> Bench {
        let mut bench = Bench {
            id: id("gw", "lamp"),
            how,
            now: Duration::from_secs(1_000),
            sync: Sync::new(Settings::default()),
            local: None,
            row: None,
            cloud: Cloud::default(),
            asked: VecDeque::new(),
            run: 0,
            refuses: false,
        };
        bench.restart();
        bench.step(Input::Up { session_kept: true });
        bench
    }

    /// Both sides say this.
    pub fn agreed(how: How, state: Value) -> Bench {
        let mut bench = Bench::new(how);
        bench.far(&state);
        assert_eq!(bench.answer(), "get");
        assert_eq!((bench.here(), bench.asked.len()), (Some(state), 0));
        bench
    }

    /// Another process, from what is on disk, without a link.
    pub fn restart(&mut self) {
        self.run += 1;
        self.sync = Sync::new(Settings { run: self.run, ..Settings::default() });
        self.asked.clear();
        let (id, how, row) = (self.id.clone(), self.how, self.row.clone());
        self.step(Input::Watch { id, how, local: Seen::of(self.local.as_ref()), row });
    }

    pub fn step(&mut self, input: Input) {
        for effect in self.sync.step(self.now, input) {
            match effect {
                Effect::Load { id } => {
                    let (local, row) = (self.local.clone(), self.row.clone());
                    self.step(Input::Loaded { id, local, row, wall: EPOCH });
                }
                Effect::Commit { id, .. } if self.refuses => self.step(Input::NoRoom { id }),
                Effect::Commit { id, change, row } => {
                    let change = change.map(|change| {
                        assert_eq!(change.from, Seen::of(self.local.as_ref()), "nobody wrote in between");
                        change.request
                    });
                    if let Some(request) = change {
                        self.local = Some(self.done(&request));
                    }
                    self.row = Some(row);
                    self.step(Input::Committed { id });
                }
                Effect::Publish { topic, payload } => self.asked.push_back((topic, payload)),
            }
        }
    }

    fn done(&self, request: &Request) -> Stored {
        let outcome = request.step(&self.id, self.local.as_ref(), EPOCH, &Limits::default());
        outcome.stored.unwrap_or_else(|| panic!("{:?}", outcome.answers))
    }

    /// A component writes.
    pub fn write(&mut self, state: Value) {
        let payload = json!({ "state": state }).to_string();
        let request = Request::parse(Verb::Update, payload.as_bytes(), &Limits::default()).unwrap();
        self.local = Some(self.done(&request));
        self.changed();
    }

    pub fn delete(&mut self) {
        self.local = Some(self.done(&Request::Delete { token: None }));
        self.changed();
    }

    fn changed(&mut self) {
        let local = Seen::of(self.local.as_ref());
        self.step(Input::Changed { id: self.id.clone(), local });
    }

    fn request(&self, verb: Verb) -> RequestTopic {
        RequestTopic { id: self.id.clone(), verb }
    }

    /// Somebody else writes in the cloud; the answers he gets.
    pub fn far(&mut self, state: &Value) -> Vec<(Topic, Vec<u8>)> {
        let payload = json!({"state": state, "clientToken": "another"}).to_string();
        self.cloud.apply(&self.request(Verb::Update), payload.as_bytes(), EPOCH)
    }

    pub fn far_delete(&mut self) -> Vec<(Topic, Vec<u8>)> {
        self.cloud.apply(&self.request(Verb::Delete), b"", EPOCH)
    }

    pub fn hear(&mut self, messages: Vec<(Topic, Vec<u8>)>) {
        for (topic, payload) in messages {
            self.step(Input::Heard { topic, payload });
        }
    }

    /// Time passes.
    pub fn wait(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.sync.wake_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step(Input::Woke);
        }
        self.now = end;
    }

    /// Time passes until the next request.
    pub fn wait_for_request(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.is_quiet() {
            let at = self.sync.wake_at().filter(|at| *at <= end).expect("something is asked by then");
            self.now = self.now.max(at);
            self.step(Input::Woke);
        }
    }

    /// The next request, taken off its way.
    pub fn take(&mut self) -> (Topic, Vec<u8>) {
        self.asked.pop_front().expect("something was asked")
    }

    pub fn next_is(&self, verb: &str) -> bool {
        self.asked.front().is_some_and(|request| self.said(request) == verb)
    }

    pub fn is_quiet(&self) -> bool {
        self.asked.is_empty()
    }

    /// What a request says, in short.
    pub fn said(&self, request: &(Topic, Vec<u8>)) -> String {
        let payload: Value = serde_json::from_slice(&request.1).unwrap();
        let verb = RequestTopic::parse(&request.0).unwrap().unwrap().verb;
        match verb {
            Verb::Update => format!("update {} {}", payload["version"], payload["state"]),
            verb => verb.word().into(),
        }
    }

    /// It arrives in the cloud; what the cloud says to it is not heard.
    pub fn arrive(&mut self, request: &(Topic, Vec<u8>)) -> Vec<(Topic, Vec<u8>)> {
        let topic = RequestTopic::parse(&request.0).unwrap().unwrap();
        self.cloud.apply(&topic, &request.1, EPOCH)
    }

    /// The next request arrives and is answered.
    pub fn answer(&mut self) -> String {
        let request = self.take();
        let said = self.arrive(&request);
        self.hear(said);
        self.said(&request)
    }

    /// The next request arrives and its answer is lost.
    pub fn lose_answer(&mut self) -> String {
        let request = self.take();
        self.arrive(&request);
        self.said(&request)
    }

    pub fn refuse(&mut self, rejection: &Rejection) -> String {
        let request = self.take();
        let asked: Value = serde_json::from_slice(&request.1).unwrap();
        let topic = RequestTopic::parse(&request.0).unwrap().unwrap().reply(Reply::Rejected).unwrap();
        let (code, message) = (rejection.code(), rejection.to_string());
        let payload = json!({"code": code, "message": message, "clientToken": asked["clientToken"]}).to_string();
        self.hear(vec![(topic, payload.into_bytes())]);
        self.said(&request)
    }

    pub fn here(&self) -> Option<Value> {
        state(self.local.as_ref())
    }

    pub fn there(&self) -> Option<Value> {
        state(self.cloud.shadows.get(&self.id))
    }

    pub fn status(&self) -> Status {
        self.sync.status(self.now, &self.id).unwrap()
    }
}
