//! What arrives at the far side: a subscriber with a session of its own, and a publisher towards the gateway.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub type Arrived = Vec<(String, Vec<u8>)>;

pub struct Observer {
    client: AsyncClient,
    arrived: Arc<Mutex<Arrived>>,
    subscribed: watch::Receiver<u32>,
    task: JoinHandle<()>,
}

impl Observer {
    pub async fn new(port: u16) -> Observer {
        Self::hearing(port, "up/#").await
    }

    pub async fn hearing(port: u16, filter: &'static str) -> Observer {
        let mut options = MqttOptions::new(format!("observer of {filter}"), "127.0.0.1", port);
        options.set_clean_session(false).set_max_packet_size(1 << 20, 1 << 20).set_keep_alive(Duration::from_secs(5));
        let (client, mut events) = AsyncClient::new(options, 100);
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (times, subscribed) = watch::channel(0);
        let (store, subscriber) = (arrived.clone(), client.clone());
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        subscriber.try_subscribe(filter, QoS::AtLeastOnce).unwrap();
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => times.send_modify(|times| *times += 1),
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        store.lock().unwrap().push((publish.topic, publish.payload.to_vec()));
                    }
                    Ok(_) => {}
                    Err(_) => {
                        pace.tick().await;
                    }
                }
            }
        });
        let mut observer = Observer { client, arrived, subscribed, task };
        observer.subscribed(1).await;
        observer
    }

    /// Waits until it was subscribed so many times.
    pub async fn subscribed(&mut self, times: u32) {
        let subscribed = self.subscribed.wait_for(|seen| *seen >= times);
        drop(tokio::time::timeout(Duration::from_secs(20), subscribed).await.expect("the observer has no broker"));
    }

    pub fn arrived(&self) -> Arrived {
        self.arrived.lock().unwrap().clone()
    }

    pub async fn publish(&self, topic: &str, payload: &str) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload).await.unwrap();
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
