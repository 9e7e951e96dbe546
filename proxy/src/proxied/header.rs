//! PROXY protocol headers, versions 1 and 2 (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2): read strictly, and written.
//!
//! Pure. Invariant: bytes are a whole header, the beginning of one, or none; a header of which a byte is doubtful is none. Our own
//! code, since the crate for it (`ppp`) takes ports with a sign and wants extensions to be whole before it says who connects.

use std::net::{IpAddr, SocketAddr};

use config::object::ProxyVersion;

/// What a header of version 2 begins with.
pub(crate) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Of version 2, before the addresses: signature, version and command, family, length.
const FIXED: usize = 16;
/// The longest that has to be seen: a header of version 2 with two paths of unix sockets, without its extensions.
pub const LONGEST: usize = FIXED + 216;
/// The longest header of version 1, in bytes, with its end of line.
const LONGEST_V1: usize = 107;
const PREFIX_V1: &[u8] = b"PROXY ";

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whom the connection speaks for; `None`: for its other end (`LOCAL`, `UNKNOWN`, or a family that is no TCP over IP).
    pub client: Option<SocketAddr>,
    /// All of its bytes, extensions included, which need not be here yet.
    pub length: usize,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Other bytes.
    #[error("no PROXY protocol header, which this proxy must send (`proxyProtocol`)")]
    NoHeader,
    /// A line without an end where it must have ended.
    #[error("a PROXY line longer than 107 bytes")]
    TooLong,
    /// A line that is not to the letter.
    #[error("a PROXY line that is not as it must be")]
    Line,
    /// Neither `LOCAL` nor `PROXY` of version 2.
    #[error("a PROXY header of another version than 2, or with an unknown command")]
    Command,
    /// No family and transport of the specification.
    #[error("a PROXY header of an unknown family")]
    Family,
    /// Its length does not hold the addresses of its family.
    #[error("a PROXY header too short for its addresses")]
    Short,
}

/// The header that `bytes` begin with; `None` while more must come.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Wrong> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(&SIGNATURE) {
        if bytes.len() < FIXED { Ok(None) } else { v2(bytes) }
    } else if begins(PREFIX_V1) {
        v1(bytes)
    } else {
        Err(Wrong::NoHeader)
    }
}

fn v1(bytes: &[u8]) -> Result<Option<Header>, Wrong> {
    let here = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = here.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() < LONGEST_V1 { Ok(None) } else { Err(Wrong::TooLong) };
    };
    let line = here[..end].strip_suffix(b"\r").and_then(|line| line.strip_prefix(PREFIX_V1)).ok_or(Wrong::Line)?;
    let line = std::str::from_utf8(line).map_err(|_| Wrong::Line)?;
    if line.bytes().any(|byte| byte == b'\r') {
        return Err(Wrong::Line);
    }
    Ok(Some(Header { client: said(line)?, length: end + 1 }))
}

/// What comes after `PROXY `.
fn said(line: &str) -> Result<Option<SocketAddr>, Wrong> {
    // What follows `UNKNOWN` must not be looked at.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let mut next = || words.next().ok_or(Wrong::Line);
    let family = next()?;
    let (from, to, port, to_port) = (next()?, next()?, next()?, next()?);
    if words.next().is_some() {
        return Err(Wrong::Line);
    }
    let address = |text: &str| -> Result<IpAddr, Wrong> {
        match family {
            "TCP4" => text.parse().map(IpAddr::V4).map_err(|_| Wrong::Line),
            "TCP6" => text.parse().map(IpAddr::V6).map_err(|_| Wrong::Line),
            _ => Err(Wrong::Line),
        }
    };
    let (from, port) = (address(from)?, self::port(port)?);
    address(to)?;
    self::port(to_port)?;
    Ok(Some(SocketAddr::new(from.to_canonical(), port)))
}

/// A number as we would write it: `+80` and `080` are none.
fn port(text: &str) -> Result<u16, Wrong> {
    let plain = text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Wrong::Line)
}

/// At least [`FIXED`] bytes are here.
fn v2(bytes: &[u8]) -> Result<Option<Header>, Wrong> {
    let length = FIXED + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    let local = match bytes[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(Wrong::Command),
    };
    let addresses = match bytes[13] {
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => return Err(Wrong::Family),
    };
    // Whatever a proxy says of a connection that is its own must not be looked at.
    if local {
        return Ok(Some(Header { client: None, length }));
    }
    if length < FIXED + addresses {
        return Err(Wrong::Short);
    }
    let Some(at) = bytes.get(FIXED..FIXED + addresses) else { return Ok(None) };
    let port = |high: usize| u16::from_be_bytes([at[high], at[high + 1]]);
    let client = match bytes[13] {
        0x11 => Some(SocketAddr::from(([at[0], at[1], at[2], at[3]], port(8)))),
        0x21 => {
            let ip: [u8; 16] = std::array::from_fn(|byte| at[byte]);
            Some(SocketAddr::new(IpAddr::from(ip).to_canonical(), port(32)))
        }
        _ => None,
    };
    Ok(Some(Header { client, length }))
}

/// Adds the header of a connection from `client` that we took at `taken`.
pub fn write(version: ProxyVersion, client: SocketAddr, taken: SocketAddr, out: &mut Vec<u8>) {
    let (from, to) = (client.ip().to_canonical(), taken.ip().to_canonical());
    let (from, to) = if from.is_ipv4() == to.is_ipv4() { (from, to) } else { (in_ipv6(from), in_ipv6(to)) };
    match version {
        ProxyVersion::V1 => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            out.extend_from_slice(format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), taken.port()).as_bytes());
        }
        ProxyVersion::V2 => {
            out.extend_from_slice(&SIGNATURE);
            out.extend_from_slice(if from.is_ipv4() { &[0x21, 0x11, 0, 12] } else { &[0x21, 0x21, 0, 36] });
            for ip in [from, to] {
                match ip {
                    IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
                }
            }
            out.extend_from_slice(&client.port().to_be_bytes());
            out.extend_from_slice(&taken.port().to_be_bytes());
        }
    }
}

fn in_ipv6(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests;
