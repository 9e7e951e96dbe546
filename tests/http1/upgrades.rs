//! Connections that switch to another protocol: who may, what is carried then, and how it ends.

use tidegate_tests::peers::websockets;
use tidegate_tests::{Behaviour, Client, await_until};

use super::Scene;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGlkZWdhdGU=\r\n\r\n";

fn agree(protocol: &str) -> Behaviour {
    let head = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\nX-Chosen: yes\r\n\r\n");
    Behaviour::Switch(head.into_bytes())
}

/// A client whose connection has switched.
fn switched(scene: &Scene) -> Client {
    let mut client = scene.client();
    client.send(ASK);
    let answer = client.response();
    assert_eq!(answer.status, 101, "{}", String::from_utf8_lossy(&answer.head));
    client
}

fn open(scene: &Scene) -> f64 {
    scene.gate.sum("tidegate_upgraded_connections_open", &["external"])
}

#[test]
fn a_switch_is_passed_on_both_ways_and_then_every_byte_is() {
    let scene = Scene::new(agree("websocket"));
    let mut client = scene.client();
    client.send(ASK);
    let answer = client.response();
    assert_eq!(answer.status, 101);
    assert_eq!((answer.all("connection"), answer.all("upgrade")), (vec!["upgrade"], vec!["websocket"]));
    assert_eq!(answer.field("x-chosen"), Some("yes"));
    assert_eq!(answer.field("date"), None, "an interim answer gets no date");
    let asked = scene.replica.last();
    assert_eq!((asked.all("connection"), asked.all("upgrade")), (vec!["upgrade".to_owned()], vec!["websocket".to_owned()]));
    assert_eq!(asked.field("sec-websocket-key").as_deref(), Some("dGlkZWdhdGU="));
    for size in [1, 100_000, 3] {
        let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        client.send(&bytes);
        assert!(client.exactly(size).expect("an echo") == bytes, "other bytes came back of {size}");
    }
    client.finish();
    assert_eq!(client.rest().expect("a good end"), b"bye", "an end of one side leaves the other open");
    await_until("the connection to be gone", || open(&scene) == 0.0);
    let bytes = |direction| scene.gate.sum("tidegate_upgraded_bytes_total", &[direction]);
    assert_eq!((bytes("up"), bytes("down")), (100_004.0, 100_007.0));
}

#[test]
fn what_was_sent_with_the_heads_is_not_lost() {
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec();
    head.extend_from_slice(b"hello");
    let scene = Scene::new(Behaviour::Switch(head));
    let mut client = scene.client();
    client.send(format!("{ASK}early"));
    assert_eq!(client.response().status, 101);
    assert_eq!(client.exactly(10).expect("both"), b"helloearly");
}

#[test]
fn a_replica_that_does_not_want_to_switch_answers_as_ever() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    client.send(ASK);
    assert_eq!(client.response().replica(), "one");
    assert_eq!(client.get("shop.example", "/next").replica(), "one", "the connection goes on");
    assert_eq!(scene.replica.connections(), 1, "and so does the replica's");
}

#[test]
fn what_follows_a_switch_that_was_refused_is_a_request() {
    let scene = Scene::new(Behaviour::Status(426));
    let mut client = scene.client();
    client.send(format!("{ASK}GET /admin HTTP/1.1\r\nHost: inner.example\r\n\r\n"));
    assert_eq!(client.response().status, 426);
    assert_eq!(client.response().status, 404, "the second request went past the routes");
    assert_eq!(scene.replica.requests(), 1);
}

#[test]
fn no_request_asks_for_a_protocol_that_leads_past_the_routes() {
    let scene = Scene::new(Behaviour::Named);
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: web socket\r\n",
        "Connection: Upgrade\r\nUpgrade:\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n",
    ] {
        let mut client = scene.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{lines}\r\nxx"));
        assert_eq!(client.response().replica(), "one", "{lines}");
        let asked = scene.replica.last();
        assert_eq!((asked.field("upgrade"), asked.field("connection")), (None, None), "{lines}");
    }
    let mut client = scene.client();
    client.send("GET / HTTP/1.0\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    client.response();
    assert_eq!(scene.replica.last().field("upgrade"), None, "HTTP/1.0 knows no upgrade");
}

#[test]
fn a_switch_that_nobody_asked_for_is_a_bad_answer() {
    for (ask, answer) in [
        ("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", agree("websocket")),
        (ASK, agree("mqtt")),
        (ASK, Behaviour::Switch(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n".to_vec())),
        (ASK, Behaviour::Switch(b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec())),
    ] {
        let scene = Scene::new(answer.clone());
        let mut client = scene.client();
        client.send(ask);
        assert_eq!(client.response().status, 502, "{ask}{answer:?}");
    }
}

#[test]
fn a_reset_of_one_side_resets_the_other() {
    let mut scene = Scene::new(agree("mqtt"));
    let switched = |scene: &Scene| {
        let mut client = scene.client();
        client.send(ASK.replace("websocket", "mqtt"));
        assert_eq!(client.response().status, 101);
        client
    };
    let mut kept = switched(&scene);
    switched(&scene).reset();
    await_until("one to be left", || open(&scene) == 1.0 && scene.replica.open() == 1);
    scene.replica.die();
    assert!(kept.rest().is_err(), "the end of a dead replica's connection looks like a good one");
    await_until("none to be left", || open(&scene) == 0.0);
}

#[test]
fn a_change_of_the_routes_leaves_it_alone() {
    let scene = Scene::new(agree("websocket"));
    let mut client = switched(&scene);
    let manifest = std::fs::read_to_string(scene.gate.folder().join("shop.yaml")).expect("it was written");
    scene
        .gate
        .change(|folder| std::fs::write(folder.join("shop.yaml"), manifest.replace("path: '/'", "path: '/other'")).expect("writable"));
    client.send("still here");
    assert_eq!(client.exactly(10).expect("an echo"), b"still here");
}

#[test]
fn websockets_of_python_talk_through_it() {
    let mut scene = Scene::new(Behaviour::Named);
    let address = scene.replica.address();
    scene.replica.die();
    assert_eq!(websockets(address, "ws://shop.example/chat", scene.gate.http(), None), "all came back\n");
}
