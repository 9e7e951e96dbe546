//! Other protocols on one stream: extended CONNECT (RFC 8441), which replicas see as an upgrade of HTTP/1.1.

use tidegate_tests::await_until;
use tidegate_tests::frames::{END_STREAM, End, Frames, INITIAL_WINDOW, kind};

use super::*;

fn agree(protocol: &str) -> Behaviour {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Accept: x\r\nX-Chosen: yes\r\n\r\n"
    );
    Behaviour::Switch(head.into_bytes())
}

/// Asks to go on with a protocol.
fn connect(client: &mut Frames, protocol: &str) -> u32 {
    connect_with(client, protocol, &[("origin", "http://shop.example")])
}

/// The same, with these fields behind.
fn connect_with(client: &mut Frames, protocol: &str, fields: &[(&str, &str)]) -> u32 {
    let all = [
        (":method", "CONNECT"),
        (":protocol", protocol),
        (":scheme", "http"),
        (":authority", "shop.example"),
        (":path", "/chat"),
        ("sec-websocket-version", "13"),
    ];
    client.ask(&[&all, fields].concat(), false)
}

fn open(scene: &Scene) -> f64 {
    scene.gate.sum("tidegate_upgraded_connections_open", &["external"])
}

/// A client with a stream on which the replica echoes.
fn switched(scene: &Scene) -> (Frames, u32) {
    let mut client = scene.frames();
    let stream = connect(&mut client, "websocket");
    client.until("the answer", |client| client.on(stream).status != 0 || client.on(stream).end.is_some());
    assert_eq!((client.on(stream).status, client.on(stream).end), (200, None));
    (client, stream)
}

/// Sends this and waits for it to come back.
fn echo(client: &mut Frames, stream: u32, text: &[u8]) {
    let before = client.on(stream).body.len();
    client.data(stream, text, false);
    client.until("an echo", |client| client.on(stream).body.len() >= before + text.len() || client.on(stream).end.is_some());
    assert_eq!(client.on(stream).body[before..], *text);
}

#[test]
fn a_stream_becomes_a_websocket_and_carries_every_byte() {
    let scene = Scene::new(agree("websocket"));
    let (mut client, stream) = switched(&scene);
    let asked = scene.replica.last();
    assert!(asked.head.starts_with("GET /chat HTTP/1.1\r\n"), "{}", asked.head);
    assert_eq!((asked.field("upgrade").as_deref(), asked.field("connection").as_deref()), (Some("websocket"), Some("upgrade")));
    assert_eq!(asked.field("sec-websocket-version").as_deref(), Some("13"));
    assert_eq!(asked.field("sec-websocket-key").map(|key| key.len()), Some(24), "{}", asked.head);
    assert_eq!((asked.field("content-length"), asked.field("transfer-encoding")), (None, None));
    for size in [1, 10_000, 3] {
        echo(&mut client, stream, &vec![b'a' + (size % 26) as u8; size]);
    }
    assert_eq!(open(&scene), 1.0);
    client.say(kind::DATA, END_STREAM, stream, b"last");
    let answer = client.answer(stream);
    assert!(
        answer.body.ends_with(b"lastbye") && answer.end == Some(End::Whole),
        "an end of one side leaves the other open: {:?}",
        answer.end
    );
    await_until("it to be gone", || open(&scene) == 0.0);
    let bytes = |direction| scene.gate.sum("tidegate_upgraded_bytes_total", &[direction]);
    assert_eq!((bytes("up"), bytes("down")), (10_008.0, 10_011.0));
    assert_eq!(client.answer(stream).heads, 1);
}

#[test]
fn it_shares_its_connection_with_requests_and_others_of_its_kind() {
    let scene = Scene::new(agree("websocket"));
    let (mut client, first) = switched(&scene);
    let second = connect(&mut client, "websocket");
    client.until("the second", |client| client.on(second).status == 200);
    scene.replica.now(Behaviour::Named);
    for turn in 0..5 {
        assert_eq!(client.fetch("shop.example", "/").status, 200, "turn {turn}");
        echo(&mut client, first, b"one");
        echo(&mut client, second, b"two");
    }
    client.reset(first);
    await_until("one to be left", || open(&scene) == 1.0);
    echo(&mut client, second, b"still here");
}

