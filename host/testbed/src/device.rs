//! A device that nobody here wrote: the shadow client of AWS's own SDK for Python, in a process of its own, told step by
//! step what to ask, and saying what it made of every message.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::{Authority, Identity};
use crate::until;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/aws-iot-sdk/bin/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/shadow_client.py");
const PATIENCE: Duration = Duration::from_secs(60);

/// The SDK has two shadow clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Over MQTT 3.1.1. It hears every answer, whoever asked.
    First,
    /// Over MQTT 5. Of answers it hears those to its own requests, by their tokens, and of changes all.
    Second,
}

pub struct Device {
    child: Child,
    words: Option<ChildStdin>,
    said: Arc<Mutex<Vec<Value>>>,
    _folder: TempDir,
}

impl Device {
    /// Of `thing` at the broker on that port, which `authority` vouches for. When it returns, the device is subscribed to
    /// all that concerns its classic shadow and those named.
    pub async fn start(
        client: Client,
        port: u16,
        authority: &Authority,
        identity: &Identity,
        thing: &str,
        shadows: &[&str],
    ) -> Device {
        assert!(Path::new(PYTHON).exists(), "AWS's SDK for Python is missing: `cargo xtask setup` installs it");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        identity.write(folder.path(), "device");
        let version = if client == Client::First { "1" } else { "2" };
        let mut command = Command::new(PYTHON);
        command.arg(SCRIPT).current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.args(["--version", version, "--port", &port.to_string(), "--client-id", thing, "--thing", thing]);
        command.args(["--ca", "ca.pem", "--certificate", "device.pem", "--key", "device.key"]);
        command.args(shadows.iter().flat_map(|shadow| ["--shadow", shadow]));
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let store = said.clone();
        let reader = std::thread::Builder::new().name("device".to_owned());
        // Ends with the device.
        reader
            .spawn(move || {
                for line in lines.map_while(Result::ok) {
                    store.lock().unwrap().push(serde_json::from_str(&line).unwrap());
                }
            })
            .unwrap();
        let mut device = Device { words: child.stdin.take(), child, said, _folder: folder };
        device.hears(None, "ready").await;
        device
    }

    /// One of the commands of `python/shadow_client.py`.
    pub fn does(&mut self, verb: &str, shadow: Option<&str>, more: Value) {
        let mut command = json!({"do": verb, "shadow": shadow});
        if let (Value::Object(command), Value::Object(more)) = (&mut command, more) {
            command.extend(more);
        }
        writeln!(self.words.as_mut().unwrap(), "{command}").unwrap();
    }

    /// The next such event of that shadow, as the SDK said it. Each is heard once.
    pub async fn hears(&mut self, shadow: Option<&str>, event: &str) -> Value {
        let mut heard = None;
        let what = format!("{event} of {}", shadow.unwrap_or("the classic shadow"));
        until(&what, PATIENCE, async || {
            let ended = self.child.try_wait().unwrap();
            let mut said = self.said.lock().unwrap();
            let place = said.iter().position(|it| it["event"] == event && it["shadow"].as_str() == shadow);
            heard = place.map(|place| said.remove(place));
            assert!(heard.is_some() || ended.is_none(), "the device ended before {what}; it had said {said:?}");
            heard.is_some()
        })
        .await;
        heard.map(|mut heard| heard["said"].take()).unwrap_or_default()
    }

    /// What it said and nobody has asked for.
    pub fn unheard(&self) -> Vec<Value> {
        self.said.lock().unwrap().clone()
    }

    /// It disconnects in good order.
    pub async fn end(mut self) {
        self.words = None;
        until("the device ends", PATIENCE, async || self.child.try_wait().unwrap().is_some()).await;
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
