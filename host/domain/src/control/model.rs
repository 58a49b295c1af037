//! Models as `edgewit model ls` shows them.

use serde::{Deserialize, Serialize};

/// One model, and what it has done since the gateway was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStatus {
    pub state: ModelState,
    /// `tract` or `onnxruntime`
    pub backend: String,
    pub file: String,
    /// SHA-256 of the file that it was loaded from, in hex; empty until one was.
    pub digest: String,
    /// Inferences at once.
    pub instances: u64,
    /// Requests waiting.
    pub waiting: u64,
    /// Inferences that ended well, failed, and were not begun because too many waited.
    pub runs: u64,
    pub failures: u64,
    pub refused: u64,
    /// Microseconds spent in inferences.
    pub computing_us: u64,
    /// Bytes that it takes with all instances busy, as far as its backend can tell.
    pub planned_memory: Option<u64>,
    /// Why what answers is not what the configuration and the file say now, where it is not.
    pub older: Option<String>,
}

/// Where a model stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum ModelState {
    /// Whoever asks waits.
    Loading,
    Ready,
    /// It could not be loaded, and whoever asks is told so. A reload tries again.
    Failed {
        reason: String,
    },
}

impl ModelState {
    /// One word for tables and metrics.
    pub fn word(&self) -> &'static str {
        match self {
            ModelState::Loading => "loading",
            ModelState::Ready => "ready",
            ModelState::Failed { .. } => "failed",
        }
    }
}
