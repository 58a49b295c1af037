//! From a plan to a connection that the broker accepted: files, name, proxy, TLS, WebSocket, MQTT's greeting.

use std::error::Error;
use std::io;
use std::sync::Arc;

use edgewit_domain::link::Scheme;
use rumqttc::{Connect, ConnectReturnCode, Login, Packet};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::wire::{Incoming, Reader, Writer};
use super::{Material, Plan, proxy, web_socket};
use crate::tcp::{self, Stream, TcpError};
use crate::tls::{self, Identity, Roots, TlsError};

/// Bytes that the kernel keeps for the socket; it doubles the number.
const SEND_BUFFER: usize = 64 * 1024;

/// Why there is no connection, and how to come by one.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("{0}")]
    Files(String),
    #[error("a certificate without its key, or a key without its certificate; give both")]
    HalfAnIdentity,
    #[error(transparent)]
    Setup(#[from] TlsError),
    #[error("`{0}` is no name that a certificate could show; set `server-name`")]
    ServerName(String),
    #[error(transparent)]
    Tcp(#[from] TcpError),
    #[error("nothing stood in time; look at the network, and whether the broker speaks what `broker` says")]
    Timeout,
    #[error("the proxy does not answer as one")]
    ProxyIo(#[source] io::Error),
    #[error("the proxy refused: `{line}`; permit the broker there")]
    ProxyRefused { line: String },
    #[error("the broker's certificate is not believed; look at `ca`, `server-name` and this machine's clock")]
    Believe(#[source] rustls::Error),
    #[error("the broker refused our certificate ({0:?}); renew it, or register it with the broker")]
    Certificate(AlertDescription),
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    #[error("no WebSocket; look at the path in `broker`")]
    WebSocket(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    #[error(
        "the connection ended before the broker's answer; brokers do so for certificates and client ids that they do not know"
    )]
    Greeting(#[source] io::Error),
    #[error("the broker refused us: {0}")]
    Refused(&'static str),
    #[error("the broker answered with something else than MQTT 3.1.1 does")]
    Protocol,
}

/// The files' contents, and TLS made of them where the broker wants it.
#[derive(Clone)]
pub(super) struct Loaded {
    pub material: Material,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection that the broker accepted.
pub(super) struct Opened {
    pub reader: Reader,
    pub writer: Writer,
    pub session_present: bool,
    pub material: Material,
}

/// Reads the files, on a thread where that may block.
pub(super) async fn load(plan: Arc<Plan>) -> Result<Loaded, ConnectError> {
    let loaded = tokio::task::spawn_blocking(move || {
        let material = plan.files.read().map_err(ConnectError::Files)?;
        let tls = plan.broker.scheme.is_tls().then(|| tls_of(&plan, &material)).transpose()?;
        Ok(Loaded { material, tls })
    });
    loaded.await.map_err(|error| ConnectError::Files(error.to_string()))?
}

fn tls_of(plan: &Plan, material: &Material) -> Result<Arc<ClientConfig>, ConnectError> {
    let identity = match (&material.certificate, &material.key) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        _ => return Err(ConnectError::HalfAnIdentity),
    };
    let roots = material.authorities.as_deref().map_or(Roots::System, Roots::Pem);
    let (mut config, _) = tls::client(roots, identity)?;
    let announced = match (plan.broker.scheme, plan.broker.port, plan.profile.alpn_443) {
        (Scheme::Wss, ..) => Some("http/1.1"),
        (Scheme::Mqtts, 443, announced) => announced,
        _ => None,
    };
    config.alpn_protocols = announced.into_iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// The whole way, within the plan's limit.
pub(super) async fn open(plan: Arc<Plan>, lookups: Arc<Semaphore>) -> Result<Opened, ConnectError> {
    let limit = plan.connect_wait;
    timeout(limit, attempt(plan, lookups)).await.unwrap_or(Err(ConnectError::Timeout))
}

async fn attempt(plan: Arc<Plan>, lookups: Arc<Semaphore>) -> Result<Opened, ConnectError> {
    let loaded = load(plan.clone()).await?;
    let stream = stream(&plan, &lookups, loaded.tls).await?;
    let (read, write) = tokio::io::split(stream);
    let (mut reader, mut writer) = (Reader::new(read), Writer::new(write));
    let mut connect = Connect::new(plan.client_id.as_str());
    connect.keep_alive = u16::try_from(plan.keep_alive.as_millis().div_ceil(1000)).unwrap_or(u16::MAX);
    // A broker need keep nothing for us unless something is to come down.
    connect.clean_session = plan.downlinks.is_empty();
    let password = loaded.material.password.clone().unwrap_or_default();
    connect.login = plan.username.as_ref().map(|username| Login { username: username.clone(), password });
    writer.push(&Packet::Connect(connect)).map_err(ConnectError::Greeting)?;
    while !writer.is_idle() {
        writer.drive().await.map_err(greeting)?;
    }
    match reader.next().await.map_err(greeting)? {
        Incoming::Packet(Packet::ConnAck(answer)) => match refusal(answer.code) {
            Some(reason) => Err(ConnectError::Refused(reason)),
            None => Ok(Opened { reader, writer, session_present: answer.session_present, material: loaded.material }),
        },
        _ => Err(ConnectError::Protocol),
    }
}

async fn stream(
    plan: &Plan,
    lookups: &Arc<Semaphore>,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Box<dyn Stream>, ConnectError> {
    let broker = &plan.broker;
    let (host, port) = match &plan.proxy {
        Some(proxy) => (&proxy.host, proxy.port),
        None => (&broker.host, broker.port),
    };
    let addresses = tcp::resolve(lookups, host, port).await?;
    let mut stream = tcp::connect(&addresses, plan.connect_wait).await?;
    // Without the limit a slow line's whole backlog disappears into the kernel, and nobody sees that it moves.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER);
    if plan.proxy.is_some() {
        proxy::connect(&mut stream, &broker.authority()).await?;
    }
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(config) => {
            let name = plan.server_name.clone().unwrap_or_else(|| broker.host.clone());
            let name = ServerName::try_from(name.clone()).map_err(|_| ConnectError::ServerName(name))?;
            let connector = tokio_rustls::TlsConnector::from(config);
            Box::new(connector.connect(name, stream).await.map_err(|error| tls_error(error, ConnectError::Tls))?)
        }
    };
    if !broker.scheme.is_web_socket() {
        return Ok(stream);
    }
    let socket = web_socket::connect(stream, &broker.authority(), &broker.path).await;
    Ok(Box::new(socket.map_err(|error| ConnectError::WebSocket(Box::new(error)))?))
}

/// With TLS 1.3 a broker says only after the handshake what it thinks of our certificate.
fn greeting(error: io::Error) -> ConnectError {
    tls_error(error, ConnectError::Greeting)
}

fn tls_error(error: io::Error, otherwise: fn(io::Error) -> ConnectError) -> ConnectError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(alert)) => ConnectError::Certificate(*alert),
        Some(inner @ rustls::Error::InvalidCertificate(_)) => ConnectError::Believe(inner.clone()),
        _ => otherwise(error),
    }
}

fn refusal(code: ConnectReturnCode) -> Option<&'static str> {
    Some(match code {
        ConnectReturnCode::Success => return None,
        ConnectReturnCode::RefusedProtocolVersion => "it does not speak MQTT 3.1.1",
        ConnectReturnCode::BadClientId => "it does not accept the client id; look at `client-id`",
        ConnectReturnCode::ServiceUnavailable => "it is not available now",
        ConnectReturnCode::BadUserNamePassword => "it does not accept `username` and password",
        ConnectReturnCode::NotAuthorized => "this client may not connect; permit it at the broker",
    })
}

/// An error with everything behind it, in one line.
pub(super) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use edgewit_domain::link::{Broker, Profile, Rate};
    use edgewit_domain::message::Message;

    use super::super::{BoxFuture, Downlink, Files, NotStored};
    use super::*;

    struct Nothing;

    impl Downlink for Nothing {
        fn receive(&self, _: &str, _: Message) -> BoxFuture<Result<(), NotStored>> {
            Box::pin(async { Ok(()) })
        }
    }

    impl Files for Nothing {
        fn read(&self) -> Result<Material, String> {
            Ok(Material::default())
        }
    }

    fn check(broker: &str, profile: &str, expected: &[&str]) {
        let plan = Plan {
            thing: "gw".into(),
            epoch: 0,
            broker: Broker::parse(broker).unwrap(),
            proxy: None,
            server_name: None,
            client_id: "gw".into(),
            username: None,
            profile: Profile::named(profile).unwrap(),
            keep_alive: Duration::from_secs(60),
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            rate: Rate::default(),
            connect_wait: Duration::from_secs(15),
            files_every: Duration::from_secs(30),
            uplinks: Vec::new(),
            downlinks: Vec::new(),
            downlink: Arc::new(Nothing),
            files: Arc::new(Nothing),
            clock: Arc::new(|| Duration::ZERO),
        };
        let config = tls_of(&plan, &Material::default()).unwrap();
        assert!(config.alpn_protocols.iter().eq(expected.iter().map(|name| name.as_bytes())), "{broker} {profile}");
    }

    #[test]
    fn port_443_is_shared_by_saying_what_is_spoken() {
        check("mqtts://b:443", "aws-iot-core", &["x-amzn-mqtt-ca"]);
        check("mqtts://b:8883", "aws-iot-core", &[]);
        check("mqtts://b:443", "generic", &[]);
        check("wss://b", "aws-iot-core", &["http/1.1"]);
    }
}
