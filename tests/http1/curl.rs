//! curl as the client: requests as a real peer writes them, and answers as it reads them.
//!
//! It is given the host's address by `--resolve`, so that Host is what the Ingress asks for; no proxy of the environment and no file of
//! the user's home plays a part.

use std::io::{Seek, Write};
use std::net::SocketAddr;
use std::process::Command;

use tidegate_tests::{Behaviour, Finished};

use super::Scene;

/// Runs curl against `http://HOST:PORT/PATH`, with `body` on its standard input.
fn curl(gate: SocketAddr, host: &str, flags: &[&str], body: &[u8]) -> Finished {
    let mut input = tempfile::tempfile().expect("the temporary folder can be written");
    input.write_all(body).and_then(|()| input.rewind()).expect("the temporary folder can be written");
    let output = Command::new("curl")
        .args(["-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--resolve"])
        .arg(format!("{host}:{}:{}", gate.port(), gate.ip()))
        .args(flags)
        .arg(format!("http://{host}:{}/from/curl", gate.port()))
        .stdin(input)
        .output()
        .expect("curl is installed (`make test` does it)");
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Status, version of the answer and connections made, after the body.
const SAY: [&str; 2] = ["--write-out", " %{http_code} %{http_version} %{num_connects}"];

#[test]
fn a_host_is_served_by_its_rule_and_a_stranger_is_not() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.gate.http();
    assert_eq!(curl(gate, "shop.example", &SAY, b"").exited(0), "one 200 1.1 1");
    let request = scene.replica.last();
    assert!(request.head.starts_with("GET /from/curl HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.field("host"), Some(format!("shop.example:{}", gate.port())));
    assert!(request.field("user-agent").is_some_and(|agent| agent.starts_with("curl/")), "{}", request.head);
    assert!(curl(gate, "elsewhere.example", &SAY, b"").exited(0).ends_with(" 404 1.1 1"));
    assert_eq!(scene.replica.requests(), 1);
}

#[test]
fn a_connection_is_used_again() {
    let scene = Scene::new(Behaviour::Named);
    let gate = scene.gate.http();
    let second = format!("http://shop.example:{}/second", gate.port());
    assert_eq!(curl(gate, "shop.example", &[&SAY[..], &[&second]].concat(), b"").exited(0), "one 200 1.1 1one 200 1.1 0");
    assert_eq!(scene.replica.connections(), 1);
}

#[test]
fn an_upload_of_unknown_length_arrives_whole_in_chunks() {
    let scene = Scene::new(Behaviour::Named);
    let body: Vec<u8> = (0..300_000_u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let finished = curl(scene.gate.http(), "shop.example", &[&["--upload-file", "-"], &SAY[..]].concat(), &body);
    assert_eq!(finished.exited(0), "one 200 1.1 1");
    let request = scene.replica.last();
    assert!(request.head.starts_with("PUT /from/curl HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!((request.field("transfer-encoding").as_deref(), request.field("content-length")), (Some("chunked"), None));
    assert!(unchunked(&request.body) == body, "{} bytes of chunks for {} of body, or others", request.body.len(), body.len());
}

/// The content of a body that is framed in chunks.
fn unchunked(mut framed: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = framed.windows(2).position(|window| window == b"\r\n").expect("a chunk's size ends");
        let size = std::str::from_utf8(&framed[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.unwrap_or_else(|| panic!("a size: {:?}", &framed[..end]));
        if size == 0 {
            assert_eq!(&framed[end..], b"\r\n\r\n", "no trailers were sent");
            return body;
        }
        body.extend_from_slice(&framed[end + 2..end + 2 + size]);
        framed = &framed[end + 2 + size + 2..];
    }
}

#[test]
fn a_body_that_waits_for_100_is_invited() {
    let scene = Scene::new(Behaviour::Named);
    // Without an invitation curl would send it after this many seconds, longer than it may take in all.
    let flags = ["--header", "Expect: 100-continue", "--expect100-timeout", "60", "--data-binary", "@-", "--verbose"];
    let finished = curl(scene.gate.http(), "shop.example", &[&flags, &SAY[..]].concat(), b"hello");
    assert_eq!(finished.exited(0), "one 200 1.1 1");
    assert!(finished.stderr.contains("< HTTP/1.1 100 Continue"), "{}", finished.stderr);
    assert_eq!(scene.replica.last().body, b"hello");
}

#[test]
fn a_body_that_waits_for_100_stays_home_when_it_is_not_wanted() {
    let scene = Scene::new(Behaviour::RawThenClose(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno".to_vec()));
    let flags = ["--header", "Expect: 100-continue", "--expect100-timeout", "60", "--data-binary", "@-"];
    let finished = curl(scene.gate.http(), "shop.example", &[&flags, &SAY[..]].concat(), &vec![b'x'; 1_000_000]);
    assert_eq!(finished.exited(0), "no 413 1.1 1");
    assert_eq!(scene.replica.last().body, b"");
}

#[test]
fn http_1_0_gets_a_body_without_chunks() {
    let scene = Scene::new(Behaviour::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()));
    // --raw: what the answer's framing left in it would show.
    let finished = curl(scene.gate.http(), "shop.example", &[&["--http1.0", "--raw"], &SAY[..]].concat(), b"");
    let text = finished.exited(0);
    assert!(text.starts_with("abc 200 ") && text.ends_with(" 1"), "{text}");
}

#[test]
fn head_shows_the_fields_and_waits_for_no_body() {
    let scene = Scene::new(Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-Replica: one\r\n\r\n".to_vec()));
    let finished = curl(scene.gate.http(), "shop.example", &[&["--head"], &SAY[..]].concat(), b"");
    let text = finished.exited(0).to_ascii_lowercase();
    assert!(text.contains("content-length: 1000\r\n") && text.contains("x-replica: one\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n 200 1.1 1"), "{text}");
    assert!(scene.replica.last().head.starts_with("HEAD /from/curl HTTP/1.1\r\n"));
}
