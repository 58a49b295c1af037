//! Ports that stay ours while nobody listens at them.

use std::net::Ipv4Addr;

use tokio::net::TcpSocket;

/// A port of the loopback interface. Who connects while nobody listens is refused, and the system gives it to nobody
/// else: a socket is bound to it that does nothing, and servers that allow an address to be used again may join it.
pub struct Port {
    pub number: u16,
    _held: TcpSocket,
}

impl Port {
    pub fn hold() -> Port {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Port { number: held.local_addr().unwrap().port(), _held: held }
    }
}
