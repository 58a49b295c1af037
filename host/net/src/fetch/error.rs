//! Why there is no answer.
//!
//! For the operator's log. What of it a component may know is decided elsewhere: the difference between "refused"
//! and "timed out" is a way to look around in a network.

use std::io;
use std::net::IpAddr;

use crate::tcp::TcpError;

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("CONNECT is no request to the origin, but through it")]
    Method,
    #[error("the request's path, or the origin's name, cannot be sent")]
    Uri,
    #[error("the name `{host}` does not resolve")]
    Resolve { host: String, source: io::Error },
    #[error("the name `{host}` resolves to no address")]
    NoAddress { host: String },
    /// Every address was refused; this is the first.
    #[error("{address} may not be connected to: {reason}")]
    AddressRefused { address: IpAddr, reason: String },
    #[error("no connection to {address}")]
    Connect { address: IpAddr, source: io::Error },
    #[error("the connection did not stand in time")]
    ConnectTimeout,
    #[error("the server's certificate is not believed: {reason}")]
    Certificate { reason: String },
    #[error("TLS failed")]
    Tls(#[source] io::Error),
    #[error("the answer did not begin in time")]
    FirstByteTimeout,
    #[error("HTTP failed")]
    Http(#[from] hyper::Error),
}

impl From<TcpError> for FetchError {
    fn from(error: TcpError) -> FetchError {
        match error {
            TcpError::Resolve { host, source } => FetchError::Resolve { host, source },
            TcpError::NoAddress { host } => FetchError::NoAddress { host },
            TcpError::Connect { address, source } => FetchError::Connect { address: address.ip(), source },
            TcpError::Timeout => FetchError::ConnectTimeout,
        }
    }
}
