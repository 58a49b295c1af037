//! From a name to a connection: resolve once, within limits, and try the addresses in their order.
//!
//! A lookup cannot be cancelled and holds a thread, so there are only so many at once. Whoever checks addresses does so
//! between the two steps, and what is connected to is what was checked.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Addresses tried for one name; more are not.
const ADDRESSES: usize = 8;

/// Whatever can be spoken through: TCP, TLS, a WebSocket.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    #[error("the name `{host}` does not resolve; look at the name, and at the name server this machine asks")]
    Resolve { host: String, source: io::Error },
    #[error("the name `{host}` resolves to no address")]
    NoAddress { host: String },
    #[error("no connection to {address}; look whether it listens there, and at firewalls on the way")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("the connection did not stand in time")]
    Timeout,
}

pub(crate) async fn resolve(lookups: &Arc<Semaphore>, host: &str, port: u16) -> Result<Vec<SocketAddr>, TcpError> {
    let failed = |source| TcpError::Resolve { host: host.to_owned(), source };
    let target = (host.to_owned(), port);
    let permit = lookups.clone().acquire_owned().await.map_err(|error| failed(io::Error::other(error)))?;
    let lookup = tokio::task::spawn_blocking(move || {
        // Given back when the lookup has ended, and not when nobody waits for it any more.
        let _permit = permit;
        Ok(target.to_socket_addrs()?.map(canonical).take(ADDRESSES).collect::<Vec<_>>())
    });
    let addresses = lookup.await.map_err(io::Error::other).flatten().map_err(failed)?;
    if addresses.is_empty() { Err(TcpError::NoAddress { host: host.into() }) } else { Ok(addresses) }
}

/// An IPv4 address in IPv6 clothes is an IPv4 address, before it is checked as much as after.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

/// The first that answers, in the resolver's order. Each gets an equal part of the time that is left, so that a
/// dead one does not take the others' turn.
pub(crate) async fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, TcpError> {
    let deadline = Instant::now() + limit;
    let mut last = TcpError::Timeout;
    for (address, left) in addresses.iter().zip((1..=addresses.len() as u32).rev()) {
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // What is sent goes out in one piece; waiting for more would only delay it.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(source)) => last = TcpError::Connect { address: *address, source },
            Err(_) => last = TcpError::Timeout,
        }
    }
    Err(last)
}
