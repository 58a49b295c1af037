//! Joins the sandbox's wish for an outgoing request to the crate that has the sockets.
//!
//! No policy of its own: whom to ask stands in the request, which addresses are allowed is asked of its check, and
//! what of a failure a guest may know is the sandbox's `FetchError`. The operator's log gets the rest.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use edgewit_net::fetch::{FetchError as NetError, Fetcher, Origin, Timeouts};
use edgewit_net::tls::{Roots, TlsError};
use edgewit_sandbox::{Fetch, FetchError, FetchRequest, FetchResponse};

use crate::error::chain;

/// The fetcher of all components, made when the first of them asks: most gateways grant no HTTP, and the
/// system's certificates take time and memory to read.
#[derive(Clone, Default)]
pub(crate) struct Fetching(Arc<OnceLock<Result<Fetcher, TlsError>>>);

impl Fetching {
    /// Believes these authorities, a PEM text, and no others.
    pub fn with_authorities(pem: &[u8]) -> Result<Self, TlsError> {
        let fetcher = Fetcher::new(Roots::Pem(pem))?;
        Ok(Fetching(Arc::new(OnceLock::from(Ok(fetcher)))))
    }

    fn fetcher(&self) -> Result<&Fetcher, String> {
        self.0.get_or_init(|| Fetcher::new(Roots::System)).as_ref().map_err(|error| chain(error))
    }

    async fn send(self, asked: FetchRequest) -> Result<FetchResponse, FetchError> {
        let fetcher = self.fetcher().map_err(|reason| {
            tracing::error!(reason, "No request can be sent");
            FetchError::Certificate
        })?;
        let origin = Origin { https: asked.https, host: asked.host, port: asked.port };
        let timeouts = Timeouts {
            connect: asked.connect_timeout,
            first_byte: asked.first_byte_timeout,
            between_bytes: asked.between_bytes_timeout,
        };
        let check = asked.check;
        match fetcher.send(asked.request, &origin, |address| check(address), timeouts).await {
            Ok(answer) => Ok(FetchResponse { response: answer.response, connection: answer.connection }),
            Err(error) => {
                tracing::debug!(host = origin.host, port = origin.port, error = chain(&error), "A request failed");
                Err(told(error))
            }
        }
    }
}

impl Fetch for Fetching {
    fn fetch(&self, request: FetchRequest) -> Pin<Box<dyn Future<Output = Result<FetchResponse, FetchError>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

/// What a guest is told.
fn told(error: NetError) -> FetchError {
    match error {
        NetError::Resolve { .. } | NetError::NoAddress { .. } => FetchError::Resolve,
        NetError::AddressRefused { reason, .. } => FetchError::AddressRefused(reason),
        NetError::Connect { .. } | NetError::Tls(_) => FetchError::Connect,
        NetError::ConnectTimeout | NetError::FirstByteTimeout => FetchError::Timeout,
        NetError::Certificate { .. } => FetchError::Certificate,
        NetError::Method | NetError::Uri | NetError::Http(_) => FetchError::Protocol,
    }
}
