//! What could be read in two ways is refused, and never reaches a replica.

use std::time::Duration;

use tidegate_tests::{Behaviour, Client};

use super::Scene;

/// (what is wrong, request, statuses that say so)
const REFUSED: &[(&str, &str, &[u16])] = &[
    (
        "length beside chunks",
        "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "chunks beside length",
        "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        &[400],
    ),
    ("two lengths", "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", &[400]),
    ("two equal lengths", "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", &[400]),
    ("a list of lengths", "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1, 1\r\n\r\na", &[400]),
    ("a signed length", "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: +1\r\n\r\na", &[400]),
    ("a negative length", "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: -1\r\n\r\n", &[400]),
    ("a length that overflows", "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 99999999999999999999\r\n\r\n", &[400]),
    ("an empty length", "POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length:\r\n\r\n", &[400]),
    ("an unknown coding", "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: gzip\r\n\r\n", &[400, 501]),
    ("chunked is not last", "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", &[400, 501]),
    ("chunked twice", "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", &[400]),
    ("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &[400]),
    ("a folded field", "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Long: a\r\n b\r\n\r\n", &[400]),
    ("a NUL in a value", "GET / HTTP/1.1\r\nHost: shop.example\r\nX: a\0b\r\n\r\n", &[400]),
    ("a NUL in the target", "GET /\0 HTTP/1.1\r\nHost: shop.example\r\n\r\n", &[400]),
    ("bare LF ends a line", "GET / HTTP/1.1\nHost: shop.example\n\n", &[400]),
    ("bare LF after a field", "GET / HTTP/1.1\r\nHost: shop.example\nX: 1\r\n\r\n", &[400]),
    ("bare CR in a value", "GET / HTTP/1.1\r\nHost: shop.example\r\nX: a\rb\r\n\r\n", &[400]),
    ("space before the colon", "GET / HTTP/1.1\r\nHost : shop.example\r\n\r\n", &[400]),
    ("space in a name", "GET / HTTP/1.1\r\nHost: shop.example\r\nX Y: 1\r\n\r\n", &[400]),
    ("space before the first field", "GET / HTTP/1.1\r\n Host: shop.example\r\n\r\n", &[400]),
    ("an empty name", "GET / HTTP/1.1\r\nHost: shop.example\r\n: 1\r\n\r\n", &[400]),
    ("no Host", "GET / HTTP/1.1\r\n\r\n", &[400]),
    ("two Hosts", "GET / HTTP/1.1\r\nHost: shop.example\r\nHost: shop.example\r\n\r\n", &[400]),
    ("userinfo in the Host", "GET / HTTP/1.1\r\nHost: x@shop.example\r\n\r\n", &[400]),
    ("a bad port in the Host", "GET / HTTP/1.1\r\nHost: shop.example:x\r\n\r\n", &[400]),
    ("a version that is none", "GET / HTTP/1.2\r\nHost: shop.example\r\n\r\n", &[400, 505]),
    ("no version", "GET /\r\n\r\n", &[400]),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: shop.example\r\n\r\n", &[400]),
    ("a relative target", "GET page HTTP/1.1\r\nHost: shop.example\r\n\r\n", &[400]),
    ("a method that is no token", "G(T / HTTP/1.1\r\nHost: shop.example\r\n\r\n", &[400]),
    ("CONNECT", "CONNECT shop.example:80 HTTP/1.1\r\nHost: shop.example:80\r\n\r\n", &[400, 404, 405, 501]),
    ("a chunk size that is none", "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", &[400]),
    ("a chunk size with a sign", "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n", &[400]),
    (
        "a chunk size with a prefix",
        "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        &[400],
    ),
    (
        "a chunk size that overflows",
        "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n",
        &[400],
    ),
    ("bare LF after a chunk size", "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", &[400]),
    ("no line end after a chunk", "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n", &[400]),
];

/// Each refusal is a clear 4xx, ends the connection, and what stood behind it is never taken for a request.
#[test]
fn ambiguous_requests_are_refused_and_end_the_connection() {
    let scene = Scene::new(Behaviour::Named);
    let address = scene.gate.http();
    let mut failed = Vec::new();
    for (what, request, statuses) in REFUSED {
        let mut client = Client::connect(address);
        client.send([request.as_bytes(), b"GET /smuggled HTTP/1.1\r\nHost: shop.example\r\n\r\n"].concat());
        let first = client.try_response(false);
        if !first.as_ref().is_ok_and(|response| statuses.contains(&response.status)) {
            failed.push(format!("{what}: {first:?}"));
        }
        let rest = client.until_quiet(Duration::from_millis(300));
        if !rest.is_empty() {
            failed.push(format!("{what}: more came: {:?}", String::from_utf8_lossy(&rest)));
        }
    }
    let reached: Vec<_> = scene.replica.received().into_iter().map(|request| request.head).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(reached.is_empty(), "requests reached the replica: {reached:#?}");
}

#[test]
fn refusals_are_counted_by_their_reason() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.response().status, 400);
    assert_eq!(scene.gate.get("unknown.example", "/").status, 404);
    let refusals = |reason: &str| scene.gate.sum("tidegate_refusals_total", &[&format!("reason=\"{reason}\""), "exposure=\"external\""]);
    tidegate_tests::await_until("both refusals in the metrics", || refusals("bad-request") == 1.0 && refusals("no-route") == 1.0);
}
