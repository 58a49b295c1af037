//! The gateway and a real broker: what goes up and comes down by durable queues, over TLS with a client certificate,
//! while broker, network, files and configuration change under it.

mod certificates;
mod changes;
mod down;
mod forbidden;
mod killed;
mod profile;
mod shadows;
mod up;
