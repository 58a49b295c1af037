//! Brokers that do what no broker should: a few lines of one, told what to answer to each packet.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use edgewit_domain::limits::{LINK_GIVE_UP_AFTER, LINK_INBOUND, LINK_PACKET_BYTES};
use edgewit_net::link::Plan;
use edgewit_testbed::until;
use rumqttc::{ConnAck, ConnectReturnCode, Packet, PubAck, Publish, QoS, SubAck, SubscribeReasonCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::bed::{DEADLINE, Queue, Received, Running, complete, downlink, plan, uplink};

enum Answer {
    Say(Vec<Packet>),
    Close,
}

struct Fake {
    port: u16,
    /// Everything it was sent.
    seen: Arc<Mutex<Vec<Packet>>>,
    task: JoinHandle<()>,
}

impl Fake {
    /// One connection at a time. What `answer` does not answer is answered as a broker does.
    async fn start(mut answer: impl FnMut(&Packet) -> Option<Answer> + Send + 'static) -> Fake {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let store = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = BytesMut::new();
                while let Some(packet) = read(&mut stream, &mut buffer).await {
                    store.lock().unwrap().push(packet.clone());
                    let Answer::Say(packets) = answer(&packet).unwrap_or_else(|| usual(&packet)) else { break };
                    let mut out = BytesMut::new();
                    for packet in &packets {
                        packet.write(&mut out, usize::MAX).unwrap();
                    }
                    if stream.write_all(&out).await.is_err() {
                        break;
                    }
                }
            }
        });
        Fake { port, seen, task }
    }

    fn plan(&self) -> Plan {
        plan(&format!("mqtt://127.0.0.1:{}", self.port))
    }

    fn acknowledged(&self) -> Vec<u16> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter_map(|packet| if let Packet::PubAck(ack) = packet { Some(ack.pkid) } else { None }).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: &mut TcpStream, buffer: &mut BytesMut) -> Option<Packet> {
    loop {
        if let Ok(packet) = Packet::read(buffer, usize::MAX) {
            return Some(packet);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

fn usual(packet: &Packet) -> Answer {
    Answer::Say(match packet {
        Packet::Connect(_) => vec![welcome()],
        Packet::Publish(publish) => vec![Packet::PubAck(PubAck::new(publish.pkid))],
        Packet::Subscribe(subscribe) => {
            let granted = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce); subscribe.filters.len()];
            vec![Packet::SubAck(SubAck::new(subscribe.pkid, granted))]
        }
        Packet::PingReq => vec![Packet::PingResp],
        _ => Vec::new(),
    })
}

fn welcome() -> Packet {
    Packet::ConnAck(ConnAck { session_present: false, code: ConnectReturnCode::Success })
}

fn command(number: u16, bytes: usize) -> Packet {
    let mut publish = Publish::new("cmd/x", QoS::AtLeastOnce, vec![b'x'; bytes]);
    publish.pkid = number;
    Packet::Publish(publish)
}

#[tokio::test]
async fn c2_a_message_that_ends_connections_goes_to_the_dead_letters_and_everything_else_arrives() {
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let store = arrived.clone();
    let fake = Fake::start(move |packet| {
        let Packet::Publish(publish) = packet else { return None };
        if publish.topic == "up/a/forbidden" {
            return Some(Answer::Close);
        }
        store.lock().unwrap().push((publish.topic.clone(), publish.payload.to_vec()));
        None
    })
    .await;
    let queues = [Arc::new(Queue::default()), Arc::new(Queue::default())];
    for number in 0..100 {
        queues[0].publish("a/x", number.to_string());
        queues[1].publish("b/x", number.to_string());
        if number == 10 || number == 90 {
            queues[0].publish("a/forbidden", "!");
        }
    }
    let mut plan = fake.plan();
    plan.uplinks = vec![uplink("a", &queues[0]), uplink("b", &queues[1])];
    let running = Running::start(plan);
    queues[0].drained().await;
    queues[1].drained().await;
    complete(&arrived.lock().unwrap(), "up/a/x", 100);
    complete(&arrived.lock().unwrap(), "up/b/x", 100);
    let reason = format!("{LINK_GIVE_UP_AFTER} connections in a row ended while this message alone was on its way");
    let dead = queues[0].dead();
    assert!(dead.iter().all(|(_, why)| why.starts_with(&reason)), "{dead:?}");
    assert_eq!(dead.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [11, 92]);
    assert_eq!(queues[1].dead(), []);
    assert!(!running.status.borrow().solo);
}

#[tokio::test]
async fn c3_what_comes_down_is_acknowledged_when_it_is_on_disk_and_in_order() {
    let fake = Fake::start(|packet| {
        let Packet::Connect(_) = packet else { return None };
        Some(Answer::Say(vec![welcome(), command(3, 1), command(1, 1), command(2, 1)]))
    })
    .await;
    let received = Received::new();
    received.gate.send_replace(false);
    let mut plan = fake.plan();
    plan.keep_alive = Duration::from_millis(100);
    plan.downlink = received.clone();
    plan.downlinks = vec![downlink("commands", "cmd/#", None)];
    let _running = Running::start(plan);
    until("all have come, and a ping after them", DEADLINE, async || {
        received.messages().len() == 3 && fake.seen.lock().unwrap().contains(&Packet::PingReq)
    })
    .await;
    assert!(fake.acknowledged().is_empty());
    received.gate.send_replace(true);
    until("they are acknowledged", DEADLINE, async || fake.acknowledged().len() == 3).await;
    assert_eq!(fake.acknowledged(), [3, 1, 2]);
}

#[tokio::test]
async fn a_message_too_large_for_us_is_skipped_acknowledged_and_counted() {
    let fake = Fake::start(|packet| {
        let Packet::Connect(_) = packet else { return None };
        Some(Answer::Say(vec![
            welcome(),
            command(1, 1),
            command(2, LINK_PACKET_BYTES + 1),
            command(3, 300 * 1024),
            command(4, 1),
        ]))
    })
    .await;
    let received = Received::new();
    let mut plan = fake.plan();
    plan.downlink = received.clone();
    plan.downlinks = vec![downlink("commands", "cmd/#", None)];
    let mut running = Running::start(plan);
    until("all are acknowledged", DEADLINE, async || fake.acknowledged().len() == 4).await;
    assert_eq!(fake.acknowledged(), [1, 2, 3, 4]);
    assert_eq!(received.messages().len(), 2);
    running.trouble("from the cloud was too large").await;
    let status = running.status.borrow().clone();
    assert_eq!((status.unusable, status.connections), (2, 1));
}

/// While the disk is slow the link reads no more, and does not take its own deafness for the broker's silence.
#[tokio::test]
async fn more_from_the_cloud_than_the_disk_takes_waits_at_the_broker() {
    let count = LINK_INBOUND as u16 * 2;
    let fake = Fake::start(move |packet| {
        let Packet::Connect(_) = packet else { return None };
        let commands = (1..=count).map(|number| command(number, 1));
        Some(Answer::Say([welcome()].into_iter().chain(commands).collect()))
    })
    .await;
    let received = Received::new();
    received.gate.send_replace(false);
    let mut plan = fake.plan();
    plan.keep_alive = Duration::from_millis(50);
    plan.downlink = received.clone();
    plan.downlinks = vec![downlink("commands", "cmd/#", None)];
    let mut running = Running::start(plan);
    let pings = || fake.seen.lock().unwrap().iter().filter(|packet| **packet == Packet::PingReq).count();
    until("many keep-alives have passed", DEADLINE, async || pings() > 10).await;
    assert_eq!(received.messages().len(), LINK_INBOUND);
    received.gate.send_replace(true);
    until("all are acknowledged", DEADLINE, async || fake.acknowledged().len() == usize::from(count)).await;
    assert!(fake.acknowledged().into_iter().eq(1..=count));
    let status = running.wait_for("still connected", |_| true).await;
    assert_eq!((status.connections, status.trouble), (1, None));
}

#[tokio::test]
async fn a_broker_that_refuses_says_why_and_is_asked_again() {
    let mut refusals = 3;
    let fake = Fake::start(move |packet| {
        let Packet::Connect(_) = packet else { return None };
        refusals -= 1;
        let refusal = ConnAck { session_present: false, code: ConnectReturnCode::NotAuthorized };
        (refusals >= 0).then(|| Answer::Say(vec![Packet::ConnAck(refusal)]))
    })
    .await;
    let queue = Arc::new(Queue::default());
    queue.publish("a", "0");
    let mut plan = fake.plan();
    plan.uplinks = vec![uplink("a", &queue)];
    let mut running = Running::start(plan);
    running.trouble("the broker refused us: this client may not connect; permit it at the broker").await;
    queue.drained().await;
}
