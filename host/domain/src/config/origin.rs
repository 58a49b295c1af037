//! Origins and networks of `grant.http`: `https://api.example:8443`, `10.0.0.0/8`.
//!
//! Stricter than a browser's: one spelling for each origin, so that comparing two is comparing their
//! parts, and nothing that some resolver would take for a different address than the one it seems to be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use toml::de::DeValue;

use super::grants::HttpGrant;
use super::mistake::{Wrong, quoted, wrong};
use super::scalar::text;
use super::substitute::Names;

/// Reads `http://` or `https://`, a host, and perhaps a port.
pub(super) fn origin(value: &DeValue, names: &Names) -> Result<HttpGrant, Wrong> {
    let given = text(value, names)?;
    let cure = "write a scheme, a host and perhaps a port, and no path: \"https://api.example:8443\"";
    if given.contains('@') {
        return wrong("an origin holds no user and password (and this is not shown)", cure);
    }
    let refuse = |why: &str| wrong(format!("{} is no origin: {why}", quoted(given)), cure);
    let lower = given.to_ascii_lowercase();
    let (https, rest) = match (lower.strip_prefix("https://"), lower.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return refuse("it starts with neither https:// nor http://"),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return refuse("it has more than a host and a port");
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let port = match port.map(|port| (port, port.parse::<u16>())) {
        None => {
            if https {
                443
            } else {
                80
            }
        }
        Some((digits, Ok(port))) if port > 0 && digits.bytes().all(|b| b.is_ascii_digit()) => port,
        Some(_) => return refuse("its port is no number from 1 to 65535"),
    };
    match checked_host(host) {
        Ok(host) => Ok(HttpGrant { https, host, port, networks: Vec::new() }),
        Err(why) => refuse(why),
    }
}

/// The host without brackets, or what is wrong with it.
pub(super) fn checked_host(host: &str) -> Result<String, &'static str> {
    if let Some(literal) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address = literal.parse::<Ipv6Addr>().map_err(|_| "what is in brackets is no IPv6 address")?;
        return Ok(address.to_string());
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return Ok(host.to_owned());
    }
    if !host.is_ascii() {
        return Err("write a name with other letters in its ASCII form, xn--…");
    }
    let fits =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !host.split('.').all(fits) {
        return Err("its host is neither a name nor an address");
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    if last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit()) {
        return Err("its host looks like an address and is none");
    }
    Ok(host.to_owned())
}

/// Reads an address and a prefix length, `10.0.0.0/8`.
pub(super) fn network(text: &str) -> Result<(IpAddr, u8), Wrong> {
    let cure = "write an address and a prefix length, such as \"10.0.0.0/8\" or \"fd00::/8\"";
    let parts = text
        .split_once('/')
        .and_then(|(address, length)| Some((address.parse::<IpAddr>().ok()?, length.parse::<u8>().ok()?)));
    let Some((address, length)) = parts else {
        return wrong(format!("{} is no network", quoted(text)), cure);
    };
    let (first, most) = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            (IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask)), 32)
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            (IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)), 128)
        }
    };
    if length > most {
        return wrong(format!("{} is no network: the prefix is longer than {most}", quoted(text)), cure);
    }
    if first != address {
        return wrong(format!("{} names a host inside a network", quoted(text)), format!("write \"{first}/{length}\""));
    }
    Ok((address, length))
}

#[cfg(test)]
mod tests {
    use toml::de::DeValue;

    use super::*;

    #[test]
    fn an_origin_is_read_in_one_spelling_or_refused() {
        let cases = [
            ("https://api.example", Some((true, "api.example", 443))),
            ("https://api.example/", Some((true, "api.example", 443))),
            ("HTTP://PLC.Local:8080", Some((false, "plc.local", 8080))),
            ("http://10.0.0.7", Some((false, "10.0.0.7", 80))),
            ("http://[FD00::1]:81", Some((false, "fd00::1", 81))),
            ("https://[::1]", Some((true, "::1", 443))),
            ("http://my_plc", Some((false, "my_plc", 80))),
            ("", None),
            ("api.example", None),
            ("ftp://api.example", None),
            ("https://", None),
            ("https://api.example/v1", None),
            ("https://api.example//", None),
            ("https://user@api.example", None),
            ("https://api.example?x", None),
            ("https://api.example:0", None),
            ("https://api.example:+80", None),
            ("https://api.example:65536", None),
            ("https://api.example:", None),
            ("https://api..example", None),
            ("https://api.example.", None),
            ("https://*.example", None),
            ("https://bücher.example", None),
            ("http://10.0.0.256", None),
            ("http://127.1", None),
            ("http://0x7f000001", None),
            ("http://[10.0.0.1]", None),
            ("http://::1", None),
        ];
        for (given, expected) in cases {
            let read = origin(&DeValue::String(given.into()), &Names::default()).ok();
            let read = read.as_ref().map(|grant| (grant.https, grant.host.as_str(), grant.port));
            assert_eq!(read, expected, "{given}");
        }
    }

    #[test]
    fn a_network_has_no_host_in_it() {
        let cases = [
            ("10.0.0.0/8", true),
            ("0.0.0.0/0", true),
            ("192.168.1.7/32", true),
            ("fd00::/8", true),
            ("::1/128", true),
            ("::/0", true),
            ("10.0.0.1/8", false),
            ("fd00::1/64", false),
            ("10.0.0.0/33", false),
            ("::/129", false),
            ("10.0.0.0", false),
            ("10.0.0.0/", false),
            ("10.0/8", false),
            ("example/8", false),
        ];
        for (given, expected) in cases {
            assert_eq!(network(given).is_ok(), expected, "{given}");
        }
    }
}
