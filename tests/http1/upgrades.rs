//! Connections that switch to another protocol: who may, what is carried then, and how it ends.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

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
    let mut scene = Scene::new(agree("websocket"));
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

const PEERS: &str = r#"
import asyncio, os, sys
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def main():
    where, gate = sys.argv[1].rsplit(":", 1), sys.argv[2].rsplit(":", 1)
    async with serve(echo, where[0], int(where[1]), max_size=None):
        async with connect("ws://shop.example/chat", host=gate[0], port=int(gate[1]), max_size=None, proxy=None) as client:
            for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
                sent = os.urandom(size)
                await client.send(sent)
                assert await client.recv() == sent, size
            await asyncio.gather(*(client.send(str(i)) for i in range(1000)))
            assert [await client.recv() for _ in range(1000)] == [str(i) for i in range(1000)]
            await (await client.ping())
        assert (client.close_code, client.response.status_code) == (1000, 101), client.close_code
    print("all came back")

asyncio.run(main())
"#;

#[test]
fn websockets_of_python_talk_through_it() {
    let mut scene = Scene::new(Behaviour::Named);
    let address = scene.replica.address();
    scene.replica.die();
    let said = python(PEERS, address, scene.gate.http());
    assert_eq!(said, "all came back\n");
}

/// Runs a script under the Python that `make test` prepares.
fn python(script: &str, replica: SocketAddr, gate: SocketAddr) -> String {
    let python = std::env::var_os("TIDEGATE_PYTHON").expect("TIDEGATE_PYTHON names a Python with `websockets` (`make test` sees to it)");
    let mut child = Command::new("timeout")
        .args(["60".as_ref(), python.as_os_str()])
        .args(["-".to_owned(), replica.to_string(), gate.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python can be started");
    child.stdin.take().expect("it is piped").write_all(script.as_bytes()).expect("Python reads its script");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
