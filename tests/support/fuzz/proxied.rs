//! Any bytes as the first of a trusted proxy's connection: whole and in pieces they say the same, and what they say is written back so.
//!
//! A header that names a client is, to the byte, the one that our own writer makes of the same addresses, wherever the specification
//! leaves one way to write it.

use std::net::{IpAddr, SocketAddr};

use config::object::ProxyVersion;
use proxy::proxied::header::{Header, LONGEST, Wrong, parse, write};

use super::Target;

/// See the module.
pub const TARGET: Target = Target { name: "proxied", run, seeds, words: WORDS };

/// Where our writer says that connections were taken, unless a header says it.
const TAKEN: [([u16; 8], u16); 2] = [([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201], 80), ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 65_535)];
/// A header of version 2 before its addresses.
const FIXED: usize = 16;

fn run(bytes: &[u8]) {
    let whole = parse(bytes);
    in_pieces(bytes, whole);
    let header = match whole {
        Ok(Some(header)) => header,
        Ok(None) => return assert!(bytes.len() < LONGEST, "it wants more than is kept of a header"),
        Err(_) => return,
    };
    let text = bytes.starts_with(b"PROXY ");
    let most = if text { bytes.len().min(107) } else { FIXED + usize::from(u16::MAX) };
    assert!((15..=most).contains(&header.length), "{} bytes of header", header.length);
    let Some(client) = header.client else { return };
    assert_eq!(client.ip(), client.ip().to_canonical(), "an IPv4 client is known by its IPv4 address");
    for (ip, port) in TAKEN {
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            back(version, client, SocketAddr::new(IpAddr::from(ip).to_canonical(), port), bytes);
        }
    }
    if text { line(&bytes[..header.length], client) } else { binary(bytes, client, header.length) }
}

/// What a reader knows never changes by what comes later: it waits, and then it says what it says of all.
fn in_pieces(bytes: &[u8], whole: Result<Option<Header>, Wrong>) {
    let mut said = false;
    for end in 0..bytes.len().min(LONGEST + 1) {
        let part = parse(&bytes[..end]);
        said |= part != Ok(None);
        assert!(if said { part == whole } else { part == Ok(None) }, "{part:?} after {end} bytes, {whole:?} after all");
    }
    assert!(said || bytes.len() <= LONGEST, "it waits for more than is kept of a header");
}

/// Our writer's header of it is read as it was meant, however the connection goes on.
fn back(version: ProxyVersion, client: SocketAddr, taken: SocketAddr, rest: &[u8]) {
    let mut written = Vec::new();
    write(version, client, taken, &mut written);
    let length = written.len();
    assert!(length <= LONGEST);
    assert_eq!(parse(&written[..length - 1]), Ok(None), "it is whole before its end");
    written.extend_from_slice(rest);
    assert_eq!(parse(&written), Ok(Some(Header { client: Some(client), length })), "{}", written.escape_ascii());
}

/// A line of IPv4 can be written in one way; one of IPv6 in many, of which all mean the same addresses.
fn line(line: &[u8], client: SocketAddr) {
    let words: Vec<&str> = std::str::from_utf8(line).expect("a line is text").split([' ', '\r']).collect();
    let [_, family, from, to, port, to_port, "\n"] = words[..] else { panic!("a line has six words: {words:?}") };
    let address = |ip: &str, port: &str| SocketAddr::new(ip.parse().expect("an IP address"), port.parse().expect("a port"));
    let (from, to) = (address(from, port), address(to, to_port));
    assert_eq!(SocketAddr::new(from.ip().to_canonical(), from.port()), client);
    assert_eq!((family == "TCP4", family == "TCP6"), (from.is_ipv4() && to.is_ipv4(), from.is_ipv6() && to.is_ipv6()));
    let plain = format!("PROXY {family} {} {} {} {}\r\n", from.ip(), to.ip(), from.port(), to.port());
    if family == "TCP4" {
        assert_eq!(line.escape_ascii().to_string(), plain.as_bytes().escape_ascii().to_string());
    } else {
        assert_eq!(parse(plain.as_bytes()), Ok(Some(Header { client: Some(client), length: plain.len() })));
    }
    let mut ours = Vec::new();
    write(ProxyVersion::V1, from, to, &mut ours);
    let mapped = [from, to].iter().all(|at| at.ip() != at.ip().to_canonical());
    assert!(mapped || ours == plain.as_bytes(), "we write {} for {plain:?}", ours.escape_ascii());
}

