//! A mosquitto of the test's own: free ports, a folder of its own, gone with the test.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::Port;
use crate::certificates::{Authority, Identity};

const DEADLINE: Duration = Duration::from_secs(20);

pub struct Broker {
    folder: TempDir,
    pub plain: u16,
    pub tls: u16,
    pub web_socket: u16,
    _ports: [Port; 3],
    running: Option<Child>,
}

impl Broker {
    /// Wants a client certificate of `clients` at its TLS port.
    pub async fn start(clients: &Authority, server: &Identity) -> Broker {
        let folder = tempfile::tempdir().unwrap();
        let ports = [Port::hold(), Port::hold(), Port::hold()];
        let [plain, tls, web_socket] = [0, 1, 2].map(|place: usize| ports[place].number);
        let mut broker = Broker { folder, plain, tls, web_socket, _ports: ports, running: None };
        std::fs::write(broker.path().join("clients.pem"), clients.pem()).unwrap();
        server.write(broker.path(), "server");
        broker.begin().await;
        broker
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// With the identity that lies in its folder by now.
    pub async fn begin(&mut self) {
        let folder = self.path().display();
        let config = format!(
            "user root\nallow_anonymous true\nmax_queued_messages 0\npersistence true\npersistence_location {folder}/\n\
             listener {} 127.0.0.1\n\
             listener {} 127.0.0.1\nprotocol websockets\n\
             listener {} 127.0.0.1\ncafile {folder}/clients.pem\ncertfile {folder}/server.pem\n\
             keyfile {folder}/server.key\nrequire_certificate true\n",
            self.plain, self.web_socket, self.tls
        );
        std::fs::write(self.path().join("mosquitto.conf"), config).unwrap();
        let mut command = Command::new("mosquitto");
        // Debian keeps it where only root's shell looks.
        command.env("PATH", format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default()));
        command.arg("-c").arg(self.path().join("mosquitto.conf")).stdout(Stdio::null()).stderr(Stdio::null());
        let running = command.spawn().expect("mosquitto is missing: `cargo xtask setup` installs it");
        self.running = Some(running);
        for port in [self.plain, self.tls] {
            crate::until("mosquitto listens", DEADLINE, async || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
            })
            .await;
        }
    }

    /// As an operator stops it: what it keeps for sessions is written down.
    pub fn end(&mut self) {
        if let Some(mut running) = self.running.take() {
            if let Some(pid) = Pid::from_raw(running.id() as i32) {
                let _ = kill_process(pid, Signal::TERM);
            }
            running.wait().unwrap();
        }
    }

    /// Forgets every session.
    pub fn forget(&self) {
        assert!(self.running.is_none());
        std::fs::remove_file(self.path().join("mosquitto.db")).unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}
