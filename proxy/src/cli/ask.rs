//! One GET to our own admin listener, over a plain blocking socket.
//!
//! HTTP/1.0, so that the answer ends with the connection; nothing more of HTTP is needed to talk to ourselves. Every wait is bounded.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(2);
const READ: Duration = Duration::from_secs(15);
/// Longest answer, in bytes.
const MOST: u64 = 1 << 30;

/// What the admin listener said.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// The body of a 200 from `http://ADMIN/PATH`.
///
/// # Errors
/// What to tell the operator.
pub(super) fn get(admin: SocketAddr, path: &str) -> Result<Vec<u8>, String> {
    let answer = asked(admin, path)?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(format!("the admin listener {admin} says {status}: {}", answer.said())),
    }
}

/// The answer from `http://ADMIN/PATH`, whatever it is.
///
/// # Errors
/// What to tell the operator.
pub(super) fn asked(admin: SocketAddr, path: &str) -> Result<Answer, String> {
    let admin = dialled(admin);
    let nobody = |error: std::io::Error| {
        format!("nothing answers on the admin listener {admin}: {error}; fix: start `tidegate run`, or give its address with --admin ADDR")
    };
    let mut stream = TcpStream::connect_timeout(&admin, CONNECT).map_err(nobody)?;
    let answer = talk(&mut stream, admin, path).map_err(|error| format!("the admin listener {admin} broke off: {error}"))?;
    Answer::read(&answer)
        .ok_or_else(|| format!("what answers on {admin} is not Tidegate's admin listener; fix: give its address with --admin ADDR"))
}

impl Answer {
    /// From all its bytes; `None` when they are no HTTP/1.
    fn read(bytes: &[u8]) -> Option<Answer> {
        let end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let rest = bytes.strip_prefix(b"HTTP/1.").filter(|rest| rest.get(1) == Some(&b' '))?;
        let status = std::str::from_utf8(rest.get(2..5)?).ok()?.parse().ok()?;
        Some(Answer { status, body: bytes[end + 4..].to_vec() })
    }

    /// The `error` of a JSON answer, else its text.
    pub(super) fn said(&self) -> String {
        let json: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let error = json.as_ref().and_then(|json| json.get("error")?.as_str());
        error.map_or_else(|| String::from_utf8_lossy(&self.body).trim().to_owned(), str::to_owned)
    }
}

fn talk(stream: &mut TcpStream, admin: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(READ))?;
    stream.set_write_timeout(Some(READ))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {admin}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(answer)
}

/// A listener bound to every address is asked on loopback.
fn dialled(admin: SocketAddr) -> SocketAddr {
    let ip = match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, admin.port())
}

/// `text` for use as a value in a query.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answered(answer: &'static [u8]) -> Result<Vec<u8>, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.extend_from_slice(&byte);
                }
                stream.write_all(answer).unwrap();
            });
            get(address, "/x")
        })
    }

    #[test]
    fn answers_and_their_errors_are_told_apart() {
        assert_eq!(answered(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nbody").unwrap(), b"body");
        assert!(answered(b"HTTP/1.1 404 Not Found\r\n\r\n{\"error\":\"no topic\"}").unwrap_err().ends_with("no topic"));
        for stranger in [&b"SSH-2.0-x\r\n"[..], b"HTTP/1.1 2\r\n\r\n", b"HTTP/1.", b"HTTP/2 200 \r\n\r\n"] {
            assert!(answered(stranger).unwrap_err().contains("not Tidegate's admin"));
        }
    }

    #[test]
    fn nobody_there_says_what_to_do() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = get(address, "/x").unwrap_err();
        assert!(error.contains(&address.to_string()) && error.contains("--admin"), "{error}");
    }

    #[test]
    fn a_query_value_holds_anything() {
        assert_eq!(encoded("http://a/b?c=d&e\n"), "http%3A%2F%2Fa%2Fb%3Fc%3Dd%26e%0A");
    }
}
