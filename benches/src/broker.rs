//! A mosquitto of the bench's own, with TLS and certificates made for the run, and the publisher that it is filled by
//! when there is no gateway.
//!
//! That publisher does nothing but fill its window, send it in one piece, and read what is acknowledged, on a socket
//! that blocks: nobody who keeps the window is faster. It speaks rumqttc's packets; rumqttc's own loop, which is slower
//! because it sends packet by packet, would bring its TLS features into the build of the gateway.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use edgewit_domain::limits::{LINK_PACKET_BYTES, LINK_WINDOW};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rumqttc::{Connect, Packet, Publish, QoS};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Broker {
    pub port: u16,
    running: Child,
    ca: String,
    client: [String; 2],
}

impl Broker {
    /// Leaves `ca.pem`, `client.pem` and `client.key` in the folder for whoever connects.
    pub fn start(folder: &Path) -> Result<Broker> {
        let (ca, identities) = certificates()?;
        let [server, client] = identities;
        fs::write(folder.join("ca.pem"), &ca)?;
        for (name, [certificate, key]) in [("server", &server), ("client", &client)] {
            fs::write(folder.join(format!("{name}.pem")), certificate)?;
            fs::write(folder.join(format!("{name}.key")), key)?;
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let at = folder.display();
        let config = folder.join("mosquitto.conf");
        fs::write(
            &config,
            format!(
                "user root\nallow_anonymous true\npersistence false\nlistener {port} 127.0.0.1\ncafile {at}/ca.pem\n\
                 certfile {at}/server.pem\nkeyfile {at}/server.key\nrequire_certificate true\n"
            ),
        )?;
        let mut command = Command::new("mosquitto");
        // Debian keeps it where only root's shell looks.
        command.env("PATH", format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default()));
        command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        let running = command.spawn().context("mosquitto is missing: `cargo xtask setup` installs it")?;
        let broker = Broker { port, running, ca, client };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if Instant::now() > deadline {
                bail!("mosquitto does not listen");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(broker)
    }

    /// `[cloud.broker]`, for a configuration in the folder that it was started with.
    pub fn cloud(&self) -> String {
        format!(
            "[cloud.broker]\nbroker = \"mqtts://localhost:{}\"\nca = \"file:ca.pem\"\ncertificate = \"file:client.pem\"\n\
             key = \"file:client.key\"\n",
            self.port
        )
    }

    /// How long the bare publisher takes for so many messages, the connection not counted.
    pub fn take(&self, topic: &str, payload: &'static [u8], count: u64) -> Result<Duration> {
        let mut stream = self.connect()?;
        let mut publish = Publish::from_bytes(topic, QoS::AtLeastOnce, Bytes::from_static(payload));
        let (mut sent, mut acknowledged) = (0, 0);
        let (mut out, mut come, mut buffer) = (BytesMut::new(), BytesMut::new(), vec![0; 16 * 1024]);
        let started = Instant::now();
        while acknowledged < count {
            // At once, and not by halves of a window: mosquitto waits with small answers until the last one is confirmed,
            // and what is sent confirms it.
            while sent < count && sent - acknowledged < LINK_WINDOW as u64 {
                publish.pkid = u16::try_from(sent % u64::from(u16::MAX))? + 1;
                Packet::Publish(publish.clone()).write(&mut out, usize::MAX)?;
                sent += 1;
            }
            stream.write_all(&out)?;
            stream.flush()?;
            out.clear();
            let read = stream.read(&mut buffer)?;
            come.extend_from_slice(buffer.get(..read).unwrap_or_default());
            acknowledged += whole_packets(&mut come, |packet| matches!(packet, Packet::PubAck(_)))?;
        }
        Ok(started.elapsed())
    }

    fn connect(&self) -> Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes())?)?;
        let [certificate, key] = &self.client;
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes())?];
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes())?)?;
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
        let mut stream = StreamOwned::new(connection, socket);
        let mut bytes = BytesMut::new();
        Packet::Connect(Connect::new("bare")).write(&mut bytes, usize::MAX)?;
        stream.write_all(&bytes)?;
        stream.flush()?;
        bytes.clear();
        let mut buffer = [0; 64];
        while whole_packets(&mut bytes, |packet| matches!(packet, Packet::ConnAck(_)))? == 0 {
            let read = stream.read(&mut buffer)?;
            bytes.extend_from_slice(buffer.get(..read).unwrap_or_default());
        }
        Ok(stream)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nothing is kept that could be lost.
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

/// Takes all that are there, of which each has to be as `expected`.
fn whole_packets(bytes: &mut BytesMut, expected: impl Fn(&Packet) -> bool) -> Result<u64> {
    let mut count = 0;
    loop {
        match Packet::read(bytes, LINK_PACKET_BYTES) {
            Ok(packet) if expected(&packet) => count += 1,
            Ok(other) => bail!("the broker sent {other:?}"),
            Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => return Ok(count),
            Err(error) => bail!("the broker sent no packet: {error:?}"),
        }
    }
}

/// The authority's certificate, and certificates and keys of a server and a client.
fn certificates() -> Result<(String, [[String; 2]; 2])> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "bench");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let issue = |usage| -> Result<[String; 2]> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(["localhost".to_owned()])?;
        params.extended_key_usages = vec![usage];
        Ok([params.signed_by(&key, &authority)?.pem(), key.serialize_pem()])
    };
    let identities = [issue(ExtendedKeyUsagePurpose::ServerAuth)?, issue(ExtendedKeyUsagePurpose::ClientAuth)?];
    Ok((authority.pem(), identities))
}
