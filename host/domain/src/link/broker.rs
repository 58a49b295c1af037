//! Where a broker is, as an operator writes it: `mqtts://host:port`, `mqtt://`, `wss://host/path`, `ws://`; and where a
//! proxy is: `http://host:port`.
//!
//! No user and no password stand in an address: it is shown in listings and logs.

use std::fmt;

use thiserror::Error;

/// How to speak to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Mqtt,
    Mqtts,
    Ws,
    Wss,
}

impl Scheme {
    const ALL: [(&str, Scheme, u16); 4] = [
        ("mqtt", Scheme::Mqtt, 1883),
        ("mqtts", Scheme::Mqtts, 8883),
        ("ws", Scheme::Ws, 80),
        ("wss", Scheme::Wss, 443),
    ];

    pub fn is_tls(self) -> bool {
        matches!(self, Scheme::Mqtts | Scheme::Wss)
    }

    pub fn is_web_socket(self) -> bool {
        matches!(self, Scheme::Ws | Scheme::Wss)
    }
}

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    pub scheme: Scheme,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    /// Of a WebSocket; otherwise empty.
    pub path: String,
}

/// A proxy's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BrokerError {
    #[error(
        "is no address of a broker; write `mqtts://HOST:PORT`, `mqtt://HOST:PORT`, `wss://HOST/PATH` or `ws://HOST/PATH`"
    )]
    Scheme,
    #[error("is no address of a proxy; write `http://HOST:PORT`")]
    Proxy,
    #[error("names a user in the address; use `username` and `password`")]
    User,
    #[error("has no host; write it after `//`")]
    Host,
    #[error("has the port `{port}`; write a number from 1 to 65535")]
    Port { port: String },
    #[error("has a path; leave out everything after the port")]
    Path,
}

impl Broker {
    pub fn parse(text: &str) -> Result<Broker, BrokerError> {
        let (scheme, rest) = text.split_once("://").ok_or(BrokerError::Scheme)?;
        let known = Scheme::ALL.into_iter().find(|(name, ..)| *name == scheme);
        let (_, scheme, port) = known.ok_or(BrokerError::Scheme)?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let path = match (scheme.is_web_socket(), path) {
            (true, "") => "/mqtt",
            (true, path) if path.bytes().all(|byte| byte.is_ascii_graphic()) => path,
            (false, "" | "/") => "",
            _ => return Err(BrokerError::Path),
        };
        let (host, port) = authority_of(authority, port)?;
        Ok(Broker { scheme, host, port, path: path.into() })
    }

    /// Host and port as they stand in an address.
    pub fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

impl Proxy {
    pub fn parse(text: &str) -> Result<Proxy, BrokerError> {
        let rest = text.strip_prefix("http://").ok_or(BrokerError::Proxy)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('/') {
            return Err(BrokerError::Path);
        }
        let (host, port) = authority_of(rest, 80)?;
        Ok(Proxy { host, port })
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn authority_of(text: &str, default: u16) -> Result<(String, u16), BrokerError> {
    if text.contains('@') {
        return Err(BrokerError::User);
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(BrokerError::Host)?)),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if host.is_empty() || !host.bytes().all(named) {
        return Err(BrokerError::Host);
    }
    let port = match port {
        None => default,
        Some(port) => {
            let number = port.parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| BrokerError::Port { port: port.into() })?
        }
    };
    Ok((host.into(), port))
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Scheme::ALL.iter().find(|(_, scheme, _)| *scheme == self.scheme).map_or("", |(name, ..)| name);
        write!(f, "{name}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", authority(&self.host, self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, BrokerError>) {
        assert_eq!(Broker::parse(text).map(|broker| broker.to_string()), expected.map(String::from), "{text}");
    }

    #[test]
    fn a_broker_is_written_as_an_address() {
        check("mqtts://broker.example", Ok("mqtts://broker.example:8883"));
        check("mqtt://127.0.0.1:1883/", Ok("mqtt://127.0.0.1:1883"));
        check("mqtts://[::1]:443", Ok("mqtts://[::1]:443"));
        check("wss://broker.example", Ok("wss://broker.example:443/mqtt"));
        check("ws://broker.example:8080/a/b?c", Ok("ws://broker.example:8080/a/b?c"));
        check("broker.example:8883", Err(BrokerError::Scheme));
        check("tcp://broker.example", Err(BrokerError::Scheme));
        check("mqtts://user:secret@broker.example", Err(BrokerError::User));
        check("mqtts://:8883", Err(BrokerError::Host));
        check("mqtts://a b", Err(BrokerError::Host));
        check("mqtts://a:0", Err(BrokerError::Port { port: "0".into() }));
        check("mqtts://a:x", Err(BrokerError::Port { port: "x".into() }));
        check("mqtts://a/b", Err(BrokerError::Path));
        check("ws://a/b\r\nc", Err(BrokerError::Path));
    }

    #[test]
    fn a_proxy_is_written_as_an_address() {
        let check = |text: &str, expected: Result<&str, BrokerError>| {
            assert_eq!(Proxy::parse(text).map(|proxy| proxy.to_string()), expected.map(String::from), "{text}");
        };
        check("http://proxy.example:3128", Ok("http://proxy.example:3128"));
        check("http://proxy.example/", Ok("http://proxy.example:80"));
        check("https://proxy.example", Err(BrokerError::Proxy));
        check("http://user@proxy.example", Err(BrokerError::User));
        check("http://proxy.example/x", Err(BrokerError::Path));
    }
}
