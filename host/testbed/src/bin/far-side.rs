//! The far side of the demo: a broker that wants a client certificate, the way to it, which can be cut, somebody who
//! hears what arrives, and a cloud that keeps shadows.
//!
//! A program of its own, so that who shows the demo need not be built with all of this. It writes the certificates into
//! the folder that it is given, says `port PORT`, then a line of JSON for whatever arrives and `shadow` with the cloud's
//! document whenever that changes. It hears `cut`, `restore`, and `desire` with what the cloud side is to desire of the
//! gateway. It ends with its input.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "whoever starts it sees what it says, and that it ends")]

use std::io::BufRead;
use std::path::Path;
use std::time::Duration;

use edgewit_testbed::{Authority, Broker, Mood, Network, Observer, ShadowCloud};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, channel};

const UPDATE: &str = "$aws/things/cold-room/shadow/update";
const LOOK: Duration = Duration::from_millis(20);

fn main() {
    let folder = std::env::args_os().nth(1).expect("usage: far-side FOLDER");
    let (said, words) = channel(1);
    std::thread::Builder::new()
        .name("words".to_owned())
        .spawn(move || {
            std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|word| said.blocking_send(word))
        })
        .unwrap();
    Runtime::new().unwrap().block_on(show(Path::new(&folder), words));
}

async fn show(folder: &Path, mut words: Receiver<String>) {
    let authority = Authority::new("cold-room demo");
    let broker = Broker::start(&authority, &authority.server("localhost")).await;
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    authority.client("cold-room").write(folder, "device");
    let network = Network::new(broker.tls).await;
    let observer = Observer::hearing(broker.plain, "#").await;
    let _cloud = ShadowCloud::new(broker.plain).await;
    let shadow = Observer::hearing(broker.plain, "$aws/things/cold-room/shadow/update/documents").await;
    println!("port {}", network.port);
    let (mut shown, mut changes) = (0, 0);
    let mut pace = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            word = words.recv() => match word.as_deref() {
                Some("cut") => network.set(Mood::Refuse),
                Some("restore") => network.set(Mood::Well),
                Some(word) => {
                    if let Some(desired) = word.strip_prefix("desire ") {
                        observer.publish(UPDATE, &format!("{{\"state\":{{\"desired\":{desired}}}}}")).await;
                    }
                }
                None => return,
            },
            _ = pace.tick() => {
                let arrived = observer.arrived();
                for (_, payload) in arrived.iter().skip(shown) {
                    println!("{}", String::from_utf8_lossy(payload));
                }
                shown = arrived.len();
                let changed = shadow.arrived();
                for (_, documents) in changed.iter().skip(changes) {
                    println!("shadow {}", String::from_utf8_lossy(documents));
                }
                changes = changed.len();
            }
        }
    }
}
