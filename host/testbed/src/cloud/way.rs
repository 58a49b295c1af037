//! The way to a broker that wants TLS: a socket in a folder of our own, and behind it the connection.
//!
//! The MQTT client here speaks no TLS, so that it brings none of its own besides ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// Whom to believe, and what to show.
pub struct Tls(Arc<ClientConfig>);

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {reason}; it has to be a file of PEM with what its switch says", path.display())]
    File { path: PathBuf, reason: String },
    #[error("certificate and key cannot be used: {0}; take both from the same request")]
    Identity(#[from] rustls::Error),
}

impl Tls {
    /// Believes the authorities of a file, and shows the certificate of another with its key.
    pub fn read(authorities: &Path, identity: Option<(&Path, &Path)>) -> Result<Tls, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(authorities)? {
            roots.add(certificate)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let wrong = |reason: String| TlsError::File { path: key.to_owned(), reason };
                let text = fs::read(key).map_err(|error| wrong(error.to_string()))?;
                let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| wrong(error.to_string()))?;
                config.with_client_auth_cert(certificates(certificate)?, key)?
            }
        };
        Ok(Tls(Arc::new(config)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File { path: path.to_owned(), reason };
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(wrong("there is no certificate in it".into())),
        found => found.map_err(|error| wrong(error.to_string())),
    }
}

pub(super) struct Way {
    folder: TempDir,
    why: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

impl Way {
    pub(super) fn open(host: String, port: u16, tls: Tls) -> Way {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("way")).unwrap();
        let why = Arc::new(Mutex::new(None));
        let ended = why.clone();
        let task = tokio::spawn(async move {
            let mut next = listener.accept().await;
            // The client has one connection at a time: the next is the end of the last.
            while let Ok((mut near, _)) = next {
                let line = async {
                    if let Err(error) = line(&mut near, &host, port, TlsConnector::from(tls.0.clone())).await {
                        *ended.lock().unwrap() = Some(error.to_string());
                    }
                };
                next = tokio::select! {
                    biased;
                    another = listener.accept() => another,
                    () = line => {
                        // Why it ended is known before that it has.
                        drop(near);
                        listener.accept().await
                    }
                };
            }
        });
        Way { folder, why, task }
    }

    /// For the MQTT client to connect to.
    pub(super) fn path(&self) -> String {
        self.folder.path().join("way").display().to_string()
    }

    /// What a connection ended with, said once.
    pub(super) fn why(&self) -> Option<String> {
        self.why.lock().unwrap().take()
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn line(near: &mut UnixStream, host: &str, port: u16, connector: TlsConnector) -> std::io::Result<()> {
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    let far = TcpStream::connect((host, port)).await?;
    far.set_nodelay(true)?;
    let mut far = connector.connect(name, far).await?;
    copy_bidirectional(near, &mut far).await?;
    Ok(())
}
