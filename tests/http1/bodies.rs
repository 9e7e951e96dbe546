//! Bodies in both directions, and answers that have none.

use std::io::{Read, Write};
use std::time::Duration;

use tidegate_tests::wait::{GLANCE, await_until};
use tidegate_tests::{Behaviour, Client};

use super::Scene;

fn post(client: &mut Client, fields: &str, body: &[u8]) {
    client.send([format!("POST / HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n").as_bytes(), body].concat());
}

#[test]
fn a_body_by_length_arrives_whole() {
    let scene = Scene::new(Behaviour::Named);
    let body: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let mut client = scene.client();
    post(&mut client, &format!("Content-Length: {}\r\n", body.len()), &body);
    assert_eq!(client.response().status, 200);
    let received = scene.replica.last();
    assert_eq!(received.field("content-length"), Some(body.len().to_string()));
    assert!(received.body == body, "{} of {} bytes, or others", received.body.len(), body.len());
}

#[test]
fn large_bodies_pass_unread_both_ways_and_the_connections_go_on() {
    let scene = Scene::new(Behaviour::Echo);
    let mut client = scene.client();
    for size in [64 * 1024, 200_001, 3_000_000] {
        let body: Vec<u8> = (0..size as u32).map(|n| (n % 251) as u8).collect();
        post(&mut client, &format!("Content-Length: {size}\r\n"), &body);
        let response = client.response();
        assert!(response.body.ends_with(&body), "{size}: what came back is not what was sent");
    }
    assert_eq!(scene.replica.connections(), 1, "a large answer does not cost the replica's connection");
}

