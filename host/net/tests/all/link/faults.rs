//! [C4] and [C1] against a network and a broker that fail: the link comes back by itself, in time, and nothing is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgewit_net::link::{Plan, State};
use edgewit_testbed::{Authority, Broker, Mood, Network, Observer, until};
use rumqttc::{AsyncClient, MqttOptions};

use super::bed::{DEADLINE, Queue, Received, Running, complete, downlink, plan, uplink};

/// What a busy machine may add to every time that is promised.
const SLACK: Duration = Duration::from_secs(2);

struct Scene {
    broker: Broker,
    network: Network,
    observer: Observer,
    queue: Arc<Queue>,
    received: Arc<Received>,
}

impl Scene {
    async fn new() -> Scene {
        let authority = Authority::new("test");
        let broker = Broker::start(&authority, &authority.server("localhost")).await;
        let network = Network::new(broker.plain).await;
        let observer = Observer::new(broker.plain).await;
        Scene { broker, network, observer, queue: Arc::new(Queue::default()), received: Received::new() }
    }

    fn plan(&self) -> Plan {
        let mut plan = plan(&format!("mqtt://127.0.0.1:{}", self.network.port));
        plan.uplinks = vec![uplink("a", &self.queue)];
        plan
    }

    fn plan_with_downlink(&self) -> Plan {
        let mut plan = self.plan();
        plan.downlink = self.received.clone();
        plan.downlinks = vec![downlink("commands", "cmd/#", None)];
        plan
    }

    fn publish(&self, numbers: std::ops::Range<u64>) {
        numbers.for_each(|number| self.queue.publish("a", number.to_string()));
    }

    /// So many are there, and how many came again.
    async fn all(&self, count: u64) -> usize {
        self.queue.drained().await;
        let last = count.saturating_sub(1).to_string();
        until("the last has arrived", DEADLINE, async || {
            self.observer.arrived().iter().any(|(_, payload)| *payload == last.as_bytes())
        })
        .await;
        complete(&self.observer.arrived(), "up/a", count)
    }

    async fn command(&self, payload: &str) {
        self.observer.publish("cmd/x", payload).await;
        until("the command has come", DEADLINE, async || {
            self.received.messages().iter().any(|(_, message)| message.payload == payload.as_bytes())
        })
        .await;
    }
}

fn is_connected(state: State) -> bool {
    matches!(state, State::Connected { .. })
}

#[tokio::test]
async fn c4_a_broker_that_is_not_there_is_found_within_twice_the_step() {
    let scene = Scene::new().await;
    scene.network.set(Mood::Refuse);
    scene.publish(0..100);
    let plan = scene.plan();
    let most = plan.backoff_max;
    let mut running = Running::start(plan);
    running.trouble("no connection to 127.0.0.1").await;
    scene.network.set(Mood::Well);
    let since = Instant::now();
    running.connected().await;
    assert!(since.elapsed() < 2 * most + SLACK, "{:?}", since.elapsed());
    assert_eq!(scene.all(100).await, 0);
}

#[tokio::test]
async fn c1_resets_lose_nothing_and_change_no_order() {
    let scene = Scene::new().await;
    let mut running = Running::start(scene.plan());
    running.connected().await;
    for round in 0..8 {
        scene.publish(round * 200..(round + 1) * 200);
        let before = running.status.borrow().uplinks[0].acknowledged;
        running.status.borrow_and_update();
        until("some are through", DEADLINE, async || running.status.borrow().uplinks[0].acknowledged > before).await;
        scene.network.set(Mood::Reset);
        running.wait_for("the reset is noticed", |status| !is_connected(status.state)).await;
        scene.network.set(Mood::Well);
        running.connected().await;
    }
    scene.all(1600).await;
}

#[tokio::test]
async fn c4_a_half_open_connection_is_noticed_in_time_and_left() {
    let scene = Scene::new().await;
    let mut plan = scene.plan();
    plan.keep_alive = Duration::from_millis(400);
    let stall = plan.keep_alive * 3 / 2 + plan.keep_alive;
    let mut running = Running::start(plan);
    scene.publish(0..10);
    scene.all(10).await;
    scene.network.set(Mood::Stall);
    let since = Instant::now();
    scene.publish(10..500);
    running.wait_for("it is noticed", |status| !is_connected(status.state)).await;
    assert!(since.elapsed() < stall + SLACK, "{:?}", since.elapsed());
    running.trouble("nothing was heard for 1 s").await;
    scene.network.set(Mood::Well);
    scene.all(500).await;
}

