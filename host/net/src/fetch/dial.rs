//! From an origin to a connection: resolve once, check every address, connect to one of them, speak TLS.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::{FetchError, Origin};

/// Addresses tried for one name; more are not.
const ADDRESSES: usize = 8;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) async fn dial(
    tls: &TlsConnector,
    lookups: &Arc<Semaphore>,
    origin: &Origin,
    check: impl Fn(IpAddr) -> Result<(), String>,
    limit: Duration,
) -> Result<Box<dyn Stream>, FetchError> {
    let deadline = Instant::now() + limit;
    let addresses = permitted(resolve(lookups, origin).await?, check, &origin.host)?;
    let stream = connect(&addresses, deadline).await?;
    if !origin.https {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(origin.host.clone()).map_err(|_| FetchError::Uri)?;
    let stream = tls.connect(name, stream).await.map_err(tls_error)?;
    Ok(Box::new(stream))
}

async fn resolve(lookups: &Arc<Semaphore>, origin: &Origin) -> Result<Vec<SocketAddr>, FetchError> {
    let failed = |source| FetchError::Resolve { host: origin.host.clone(), source };
    let target = (origin.host.clone(), origin.port);
    let permit = lookups.clone().acquire_owned().await.map_err(|error| failed(io::Error::other(error)))?;
    let lookup = tokio::task::spawn_blocking(move || {
        // Given back when the lookup has ended, and not when nobody waits for it any more.
        let _permit = permit;
        Ok(target.to_socket_addrs()?.map(canonical).collect())
    });
    lookup.await.map_err(io::Error::other).flatten().map_err(failed)
}

/// An IPv4 address in IPv6 clothes is an IPv4 address, before it is checked as much as after.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

fn permitted(
    mut addresses: Vec<SocketAddr>,
    check: impl Fn(IpAddr) -> Result<(), String>,
    host: &str,
) -> Result<Vec<SocketAddr>, FetchError> {
    let mut refused = None;
    addresses.truncate(ADDRESSES);
    addresses.retain(|address| match check(address.ip()) {
        Ok(()) => true,
        Err(reason) => {
            refused.get_or_insert(FetchError::AddressRefused { address: address.ip(), reason });
            false
        }
    });
    if addresses.is_empty() {
        return Err(refused.unwrap_or_else(|| FetchError::NoAddress { host: host.into() }));
    }
    Ok(addresses)
}

/// The first that answers, in the resolver's order. Each gets an equal part of the time that is left, so that a
/// dead one does not take the others' turn.
async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, FetchError> {
    let mut last = FetchError::ConnectTimeout;
    for (address, left) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests go out in one piece; waiting for more would only delay them.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(source)) => last = FetchError::Connect { address: address.ip(), source },
            Err(_) => last = FetchError::ConnectTimeout,
        }
    }
    Err(last)
}

fn tls_error(error: io::Error) -> FetchError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner @ rustls::Error::InvalidCertificate(_)) => FetchError::Certificate { reason: inner.to_string() },
        _ => FetchError::Tls(error),
    }
}
