//! What the crate does with real sockets and real TLS, on the loopback interface.

#[cfg(test)]
mod fetch;
