//! Values that a flag, the environment and `tidegate.yaml` take alike: one rule for each.
//!
//! Invariant: a value that does not fit says what would, and how to mend it, in the same words wherever it was written.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::host::HostPattern;
use crate::manifest::check::{is_label, is_subdomain};
use crate::object::{Kind, ObjectKey};

/// How many worker threads may be asked for; 0 is one for each core.
pub const WORKERS: RangeInclusive<u64> = 0..=1024;

/// Why a value was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}; fix: {fix}")]
pub struct Unfit {
    /// What would fit.
    pub expected: String,
    /// What to do.
    pub fix: String,
}

impl Unfit {
    /// Of these words.
    pub fn new(expected: impl Into<String>, fix: impl Into<String>) -> Unfit {
        Unfit { expected: expected.into(), fix: fix.into() }
    }
}

/// A listener's address; `none` switches it off.
///
/// # Errors
/// It is neither. Names are not looked up: one name may be several addresses.
pub fn address(text: &str) -> Result<Option<SocketAddr>, Unfit> {
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        Unfit::new(
            "IP:PORT (127.0.0.1:8080, [::1]:8080) or `none`",
            "give an IP address, not a name, with a port (0 takes a free one), or `none` to switch the listener off",
        )
    })
}

/// An address to listen on, where none is said by leaving it out.
///
/// # Errors
/// It is none.
pub fn bound(text: &str) -> Result<SocketAddr, Unfit> {
    text.parse()
        .map_err(|_| Unfit::new("IP:PORT (127.0.0.1:53, [::1]:53)", "give an IP address, not a name, with a port (0 takes a free one)"))
}

/// What names end in. A dot at its end is dropped; letters become small.
///
/// # Errors
/// It is no host name.
pub fn zone(text: &str) -> Result<String, Unfit> {
    let zone = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let unfit = || Unfit::new("a host name such as `cluster.local`", "write labels of letters, digits and `-`, with dots between");
    if is_subdomain(&zone) { Ok(zone) } else { Err(unfit()) }
}

/// A namespace.
///
/// # Errors
/// It cannot be one's name.
pub fn namespace(text: &str) -> Result<String, Unfit> {
    let unfit = || Unfit::new("the name of a namespace", "write up to 63 lower-case letters, digits and `-`");
    if is_label(text) { Ok(text.to_owned()) } else { Err(unfit()) }
}

/// A network. Host bits are refused: `10.1.2.3/8` is more often a slip than ten million addresses.
///
/// # Errors
/// It is none, or has bits set behind its prefix.
pub fn cidr(text: &str) -> Result<IpNet, Unfit> {
    let none = |_| Unfit::new("a CIDR such as `10.0.0.0/8`", "write NETWORK/LENGTH; one address alone is `/32`, or `/128` for IPv6");
    let net: IpNet = text.parse().map_err(none)?;
    if net.trunc() == net {
        return Ok(net);
    }
    let (whole, one) = (net.trunc(), IpNet::from(net.addr()));
    Err(Unfit::new(
        format!("`{whole}`: no bits set behind the prefix"),
        format!("write `{whole}` for the network, or `{one}` for that one address"),
    ))
}

/// An address of this machine, or the unspecified one for all of them.
///
/// # Errors
/// It is none, or one that nobody can connect to.
pub fn ip(text: &str) -> Result<IpAddr, Unfit> {
    let bindable = text.parse::<IpAddr>().ok().filter(|ip| !ip.is_multicast() && ip.to_canonical() == *ip);
    bindable.ok_or_else(|| Unfit::new("an IP address", "give an address of this machine, or `0.0.0.0` for all of its IPv4 addresses"))
}

/// A DNS server; port 53 when none is given.
///
/// # Errors
/// It is neither `IP` nor `IP:PORT`.
pub fn server(text: &str) -> Result<SocketAddr, Unfit> {
    let address = text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
    address.map_err(|_| Unfit::new("IP or IP:PORT of a DNS server", "give its address, not its name, such as `192.0.2.53`"))
}

