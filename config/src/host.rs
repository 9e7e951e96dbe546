//! Host names, normalised once at the edge: lower case, no port, no trailing dot.
//!
//! Invariant: a [`Host`] is never empty and equals byte for byte whatever else names the same host. Text that is not a host
//! (RFC 3986 section 3.2.2, RFC 9110 section 7.2) is an error, never a guess.

use std::borrow::Borrow;
use std::fmt;

/// Longest host name accepted, in bytes (RFC 1035 section 2.3.4).
pub const MAX_HOST: usize = 253;

/// A normalised host name or IP literal (IPv6 in brackets).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Host(Box<str>);

/// Room for [`normalise`] to write into, so that a request costs no allocation.
pub type HostBuf = [u8; MAX_HOST];

/// Why an authority names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing before the port.
    #[error("the host is empty")]
    Empty,
    /// Longer than [`MAX_HOST`].
    #[error("the host is longer than {MAX_HOST} bytes")]
    TooLong,
    /// A byte that no host name holds, or userinfo.
    #[error("the host holds a byte that no host name may hold")]
    BadByte,
    /// An empty label, as in `a..b`.
    #[error("the host has an empty label")]
    EmptyLabel,
    /// Not a number in 0 to 65535 after the colon.
    #[error("the port is not a number up to 65535")]
    BadPort,
    /// Brackets without an IPv6 address in them.
    #[error("the brackets do not hold an IPv6 address")]
    BadLiteral,
}

/// Normalises `authority` (`host`, `host:port`, `[v6]:port`) into `buf` and returns the host part.
///
/// # Errors
/// [`HostError`] when it is not a host with an optional port. Userinfo (`user@host`) is refused.
pub fn normalise<'b>(authority: &[u8], buf: &'b mut HostBuf) -> Result<&'b str, HostError> {
    let (host, port) = split_port(authority)?;
    check_port(port)?;
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.is_empty() {
        return Err(HostError::Empty);
    }
    if host.len() > MAX_HOST {
        return Err(HostError::TooLong);
    }
    if host[0] == b'[' {
        return literal(host, buf);
    }
    let mut label = 0;
    for (to, &byte) in buf.iter_mut().zip(host) {
        match byte {
            b'.' if label == 0 => return Err(HostError::EmptyLabel),
            b'.' => label = 0,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'A'..=b'Z' => label += 1,
            _ => return Err(HostError::BadByte),
        }
        *to = byte.to_ascii_lowercase();
    }
    if label == 0 {
        return Err(HostError::EmptyLabel); // two trailing dots
    }
    std::str::from_utf8(&buf[..host.len()]).map_err(|_| HostError::BadByte)
}

fn split_port(authority: &[u8]) -> Result<(&[u8], Option<&[u8]>), HostError> {
    if authority.first() == Some(&b'[') {
        let end = authority.iter().position(|&b| b == b']').ok_or(HostError::BadLiteral)?;
        return match &authority[end + 1..] {
            [] => Ok((authority, None)),
            [b':', port @ ..] => Ok((&authority[..=end], Some(port))),
            _ => Err(HostError::BadLiteral),
        };
    }
    Ok(match authority.iter().position(|&b| b == b':') {
        None => (authority, None),
        Some(at) => (&authority[..at], Some(&authority[at + 1..])),
    })
}

/// An empty port (`host:`) is allowed by RFC 3986 section 3.2.3.
fn check_port(port: Option<&[u8]>) -> Result<(), HostError> {
    let Some(digits) = port else { return Ok(()) };
    let mut value = 0u32;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return Err(HostError::BadPort);
        }
        value = value * 10 + u32::from(byte - b'0');
        if value > 65535 {
            return Err(HostError::BadPort);
        }
    }
    Ok(())
}

