//! Sockets: what the gateway says to the outside, and what it hears from there.
//!
//! It holds no policy. Whom to talk to, whom to believe and what to do about it is decided by whoever calls, from
//! machines in `domain`; what is in here moves bytes within limits and tells how that went. It must never resolve
//! a name twice for one connection, or leave a task behind that its caller cannot end.

pub mod fetch;
pub mod link;
mod tcp;
pub mod tls;

pub use tcp::TcpError;
