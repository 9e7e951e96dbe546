//! WebSocket to a replica in TLS, from clients of either HTTP.

use tidegate_tests::await_until;
use tidegate_tests::frames::{END_STREAM, End, kind};
use tidegate_tests::peers::websockets_in_tls;

use super::*;

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGlkZWdhdGU=\r\n\r\n";

fn agree() -> Behaviour {
    Behaviour::Switch(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Chosen: yes\r\n\r\n".to_vec())
}

fn open(scene: &Scene) -> f64 {
    scene.gate.sum("tidegate_upgraded_connections_open", &["external"])
}

/// Asks by an extended CONNECT (RFC 8441).
fn connect(client: &mut Frames) -> u32 {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", "/chat"),
        ("sec-websocket-version", "13"),
    ];
    let stream = client.ask(&fields, false);
    client.until("the answer", |client| client.on(stream).status != 0 || client.on(stream).end.is_some());
    stream
}

#[test]
fn from_a_client_of_http_1_every_byte_is_carried() {
    // One that could speak HTTP/2 is asked for HTTP/1.1, which is what upgrades.
    for speaks in [&["h2", "http/1.1"][..], &["http/1.1"], &[]] {
        let scene = Scene::new(agree(), |inner| good(inner).speaking(speaks));
        let mut client = Client::connect(scene.gate.http());
        client.send(format!("{ASK}early"));
        let answer = client.response();
        assert_eq!((answer.status, answer.field("x-chosen")), (101, Some("yes")), "{speaks:?}");
        assert_eq!(scene.replica.handshake().offered, ["http/1.1"], "{speaks:?}");
        assert_eq!(client.exactly(5).expect("an echo"), b"early", "{speaks:?}");
        for size in [1, 300_000, 3] {
            let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            client.send(&bytes);
            assert!(client.exactly(size).expect("an echo") == bytes, "{speaks:?}: other bytes came back of {size}");
        }
        assert_eq!(open(&scene), 1.0);
        client.finish();
        assert_eq!(client.rest().expect("a good end"), b"bye", "{speaks:?}: an end of one side leaves the other open");
        await_until("it to be gone", || open(&scene) == 0.0);
    }
}

#[test]
fn from_a_client_of_http_2_every_byte_is_carried() {
    for speaks in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let scene = Scene::new(agree(), |inner| good(inner).speaking(speaks));
        let mut client = Frames::connect(scene.gate.http());
        let stream = connect(&mut client);
        assert_eq!((client.on(stream).status, client.on(stream).end), (200, None), "{speaks:?}");
        let asked = scene.replica.last();
        assert!(asked.head.starts_with("GET /chat HTTP/1.1\r\n"), "{}", asked.head);
        assert_eq!(asked.field("sec-websocket-key").map(|key| key.len()), Some(24), "{}", asked.head);
        for size in [1, 10_000, 3] {
            let (before, bytes) = (client.on(stream).body.len(), vec![b'a' + (size % 26) as u8; size]);
            client.data(stream, &bytes, false);
            client.until("an echo", |client| client.on(stream).body.len() >= before + size || client.on(stream).end.is_some());
            assert!(client.on(stream).body[before..] == bytes, "{speaks:?}: other bytes came back of {size}");
        }
        client.say(kind::DATA, END_STREAM, stream, b"last");
        let answer = client.answer(stream);
        assert!(answer.body.ends_with(b"lastbye") && answer.end == Some(End::Whole), "{speaks:?}: {:?}", answer.end);
        await_until("it to be gone", || open(&scene) == 0.0);
    }
}

#[test]
fn requests_go_on_beside_it_by_the_http_that_the_replica_wants() {
    let scene = Scene::new(agree(), good);
    let mut client = Frames::connect(scene.gate.http());
    let stream = connect(&mut client);
    assert_eq!(client.fetch("shop.example", "/").status, 200);
    let protocols: Vec<_> = scene.replica.handshakes().into_iter().map(|handshake| handshake.protocol).collect();
    assert_eq!(protocols, [Some("http/1.1".to_owned()), Some("h2".to_owned())]);
    client.data(stream, b"still here", false);
    client.until("an echo", |client| client.on(stream).body == b"still here" || client.on(stream).end.is_some());
    assert_eq!(client.on(stream).end, None);
}

#[test]
fn a_replica_that_speaks_http_2_alone_is_not_asked() {
    let scene = Scene::new(agree(), |inner| good(inner).speaking(&["h2"]));
    let mut client = Client::connect(scene.gate.http());
    client.send(ASK);
    assert_eq!(client.response().status, 502);
    let mut client = Frames::connect(scene.gate.http());
    let stream = connect(&mut client);
    assert_eq!(client.answer(stream).status, 502);
    assert_eq!(scene.refusals("upstream-connect"), 2.0);
    assert!(scene.replica.untouched());
}

#[test]
fn a_replica_that_is_not_who_it_must_be_is_not_asked() {
    let scene = Scene::new(agree(), |_| Shows::new(Authority::new().ecdsa(&[NAME])));
    let mut client = Client::connect(scene.gate.http());
    client.send(ASK);
    assert_eq!(client.response().status, 502);
    let mut client = Frames::connect(scene.gate.http());
    let stream = connect(&mut client);
    assert_eq!(client.answer(stream).status, 502);
    assert!(scene.replica.untouched());
}

#[test]
fn websockets_of_python_talk_to_a_server_in_tls() {
    let (net, inner) = (Net::take(), Authority::new());
    let issued = inner.ecdsa(&[NAME]);
    let address = SocketAddr::new(net.replica_ip(), net.port());
    let setup = Setup::new(&net).manifest("shop.yaml", shop(&net, "kubernetes.io/wss", BY_INNER, &[address.ip()]));
    let shown = setup.home().join("shown.pem");
    std::fs::write(&shown, [issued.chain, issued.key].concat()).expect("the temporary folder can be written");
    let gate = setup.manifest("inner.yaml", inner.secret("inner")).start();
    assert_eq!(websockets_in_tls(address, "ws://shop.example/chat", gate.http(), &shown), "all came back\n");
}