/// Slow is not dead: as long as bytes move, the connection stands, however little a keep-alive is.
#[tokio::test]
async fn a_slow_or_sliced_connection_is_kept_and_everything_arrives_once() {
    for mood in [Mood::Slow, Mood::Slice] {
        let scene = Scene::new().await;
        scene.network.set(mood);
        let mut plan = scene.plan();
        plan.keep_alive = Duration::from_millis(400);
        for number in 0..100 {
            scene.queue.publish("a", format!("{number:02000}"));
        }
        let running = Running::start(plan);
        scene.queue.drained().await;
        until("all has arrived", DEADLINE, async || scene.observer.arrived().len() == 100).await;
        assert_eq!(complete(&scene.observer.arrived(), "up/a", 100), 0);
        assert_eq!(running.status.borrow().connections, 1, "{mood:?}");
    }
}

/// One message for which the line needs longer than silence may last.
#[tokio::test]
async fn a_message_that_takes_long_is_not_taken_for_silence() {
    let scene = Scene::new().await;
    scene.network.set(Mood::Slow);
    let mut plan = scene.plan();
    plan.keep_alive = Duration::from_millis(1500);
    scene.queue.publish("a", vec![b'0'; 700 * 1024]);
    let running = Running::start(plan);
    scene.queue.drained().await;
    assert_eq!(running.status.borrow().connections, 1);
}

#[tokio::test]
async fn c3_a_broker_that_restarts_with_the_session_has_kept_what_came_down_meanwhile() {
    let mut scene = Scene::new().await;
    let mut running = Running::start(scene.plan_with_downlink());
    running.connected().await;
    scene.publish(0..50);
    scene.all(50).await;
    scene.command("before").await;

    scene.network.set(Mood::Refuse);
    running.wait_for("the cut is noticed", |status| !is_connected(status.state)).await;
    scene.observer.publish("cmd/x", "meanwhile").await;
    scene.observer.publish("up/mark", "sent").await;
    until("the broker has it", DEADLINE, async || scene.observer.arrived().iter().any(|(topic, _)| topic == "up/mark"))
        .await;
    scene.publish(50..100);
    scene.broker.end();
    scene.broker.begin().await;
    scene.observer.subscribed(2).await;
    scene.network.set(Mood::Well);
    scene.command("after").await;
    let payloads: Vec<Vec<u8>> = scene.received.messages().into_iter().map(|(_, message)| message.payload).collect();
    assert_eq!(payloads, [&b"before"[..], b"meanwhile", b"after"]);
    assert_eq!(scene.received.sessions_lost(), 1);
    scene.all(100).await;
}

#[tokio::test]
async fn c3_a_broker_that_restarts_without_the_session_is_subscribed_to_again_and_the_loss_is_told() {
    let mut scene = Scene::new().await;
    let mut running = Running::start(scene.plan_with_downlink());
    running.connected().await;
    scene.publish(0..50);
    scene.all(50).await;
    scene.command("before").await;
    scene.network.set(Mood::Refuse);
    scene.publish(50..100);
    scene.broker.end();
    scene.broker.forget();
    scene.broker.begin().await;
    scene.observer.subscribed(2).await;
    scene.network.set(Mood::Well);
    until("the loss is told", DEADLINE, async || scene.received.sessions_lost() == 2).await;
    // What is published before the subscription stands again is nobody's.
    until("commands come again", DEADLINE, async || {
        scene.observer.publish("cmd/x", "after").await;
        scene.received.messages().iter().any(|(_, message)| message.payload == b"after")
    })
    .await;
    scene.all(100).await;
}

#[tokio::test]
async fn a_client_id_that_is_taken_over_is_taken_back() {
    let scene = Scene::new().await;
    let mut running = Running::start(scene.plan());
    running.connected().await;
    let mut options = MqttOptions::new("gw", "127.0.0.1", scene.broker.plain);
    options.set_keep_alive(Duration::from_secs(5));
    let (_client, mut events) = AsyncClient::new(options, 10);
    let rival = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            if events.poll().await.is_err() {
                pace.tick().await;
            }
        }
    });
    let mut next = 0;
    for connections in 2..6 {
        scene.publish(next..next + 100);
        next += 100;
        running.status.borrow_and_update();
        until("it was thrown out and came back", DEADLINE, async || running.status.borrow().connections >= connections)
            .await;
    }
    rival.abort();
    scene.all(next).await;
    assert!(running.status.borrow().trouble.is_some());
}
