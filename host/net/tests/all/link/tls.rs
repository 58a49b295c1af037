//! Whom the link believes, what it shows of itself, and that mending either needs nothing but the mended file.

use std::sync::Arc;
use std::time::Duration;

use edgewit_net::link::{Material, Plan};
use edgewit_testbed::{Authority, Broker, Identity, Observer, until};

use super::bed::{DEADLINE, Queue, Running, Shelf, complete, plan, uplink};

struct Scene {
    authority: Authority,
    broker: Broker,
    observer: Observer,
    queue: Arc<Queue>,
    shelf: Arc<Shelf>,
}

impl Scene {
    /// A broker that shows a certificate for `localhost`, and a gateway that may be believed.
    async fn new() -> Scene {
        let authority = Authority::new("test");
        let broker = Broker::start(&authority, &authority.server("localhost")).await;
        let observer = Observer::new(broker.plain).await;
        let shelf = Arc::new(Shelf::default());
        let scene = Scene { authority, broker, observer, queue: Arc::new(Queue::default()), shelf };
        scene.hold(Some(&scene.authority), Some(&scene.authority.client("gw")));
        scene
    }

    fn hold(&self, authorities: Option<&Authority>, identity: Option<&Identity>) {
        *self.shelf.0.lock().unwrap() = Material {
            authorities: authorities.map(|authority| authority.pem().into_bytes()),
            certificate: identity.map(|identity| identity.certificate.clone().into_bytes()),
            key: identity.map(|identity| identity.key.clone().into_bytes()),
            password: None,
        };
    }

    fn plan(&self) -> Plan {
        let mut plan = plan(&format!("mqtts://localhost:{}", self.broker.tls));
        plan.uplinks = vec![uplink("a", &self.queue)];
        plan.files = self.shelf.clone();
        plan.files_every = Duration::from_millis(20);
        self.queue.publish("a", "0");
        plan
    }

    async fn arrives(&self) {
        until("it has arrived", DEADLINE, async || self.observer.arrived().len() == 1).await;
    }
}

#[tokio::test]
async fn a_certificate_of_ours_that_expired_is_refused_and_its_renewal_is_enough() {
    let scene = Scene::new().await;
    scene.hold(Some(&scene.authority), Some(&scene.authority.expired_client("gw")));
    let mut running = Running::start(scene.plan());
    running.trouble("the broker refused our certificate").await;
    assert_eq!(scene.observer.arrived(), []);
    scene.hold(Some(&scene.authority), Some(&scene.authority.client("gw")));
    scene.arrives().await;
}

#[tokio::test]
async fn without_a_certificate_a_broker_that_wants_one_is_not_reached() {
    let scene = Scene::new().await;
    scene.hold(Some(&scene.authority), None);
    let mut running = Running::start(scene.plan());
    running.trouble("the broker refused our certificate (CertificateRequired)").await;
    scene.hold(Some(&scene.authority), Some(&scene.authority.client("gw")));
    scene.arrives().await;
}

#[tokio::test]
async fn a_broker_whose_certificate_expired_is_not_believed() {
    let mut scene = Scene::new().await;
    scene.broker.end();
    scene.authority.expired_server("localhost").write(scene.broker.path(), "server");
    scene.broker.begin().await;
    let mut running = Running::start(scene.plan());
    running.trouble("the broker's certificate is not believed").await;
    running.trouble("expired").await;
    scene.broker.end();
    scene.authority.server("localhost").write(scene.broker.path(), "server");
    scene.broker.begin().await;
    scene.arrives().await;
}

#[tokio::test]
async fn a_broker_of_another_authority_is_not_believed() {
    let scene = Scene::new().await;
    let identity = scene.authority.client("gw");
    scene.hold(Some(&Authority::new("other")), Some(&identity));
    let mut running = Running::start(scene.plan());
    running.trouble("the broker's certificate is not believed; look at `ca`").await;
    assert_eq!(scene.observer.arrived(), []);
    scene.hold(Some(&scene.authority), Some(&identity));
    scene.arrives().await;
}

#[tokio::test]
async fn a_broker_with_another_name_is_not_believed_unless_that_name_is_given() {
    let scene = Scene::new().await;
    let mut plan = scene.plan();
    plan.server_name = Some("other.example".into());
    let mut running = Running::start(plan);
    running.trouble("the broker's certificate is not believed").await;
    drop(running);
    assert_eq!(scene.observer.arrived(), []);

    let other = Scene::new().await;
    let mut plan = other.plan();
    plan.broker.host = "127.0.0.1".into();
    plan.server_name = Some("localhost".into());
    let _running = Running::start(plan);
    other.arrives().await;
}

#[tokio::test]
async fn a_rotated_certificate_is_shown_without_losing_or_repeating_anything() {
    let scene = Scene::new().await;
    let mut running = Running::start(scene.plan());
    running.connected().await;
    let mut next = 1;
    for connections in 2..5 {
        scene.hold(Some(&scene.authority), Some(&scene.authority.client("gw")));
        until("the new one is shown", DEADLINE, async || {
            scene.queue.publish("a", next.to_string());
            next += 1;
            running.status.borrow().connections >= connections
        })
        .await;
    }
    scene.queue.drained().await;
    until("all has arrived", DEADLINE, async || scene.observer.arrived().len() as u64 >= next).await;
    assert_eq!(complete(&scene.observer.arrived(), "up/a", next), 0);
    assert_eq!(running.status.borrow().trouble, None);
}

#[tokio::test]
async fn a_half_written_file_is_no_reason_to_leave_a_connection() {
    let scene = Scene::new().await;
    let mut running = Running::start(scene.plan());
    scene.arrives().await;
    let mut identity = scene.authority.client("gw");
    identity.key.truncate(40);
    scene.hold(Some(&scene.authority), Some(&identity));
    running.trouble("the next connection will fail: the file of the gateway's key").await;
    scene.queue.publish("a", "1");
    until("the next has arrived", DEADLINE, async || scene.observer.arrived().len() == 2).await;
    assert_eq!(running.status.borrow().connections, 1);
}
