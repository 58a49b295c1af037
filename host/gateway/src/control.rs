//! The control socket.

mod client;

pub use client::{Client, ClientError, Follow};
