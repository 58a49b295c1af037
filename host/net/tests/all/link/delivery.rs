//! What a link does when nothing goes wrong.

use std::sync::Arc;

use edgewit_domain::link::{Format, Proxy};
use edgewit_net::link::State;
use edgewit_testbed::{Authority, Broker, Observer, until};

use super::bed::{DEADLINE, Queue, Received, Running, complete, downlink, plan, uplink};

async fn broker() -> Broker {
    let authority = Authority::new("test");
    Broker::start(&authority, &authority.server("localhost")).await
}

#[tokio::test]
async fn c1_everything_arrives_once_and_in_order_for_each_rule() {
    let broker = broker().await;
    let observer = Observer::new(broker.plain).await;
    let queues = [Arc::new(Queue::default()), Arc::new(Queue::default())];
    for number in 0..500 {
        queues[0].publish("a/x", number.to_string());
        queues[1].publish("b", number.to_string());
    }
    let mut plan = plan(&format!("mqtt://127.0.0.1:{}", broker.plain));
    plan.uplinks = vec![uplink("a", &queues[0]), uplink("b", &queues[1])];
    let mut running = Running::start(plan);
    running.connected().await;
    for number in 500..600 {
        queues[0].publish("a/x", number.to_string());
    }
    queues[0].drained().await;
    queues[1].drained().await;
    until("all has arrived", DEADLINE, async || observer.arrived().len() == 1100).await;
    assert_eq!(complete(&observer.arrived(), "up/a/x", 600), 0);
    assert_eq!(complete(&observer.arrived(), "up/b", 500), 0);
    until("it is counted", DEADLINE, async || {
        let status = running.status.borrow().clone();
        status.uplinks.iter().map(|rule| (rule.sent, rule.acknowledged)).eq([(600, 600), (500, 500)])
    })
    .await;
    let status = running.status.borrow().clone();
    assert_eq!((status.connections, status.uplinks[0].in_flight), (1, 0));
    assert!(status.bytes_out > status.uplinks.iter().map(|rule| rule.sent_bytes).sum::<u64>() - 1100 * 9);

    running.stop.stop();
    running.wait_for("stopped", |status| status.state == State::Stopped).await;
    (&mut running.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_envelope_goes_out_with_its_sequence() {
    let broker = broker().await;
    let observer = Observer::new(broker.plain).await;
    let queue = Arc::new(Queue::default());
    let mut plan = plan(&format!("mqtt://127.0.0.1:{}", broker.plain));
    plan.uplinks = vec![uplink("a", &queue)];
    plan.uplinks[0].format = Format::Envelope;
    queue.publish("a", "first");
    queue.publish("a", r#"{"v":1}"#);
    let _running = Running::start(plan);
    until("both have arrived", DEADLINE, async || observer.arrived().len() == 2).await;
    let second = String::from_utf8(observer.arrived()[1].1.clone()).unwrap();
    let begin = r#"{"edgewit":1,"gateway":"gw","rule":"a","epoch":"0000000000000007","sequence":1,"#;
    assert!(second.starts_with(begin) && second.ends_with(r#""encoding":"json","payload":{"v":1}}"#), "{second}");
}

#[tokio::test]
async fn c3_what_comes_down_goes_by_its_rule_under_its_local_name() {
    let broker = broker().await;
    let observer = Observer::new(broker.plain).await;
    let received = Received::new();
    let mut plan = plan(&format!("mqtt://127.0.0.1:{}", broker.plain));
    plan.downlink = received.clone();
    plan.downlinks = vec![downlink("commands", "cmd/gw/#", Some("commands")), downlink("rest", "other/+", None)];
    let mut running = Running::start(plan);
    running.connected().await;
    until("it is subscribed", DEADLINE, async || {
        observer.publish("cmd/gw/ping", "?").await;
        !received.messages().is_empty()
    })
    .await;
    observer.publish("cmd/gw/door/open", "now").await;
    observer.publish("other/x", "y").await;
    let last = ("rest".to_owned(), "other/x".to_owned(), b"y".to_vec());
    until("the last has come", DEADLINE, async || {
        let messages = received.messages();
        messages.last().is_some_and(|(rule, message)| {
            (rule.clone(), message.topic.as_str().to_owned(), message.payload.clone()) == last
        })
    })
    .await;
    let messages = received.messages();
    let (rule, message) = &messages[messages.len() - 2];
    assert_eq!((rule.as_str(), message.topic.as_str()), ("commands", "commands/door/open"));
    assert_eq!(received.sessions_lost(), 1, "the first connection has no session to come back to");
}

#[tokio::test]
async fn mqtt_goes_through_a_web_socket() {
    let broker = broker().await;
    let observer = Observer::new(broker.plain).await;
    let queue = Arc::new(Queue::default());
    let received = Received::new();
    let mut plan = plan(&format!("ws://127.0.0.1:{}/mqtt", broker.web_socket));
    plan.uplinks = vec![uplink("a", &queue)];
    plan.downlink = received.clone();
    plan.downlinks = vec![downlink("commands", "cmd/#", None)];
    for number in 0..200 {
        queue.publish("a", format!("{number:03000}"));
    }
    let _running = Running::start(plan);
    queue.drained().await;
    until("all has arrived", DEADLINE, async || observer.arrived().len() == 200).await;
    assert_eq!(complete(&observer.arrived(), "up/a", 200), 0);
    observer.publish("cmd/x", "y").await;
    until("a command has come", DEADLINE, async || received.messages().len() == 1).await;
}

/// The proxy resolves the broker's name: ours says what it was asked for, and refuses the first time.
#[tokio::test]
async fn a_proxy_is_asked_for_the_broker_by_name() {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let broker = broker().await;
    let observer = Observer::new(broker.plain).await;
    let queue = Arc::new(Queue::default());
    queue.publish("a", "0");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut plan = plan("mqtt://broker.invalid:1883");
    plan.proxy = Some(Proxy { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() });
    plan.uplinks = vec![uplink("a", &queue)];
    let port = broker.plain;
    let proxy = tokio::spawn(async move {
        for refusing in [true, false] {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut lines = Vec::new();
            while lines.last().is_none_or(|line: &String| line != "\r\n") {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                lines.push(line);
            }
            assert_eq!(lines[..2], ["CONNECT broker.invalid:1883 HTTP/1.1\r\n", "Host: broker.invalid:1883\r\n"]);
            if refusing {
                stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
                continue;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n").await.unwrap();
            let mut far = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
        }
    });
    let mut running = Running::start(plan);
    running.trouble("the proxy refused: `HTTP/1.1 403 Forbidden`; permit the broker there").await;
    until("it has arrived", DEADLINE, async || observer.arrived().len() == 1).await;
    proxy.abort();
}

#[tokio::test]
async fn a_link_whose_queue_cannot_write_ends() {
    let broker = broker().await;
    let queue = Arc::new(Queue::broken());
    queue.publish("a", "0");
    let mut plan = plan(&format!("mqtt://127.0.0.1:{}", broker.plain));
    plan.uplinks = vec![uplink("a", &queue)];
    let mut running = Running::start(plan);
    let ended = tokio::time::timeout(DEADLINE, &mut running.task).await.unwrap().unwrap().unwrap_err();
    assert_eq!(ended.to_string(), "the uplink `a` could not write down what the broker has");
}