/// A host, or `*.` and a suffix for one label before it.
///
/// # Errors
/// It is neither. Every host (`*`) is no pattern here: who means that does not know what may be reached.
pub fn host(text: &str) -> Result<HostPattern, Unfit> {
    let unfit = || Unfit::new("a host name, or `*.` and a host name", "name each host, such as `api.example.com` or `*.example.com`");
    match HostPattern::parse_ingress(text) {
        Ok(HostPattern::Any) | Err(_) => Err(unfit()),
        Ok(pattern) => Ok(pattern),
    }
}

/// A Secret, as `NAMESPACE/NAME`.
///
/// # Errors
/// It is not of that form.
pub fn secret(text: &str) -> Result<ObjectKey, Unfit> {
    let named = text.split_once('/').filter(|(namespace, name)| is_label(namespace) && is_subdomain(name));
    let key = |(namespace, name): (&str, &str)| ObjectKey { kind: Kind::Secret, namespace: namespace.into(), name: name.into() };
    named.map(key).ok_or_else(|| Unfit::new("NAMESPACE/NAME of a Secret", "write the Secret's namespace, a slash, and its name"))
}

/// A whole number in a range.
///
/// # Errors
/// It is none (`None`), or outside.
pub fn number(number: Option<u64>, range: RangeInclusive<u64>) -> Result<u64, Unfit> {
    let fits = number.filter(|number| range.contains(number));
    let (least, most) = range.into_inner();
    fits.ok_or_else(|| Unfit::new(format!("a whole number, {least} to {most}"), "give a number within these limits, without a unit"))
}

/// Worker threads.
///
/// # Errors
/// It is no number in [`WORKERS`].
pub fn workers(text: &str) -> Result<usize, Unfit> {
    let fits = number(text.parse().ok(), WORKERS);
    fits.map(|count| count as usize)
        .map_err(|Unfit { expected, .. }| Unfit::new(expected, "give a number of threads, or 0 for one on each core"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_taken_and_what_does_not_says_what_would() {
        assert_eq!(address("none"), Ok(None));
        assert_eq!(address("[::1]:0"), Ok(Some("[::1]:0".parse().unwrap())));
        for wrong in ["", "8080", "localhost:80", "127.0.0.1", "None"] {
            assert!(address(wrong).unwrap_err().to_string().contains("fix: give an IP address"), "{wrong}");
        }
        assert_eq!(cidr("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(cidr("10.1.2.3/8").unwrap_err().fix, "write `10.0.0.0/8` for the network, or `10.1.2.3/32` for that one address");
        assert!(cidr("10.0.0.0").unwrap_err().fix.contains("/32"));
        assert_eq!(secret("shop/tls").unwrap().to_string(), "Secret shop/tls");
        for wrong in ["tls", "/tls", "shop/", "shop/a/b", "Shop/tls"] {
            assert_eq!(secret(wrong).unwrap_err().expected, "NAMESPACE/NAME of a Secret", "{wrong}");
        }
        assert_eq!((server("192.0.2.1"), server("[::1]:5353")), (Ok(([192, 0, 2, 1], 53).into()), Ok("[::1]:5353".parse().unwrap())));
        assert_eq!(host("*.A.example").unwrap().to_string(), "*.a.example");
        for wrong in ["*", "", "a.*.example", "a b", "10.0.0.1"] {
            assert!(host(wrong).unwrap_err().fix.contains("name each host"), "{wrong}");
        }
        assert!(ip("0.0.0.0").is_ok() && ["x", "224.0.0.1", "::ffff:10.0.0.1"].iter().all(|wrong| ip(wrong).is_err()));
        assert_eq!((workers("0"), workers("1024")), (Ok(0), Ok(1024)));
        for wrong in ["-1", "1025", "many", ""] {
            assert_eq!(workers(wrong).unwrap_err().expected, "a whole number, 0 to 1024", "{wrong}");
        }
    }
}
