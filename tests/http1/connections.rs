//! Connections that are used again, on both sides, and requests that do not wait for answers.

use tidegate_tests::wait::await_until;
use tidegate_tests::{Behaviour, Client};

use super::Scene;

#[test]
fn one_connection_carries_many_requests_on_both_sides() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    for turn in 0..50 {
        assert_eq!(client.get("shop.example", &format!("/{turn}")).replica(), "one");
    }
    assert_eq!(scene.replica.requests(), 50);
    assert_eq!(scene.replica.connections(), 1);
}

#[test]
fn clients_share_idle_connections_to_a_replica() {
    let scene = Scene::new(Behaviour::Named);
    for _ in 0..10 {
        assert_eq!(scene.client().get("shop.example", "/").replica(), "one");
    }
    assert_eq!(scene.replica.connections(), 1, "one after another needs one connection");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let scene = Scene::new(Behaviour::Echo);
    let mut client = scene.client();
    let requests: String = (0..20).map(|turn| format!("GET /{turn} HTTP/1.1\r\nHost: shop.example\r\n\r\n")).collect();
    client.send(requests);
    for turn in 0..20 {
        let text = client.response().text();
        assert!(text.starts_with(&format!("GET /{turn} HTTP/1.1\r\n")), "{turn}: {text}");
    }
}

#[test]
fn a_pipelined_request_behind_a_body_is_not_part_of_it() {
    let scene = Scene::new(Behaviour::Echo);
    let mut client = scene.client();
    client.send(
        "POST /first HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 3\r\n\r\nabc\
         POST /second HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
         GET /third HTTP/1.1\r\nHost: shop.example\r\n\r\n",
    );
    for path in ["POST /first", "POST /second", "GET /third"] {
        let text = client.response().text();
        assert!(text.starts_with(path), "{path}: {text}");
    }
    let bodies: Vec<_> = scene.replica.received().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies[0], b"abc");
    assert_eq!(bodies[2], b"");
}

#[test]
fn connection_close_is_obeyed() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    let response = client.response();
    assert_eq!(response.field("connection").map(str::to_ascii_lowercase).as_deref(), Some("close"));
    assert!(client.closed());
    assert_eq!(scene.client().get("shop.example", "/").replica(), "one");
    assert_eq!(scene.replica.connections(), 1, "the client's close is not the replica's");
}

#[test]
fn http_1_0_is_answered_and_closed_unless_it_asks_otherwise() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    client.send("GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n");
    assert_eq!(client.response().replica(), "one");
    assert!(client.closed());
    let mut client = scene.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: shop.example\r\nConnection: keep-alive\r\n\r\n");
        let response = client.response();
        assert_eq!(response.replica(), "one");
        assert_eq!(response.field("connection").map(str::to_ascii_lowercase).as_deref(), Some("keep-alive"));
    }
}

#[test]
fn a_chunked_answer_reaches_an_http_1_0_client_without_chunks() {
    let scene = Scene::new(Behaviour::Raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()));
    let mut client = scene.client();
    client.send("GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n");
    let all = String::from_utf8(client.rest().expect("the answer ends with the connection")).expect("text");
    assert!(all.ends_with("\r\n\r\nabc"), "{all}");
    assert!(!all.to_ascii_lowercase().contains("transfer-encoding"), "{all}");
}

#[test]
fn a_head_in_single_bytes_is_read() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    for byte in "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n".bytes() {
        client.send([byte]);
    }
    assert_eq!(client.response().replica(), "one");
}

#[test]
fn an_answer_that_breaks_the_protocol_is_a_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
        "NONSENSE\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    ] {
        let scene = Scene::new(Behaviour::RawThenClose(answer.into()));
        let response = scene.client().get("shop.example", "/");
        assert_eq!(response.status, 502, "{answer:?}");
    }
}

#[test]
fn an_answer_that_is_cut_is_not_passed_off_as_whole() {
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf"]
    {
        for reset in [false, true] {
            let behaviour = if reset { Behaviour::RawThenReset(answer.into()) } else { Behaviour::RawThenClose(answer.into()) };
            let scene = Scene::new(behaviour);
            let mut client: Client = scene.client();
            client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
            let outcome = client.try_response(false);
            assert!(outcome.as_ref().map_or(true, |response| response.status == 502), "{answer:?}: {outcome:?}");
        }
    }
}

#[test]
fn a_client_that_resets_while_it_waits_frees_the_replica() {
    let scene = Scene::new(Behaviour::Held);
    let mut client = scene.client();
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    await_until("the replica has the request", || scene.replica.requests() == 1);
    client.reset();
    await_until("its connection ends", || scene.replica.open() == 0);
    await_until("nobody holds the gate's side", || scene.gate.sum("tidegate_connections_open", &["external"]) == 0.0);
}

#[test]
fn a_client_that_is_gone_while_an_answer_pauses_frees_the_replica() {
    // As a browser does that closes the page of a stream of events: an end, and nothing to write that would be reset.
    for body in ["Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Content-Length: 1000\r\n\r\nhello", "\r\nhello"] {
        let scene = Scene::new(Behaviour::Raw(format!("HTTP/1.1 200 OK\r\n{body}").into()));
        let mut client = scene.client();
        client.send("POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\n\r\n");
        client.send("ok");
        client.through(b"hello").expect("the first piece");
        drop(client);
        await_until("the replica's connection ends", || scene.replica.open() == 0);
    }
}

#[test]
fn a_client_that_closed_only_its_own_side_is_answered() {
    let scene = Scene::new(Behaviour::Held);
    let mut client = scene.client();
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    client.finish();
    await_until("the replica has the request", || scene.replica.requests() == 1);
    scene.replica.release();
    assert_eq!(client.response().replica(), "one");
}
