//! Exact bytes from somebody who wants more than is answered: none of them reaches the engine.

use std::io::Write;

use super::*;
use crate::guard::{rest, status, until};

/// Heads and what follows them; each is refused, and the engine hears nothing.
const REFUSED: &[&str] = &[
    "POST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n{\"Image\": \"alpine\"}",
    "POST /v1.41/containers/x/exec HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "PUT /containers/x/archive?path=/etc HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "DELETE /containers/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /containers/x/archive?path=/etc/shadow HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /containers/x/logs?stdout=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /containers/x/attach/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET /images/json HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /secrets HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /v1.41/../containers/json HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET //containers/json HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /containers/json/../../exec HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /containers/%2e%2e/json HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /containers/x%2fjson HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /containers/x/json?size=1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /containers/json?all=1&all=0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /containers/json?filters={\"volume\":[\"/etc\"]} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /events?filters={\"type\":[\"secret\"]} HTTP/1.1\r\nHost: a\r\n\r\n",
    // Hidden bodies, of which a laxer reader may take one for a request.
    "GET /_ping HTTP/1.1\r\nHost: a\r\nContent-Length: 42\r\n\r\nPOST /containers/create HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /_ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2a\r\nPOST /containers/create HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
    "GET /_ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "GET /_ping HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "GET /_ping HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "GET /_ping HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
    // Other protocols.
    "GET /_ping HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
    "POST /session HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    // Other forms of a target.
    "GET http://docker/_ping HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET unix:///var/run/docker.sock HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    // What is no request at all.
    "GET  /_ping HTTP/1.1\r\n\r\n",
    "GET /_ping\r\n\r\n",
    "GET /_ping HTTP/9.9\r\n\r\n",
    "GET /_ping HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET /_ping HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    "GET /containers/x\0/json HTTP/1.1\r\n\r\n",
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
    "{\"message\": \"hello\"}\r\n\r\n",
];

#[test]
fn what_is_no_question_is_refused_and_the_engine_hears_nothing() {
    let (engine, guard) = both();
    for bytes in REFUSED {
        let answer = guard.exchange(bytes);
        assert!(matches!(status(&answer), 400 | 403), "{bytes}\nwas answered\n{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one answer, and the connection ends: {bytes}\nwas answered\n{answer}");
        if status(&answer) == 403 {
            assert!(answer.contains("{\"message\":\"tidegate docker-proxy: "), "{answer}");
        }
        assert_eq!(engine.asked(), [""; 0], "{bytes}");
    }
    // Who begins so would not understand an answer of HTTP/1.
    assert_eq!(guard.exchange("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "");
    assert_eq!(engine.asked(), [""; 0]);
    assert_eq!(guard.get("/_ping").0, 200, "it still answers");
}

#[test]
fn a_refusal_says_why_and_what_is_allowed() {
    let (_engine, guard) = both();
    let (status, body) = guard.get("/v1.41/images/json");
    assert_eq!(status, 403);
    let message: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let message = message["message"].as_str().expect("a message");
    for word in ["path is refused", "GET of /_ping, /version, /containers/json, /containers/NAME/json and /events"] {
        assert!(message.contains(word), "{message}");
    }
    guard.await_logged("/v1.41/images/json");
    assert!(guard.log().contains("refused=1"), "{}", guard.log());
}

#[test]
fn nothing_of_a_head_but_the_question_reaches_the_engine() {
    let (engine, guard) = both();
    let fields = "Host: evil\r\nX-Registry-Auth: abc\r\nAuthorization: abc\r\nContent-Length: 0\r\nConnection: close\r\nCookie: a=b\r\n";
    let answer = guard.exchange(format!("GET /v1.30/containers/json?filters=&size=0&all=1 HTTP/1.1\r\n{fields}\r\n"));
    assert_eq!(status(&answer), 200, "{answer}");
    assert_eq!(engine.asked(), ["GET /containers/json?all=true\nhost: docker\n0 bytes"]);
}

#[test]
fn two_requests_in_one_write_are_two_questions_each_judged() {
    let (engine, guard) = both();
    let answer =
        guard.exchange("GET /_ping HTTP/1.1\r\nHost: a\r\n\r\nPOST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(status(&answer), 200, "{answer}");
    let (_, second) = answer.split_once("OKHTTP/1.1 ").expect("a second answer");
    assert!(second.starts_with("403"), "{answer}");
    assert_eq!(engine.targets(), ["GET /_ping"]);
}

#[test]
fn an_older_protocol_is_answered_once() {
    let (engine, guard) = both();
    let answer = guard.exchange("GET /_ping HTTP/1.0\r\n\r\nGET /version HTTP/1.0\r\n\r\n");
    assert!(status(&answer) == 200 && answer.ends_with("\r\n\r\nOK"), "{answer}");
    assert_eq!(engine.targets(), ["GET /_ping"]);
}

#[test]
fn a_head_that_is_too_large_or_never_ends_is_given_up() {
    let (engine, guard) = both();
    let large = guard.exchange(format!("GET /_ping HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(20_000)));
    assert!(matches!(status(&large), 400 | 431), "{large}");
    let many = guard.exchange(format!("GET /_ping HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200)));
    assert!(matches!(status(&many), 400 | 431), "{many}");
    let mut slow = guard.connect();
    slow.write_all(b"GET /_ping HTTP/1.1\r\nHost: a\r\n").expect("it reads");
    assert_ne!(status(&rest(&mut slow)), 200);
    assert_eq!(engine.asked(), [""; 0]);
}

#[test]
fn so_many_connections_and_no_more() {
    let (_engine, guard) = both();
    let ask = "GET /_ping HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut held: Vec<_> = (0..64)
        .map(|_| {
            let mut stream = guard.connect();
            stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
            assert_eq!(status(&until(&mut stream, "\r\n\r\n")), 200);
            stream
        })
        .collect();
    let answer = guard.exchange(ask);
    assert_eq!(status(&answer), 503, "{answer}");
    assert!(answer.contains("64 connections are open"), "{answer}");
    held.pop();
    tidegate_tests::await_until("a place to be free", || guard.get("/_ping").0 == 200);
}

#[test]
fn a_flood_of_refusals_does_not_flood_the_log() {
    let (_engine, guard) = both();
    for _ in 0..200 {
        assert_eq!(guard.get("/images/json").0, 403);
    }
    let lines = guard.log().lines().filter(|line| line.contains("refused")).count();
    assert!((1..100).contains(&lines), "{lines} lines for 200 refusals");
}
