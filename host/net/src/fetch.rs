//! Outgoing HTTP requests for components: one request, one connection, one answer.
//!
//! The caller has decided that the origin may be asked, and says of each address whether it may be connected to.
//! A name is resolved once, every address that comes of it is checked, and the connection is made to a checked
//! address and to nothing else: a name server that answers differently the second time is never asked.
//!
//! It must never follow a redirect (its target was not granted), reuse a connection (another component's, or one
//! checked under other grants), speak to a proxy, or spawn a task: what drives a connection is a future that the
//! caller holds, and dropping it closes the socket.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::{Method, Request, Response, Uri, Version};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::tls::{self, Roots, TlsError};

mod dial;
mod error;
mod idle;

pub use error::FetchError;

/// Bytes of an answer's head, and the most that is read ahead of the component.
const BUFFER: usize = 64 * 1024;
/// Names being resolved at once. A lookup cannot be cancelled, and each holds a thread.
const LOOKUPS: usize = 16;

/// Sends requests. Shared by all components.
pub struct Fetcher {
    tls: tokio_rustls::TlsConnector,
    authorities: usize,
    lookups: Arc<Semaphore>,
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub https: bool,
    /// A name, or an address literal without brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands: name, address, TLS.
    pub connect: Duration,
    /// From there until the head of the answer has come.
    pub first_byte: Duration,
    /// Between two pieces of the answer while the component waits for one.
    pub between_bytes: Duration,
}

/// An answer whose body is still to come.
pub struct Answer {
    pub response: Response<Incoming>,
    /// To be polled until it ends, or the body never comes. Dropping it closes the connection.
    pub connection: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Fetcher {
    pub fn new(roots: Roots<'_>) -> Result<Fetcher, TlsError> {
        let (mut config, authorities) = tls::client(roots, None)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = tokio_rustls::TlsConnector::from(Arc::new(config));
        Ok(Fetcher { tls, authorities, lookups: Arc::new(Semaphore::new(LOOKUPS)) })
    }

    /// How many certificate authorities are believed. With none, every `https` request fails.
    pub fn authorities(&self) -> usize {
        self.authorities
    }

    /// `check` says of an address why it may not be connected to. It gets IPv4 addresses as such, however they
    /// were written.
    pub async fn send<B>(
        &self,
        request: Request<B>,
        origin: &Origin,
        check: impl Fn(IpAddr) -> Result<(), String>,
        timeouts: Timeouts,
    ) -> Result<Answer, FetchError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let request = prepare(request, origin)?;
        let answering = Arc::new(AtomicBool::new(false));
        let opened = timeout(timeouts.connect, async {
            let stream = dial::dial(&self.tls, &self.lookups, origin, check, timeouts.connect).await?;
            let stream = idle::Idle::new(stream, timeouts.between_bytes, answering.clone());
            let mut builder = http1::Builder::new();
            builder.max_buf_size(BUFFER);
            builder.handshake(TokioIo::new(stream)).await.map_err(FetchError::Http)
        });
        let (mut sender, connection) = opened.await.map_err(|_| FetchError::ConnectTimeout)??;

        let mut connection = Some(Box::pin(connection));
        let asked = timeout(timeouts.first_byte, async {
            let mut answer = std::pin::pin!(sender.send_request(request));
            if let Some(driver) = &mut connection {
                tokio::select! {
                    biased;
                    response = &mut answer => return response,
                    ended = driver => ended?,
                }
            }
            connection = None;
            answer.await
        });
        let response = asked.await.map_err(|_| FetchError::FirstByteTimeout)?.map_err(FetchError::Http)?;
        answering.store(true, Ordering::Relaxed);
        let connection = Box::pin(async move {
            if let Some(connection) = connection {
                // Whoever reads the body gets the same error.
                let _ = connection.await;
            }
        });
        Ok(Answer { response, connection })
    }
}

/// Addresses the request to its origin, whatever it said about that itself.
fn prepare<B>(mut request: Request<B>, origin: &Origin) -> Result<Request<B>, FetchError> {
    // It would turn the connection into a tunnel to somewhere else.
    if request.method() == Method::CONNECT {
        return Err(FetchError::Method);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    *request.uri_mut() = Uri::try_from(path).map_err(|_| FetchError::Uri)?;
    *request.version_mut() = Version::HTTP_11;
    let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
    let host = match (origin.https, origin.port) {
        (true, 443) | (false, 80) => host,
        (_, port) => format!("{host}:{port}"),
    };
    let host = HeaderValue::try_from(host).map_err(|_| FetchError::Uri)?;
    request.headers_mut().insert(HOST, host);
    Ok(request)
}
