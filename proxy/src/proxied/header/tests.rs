use proptest::prelude::*;

use super::*;

fn client(bytes: impl AsRef<[u8]>) -> Result<Option<SocketAddr>, Wrong> {
    let bytes = bytes.as_ref();
    parse(bytes).map(|header| {
        let header = header.expect("a whole header");
        assert!(header.length <= bytes.len());
        header.client
    })
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend(rest);
    bytes
}

#[test]
fn lines_as_the_specification_has_them() {
    let at = |text: &str| Ok(Some(text.parse().unwrap()));
    assert_eq!(client("PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n"), at("192.0.2.7:4711"));
    assert_eq!(client("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), at("255.255.255.255:65535"));
    let long = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    assert_eq!(client(format!("PROXY TCP6 {long} {long} 65535 65535\r\n")), at(&format!("[{long}]:65535")));
    assert_eq!(client("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n"), at("192.0.2.7:1"), "by its IPv4 self");
    assert_eq!(client("PROXY UNKNOWN\r\n"), Ok(None));
    assert_eq!(client(format!("PROXY UNKNOWN {long} {long} 65535 65535\r\n")), Ok(None), "the longest there is: 107 bytes");
}

#[test]
fn lines_that_are_a_little_off_are_refused() {
    for line in [
        "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\n",
        "PROXY  TCP4 192.0.2.7 192.0.2.1 4711 80\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80 \r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 +4711 80\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 04711 80\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 65536 80\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1  80\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 4711 080\r\n",
        "PROXY TCP4 192.0.2.07 192.0.2.1 4711 80\r\n",
        "PROXY TCP4 192.0.2 192.0.2.1 4711 80\r\n",
        "PROXY TCP4 ::1 ::1 4711 80\r\n",
        "PROXY TCP6 192.0.2.7 192.0.2.1 4711 80\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 4711 80\r\n",
        "PROXY tcp4 192.0.2.7 192.0.2.1 4711 80\r\n",
        "PROXY UDP4 192.0.2.7 192.0.2.1 4711 80\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY UNKNOWN \r a\r\n",
        "PROXY \r\n",
    ] {
        assert_eq!(client(line), Err(Wrong::Line), "{line:?}");
    }
    for line in ["PROXX TCP4", "proxy TCP4 192.0.2.7 192.0.2.1 4711 80\r\n", "GET / HTTP/1.1\r\n", "\r\n\r\n\0\r\nQUIX\n", "\x16\x03\x01"] {
        assert_eq!(parse(line.as_bytes()), Err(Wrong::NoHeader), "{line:?}");
    }
    assert_eq!(parse(format!("PROXY UNKNOWN {}\r\n", "a".repeat(93)).as_bytes()), Err(Wrong::TooLong));
}

#[test]
fn binary_headers_as_the_specification_has_them() {
    let four = [192, 0, 2, 7, 192, 0, 2, 1, 0x12, 0x67, 0, 80];
    let six: Vec<u8> =
        "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets().into_iter().chain([0; 16]).chain([0x12, 0x67, 0, 80]).collect();
    assert_eq!(client(v2(0x21, 0x11, &four)), Ok(Some("192.0.2.7:4711".parse().unwrap())));
    assert_eq!(client(v2(0x21, 0x21, &six)), Ok(Some("[2001:db8::7]:4711".parse().unwrap())));
    let extended: Vec<u8> = four.into_iter().chain([3, 0, 4, 1, 2, 3, 4]).collect();
    assert_eq!(client(v2(0x21, 0x11, &extended)), Ok(Some("192.0.2.7:4711".parse().unwrap())), "extensions are passed over");
    assert_eq!(client(v2(0x20, 0x11, &four)), Ok(None), "LOCAL");
    assert_eq!(client(v2(0x20, 0x00, &[])), Ok(None));
    assert_eq!(client(v2(0x21, 0x00, &[1, 2, 3])), Ok(None), "UNSPEC");
    assert_eq!(client(v2(0x21, 0x12, &four)), Ok(None), "not a family that a TCP listener has");
    assert_eq!(client(v2(0x21, 0x31, &[0; 216])), Ok(None), "unix sockets");
    for command in [0x00, 0x11, 0x22, 0x31] {
        assert_eq!(client(v2(command, 0x11, &four)), Err(Wrong::Command), "{command:x}");
    }
    for family in [0x01, 0x10, 0x13, 0x41, 0xff] {
        assert_eq!(client(v2(0x21, family, &four)), Err(Wrong::Family), "{family:x}");
    }
    assert_eq!(client(v2(0x21, 0x11, &four[..11])), Err(Wrong::Short));
    assert_eq!(client(v2(0x21, 0x21, &four)), Err(Wrong::Short));
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

proptest! {
    #[test]
    fn what_we_write_we_read(from in ip(), to in ip(), ports in any::<(u16, u16)>(), second in any::<bool>(), rest in any::<Vec<u8>>()) {
        let version = if second { ProxyVersion::V2 } else { ProxyVersion::V1 };
        let client = SocketAddr::new(from.to_canonical(), ports.0);
        let mut bytes = Vec::new();
        write(version, client, SocketAddr::new(to, ports.1), &mut bytes);
        let length = bytes.len();
        prop_assert!(length <= LONGEST);
        for part in 0..length {
            let early = parse(&bytes[..part]);
            prop_assert!(matches!(early, Ok(None)), "{part} of {length}: {early:?}");
        }
        bytes.extend(rest);
        prop_assert_eq!(parse(&bytes), Ok(Some(Header { client: Some(client), length })));
    }

    /// A header that is not whole fits into what is kept of it, so that reading always goes on or ends.
    #[test]
    fn any_bytes_end(start in prop_oneof![Just(SIGNATURE.to_vec()), Just(PREFIX_V1.to_vec()), Just(Vec::new())], rest in any::<Vec<u8>>()) {
        let bytes: Vec<u8> = start.into_iter().chain(rest).collect();
        match parse(&bytes) {
            Ok(None) => prop_assert!(bytes.len() < LONGEST),
            Ok(Some(header)) => prop_assert!(header.length > 0),
            Err(_) => {}
        }
    }
}
