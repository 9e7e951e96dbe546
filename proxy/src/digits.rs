//! Numbers and addresses as text, without the machinery of formatting: this runs for each message and each line of the log.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

/// Appends decimal digits.
pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    padded(out, number, 1);
}

/// Appends decimal digits, `width` (at most 20) or more, with zeros in front.
pub(crate) fn padded(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[at.min(digits.len() - width)..]);
}

/// Appends hexadecimal digits, without zeros in front.
pub(crate) fn hexadecimal(out: &mut Vec<u8>, number: u64) {
    let digits = (64 - (number | 1).leading_zeros()).div_ceil(4);
    for at in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (4 * at) & 15) as usize]);
    }
}

/// Appends one chunk of a body (RFC 9112 section 7.1); `content` is not empty.
pub(crate) fn chunk(out: &mut Vec<u8>, content: &[u8]) {
    hexadecimal(out, content.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(content);
    out.extend_from_slice(b"\r\n");
}

/// Appends an address.
pub(crate) fn ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (at, octet) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                number(out, u64::from(octet));
            }
        }
        // Formatting on the hot path, against the law: RFC 5952 is long, and IPv6 pays for it.
        IpAddr::V6(ip) => drop(write!(out, "{ip}")), // a Vec takes everything
    }
}

/// Appends an address and port.
pub(crate) fn address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            ip(out, (*v4.ip()).into());
            out.push(b':');
            number(out, u64::from(v4.port()));
        }
        SocketAddr::V6(v6) => drop(write!(out, "{v6}")), // as above
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 7, 10, 1_234_567_890, u64::MAX] {
            assert_eq!(text(|out| number(out, value)), value.to_string());
            assert_eq!(text(|out| padded(out, value, 3)), format!("{value:03}"));
        }
    }

    #[test]
    fn hexadecimal_is_as_the_standard_library_writes_it() {
        for number in [0, 1, 9, 10, 15, 16, 255, 256, 65_536, u64::MAX] {
            assert_eq!(text(|out| hexadecimal(out, number)), format!("{number:x}"));
        }
    }

    #[test]
    fn addresses_are_as_the_standard_library_writes_them() {
        for given in ["127.0.0.1:80", "10.255.100.9:65535", "[::1]:8080", "[2001:db8::a]:1"] {
            let given: SocketAddr = given.parse().unwrap();
            assert_eq!(text(|out| address(out, given)), given.to_string());
            assert_eq!(text(|out| ip(out, given.ip())), given.ip().to_string());
        }
    }
}
