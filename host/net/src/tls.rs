//! Whom the gateway believes when it opens a TLS connection.
//!
//! Either the system's certificate authorities or those in a file of the operator's, never both: an operator who
//! names authorities means those. There is no way to switch verification off.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Certificate authorities to believe.
#[derive(Clone, Copy, Debug)]
pub enum Roots<'a> {
    /// Those of the machine.
    System,
    /// Those in this PEM text.
    Pem(&'a [u8]),
}

/// What the gateway shows of itself: a chain of certificates and the key to the first, both PEM.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub certificate: &'a [u8],
    pub key: &'a [u8],
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the file of certificate authorities is not PEM: {reason}")]
    NotPem { reason: String },
    #[error("certificate {number} in the file of certificate authorities cannot be used: {source}")]
    Certificate { number: usize, source: rustls::Error },
    #[error("the file of certificate authorities holds no certificate")]
    Empty,
    #[error("the file of the gateway's certificate is not PEM with at least one certificate: {reason}")]
    OwnCertificate { reason: String },
    #[error("the file of the gateway's key is not PEM with a private key: {reason}")]
    OwnKey { reason: String },
    #[error("the gateway's certificate and key cannot be used together: {0}; take both from the same request")]
    Identity(rustls::Error),
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// A configuration for connections to servers, and how many authorities it believes. A machine without any is no
/// error: it may have nothing to do with TLS. Every connection will fail, and say why.
pub(crate) fn client(roots: Roots<'_>, identity: Option<Identity<'_>>) -> Result<(ClientConfig, usize), TlsError> {
    let store = match roots {
        Roots::System => system(),
        Roots::Pem(pem) => parse(pem)?,
    };
    let count = store.len();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(store);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = own(identity)?;
            config.with_client_auth_cert(chain, key).map_err(TlsError::Identity)?
        }
    };
    Ok((config, count))
}

fn own(identity: Identity<'_>) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let bad = |reason: String| TlsError::OwnCertificate { reason };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate).collect();
    let chain = chain.map_err(|error| bad(error.to_string()))?;
    if chain.is_empty() {
        return Err(bad("there is none".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(identity.key);
    Ok((chain, key.map_err(|error| TlsError::OwnKey { reason: error.to_string() })?))
}

fn system() -> RootCertStore {
    let mut store = RootCertStore::empty();
    // A machine's collection always has a few that cannot be read; the rest are as good without them.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

fn parse(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let certificate = certificate.map_err(|error| TlsError::NotPem { reason: error.to_string() })?;
        store.add(certificate).map_err(|source| TlsError::Certificate { number: index + 1, source })?;
    }
    if store.is_empty() { Err(TlsError::Empty) } else { Ok(store) }
}
