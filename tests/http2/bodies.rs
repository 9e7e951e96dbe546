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
fn trailers_of_a_request_end_it() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.frames();
    let stream = client.post("shop.example", "/");
    client.data(stream, b"hello", false);
    let trailers = block(&[("x-sum", "5")]);
    client.say(kind::HEADERS, END_HEADERS | END_STREAM, stream, &trailers);
    assert_eq!(client.answer(stream).status, 200);
    assert!(scene.replica.last().body.starts_with(b"5\r\nhello\r\n0\r\n"), "{:?}", scene.replica.last());
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

/// We cannot invite it, since hyper sends no interim answers over HTTP/2; but its replica must not wait for what nobody will say.
#[test]
fn a_client_that_waits_for_an_invitation_is_heard_without() {
    let scene = Scene::new(Behaviour::Named);
    let flags = ["--header", "Expect: 100-continue", "--expect100-timeout", "0.2", "--data-binary", "@-"];
    assert_eq!(scene.curl(&[&flags, &SAY[..]].concat(), b"hello").exited(0), "one 200 2 1");
    assert_eq!((scene.replica.last().body, scene.replica.last().field("expect")), (b"hello".to_vec(), None));
}
