//! Recording what a process does to its files, and rebuilding what a power cut would have left of them.

pub mod image;
pub mod trace;

use std::collections::BTreeMap;
use std::path::Path;

use edgewit_store::{Batch, Change};
pub use trace::{Happened, record};

/// The process that the suites record and disturb.
pub const WORKLOAD: &str = env!("CARGO_BIN_EXE_store-workload");

/// How often, beside the usual: `cargo xtask test --long` and `--rounds` set it as they do for properties.
pub fn rounds(usual: u64) -> u64 {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(256u64);
    (usual * cases / 256).max(1)
}

pub fn seed() -> u64 {
    std::env::var("PROPTEST_RNG_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Images are written and opened by the hundred, which is no work for a disk.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    tempfile::tempdir_in(base).unwrap()
}

/// The rows that the model puts, as they have to be.
pub type State = BTreeMap<Vec<u8>, Vec<u8>>;

pub fn apply(state: &mut State, batch: &Batch) {
    for change in batch.iter() {
        match change {
            Change::Put { key, value } => drop(state.insert(key.to_vec(), value.to_vec())),
            Change::Delete { key } => drop(state.remove(key)),
        }
    }
}
