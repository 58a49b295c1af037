//! What the crate does with real sockets, real TLS and a real broker, on the loopback interface.

#[cfg(test)]
mod fetch;
#[cfg(test)]
mod link;
#[cfg(test)]
mod shadow_cloud;
#[cfg(test)]
mod shadow_device;