#[test]
fn a_large_answer_that_breaks_off_is_cut() {
    let begun = [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".as_slice(), &[7; 500_000]].concat();
    let scene = Scene::new(Behaviour::RawThenClose(begun));
    let mut client = scene.client();
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    client.through(b"\r\n\r\n").expect("a head");
    assert!(client.exactly(1_000_000).is_err(), "a half answer must not look whole");
}

#[test]
fn a_chunked_body_and_its_trailers_arrive() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    post(&mut client, "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let received = scene.replica.last();
    let body = String::from_utf8_lossy(&received.body).into_owned();
    let text: String = body.split("\r\n").filter(|line| line.contains("hello") || line.contains(" world")).collect();
    assert_eq!(text, "hello world");
    assert!(body.to_ascii_lowercase().contains("x-sum: 11"), "trailers arrive:\n{body}");
    assert_eq!(received.field("transfer-encoding").as_deref(), Some("chunked"));
    assert_eq!(received.field("content-length"), None);
}

#[test]
fn chunks_and_trailers_come_back() {
    let raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n";
    let scene = Scene::new(Behaviour::Raw(raw.into()));
    let mut client = scene.client();
    for _ in 0..2 {
        let response = client.get("shop.example", "/");
        assert_eq!(response.text(), "abcde");
        assert_eq!(response.trailers, [("x-sum".to_owned(), "5".to_owned())]);
    }
    assert_eq!(scene.replica.connections(), 1, "the connection to the replica is used again after a chunked answer");
}

#[test]
fn an_answer_until_close_is_whole_and_framed() {
    let scene = Scene::new(Behaviour::RawThenClose(b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec()));
    let response = scene.client().get("shop.example", "/");
    assert_eq!(response.text(), "until the end");
}

#[test]
fn head_has_the_fields_without_the_body() {
    let scene = Scene::new(Behaviour::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-Replica: one\r\n\r\n".to_vec()));
    let mut client = scene.client();
    for _ in 0..2 {
        client.send("HEAD / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        let response = client.try_response(true).expect("an answer");
        assert_eq!((response.status, response.field("content-length")), (200, Some("1000")));
    }
    assert_eq!(scene.replica.connections(), 1, "no body was waited for on the replica's side");
    assert!(scene.replica.last().head.starts_with("HEAD / "));
}

#[test]
fn answers_that_never_have_a_body_keep_the_connection_in_step() {
    for status in ["204 No Content", "304 Not Modified"] {
        let scene = Scene::new(Behaviour::Raw(format!("HTTP/1.1 {status}\r\nETag: \"1\"\r\n\r\n").into()));
        let mut client = scene.client();
        for _ in 0..3 {
            let response = client.get("shop.example", "/");
            assert!(status.starts_with(&response.status.to_string()), "{status}: {}", response.status);
            assert_eq!(response.field("etag"), Some("\"1\""));
            assert_eq!(response.field("transfer-encoding"), None, "{status}");
        }
        assert_eq!(scene.replica.connections(), 1, "{status}");
    }
}

#[test]
fn interim_answers_are_passed_on() {
    let raw = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let scene = Scene::new(Behaviour::Raw(raw.into()));
    let mut client = scene.client();
    let first = client.get("shop.example", "/");
    assert_eq!((first.status, first.field("link")), (103, Some("</a.css>")));
    let last = client.response();
    assert_eq!((last.status, last.text().as_str()), (200, "ok"));
}

#[test]
fn a_client_that_expects_100_is_invited_and_then_heard() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    post(&mut client, "Content-Length: 5\r\nExpect: 100-continue\r\n", b"");
    assert_eq!(client.response().status, 100);
    client.send("hello");
    assert_eq!(client.response().replica(), "one");
    assert_eq!(scene.replica.last().body, b"hello");
    assert_eq!(client.get("shop.example", "/").replica(), "one", "the connection stays in step");
}

#[test]
fn a_client_that_expects_100_may_be_turned_away_without_its_body() {
    let scene = Scene::new(Behaviour::RawThenClose(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n".to_vec()));
    let mut client = scene.client();
    post(&mut client, "Content-Length: 5\r\nExpect: 100-continue\r\n", b"");
    assert_eq!(client.response().status, 417);
}

#[test]
fn an_answer_is_streamed_as_it_comes() {
    let pieces: Vec<Vec<u8>> =
        vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n".to_vec(), b"1\r\nb\r\n".to_vec(), b"0\r\n\r\n".to_vec()];
    let scene = Scene::new(Behaviour::Pieces(pieces));
    let mut client = scene.client();
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    for piece in [&b"a\r\n"[..], b"b\r\n", b"0\r\n\r\n"] {
        client.through(piece).expect("a piece that does not wait for the next");
        scene.replica.release();
    }
}

#[test]
fn a_request_body_is_streamed_as_it_comes() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    post(&mut client, "Content-Length: 10\r\n", b"12345");
    await_until("the head to reach the replica before the body is whole", || scene.replica.requests() == 1);
    client.send("67890");
    assert_eq!(client.response().status, 200);
    assert_eq!(scene.replica.last().body, b"1234567890");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let scene = Scene::new(Behaviour::Named);
    scene.replica.now(Behaviour::RawThenClose(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n".to_vec()));
    let mut client = scene.client();
    post(&mut client, "Content-Length: 100000000\r\nExpect: 100-continue\r\n", b"");
    assert_eq!(client.response().status, 413);
}

/// A slow reader holds back the replica; it does not make the gate store the answer.
#[test]
fn a_slow_reader_does_not_grow_memory() {
    const LENGTH: u64 = 200_000_000;
    let scene = Scene::new(Behaviour::Body(LENGTH));
    scene.client().send("");
    let before = scene.gate.memory();
    let mut clients: Vec<Client> = (0..4).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        client.through(b"\r\n\r\n").expect("the head");
    }
    // The flow stands still once all buffers are full; memory is looked at for as long as it still moves.
    let mut highest = scene.gate.memory();
    let mut still = 0;
    while still < 100 {
        let now = scene.gate.memory();
        still = if now > highest { 0 } else { still + 1 };
        highest = highest.max(now);
        std::thread::park_timeout(GLANCE);
    }
    let grown = highest.saturating_sub(before);
    assert!(grown < 16_000_000, "{grown} bytes for 4 stalled answers of {LENGTH}");
    let mut client = clients.pop().expect("there are four");
    let mut block = vec![0; 1 << 20];
    let mut left = LENGTH - client.until_quiet(Duration::from_millis(1)).len() as u64;
    while left > 0 {
        let read = client.stream.read(&mut block).expect("the rest of the answer");
        assert!(read > 0, "{left} bytes are missing");
        left -= read as u64;
    }
}

/// The same in the other direction.
#[test]
fn a_replica_that_does_not_read_does_not_grow_memory() {
    let scene = Scene::new(Behaviour::NeverRead);
    let before = scene.gate.memory();
    let mut client = scene.client();
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a time-out can be set");
    client.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 200000000\r\n\r\n");
    let block = vec![0; 65_536];
    let mut sent = 0u64;
    while let Ok(written) = client.stream.write(&block) {
        sent += written as u64;
        assert!(sent < 150_000_000, "somebody stores the body");
    }
    let grown = scene.gate.memory().saturating_sub(before);
    assert!(grown < 16_000_000, "{grown} bytes for one stalled body");
}
