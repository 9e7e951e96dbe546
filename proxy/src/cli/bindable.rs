//! Whether virtual IPs of a range can be bound on this machine.
//!
//! Invariant: a range is refused only when no address of it can be: it is not loopback, holds no address of an interface, and the system
//! refuses a probe. So a mistaken range ends the start with one message, not with one for each Service later.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use config::problem::{Problem, Reason};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Whether the range may be served. `local` are this machine's addresses; `binds` tries one of the range.
///
/// # Errors
/// No virtual IP from it could ever be bound.
pub(super) fn check(cidr: IpNet, local: &[IpAddr], binds: impl FnOnce(IpAddr) -> bool) -> Result<(), Problem> {
    let loopback = [Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into(), Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128).into()];
    let ours = loopback.iter().any(|loopback: &IpNet| loopback.contains(&cidr)) || local.iter().any(|address| cidr.contains(address));
    if ours || cidr.hosts().next().is_some_and(binds) {
        return Ok(());
    }
    let found = format!("`{cidr}` holds no address that this machine can bind");
    Err(Problem::error(Reason::AddressRefused, found)
        .at("serviceCidr")
        .expected("a range of loopback (127.0.0.0/8), or one of this machine's own addresses")
        .fix(format!("choose one such as `127.96.0.0/16`, or first make the range local: `ip route add local {cidr} dev lo`")))
}

/// Whether the system lets us bind an address: one that it routes to itself, or any when it is told so.
pub(super) fn binds(address: IpAddr) -> bool {
    // A group's address can be bound, but nobody connects to it.
    !address.is_multicast() && UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_range_that_nothing_of_can_be_bound_is_refused() {
        let local = ["127.0.0.1", "192.0.2.7", "fd00::7"].map(|ip| ip.parse().unwrap());
        let check = |cidr: &str, binds: bool| check(cidr.parse().unwrap(), &local, |_| binds).map_err(|problem| problem.to_string());
        for good in ["127.96.0.0/16", "127.0.0.0/8", "::1/128", "192.0.2.0/24", "192.0.2.7/32", "fd00::/64"] {
            assert_eq!(check(good, false), Ok(()), "{good}");
        }
        for foreign in ["8.8.8.0/24", "10.96.0.0/12", "126.0.0.0/8", "fd01::/64"] {
            let said = check(foreign, false).unwrap_err();
            assert!(said.contains(foreign) && said.contains("expected") && said.contains("fix:"), "{said}");
            assert_eq!(check(foreign, true), Ok(()), "{foreign}: the system routes it to itself");
        }
    }

    #[test]
    fn the_probe_is_true() {
        assert!(binds(Ipv4Addr::LOCALHOST.into()));
        assert!(!binds(Ipv4Addr::new(224, 0, 0, 5).into()));
    }
}
