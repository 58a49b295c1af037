//! The cloud's side of shadows on any broker: the documents of our own engine, answered over MQTT, and every way in which
//! such a service may fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edgewit_domain::shadow::{Limits, Outcome, Rejection, Request, RequestTopic, ShadowId, Stored, answer};
use edgewit_domain::topic::Topic;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, Publish, QoS};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Of every thing, the classic shadow and the named ones.
const REQUESTS: [&str; 2] = ["$aws/things/+/shadow/+", "$aws/things/+/shadow/name/+/+"];

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
}

/// The shadow service of a cloud.
pub struct ShadowCloud {
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stored: BTreeMap<ShadowId, Stored>,
    faults: Faults,
    requests: u64,
}

impl ShadowCloud {
    /// When it returns, requests are heard.
    pub async fn new(port: u16) -> ShadowCloud {
        let mut options = MqttOptions::new("shadow-cloud", "127.0.0.1", port);
        options.set_clean_session(false).set_max_packet_size(1 << 20, 1 << 20).set_keep_alive(Duration::from_secs(5));
        let (client, mut events) = AsyncClient::new(options, 1000);
        let shared = Arc::new(Mutex::new(Shared::default()));
        let (times, mut subscribed) = watch::channel(0);
        let service = shared.clone();
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        REQUESTS.iter().for_each(|filter| client.try_subscribe(*filter, QoS::AtLeastOnce).unwrap());
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => times.send_modify(|times| *times += 1),
                    Ok(Event::Incoming(Packet::Publish(request))) => answer_to(&service, &client, &request),
                    Ok(_) => {}
                    Err(_) => {
                        pace.tick().await;
                    }
                }
            }
        });
        let subscribed = subscribed.wait_for(|times| *times >= REQUESTS.len());
        drop(tokio::time::timeout(Duration::from_secs(20), subscribed).await.expect("the test cloud has no broker"));
        ShadowCloud { shared, task }
    }

    pub fn set(&self, faults: Faults) {
        self.shared.lock().unwrap().faults = faults;
    }

    /// Every shadow is as if it had never been.
    pub fn forget(&self) {
        self.shared.lock().unwrap().stored.clear();
    }

    pub fn stored(&self, id: &ShadowId) -> Option<Stored> {
        self.shared.lock().unwrap().stored.get(id).cloned()
    }

    /// Those that came so far.
    pub fn requests(&self) -> u64 {
        self.shared.lock().unwrap().requests
    }
}

impl Drop for ShadowCloud {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer_to(service: &Mutex<Shared>, client: &AsyncClient, request: &Publish) {
    let Ok(topic) = Topic::parse(request.topic.as_str()) else { return };
    let Some(Ok(topic)) = RequestTopic::parse(&topic) else { return };
    let (outcome, faults) = service.lock().unwrap().carry_out(&topic, &request.payload);
    if faults.drop {
        return;
    }
    let times = if faults.duplicate { 2 } else { 1 };
    let answers = outcome.answers.iter().flat_map(|answer| std::iter::repeat_n(answer, times));
    let mut answers: Vec<(String, Vec<u8>)> =
        answers.map(|(reply, body)| (topic.reply(*reply).unwrap().as_str().to_owned(), body.clone())).collect();
    if faults.reorder {
        answers.reverse();
    }
    let client = client.clone();
    tokio::spawn(async move {
        if let Some(delay) = faults.delay {
            tokio::time::sleep(delay).await;
        }
        for (topic, body) in answers {
            // Who ends the test cloud in between wants no answers.
            let _ = client.publish(topic, QoS::AtLeastOnce, false, body).await;
        }
    });
}

impl Shared {
    fn carry_out(&mut self, topic: &RequestTopic, payload: &[u8]) -> (Outcome, Faults) {
        self.requests += 1;
        let limits = Limits::default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let outcome = match self.faults.reject {
            Some(code) => {
                let token =
                    Request::parse(topic.verb, payload, &limits).ok().and_then(|request| request.token().cloned());
                Outcome::rejected(&rejection(code), token.as_ref())
            }
            None => answer(topic, payload, self.stored.get(&topic.id), now, &limits),
        };
        if let Some(stored) = &outcome.stored {
            self.stored.insert(topic.id.clone(), stored.clone());
        }
        (outcome, self.faults)
    }
}

fn rejection(code: u16) -> Rejection {
    match code {
        409 => Rejection::VersionConflict,
        429 => Rejection::TooManyRequests,
        _ => Rejection::Internal,
    }
}
