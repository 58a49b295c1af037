//! The control socket: how an operator and `edgewit`'s other verbs reach a running gateway.
//!
//! A Unix socket that only the gateway's own user and root can use, a line of JSON for each command and each reply.
//! It carries commands and decides nothing about them. Whoever sends nonsense gets an answer that says so;
//! nobody can make the gateway hold more than a bounded number of connections, lines and messages.

mod client;
mod connection;
mod line;
mod server;
mod socket;

pub use client::{Client, ClientError, Follow};
pub(crate) use connection::view;
pub(crate) use server::Server;
pub use socket::BindError;
