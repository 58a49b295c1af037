//! What survives a power cut.
//!
//! This crate will hold the gateway's one ordered keyspace: atomic batches, their engines, quota and reserve. Until
//! then it holds the one thing that must survive already, the digests of compiled code ([`DigestFile`]).
//!
//! It must never decide what is kept or for how long, open a socket, or know a component: it keeps what it is
//! handed, whole or not at all. Nothing here returns success before the data would survive the power going that
//! very moment, and nothing damaged is ever handed out: it is reported, and left out.

mod digests;

pub use digests::{Damage, DigestFile, DigestFileError};
