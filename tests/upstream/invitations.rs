//! `Expect: 100-continue` of a client of HTTP/1 whose replica speaks HTTP/2: we invite it, and nothing of the question goes further.

use tidegate_tests::{Does, Http2Replica, await_until};

use super::*;

const POST: &str = "POST / HTTP/1.1\r\nHost: shop.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

fn scene(does: Does) -> (Tidegate, Http2Replica, Net) {
    let net = Net::take();
    let replica = Http2Replica::start(&net, "one", does, 100);
    let gate = Setup::new(&net).manifest("shop.yaml", shop(&net, "kubernetes.io/h2c", "", &[replica.ip()])).start();
    (gate, replica, net)
}

/// Its first answer must be the invitation; sends the content, and gives the last answer.
fn invited(client: &mut Client, content: &str) -> tidegate_tests::Response {
    let answer = client.response();
    assert!(answer.status == 100 && answer.fields.is_empty(), "{answer:?}");
    client.send(content);
    client.response()
}

#[test]
fn a_client_that_waits_for_an_invitation_gets_it_once() {
    let (gate, replica, _net) = scene(Does::Echo);
    let mut client = Client::connect(gate.http());
    for content in ["hello", "again"] {
        client.send(POST);
        let answer = invited(&mut client, content);
        assert_eq!((answer.status, answer.replica()), (200, "one"));
        let received = replica.received().pop().expect("it got there");
        assert_eq!((received.body.as_slice(), received.field("expect")), (content.as_bytes(), None), "{}", received.head);
    }
    assert_eq!(client.get("shop.example", "/").status, 200, "the connection goes on");
}

#[test]
fn content_in_chunks_is_invited_too() {
    let (gate, replica, _net) = scene(Does::Echo);
    let mut client = Client::connect(gate.http());
    client.send(POST.replace("Content-Length: 5", "Transfer-Encoding: chunked"));
    assert_eq!(invited(&mut client, "5\r\nhello\r\n0\r\n\r\n").status, 200);
    assert_eq!(replica.received().pop().map(|received| received.body), Some(b"hello".to_vec()));
}

#[test]
fn who_sends_without_waiting_is_served() {
    let (gate, replica, _net) = scene(Does::Echo);
    let mut client = Client::connect(gate.http());
    client.send(format!("{POST}hello"));
    let mut answer = client.response();
    if answer.status == 100 {
        answer = client.response();
    }
    assert_eq!(answer.status, 200);
    assert_eq!(replica.received().pop().map(|received| received.body), Some(b"hello".to_vec()));
    assert_eq!(client.get("shop.example", "/").status, 200, "the connection goes on");
}

#[test]
fn nobody_is_invited_who_did_not_ask_or_has_nothing_to_send() {
    let (gate, _replica, _net) = scene(Does::Echo);
    for head in [POST.replace("Expect: 100-continue\r\n", ""), POST.replace("100-continue", "something-else")] {
        let mut client = Client::connect(gate.http());
        client.send(format!("{head}hello"));
        assert_eq!(client.response().status, 200, "{head}");
    }
    let mut client = Client::connect(gate.http());
    client.send(POST.replace("Content-Length: 5", "Content-Length: 0"));
    assert_eq!(client.response().status, 200, "no content is due");
    let mut client = Client::connect(gate.http());
    client.send("POST / HTTP/1.0\r\nHost: shop.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response().status, 200, "HTTP/1.0 knows no interim answers");
}

#[test]
fn who_was_invited_and_leaves_frees_the_replica() {
    let (gate, replica, _net) = scene(Does::Echo);
    let mut client = Client::connect(gate.http());
    client.send(POST);
    assert_eq!(client.response().status, 100);
    await_until("the head to reach the replica", || replica.requests() == 1);
    drop(client);
    await_until("nothing in flight", || gate.sum("tidegate_requests_in_flight", &["shop"]) == 0.0);
    assert!(replica.received().is_empty(), "half a request looked whole");
    assert_eq!(get(gate.http(), By::Http1), 200);
}

/// Without a route nobody has a use for its content.
#[test]
fn who_is_refused_is_not_asked_for_more() {
    let (gate, _replica, _net) = scene(Does::Echo);
    let mut client = Client::connect(gate.http());
    client.send(POST.replace("shop.example", "unknown.example"));
    assert_eq!(client.response().status, 404);
}

#[test]
fn a_replica_in_tls_is_no_different() {
    for speaks in [&["h2"][..], &["http/1.1"]] {
        let scene = Scene::new(Behaviour::Named, |inner| good(inner).speaking(speaks));
        let mut client = Client::connect(scene.gate.http());
        client.send(POST);
        assert_eq!(invited(&mut client, "hello").status, 200, "{speaks:?}");
        assert_eq!(scene.replica.last().body, b"hello", "{speaks:?}");
    }
}