/// An IPv6 literal in its canonical text (RFC 5952), so that one address has one spelling.
fn literal<'b>(host: &[u8], buf: &'b mut HostBuf) -> Result<&'b str, HostError> {
    let inner = std::str::from_utf8(&host[1..host.len() - 1]).map_err(|_| HostError::BadLiteral)?;
    let address: std::net::Ipv6Addr = inner.parse().map_err(|_| HostError::BadLiteral)?;
    let text = format!("[{address}]");
    buf[..text.len()].copy_from_slice(text.as_bytes());
    std::str::from_utf8(&buf[..text.len()]).map_err(|_| HostError::BadLiteral)
}

impl Host {
    /// The host that `authority` names.
    ///
    /// # Errors
    /// As [`normalise`].
    pub fn parse(authority: &str) -> Result<Host, HostError> {
        let mut buf = [0; MAX_HOST];
        normalise(authority.as_bytes(), &mut buf).map(|host| Host(host.into()))
    }

    /// Its normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which hosts a rule serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum HostPattern {
    /// One host.
    Exact(Host),
    /// `*.` and this suffix, the star standing for exactly one label (Ingress v1).
    OneLabel(Host),
    /// Every host.
    Any,
}

impl HostPattern {
    /// Reads the `host` of an Ingress rule; empty text is [`HostPattern::Any`].
    ///
    /// # Errors
    /// As [`normalise`]; also for a port, an IP literal, or a star that is not the whole first label.
    pub fn parse_ingress(text: &str) -> Result<HostPattern, HostError> {
        if text.is_empty() {
            return Ok(HostPattern::Any);
        }
        if text.contains(':') || text.parse::<std::net::IpAddr>().is_ok() {
            return Err(HostError::BadByte); // the Ingress API allows neither ports nor addresses
        }
        match text.strip_prefix("*.") {
            Some(suffix) => Host::parse(suffix).map(HostPattern::OneLabel),
            None => Host::parse(text).map(HostPattern::Exact),
        }
    }
}

impl HostPattern {
    /// Whether it takes a host, given in its normal form.
    pub fn takes(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(exact) => exact.as_str() == host,
            HostPattern::OneLabel(suffix) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix.as_str()),
            HostPattern::Any => true,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => write!(f, "{host}"),
            HostPattern::OneLabel(suffix) => write!(f, "*.{suffix}"),
            HostPattern::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_host_has_one_spelling() {
        for (text, host) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("example.com:8080", "example.com"),
            ("example.com.:", "example.com"),
            ("[2001:DB8:0::1]:80", "[2001:db8::1]"),
            ("127.0.0.1:80", "127.0.0.1"),
        ] {
            assert_eq!(Host::parse(text).unwrap().as_str(), host, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_an_error() {
        for text in [
            "", ".", "..", "a..b", ".a", "a..", "user@a", "a b", "a/b", "a:b", "a:65536", "a:1:2", "[::1", "[::1]x", "[x]", "::1", "é",
            "a\0", "[]", "[::1].",
        ] {
            assert!(Host::parse(text).is_err(), "{text:?} must not parse");
        }
        assert!(Host::parse(&"a".repeat(254)).is_err());
    }

    #[test]
    fn a_star_is_a_whole_first_label_or_nothing() {
        assert_eq!(HostPattern::parse_ingress("*.Foo.com"), Ok(HostPattern::OneLabel(Host::parse("foo.com").unwrap())));
        for text in ["*", "*.", "a.*.com", "*a.com", "**.com", "*.*.com", "a.com:80", "10.0.0.1"] {
            assert!(HostPattern::parse_ingress(text).is_err(), "{text:?} must not parse");
        }
    }

    proptest! {
        #[test]
        fn normalising_is_idempotent_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut buf = [0; MAX_HOST];
            if let Ok(host) = normalise(&bytes, &mut buf) {
                let mut again = [0; MAX_HOST];
                prop_assert_eq!(normalise(host.as_bytes(), &mut again), Ok(host));
            }
        }
    }
}
