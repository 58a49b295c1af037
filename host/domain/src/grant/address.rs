//! Which addresses a request may connect to.
//!
//! A name is granted, an address is connected to, and whoever runs the name's DNS chooses it: without a
//! list of networks only addresses of the public internet are permitted, so that no name can be pointed at
//! the gateway itself or at its neighbours. Written as a list of what is public, since what is not public
//! grows. An IPv4 address is the same in every IPv6 dress it can wear.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::HttpGrant;

/// The networks of IPv4 that are not the public internet: IANA's special-purpose registry, all of 192.0.0.0/24
/// and 240.0.0.0/4 included.
const V4_NOT_GLOBAL: [(Ipv4Addr, u8); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
    (Ipv4Addr::new(255, 255, 255, 255), 32),
];

/// All that IPv6 has given out as global unicast, and the parts of it that are not the public internet:
/// protocol assignments with Teredo, benchmarking and ORCHID, and documentation.
const V6_GLOBAL: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const V6_NOT_GLOBAL: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];
/// Networks that carry an IPv4 address, and how far right it stands: as public as that address is.
const V6_NAT64: (Ipv6Addr, u8) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const V6_6TO4: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);

/// Whether a request under `grant` may connect to `address`.
pub(super) fn permits(grant: &HttpGrant, address: IpAddr) -> bool {
    let address = address.to_canonical();
    if !grant.networks.is_empty() {
        return grant.networks.iter().any(|(network, length)| contains(*network, *length, address));
    }
    match grant.host.parse::<IpAddr>() {
        Ok(literal) => literal.to_canonical() == address,
        Err(_) => is_global(address),
    }
}

/// Whether the host that a guest names is the one that was granted.
pub(super) fn same_host(granted: &str, named: &str) -> bool {
    let named = bare(named);
    if granted.eq_ignore_ascii_case(named) {
        return true;
    }
    match (granted.parse::<IpAddr>(), named.parse::<IpAddr>()) {
        (Ok(granted), Ok(named)) => granted.to_canonical() == named.to_canonical(),
        _ => false,
    }
}

/// The host without the brackets that an IPv6 address has in a URL.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Whether an address, canonical already, is one of the public internet.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !V4_NOT_GLOBAL.iter().any(|(network, length)| v4_contains(*network, *length, v4)),
        IpAddr::V6(v6) => {
            let within = |(network, length): (Ipv6Addr, u8)| v6_contains(network, length, v6);
            let [.., c, d, e, f] = v6.octets();
            if within(V6_NAT64) {
                return is_global(IpAddr::V4(Ipv4Addr::new(c, d, e, f)));
            }
            let [_, _, a, b, c, d, ..] = v6.octets();
            if within(V6_6TO4) {
                return is_global(IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
            }
            within(V6_GLOBAL) && !V6_NOT_GLOBAL.into_iter().any(within)
        }
    }
}

/// Whether a network, which may be written as IPv4 in IPv6, holds an address, canonical already.
fn contains(network: IpAddr, length: u8, address: IpAddr) -> bool {
    match (network, network.to_canonical(), address) {
        (IpAddr::V4(_), IpAddr::V4(network), IpAddr::V4(v4)) => v4_contains(network, length, v4),
        (IpAddr::V6(_), IpAddr::V4(network), IpAddr::V4(v4)) if length >= 96 => v4_contains(network, length - 96, v4),
        (IpAddr::V6(network), _, IpAddr::V6(v6)) => v6_contains(network, length, v6),
        _ => false,
    }
}

fn v4_contains(network: Ipv4Addr, length: u8, address: Ipv4Addr) -> bool {
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length.into())).unwrap_or(0);
    (network.to_bits() ^ address.to_bits()) & mask == 0
}

