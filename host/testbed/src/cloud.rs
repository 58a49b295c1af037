//! The cloud's side of shadows on any broker: the documents of our own engine, answered over MQTT, and every way in which
//! such a service may fail.
//!
//! Whatever the faults, what is told is told in the order in which it happened.

mod told;
mod way;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edgewit_domain::shadow::{
    Limits, Outcome, Rejection, Request, RequestTopic, ShadowId, Stored, ThingName, Verb, answer,
};
use edgewit_domain::topic::Topic;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS, SubscribeFilter, Transport};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use told::Told;
use way::Way;
pub use way::{Tls, TlsError};

/// Answers that may wait for their time, and for the broker. What is more is lost.
const WAITING: usize = 1000;
/// Between two looks for a broker.
const PACE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(20);

/// How the service fails. As it is made it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Every answer comes so much later.
    pub delay: Option<Duration>,
    /// Requests are carried out, and their answers lost.
    pub drop: bool,
    pub duplicate: bool,
    /// The last answer to a request comes first.
    pub reorder: bool,
    /// Nothing is carried out, and this said: 409, 429, or 500.
    pub reject: Option<u16>,
    /// What is carried out is answered, and not kept.
    pub forget: bool,
}

/// The broker at which the service answers.
pub struct Place {
    pub host: String,
    pub port: u16,
    pub client_id: String,
    pub tls: Option<Tls>,
    /// For these only, or for every thing where none is named.
    pub things: Vec<ThingName>,
}

/// The shadow service of a cloud.
pub struct ShadowCloud {
    service: Arc<Service>,
    subscribed: watch::Receiver<bool>,
    tasks: [JoinHandle<()>; 2],
}

struct Service {
    shared: Mutex<Shared>,
    answers: mpsc::Sender<Answer>,
    log: Log,
}

type Log = Box<dyn Fn(Told<'_>) + Send + Sync>;

#[derive(Default)]
struct Shared {
    stored: BTreeMap<ShadowId, Stored>,
    faults: Faults,
    requests: u64,
}

struct Answer {
    at: Instant,
    topic: String,
    body: Vec<u8>,
    lost: bool,
}

impl ShadowCloud {
    /// At a broker of this machine. When it returns, requests are heard.
    pub async fn new(port: u16) -> ShadowCloud {
        let place =
            Place { host: "127.0.0.1".into(), port, client_id: "shadow-cloud".into(), tls: None, things: Vec::new() };
        let cloud = Self::start(place, |_| {});
        let mut subscribed = cloud.subscribed.clone();
        let heard = subscribed.wait_for(|subscribed| *subscribed);
        drop(tokio::time::timeout(PATIENCE, heard).await.expect("the test cloud has no broker"));
        cloud
    }

    /// Looks for its broker for as long as it takes, and tells `log` whatever happens.
    pub fn start(place: Place, log: impl Fn(Told<'_>) + Send + Sync + 'static) -> ShadowCloud {
        let filters = filters(&place.things);
        let way = place.tls.map(|tls| Way::open(place.host.clone(), place.port, tls));
        let mut options = match &way {
            None => MqttOptions::new(place.client_id, place.host, place.port),
            Some(way) => MqttOptions::new(place.client_id, way.path(), place.port),
        };
        if way.is_some() {
            options.set_transport(Transport::Unix);
        }
        options.set_clean_session(false).set_max_packet_size(1 << 20, 1 << 20).set_keep_alive(Duration::from_secs(5));
        let (client, events) = AsyncClient::new(options, WAITING);
        let (answers, waiting) = mpsc::channel(WAITING);
        let service = Arc::new(Service { shared: Mutex::default(), answers, log: Box::new(log) });
        let (times, subscribed) = watch::channel(false);
        let serving = serve(service.clone(), client.clone(), events, filters, times, way);
        let tasks = [tokio::spawn(serving), tokio::spawn(publish(service.clone(), client, waiting))];
        ShadowCloud { service, subscribed, tasks }
    }

    pub fn set(&self, faults: Faults) {
        self.service.shared.lock().unwrap().faults = faults;
    }

    pub fn faults(&self) -> Faults {
        self.service.shared.lock().unwrap().faults
    }

    /// Every shadow is as if it had never been.
    pub fn forget(&self) {
        self.service.shared.lock().unwrap().stored.clear();
    }

    pub fn stored(&self, id: &ShadowId) -> Option<Stored> {
        self.service.shared.lock().unwrap().stored.get(id).cloned()
    }

    /// Those that are there, and those that were deleted of late.
    pub fn shadows(&self) -> Vec<(ShadowId, Stored)> {
        self.service.shared.lock().unwrap().stored.clone().into_iter().collect()
    }

    /// Those that came so far over the broker.
    pub fn requests(&self) -> u64 {
        self.service.shared.lock().unwrap().requests
    }

    /// What somebody asks who sits in the cloud: no fault keeps it from being carried out, and what it changes is told as
    /// what anybody changes.
    pub fn carry_out(&self, id: &ShadowId, verb: Verb, payload: &[u8]) -> Outcome {
        let topic = RequestTopic { id: id.clone(), verb };
        let mut shared = self.service.shared.lock().unwrap();
        let outcome = shared.carry_out(&topic, payload);
        if outcome.stored.is_some() {
            self.service.tell(&topic, &outcome, shared.faults);
        }
        outcome
    }
}

impl Drop for ShadowCloud {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The requests to the classic shadow of every thing, and to the named ones.
fn filters(things: &[ThingName]) -> Vec<SubscribeFilter> {
    let every = || vec!["+".to_owned()];
    let things = if things.is_empty() { every() } else { things.iter().map(ThingName::to_string).collect() };
    let of = |thing: &String| ["+", "name/+/+"].map(|end| format!("$aws/things/{thing}/shadow/{end}"));
    things.iter().flat_map(of).map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce)).collect()
}

async fn serve(
    service: Arc<Service>,
    client: AsyncClient,
    mut events: EventLoop,
    filters: Vec<SubscribeFilter>,
    subscribed: watch::Sender<bool>,
    way: Option<Way>,
) {
    let mut pace = tokio::time::interval(PACE);
    let mut told = String::new();
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => client.try_subscribe_many(filters.clone()).unwrap(),
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                told.clear();
                (service.log)(Told::Listens);
                subscribed.send_replace(true);
            }
            Ok(Event::Incoming(Packet::Publish(request))) => service.hear(&request),
            Ok(_) => {}
            Err(error) => {
                // What ended on the way to the broker says more than that the way has ended.
                let why = way.as_ref().and_then(Way::why).unwrap_or_else(|| error.to_string());
                if why != told {
                    (service.log)(Told::NoBroker(&why));
                    told = why;
                }
                pace.tick().await;
            }
        }
    }
}

