//! Bodies of requests on their way to a replica that speaks HTTP/1.

use tidegate_tests::await_until;
use tidegate_tests::frames::{END_HEADERS, END_STREAM, End, block, kind, request};

use super::*;

/// Bytes that show when they are out of order.
fn bytes(size: usize) -> Vec<u8> {
    (0..size as u32).map(|n| b'a' + (n * 7 % 23) as u8).collect()
}

#[test]
fn a_length_that_is_said_is_told() {
    let scene = Scene::new(Behaviour::Named);
    let body = bytes(300_000);
    assert_eq!(scene.curl(&[&["--data-binary", "@-"], &SAY[..]].concat(), &body).exited(0), "one 200 2 1");
    let request = scene.replica.last();
    assert!(request.head.starts_with("POST /from/curl HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!((request.field("content-length").as_deref(), request.field("transfer-encoding")), (Some("300000"), None));
    assert!(request.body == body, "{} bytes arrived, or others", request.body.len());
}

#[test]
fn a_body_of_unknown_length_goes_in_chunks() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.frames();
    let stream = client.post("shop.example", "/");
    for piece in ["hello", "", " world"] {
        client.data(stream, piece.as_bytes(), false);
    }
    client.data(stream, b"", true);
    assert_eq!(client.answer(stream).status, 200);
    let request = scene.replica.last();
    assert_eq!((request.field("content-length"), request.field("transfer-encoding").as_deref()), (None, Some("chunked")));
    assert_eq!(unchunked(&request.body), b"hello world");
}

/// The content of a body that is framed in chunks.
fn unchunked(framed: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut reader = proxy::http::body::BodyReader::new(proxy::http::head::Framing::Chunked);
    assert_eq!(reader.advance_decoded(framed, &mut content).expect("good chunks"), framed.len());
    assert!(reader.done());
    content
}

#[test]
fn an_upload_of_unknown_length_arrives_whole() {
    let scene = Scene::new(Behaviour::Named);
    let body = bytes(1_000_000);
    assert_eq!(scene.curl(&[&["--upload-file", "-"], &SAY[..]].concat(), &body).exited(0), "one 200 2 1");
    assert!(unchunked(&scene.replica.last().body) == body, "other bytes arrived than were sent");
}

#[test]
fn a_request_without_a_body_has_no_framing() {
    let scene = Scene::new(Behaviour::Named);
    for method in ["GET", "POST", "DELETE"] {
        let mut client = scene.frames();
        let stream = client.ask(&request(method, "shop.example", "/"), true);
        assert_eq!(client.answer(stream).status, 200);
        let request = scene.replica.last();
        assert_eq!((request.field("content-length"), request.field("transfer-encoding")), (None, None), "{method}");
    }
}

#[test]
fn three_mebibytes_come_back_as_they_were_sent() {
    let scene = Scene::new(Behaviour::Echo);
    let body = bytes(3 << 20);
    let said = scene.curl(&["--data-binary", "@-"], &body);
    assert!(said.exited(0).as_bytes().ends_with(&body), "{} bytes came back, or others", said.stdout.len());
    let upload = scene.gate.home().join("body");
    std::fs::write(&upload, &body).expect("the temporary folder can be written");
    let said = scene.curl_in_tls("safe.example", &["--http2", "--data-binary", &format!("@{}", upload.display())]);
    assert!(said.exited(0).as_bytes().ends_with(&body), "{} bytes came back through TLS, or others", said.stdout.len());
}

#[test]
fn a_body_is_passed_on_as_it_comes() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.frames();
    let stream = client.post("shop.example", "/");
    client.data(stream, b"12345", false);
    await_until("the head to reach the replica before the body is whole", || scene.replica.requests() == 1);
    client.data(stream, b"67890", true);
    assert_eq!(client.answer(stream).status, 200);
    assert_eq!(unchunked(&scene.replica.last().body), b"1234567890");
}

