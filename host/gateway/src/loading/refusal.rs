//! Why a component cannot run as it is: everything that stands in its way at once, each with its cure.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgewit_sandbox::LinkError;
use edgewit_sandbox::artifact::LoadError;

use crate::error::chain;
use crate::files::led_outside;

/// Never empty.
#[derive(Debug)]
pub(crate) struct Refusal(Vec<Obstacle>);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Obstacle {
    #[error("artifact {} cannot be read: {error}; put it there, in the folder of the configuration file or below", path.display())]
    Artifact { path: PathBuf, error: io::Error },
    #[error("artifact {} lies outside the configuration's folder; copy it in", path.display())]
    Outside { path: PathBuf },
    #[error("artifact {} {}", path.display(), chain(error))]
    Load { path: PathBuf, error: LoadError },
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(
        "grant.dir.{grant}: {} cannot be opened: {error}; create it, or give the gateway's user access",
        path.display()
    )]
    Dir { grant: Arc<str>, path: PathBuf, error: io::Error },
    #[error("loading it failed within the gateway: {reason}; report it, with the component")]
    Panicked { reason: String },
}

impl Refusal {
    /// The artifact's own obstacle, if it has one, and those that were found beside it.
    pub fn of<T>(artifact: Result<T, Obstacle>, beside: Vec<Obstacle>) -> Result<T, Refusal> {
        match artifact {
            Ok(loaded) if beside.is_empty() => Ok(loaded),
            Ok(_) => Err(Refusal(beside)),
            Err(obstacle) => Err(Refusal(std::iter::once(obstacle).chain(beside).collect())),
        }
    }

    pub fn obstacles(&self) -> &[Obstacle] {
        &self.0
    }

    /// May be gone the next time, with nothing changed by anybody: a full disk, a child that was killed.
    pub fn is_passing(&self) -> bool {
        self.0.iter().all(Obstacle::is_passing)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(|obstacle| chain(obstacle)).collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Refusal {}

impl Obstacle {
    /// `path` is where the artifact was looked for.
    pub fn artifact(path: &Path, error: io::Error) -> Obstacle {
        let path = path.to_owned();
        if led_outside(&error) { Obstacle::Outside { path } } else { Obstacle::Artifact { path, error } }
    }

    /// The key below the component's that is to blame; empty where it is the whole of it.
    pub fn key(&self) -> String {
        match self {
            Obstacle::Artifact { .. } | Obstacle::Outside { .. } | Obstacle::Load { .. } => "artifact".to_owned(),
            Obstacle::Link(_) | Obstacle::Panicked { .. } => String::new(),
            Obstacle::Dir { grant, .. } => format!("grant.dir.{grant}"),
        }
    }

    fn is_passing(&self) -> bool {
        use io::ErrorKind::{InvalidInput, NotFound, PermissionDenied};
        match self {
            Obstacle::Artifact { error, .. } => !matches!(error.kind(), NotFound | InvalidInput | PermissionDenied),
            Obstacle::Load { error, .. } => {
                matches!(error, LoadError::Cache { .. } | LoadError::Worker { .. } | LoadError::Interrupted)
            }
            Obstacle::Panicked { .. } => true,
            Obstacle::Outside { .. } | Obstacle::Link(_) | Obstacle::Dir { .. } => false,
        }
    }
}
