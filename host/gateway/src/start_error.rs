//! Why a gateway did not start: what was tried, on what, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use edgewit_domain::config::Mistakes;
use edgewit_net::tls::TlsError;
use edgewit_sandbox::engine::EngineError;

use crate::control::BindError;
use crate::files::FileError;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("signatures come with deployments, and there are none yet; start with --dev to run unsigned components")]
    Unsigned,
    #[error("{}", mistakes.in_file(&file.display().to_string()))]
    Configuration { file: PathBuf, mistakes: Mistakes },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("a thread could not be started; raise the limit of processes for the gateway's user")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Control(#[from] BindError),
    #[error("metrics.listen: {address} cannot be listened on; choose a free port")]
    Metrics { address: SocketAddr, source: io::Error },
    #[error("http.ca: {} holds no authorities that can be used; correct it", path.display())]
    Authorities { path: PathBuf, source: TlsError },
}

impl StartError {
    /// The status that the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            StartError::Unsigned
            | StartError::Configuration { .. }
            | StartError::Authorities { .. }
            | StartError::File(FileError::Outside { .. }) => 64,
            StartError::File(FileError::InUse { .. }) | StartError::Control(BindError::InUse { .. }) => 75,
            StartError::File(_)
            | StartError::Store(_)
            | StartError::Engine(_)
            | StartError::Thread(_)
            | StartError::Control(_)
            | StartError::Metrics { .. } => 1,
        }
    }
}