#[test]
fn a_length_that_lies_never_becomes_a_whole_request() {
    let scene = Scene::new(Behaviour::Named);
    for (length, body) in [("10", &b"short"[..]), ("3", b"too long"), ("0", b"any")] {
        let mut client = scene.frames();
        let fields = [&request("POST", "shop.example", "/")[..], &[("content-length", length)]].concat();
        let stream = client.ask(&fields, false);
        client.data(stream, body, true);
        let answer = client.answer(stream);
        assert!(answer.status != 200 || answer.end != Some(End::Whole), "{length}: {answer:?}");
        assert!(scene.replica.received().is_empty(), "{length}: a request became whole: {:?}", scene.replica.received());
    }
    assert_eq!(scene.gate.get("shop.example", "/").replica(), "one", "no half request waits on a replica's connection");
    assert_eq!(scene.replica.last().body, b"");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let scene = Scene::new(Behaviour::Early(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno".to_vec()));
    let mut client = scene.frames();
    let length = [("content-length", "100000000")];
    let stream = client.ask(&[&request("POST", "shop.example", "/")[..], &length].concat(), false);
    client.data(stream, &bytes(10_000), false);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.body.as_slice()), (413, &b"no"[..]), "{answer:?}");
    scene.replica.now(Behaviour::Named);
    assert_eq!(client.fetch("shop.example", "/").status, 200, "the connection goes on");
}

#[test]
fn a_client_that_waits_for_an_invitation_gets_one_once_its_body_is_wanted() {
    let scene = Scene::new(Behaviour::Named);
    // curl would give up before it sends a byte without being asked.
    let flags = ["--header", "Expect: 100-continue", "--expect100-timeout", "60", "--data-binary", "@-"];
    assert_eq!(scene.curl(&[&flags, &SAY[..]].concat(), b"hello").exited(0), "one 200 2 1");
    assert_eq!((scene.replica.last().body, scene.replica.last().field("expect")), (b"hello".to_vec(), None));
}

#[test]
fn who_is_refused_is_not_invited() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.frames();
    let fields = [&request("POST", "nobody.example", "/")[..], &[("expect", "100-continue")]].concat();
    let stream = client.ask(&fields, false);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.heads), (404, 1), "one head, and no interim one before it");
}

#[test]
fn a_body_that_is_broken_off_never_becomes_a_whole_request() {
    let scene = Scene::new(Behaviour::Named);
    for turn in 1..=20 {
        let mut client = scene.frames();
        let stream = client.post("shop.example", "/");
        client.data(stream, b"half of it", false);
        await_until("the head to reach the replica", || scene.replica.requests() == turn);
        client.reset(stream);
        await_until("the replica to be left alone", || scene.gate.sum("tidegate_requests_in_flight", &["shop"]) == 0.0);
    }
    await_until("its connections to end", || scene.replica.open() == 0);
    assert!(scene.replica.received().is_empty(), "a request became whole: {:?}", scene.replica.received());
}

#[test]
fn trailers_of_a_request_reach_a_replica_that_reads_chunks() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.frames();
    let stream = client.post("shop.example", "/");
    client.data(stream, b"hello", false);
    let trailers = block(&[("x-sum", "5"), ("x-forwarded-for", "10.0.0.1")]);
    client.say(kind::HEADERS, END_HEADERS | END_STREAM, stream, &trailers);
    assert_eq!(client.answer(stream).status, 200);
    let body = scene.replica.last().body;
    assert_eq!(String::from_utf8_lossy(&body), "5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n", "what tells where a request comes from is left out");
}

#[test]
fn trailers_of_an_answer_in_chunks_reach_its_client() {
    let answer = |rest: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}").into_bytes();
    let scene = Scene::new(Behaviour::Raw(answer("5\r\nhello\r\n0\r\nX-Sum: 5\r\n\r\n")));
    let mut client = scene.frames();
    let with = client.fetch("shop.example", "/");
    assert_eq!((with.body.as_slice(), with.heads, with.end), (&b"hello"[..], 2, Some(End::Whole)));
    scene.replica.now(Behaviour::Raw(answer("5\r\nhello\r\n0\r\n\r\n")));
    let without = client.fetch("shop.example", "/");
    assert_eq!((without.body.as_slice(), without.heads, without.end), (&b"hello"[..], 1, Some(End::Whole)));
    let pieces = [answer("5\r\nhello\r\n0\r\nX-S"), b"um: 5\r\nX-Last: 6\r\n\r\n".to_vec()];
    scene.replica.now(Behaviour::Pieces(pieces.to_vec()));
    let stream = client.get("shop.example", "/");
    client.until("the content", |client| client.on(stream).body == b"hello");
    assert_eq!(client.on(stream).end, None, "the trailers are still to come");
    scene.replica.release();
    let late = client.answer(stream);
    assert_eq!((late.heads, late.end), (2, Some(End::Whole)));
}