fn v6_contains(network: Ipv6Addr, length: u8, address: Ipv6Addr) -> bool {
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length.into())).unwrap_or(0);
    (network.to_bits() ^ address.to_bits()) & mask == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(host: &str, networks: &[&str]) -> HttpGrant {
        let network = |text: &&str| {
            let (address, length) = text.split_once('/').unwrap();
            (address.parse().unwrap(), length.parse().unwrap())
        };
        HttpGrant { https: true, host: host.into(), port: 443, networks: networks.iter().map(network).collect() }
    }

    fn check(grant: &HttpGrant, addresses: &str, expected: bool) {
        for address in addresses.split_whitespace() {
            assert_eq!(permits(grant, address.parse().unwrap()), expected, "{} {address}", grant.host);
        }
    }

    /// The first and last address of every network that is not public, and each of them dressed up in IPv6.
    #[test]
    fn a_name_may_not_lead_inside() {
        let name = grant("api.example", &[]);
        let inside = "0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 \
            127.255.255.255 169.254.0.0 169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.255 192.0.2.1 \
            192.88.99.1 192.168.0.0 192.168.255.255 198.18.0.0 198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 \
            239.255.255.255 240.0.0.1 255.255.255.255";
        check(&name, inside, false);
        for address in inside.split_whitespace() {
            let [a, b, c, d] = address.parse::<Ipv4Addr>().unwrap().octets();
            check(&name, &format!("::ffff:{address} ::{address} 64:ff9b::{address} 64:ff9b:1::{address}"), false);
            check(&name, &format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"), false);
        }
        check(
            &name,
            ":: ::1 fe80::1 febf::1 fec0::1 fc00::1 fdff::1 ff02::1 2001::1 2001:2::1 2001:10::1 2001:20::1 \
             2001:1ff::1 2001:db8::1 2001:db8:ffff::1 3fff::1 3fff:fff::1 100::1 5f00::1 4000::1 64:ff9b:1::1",
            false,
        );
    }

    /// The public neighbours of those networks.
    #[test]
    fn a_name_may_lead_outside() {
        check(
            &grant("api.example", &[]),
            "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 128.0.0.1 169.253.255.255 169.255.0.0 \
             172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 \
             203.0.112.255 203.0.114.0 223.255.255.255 ::ffff:1.1.1.1 64:ff9b::1.1.1.1 2002:0101:0101::1 \
             2001:200::1 2606:4700::1111 2a00::1 3ffe::1 3fff:1000::1",
            true,
        );
    }

    /// An address that was granted as such is permitted, be it inside, and no other is.
    #[test]
    fn a_literal_is_itself_only() {
        check(&grant("10.0.0.7", &[]), "10.0.0.7 ::ffff:10.0.0.7", true);
        check(&grant("10.0.0.7", &[]), "10.0.0.8 1.1.1.1 ::10.0.0.7", false);
        check(&grant("::ffff:10.0.0.7", &[]), "10.0.0.7", true);
        check(&grant("fd00::1", &[]), "fd00::1", true);
        check(&grant("fd00::1", &[]), "fd00::2", false);
    }

    /// Listed networks are the whole list: also the public internet is then outside.
    #[test]
    fn listed_networks_are_all_there_is() {
        let plc = grant("plc.local", &["10.0.0.0/8", "fd00::/8", "192.168.7.20/32"]);
        check(&plc, "10.0.0.0 10.255.255.255 ::ffff:10.1.2.3 fd00::1 fdff::1 192.168.7.20", true);
        check(&plc, "11.0.0.0 9.255.255.255 192.168.7.21 1.1.1.1 fe80::1 127.0.0.1 ::1", false);
        check(&grant("plc.local", &["0.0.0.0/0"]), "0.0.0.0 255.255.255.255 ::ffff:1.2.3.4", true);
        check(&grant("plc.local", &["0.0.0.0/0"]), "::1 2606:4700::1111", false);
        check(&grant("plc.local", &["::/0"]), "::1 ff02::1", true);
        check(&grant("plc.local", &["::/0"]), "10.0.0.1 ::ffff:10.0.0.1", false);
        check(&grant("plc.local", &["::ffff:10.0.0.0/104"]), "10.0.0.1", true);
        check(&grant("plc.local", &["::ffff:10.0.0.0/104"]), "11.0.0.1 ::1", false);
    }

    /// One host in all its spellings, and nothing that a resolver might take for it.
    #[test]
    fn a_host_has_many_spellings() {
        let cases = [
            ("plc.local", "PLC.Local", true),
            ("plc.local", "plc.local.", false),
            ("plc.local", "xplc.local", false),
            ("fd00::1", "[FD00:0::1]", true),
            ("10.0.0.7", "[::ffff:10.0.0.7]", true),
            ("127.0.0.1", "127.1", false),
            ("127.0.0.1", "0x7f000001", false),
        ];
        for (granted, named, expected) in cases {
            assert_eq!(same_host(granted, named), expected, "{granted} {named}");
        }
    }
}