/// The addresses stand as our writer puts them, but where an IPv4 address is dressed as IPv6.
fn binary(bytes: &[u8], client: SocketAddr, length: usize) {
    let (size, port_at) = if bytes[13] == 0x11 { (4, 24) } else { (16, 48) };
    let ip = |at: usize| match <[u8; 4]>::try_from(&bytes[at..at + size]) {
        Ok(four) => IpAddr::from(four),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(&bytes[at..at + size]).expect("sixteen bytes")),
    };
    assert!(length >= port_at + 4, "its addresses go on after its end");
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let (from, to) = (SocketAddr::new(ip(FIXED), port(port_at)), SocketAddr::new(ip(FIXED + size), port(port_at + 2)));
    assert_eq!(SocketAddr::new(from.ip().to_canonical(), from.port()), client);
    let mut ours = Vec::new();
    write(ProxyVersion::V2, from, to, &mut ours);
    let mapped = [from, to].iter().all(|at| at.ip() != at.ip().to_canonical());
    assert!(mapped || ours[FIXED..] == bytes[FIXED..ours.len()], "we write {}", ours.escape_ascii());
}

fn seeds() -> Vec<Vec<u8>> {
    let long = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let lines = [
        "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\n\r\n".to_owned(),
        "PROXY TCP6 2001:db8::7 2001:DB8:0::1 4711 443\r\n".to_owned(),
        "PROXY TCP6 ::ffff:192.0.2.7 ::1 1 0\r\n".to_owned(),
        format!("PROXY TCP6 {long} {long} 65535 65535\r\n"),
        format!("PROXY UNKNOWN {long} {long} 65535 65535\r\n"),
        "PROXY UNKNOWN\r\n".to_owned(),
        "PROXY TCP4 192.0.2.7 192.0.2.1 04711 +80\n".to_owned(),
    ];
    let four: &[u8] = &[192, 0, 2, 7, 192, 0, 2, 1, 0x12, 0x67, 0, 80];
    let mapped: &[u8] = b"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x67\0\x50";
    let binary = [
        v2(0x21, 0x11, four),
        v2(0x21, 0x11, &[four, b"\x03\0\x04crc!\x04\0\0"].concat()),
        v2(0x21, 0x21, &[7; 36]),
        v2(0x21, 0x21, mapped),
        v2(0x20, 0x00, b""),
        v2(0x21, 0x31, &[b'/'; 216]),
        v2(0x21, 0x12, four),
        v2(0x21, 0x11, &four[..11]),
    ];
    lines.into_iter().map(String::into_bytes).chain(binary).collect()
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("a seed is short");
    [b"\r\n\r\n\0\r\nQUIT\n", [command, family].as_slice(), &length.to_be_bytes(), rest].concat()
}

const WORDS: &[&[u8]] = &[
    b"PROXY ",
    b"TCP4 ",
    b"TCP6 ",
    b"UNKNOWN",
    b"192.0.2.7 ",
    b"::ffff:192.0.2.7 ",
    b"fe80::1%1 ",
    b"65535",
    b"65536",
    b"\r\n",
    b"\n",
    b" ",
    b"+",
    b"0",
    b"\r\n\r\n\0\r\nQUIT\n",
    b"\x21\x11\x00\x0c",
    b"\x21\x21\x00\x24",
    b"\x20\x00\x00\x00",
    b"\x21\x31\x00\xd8",
    b"\xff\xff",
];
