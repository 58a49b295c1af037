//! What survives a power cut.
//!
//! This crate holds the gateway's one ordered keyspace: atomic batches ([`Batch`]) over an [`Engine`].
//!
//! It must never decide what is kept or for how long, open a socket, or know a component: it keeps what it is
//! handed, whole or not at all. Nothing here returns success before the data would survive the power going that
//! very moment, and nothing damaged is ever handed out: it is reported, and left out.

mod batch;
mod digests;
mod disk;
pub mod engine;
mod format;
pub mod header;
mod reserve;
mod seal;
mod store;
pub mod transfer;
mod writer;

pub use batch::{Batch, Change};
pub use disk::{Disk, IfAbsent, OpenError};
pub use engine::sled::Sled;
pub use engine::sqlite::Sqlite;
pub use engine::{CommitError, Engine, EngineError};
pub use format::name::{Named, name};
pub use header::Kind;
pub use reserve::{Reserve, ReserveError};
pub use store::{Opened, Page, Rules, Store, StoredRow, damaged_queue, retained, rows};
pub use writer::{Outcome, Readers, Turn, Unknown};