async fn publish(service: Arc<Service>, client: AsyncClient, mut waiting: mpsc::Receiver<Answer>) {
    while let Some(Answer { at, topic, body, lost }) = waiting.recv().await {
        tokio::time::sleep_until(at).await;
        if lost {
            (service.log)(Told::Lost(&topic, &body));
            continue;
        }
        (service.log)(Told::Answered(&topic, &body));
        // Who ends the test cloud in between wants no answers.
        let _ = client.publish(topic, QoS::AtLeastOnce, false, body).await;
    }
}

impl Service {
    fn hear(&self, request: &Publish) {
        let Ok(topic) = Topic::parse(request.topic.as_str()) else { return };
        let Some(Ok(topic)) = RequestTopic::parse(&topic) else { return };
        (self.log)(Told::Asked(&request.topic, &request.payload));
        let mut shared = self.shared.lock().unwrap();
        shared.requests += 1;
        let faults = shared.faults;
        let outcome = match faults.reject {
            Some(code) => refused(topic.verb, &request.payload, code),
            None => shared.carry_out(&topic, &request.payload),
        };
        self.tell(&topic, &outcome, faults);
    }

    fn tell(&self, topic: &RequestTopic, outcome: &Outcome, faults: Faults) {
        let at = Instant::now() + faults.delay.unwrap_or_default();
        let times = if faults.duplicate { 2 } else { 1 };
        let mut answers: Vec<_> =
            outcome.answers.iter().flat_map(|answer| std::iter::repeat_n(answer, times)).collect();
        if faults.reorder {
            answers.reverse();
        }
        for (reply, body) in answers {
            let topic = topic.reply(*reply).unwrap().as_str().to_owned();
            if let Err(full) = self.answers.try_send(Answer { at, topic, body: body.clone(), lost: faults.drop }) {
                let Answer { topic, body, .. } = full.into_inner();
                (self.log)(Told::Lost(&topic, &body));
            }
        }
    }
}

impl Shared {
    fn carry_out(&mut self, topic: &RequestTopic, payload: &[u8]) -> Outcome {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let outcome = answer(topic, payload, self.stored.get(&topic.id), now, &Limits::default());
        match &outcome.stored {
            Some(_) if self.faults.forget => drop(self.stored.remove(&topic.id)),
            Some(stored) => drop(self.stored.insert(topic.id.clone(), stored.clone())),
            None => {}
        }
        outcome
    }
}

fn refused(verb: Verb, payload: &[u8], code: u16) -> Outcome {
    let request = Request::parse(verb, payload, &Limits::default()).ok();
    let rejection = match code {
        409 => Rejection::VersionConflict,
        429 => Rejection::TooManyRequests,
        _ => Rejection::Internal,
    };
    Outcome::rejected(&rejection, request.as_ref().and_then(Request::token))
}