#[test]
fn a_reset_of_one_side_ends_the_other() {
    let mut scene = Scene::new(agree("websocket"));
    let (mut client, stream) = switched(&scene);
    client.reset(stream);
    await_until("the replica to be left alone", || scene.replica.open() == 0 && open(&scene) == 0.0);
    scene.replica.now(agree("mqtt"));
    let stream = connect(&mut client, "mqtt");
    client.until("the answer", |client| client.on(stream).status == 200);
    scene.replica.die();
    const CANCEL: u32 = 8;
    assert_eq!(client.answer(stream).end, Some(End::Reset(CANCEL)), "a reset is one on the other side, too (RFC 8441 section 5)");
    await_until("none to be left", || open(&scene) == 0.0);
}

#[test]
fn a_replica_that_does_not_want_it_answers_as_ever() {
    let scene = Scene::new(Behaviour::Status(426));
    let mut client = scene.frames();
    let stream = connect(&mut client, "websocket");
    let answer = client.answer(stream);
    assert_eq!(answer.status, 426, "{answer:?}");
    scene.replica.now(Behaviour::Named);
    assert_eq!(client.fetch("shop.example", "/").status, 200, "the connection goes on");
}

#[test]
fn a_switch_to_another_protocol_is_a_bad_answer() {
    let scene = Scene::new(agree("mqtt"));
    let mut client = scene.frames();
    let stream = connect(&mut client, "websocket");
    assert_eq!(client.answer(stream).status, 502);
    await_until("the replica to be left alone", || scene.replica.open() == 0);
}

#[test]
fn no_protocol_leads_past_the_routes() {
    let scene = Scene::new(Behaviour::Named);
    for protocol in ["h2c", "HTTP/2.0", "http", "h3", "TLS/1.2", "connect-udp", "connect-ip", "web socket", "websocket, h2c", ""] {
        let mut client = scene.frames();
        let stream = connect(&mut client, protocol);
        let answer = client.answer(stream);
        assert!(answer.status == 400 || answer.status == 0, "{protocol}: {answer:?}");
    }
    let mut client = scene.frames();
    let stream = client
        .ask(&[(":method", "GET"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "shop.example"), (":path", "/")], true);
    let answer = client.answer(stream);
    assert!(answer.status == 400 || answer.status == 0, ":protocol without CONNECT: {answer:?}");
    assert_eq!(scene.replica.requests(), 0);
}

#[test]
fn a_change_of_the_routes_and_idle_time_leave_it_alone() {
    let scene = Scene::with(agree("websocket"), |setup| setup.config("limits: {idleTimeoutMs: 400}\n"));
    let (mut client, stream) = switched(&scene);
    scene.gate.change(|folder| std::fs::remove_file(folder.join("shop.yaml")).expect("it is there"));
    assert!(!client.until_quiet(std::time::Duration::from_millis(1500)), "it was closed");
    echo(&mut client, stream, b"still here");
    assert_eq!(client.fetch("shop.example", "/").status, 404, "its route is gone");
}

#[test]
fn a_client_that_takes_nothing_of_it_is_given_up() {
    let scene = Scene::with(agree("websocket"), |setup| setup.config("limits: {idleTimeoutMs: 1000}\n"));
    let mut client = Frames::with(scene.gate.http(), &[(INITIAL_WINDOW, 1000)]);
    client.greedy = false;
    let stream = connect(&mut client, "websocket");
    client.until("the answer", |client| client.on(stream).status == 200);
    client.data(stream, &[7; 5000], false);
    let answer = client.answer(stream);
    assert!(matches!(answer.end, Some(End::Reset(_))) && answer.body.len() == 1000, "{:?} after {} bytes", answer.end, answer.body.len());
    await_until("its replica to be left alone", || open(&scene) == 0.0 && scene.replica.open() == 0);
}

#[test]
fn what_follows_a_connect_has_no_length() {
    let scene = Scene::new(agree("websocket"));
    let mut client = scene.frames();
    for length in ["0", "5"] {
        let stream = connect_with(&mut client, "websocket", &[("content-length", length)]);
        let answer = client.answer(stream);
        assert!(answer.status == 400 || matches!(answer.end, Some(End::Reset(_))), "{length}: {answer:?}");
    }
    assert_eq!(scene.replica.requests(), 0, "a replica would wait for content that never comes");
}

#[test]
fn a_drain_waits_for_it_until_its_deadline() {
    let mut scene = Scene::with(agree("websocket"), |setup| setup.config("limits: {drainDeadlineMs: 15000}\n"));
    let (mut client, stream) = switched(&scene);
    scene.gate.signal(rustix::process::Signal::TERM);
    assert_eq!(client.goodbye().code, 0);
    echo(&mut client, stream, b"still here");
    client.say(kind::DATA, END_STREAM, stream, b"");
    assert_eq!(client.answer(stream).end, Some(End::Whole));
    assert_eq!(scene.gate.await_exit().code(), Some(0));
}
