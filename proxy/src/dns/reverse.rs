//! Reverse names: which address or network one is about, and which of them are asked of nobody else.
//!
//! Invariant: a name below a private network is private, whatever its other labels are (RFC 6303 lists them).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What a name below `in-addr.arpa` or `ip6.arpa` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reverse {
    /// One address.
    Address(IpAddr),
    /// All addresses that begin so.
    Network(IpNet),
    /// Labels that are no part of an address, below this network.
    Below(IpNet),
}

/// Reads labels from the root down; `None` when the name is no reverse name.
pub(super) fn read(labels: &[&str]) -> Option<Reverse> {
    match labels {
        ["arpa", "in-addr", rest @ ..] => Some(v4(rest)),
        ["arpa", "ip6", rest @ ..] => Some(v6(rest)),
        _ => None,
    }
}

fn v4(labels: &[&str]) -> Reverse {
    let octets: Vec<u8> = labels.iter().take(4).map_while(|label| octet(label)).collect();
    let mut all = [0; 4];
    all[..octets.len()].copy_from_slice(&octets);
    let (ip, bits) = (Ipv4Addr::from(all), octets.len() as u8 * 8);
    if octets.len() == 4 && labels.len() == 4 {
        return Reverse::Address(ip.into());
    }
    // No more than 32 bits.
    part(Ipv4Net::new(ip, bits).unwrap_or_default().into(), octets.len() == labels.len())
}

fn v6(labels: &[&str]) -> Reverse {
    let nibbles: Vec<u8> = labels.iter().take(32).map_while(|label| nibble(label)).collect();
    let bits = nibbles.len() as u8 * 4;
    let value = nibbles.iter().fold(0u128, |value, nibble| (value << 4) | u128::from(*nibble));
    let ip = Ipv6Addr::from(value.checked_shl(128 - u32::from(bits)).unwrap_or(0));
    if nibbles.len() == 32 && labels.len() == 32 {
        return Reverse::Address(ip.into());
    }
    part(Ipv6Net::new(ip, bits).unwrap_or_default().into(), nibbles.len() == labels.len())
}

fn part(network: IpNet, whole: bool) -> Reverse {
    if whole { Reverse::Network(network) } else { Reverse::Below(network) }
}

/// As it is printed: no sign, no zero before it.
fn octet(label: &str) -> Option<u8> {
    label.parse().ok().filter(|octet: &u8| octet.to_string() == label)
}

fn nibble(label: &str) -> Option<u8> {
    u8::from_str_radix(label, 16).ok().filter(|nibble| *nibble < 16 && label.len() == 1)
}

/// Whether nobody outside may be asked about it: it is in the range of virtual IPs, or of the ranges that everybody has for himself.
pub(super) fn is_private(network: IpNet, service_cidr: IpNet) -> bool {
    let v4 = |a, b, length| IpNet::from(Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), length));
    let v6 = |first, length| IpNet::from(Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), length));
    let private = [
        service_cidr,
        v4(0, 0, 8),
        v4(10, 0, 8),
        v4(100, 64, 10),
        v4(127, 0, 8),
        v4(169, 254, 16),
        v4(172, 16, 12),
        v4(192, 168, 16),
        v6(0, 127), // `::` and `::1`
        v6(0xfc00, 7),
        v6(0xfe80, 10),
    ];
    private.iter().any(|range| range.contains(&network))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Option<Reverse> {
        read(&name.split('.').rev().collect::<Vec<_>>())
    }

    #[test]
    fn a_reverse_name_is_an_address_a_network_or_something_below_one() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(of("4.3.2.10.in-addr.arpa"), Some(Reverse::Address("10.2.3.4".parse().unwrap())));
        assert_eq!(of("2.10.in-addr.arpa"), Some(Reverse::Network(net("10.2.0.0/16"))));
        assert_eq!(of("in-addr.arpa"), Some(Reverse::Network(net("0.0.0.0/0"))));
        for below in ["lb._dns-sd._udp.0.2.10.in-addr.arpa", "+3.0.2.10.in-addr.arpa", "03.0.2.10.in-addr.arpa"] {
            assert_eq!(of(below), Some(Reverse::Below(net("10.2.0.0/24"))), "{below}");
        }
        assert_eq!(of("x.4.3.2.10.in-addr.arpa"), Some(Reverse::Below(net("10.2.3.4/32"))));
        let one = format!("1.{}ip6.arpa", "0.".repeat(31));
        assert_eq!(of(&one), Some(Reverse::Address("::1".parse().unwrap())));
        assert_eq!(of("d.f.ip6.arpa"), Some(Reverse::Network(net("fd00::/8"))));
        assert_eq!(of("ip6.arpa"), Some(Reverse::Network(net("::/0"))));
        assert_eq!(of("10.d.f.ip6.arpa"), Some(Reverse::Below(net("fd00::/8"))));
        assert_eq!((of("10.example"), of("arpa")), (None, None));
    }

    #[test]
    fn what_everybody_has_for_himself_is_private() {
        let service = "198.51.100.0/24".parse().unwrap();
        let private = |text: &str| is_private(text.parse().unwrap(), service);
        for inside in
            ["10.0.0.0/8", "10.1.2.3/32", "172.31.0.0/16", "192.168.0.0/24", "127.96.0.1/32", "198.51.100.7/32", "fd12::/16", "::1/128"]
        {
            assert!(private(inside), "{inside}");
        }
        for outside in ["0.0.0.0/0", "172.0.0.0/8", "192.0.2.1/32", "198.51.0.0/16", "2001:db8::1/128", "::/0", "f000::/4"] {
            assert!(!private(outside), "{outside}");
        }
    }
}
