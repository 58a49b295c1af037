//! From an origin to a connection: resolve once, check every address, connect to one of them, speak TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::{FetchError, Origin};
use crate::tcp::{self, Stream};

pub(super) async fn dial(
    tls: &TlsConnector,
    lookups: &Arc<Semaphore>,
    origin: &Origin,
    check: impl Fn(IpAddr) -> Result<(), String>,
    limit: Duration,
) -> Result<Box<dyn Stream>, FetchError> {
    let deadline = Instant::now() + limit;
    let addresses = permitted(tcp::resolve(lookups, &origin.host, origin.port).await?, check)?;
    let stream = tcp::connect(&addresses, deadline.saturating_duration_since(Instant::now())).await?;
    if !origin.https {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(origin.host.clone()).map_err(|_| FetchError::Uri)?;
    let stream = tls.connect(name, stream).await.map_err(tls_error)?;
    Ok(Box::new(stream))
}

fn permitted(
    mut addresses: Vec<SocketAddr>,
    check: impl Fn(IpAddr) -> Result<(), String>,
) -> Result<Vec<SocketAddr>, FetchError> {
    let mut refused = None;
    addresses.retain(|address| match check(address.ip()) {
        Ok(()) => true,
        Err(reason) => {
            refused.get_or_insert(FetchError::AddressRefused { address: address.ip(), reason });
            false
        }
    });
    match refused {
        Some(refused) if addresses.is_empty() => Err(refused),
        _ => Ok(addresses),
    }
}

fn tls_error(error: io::Error) -> FetchError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner @ rustls::Error::InvalidCertificate(_)) => FetchError::Certificate { reason: inner.to_string() },
        _ => FetchError::Tls(error),
    }
}
