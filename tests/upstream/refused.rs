//! Replicas that are not who they must be: 502 `upstream-connect`, and never a byte of a request.

use serde_json::Value;
use tidegate_tests::await_until;
use tidegate_tests::frames::End;

use super::*;

/// In every request of this file, so that it is found wherever it leaks.
const SECRET: &[u8] = b"the client's secret";

fn logged(setup: Setup) -> Setup {
    setup.flag("--access-log", "access.log").flag("--log", "json")
}

/// What the access log says once the gate has ended.
fn log(gate: &mut Tidegate) -> Vec<Value> {
    let path = gate.home().join("access.log");
    assert_eq!(gate.stop().code(), Some(0));
    let text = std::fs::read_to_string(path).expect("the access log is written");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Asks by both and expects a refusal that names no more than its status.
fn expect_refusals(gate: &Tidegate, what: &str) {
    for by in BOTH {
        let (status, body) = post(gate.http(), by, SECRET);
        assert_eq!((status, body.as_slice()), (502, &b"502 Bad Gateway\n"[..]), "{what}, {by:?}");
    }
    assert_eq!(refusals(gate, "upstream-connect"), 2.0, "{what}");
    assert_eq!(gate.sum("tidegate_requests_in_flight", &["shop"]), 0.0, "{what}");
}

/// Each request is in the log once, with the reason, the replica that was tried, and what was wrong with it.
fn expect_log(gate: &mut Tidegate, what: &str, endpoint: SocketAddr, wrong: &str) {
    let rows = log(gate);
    assert_eq!(rows.len(), 2, "{what}: {rows:#?}");
    for row in rows {
        assert_eq!((&row["status"], &row["reason"]), (&Value::from(502), &Value::from("upstream-connect")), "{what}: {row}");
        assert_eq!((&row["endpoint"], &row["attempts"]), (&Value::from(endpoint.to_string()), &Value::from(1)), "{what}: {row}");
        assert!(row["note"].as_str().is_some_and(|note| note.contains(wrong)), "{what}: {row}");
    }
}

#[test]
fn a_replica_that_is_not_who_it_must_be_gets_nothing() {
    type Shown = fn(&Authority) -> Shows;
    let cases: [(&str, &str, Shown); 8] = [
        ("a wrong name", "", |inner| Shows::new(inner.ecdsa(&["other.default.svc"]))),
        ("a name that begins like it", "", |inner| Shows::new(inner.ecdsa(&["shop.default.svc.example", "x.shop.default.svc"]))),
        ("a wildcard of two labels", "", |inner| Shows::new(inner.ecdsa(&["*.svc"]))),
        ("the default name where another is said", ", tidegate.dev/upstream-name: web.example", good),
        ("another address", ", tidegate.dev/upstream-name: 192.0.2.7", |inner| Shows::new(inner.ecdsa(&["192.0.2.8", NAME]))),
        ("another authority", "", |_| Shows::new(Authority::new().ecdsa(&[NAME]))),
        ("an expired certificate", "", |inner| Shows::new(inner.expired(&[NAME]))),
        ("a client's certificate", "", |inner| Shows::new(inner.person("eve"))),
    ];
    for (what, annotation, shows) in cases {
        let mut scene = Scene::with(Behaviour::Echo, &format!("{BY_INNER}{annotation}"), shows, logged);
        expect_refusals(&scene.gate, what);
        await_until(&format!("{what}: both handshakes to have failed"), || scene.replica.handshakes().len() == 2);
        let all = scene.replica.handshakes();
        assert!(all.iter().all(|handshake| handshake.failed.is_some()), "{what}: {all:#?}");
        assert!(scene.replica.untouched(), "{what}: something came behind the handshake");
        expect_log(&mut scene.gate, what, scene.replica.address(), "invalid peer certificate");
    }
}

#[test]
fn a_replica_that_speaks_another_protocol_in_tls_gets_nothing() {
    let scene = Scene::new(Behaviour::Echo, |inner| good(inner).speaking(&["imap"]));
    expect_refusals(&scene.gate, "no protocol in common");
    assert!(scene.replica.untouched());
}

/// A socket at the next address that says `greeting` to each of two callers, and gives what it heard of them.
fn plain(net: &Net, greeting: &'static [u8]) -> (SocketAddr, JoinHandle<Vec<Vec<u8>>>) {
    let listener = TcpListener::bind((net.replica_ip(), net.port())).expect("the net's addresses are free");
    let address = listener.local_addr().expect("a bound listener has an address");
    let heard = std::thread::spawn(move || {
        let hear = |_| {
            let (mut stream, _) = listener.accept().expect("a caller");
            let _ = stream.write_all(greeting);
            let mut heard = Vec::new();
            let _ = stream.read_to_end(&mut heard); // a reset ends it, too
            heard
        };
        (0..2).map(hear).collect()
    });
    (address, heard)
}

#[test]
fn a_replica_that_does_not_speak_tls_gets_nothing() {
    let greetings: [&[u8]; 4] =
        [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", b""];
    for greeting in greetings {
        let what = format!("{:?}", String::from_utf8_lossy(greeting));
        let (net, inner) = (Net::take(), Authority::new());
        let (address, heard) = plain(&net, greeting);
        // Who says nothing at all is waited for as long as for a connection.
        let setup = Setup::new(&net).config("limits: {connectTimeoutMs: 300}\n");
        let setup =
            setup.manifest("shop.yaml", shop(&net, "https", BY_INNER, &[address.ip()])).manifest("inner.yaml", inner.secret("inner"));
        let mut gate = logged(setup).start();
        expect_refusals(&gate, &what);
        for heard in heard.join().expect("it heard both") {
            assert_eq!(heard.get(..2), Some(&[0x16, 3][..]), "{what}: a handshake comes first: {}", heard.escape_ascii());
            for part in [SECRET, b"cart", b"shop.example", b"POST"] {
                assert!(!heard.windows(part.len()).any(|window| window == part), "{what}: {}", heard.escape_ascii());
            }
        }
        expect_log(&mut gate, &what, address, if greeting.is_empty() { "timed out" } else { "corrupt message" });
    }
}

#[test]
fn another_replica_that_is_who_it_must_be_is_asked_instead() {
    let (net, inner) = (Net::take(), Authority::new());
    let right = TlsReplica::start(&net, "right", Behaviour::Named, &good(&inner));
    let wrong = TlsReplica::start(&net, "wrong", Behaviour::Named, &Shows::new(Authority::new().ecdsa(&[NAME])));
    let setup = Setup::new(&net).manifest("shop.yaml", shop(&net, "https", BY_INNER, &[right.ip(), wrong.ip()]));
    let gate = setup.manifest("inner.yaml", inner.secret("inner")).start();
    for turn in 0..20 {
        let by = BOTH[turn % 2];
        assert_eq!(post(gate.http(), by, SECRET).0, 200, "turn {turn}: nothing of it had been sent");
    }
    assert!(wrong.untouched());
    assert_eq!(refusals(&gate, "upstream-connect"), 0.0);
}

/// In TLS 1.3 it says so only after our side holds the handshake for whole: the request may have been sent, to a replica that is who it
/// must be.
#[test]
fn a_replica_that_wants_a_certificate_and_is_shown_none_answers_nothing() {
    let staff = Authority::new();
    for speaks in [&["h2"][..], &["http/1.1"]] {
        let scene = Scene::new(Behaviour::Echo, |inner| good(inner).to(&staff.pem).speaking(speaks));
        for by in BOTH {
            assert_eq!(post(scene.gate.http(), by, SECRET).0, 502, "{by:?} to {speaks:?}");
        }
        assert!(scene.replica.untouched(), "{speaks:?}");
        assert_eq!(scene.refusals("upstream-connect") + scene.refusals("upstream-reset"), 2.0, "{speaks:?}");
    }
}

#[test]
fn a_client_of_grpc_hears_it_in_its_own_words() {
    let scene = Scene::new(Behaviour::Echo, |_| Shows::new(Authority::new().ecdsa(&[NAME])));
    let mut client = Frames::connect(scene.gate.http());
    let stream = call(&mut client);
    let answer = client.answer(stream);
    assert_eq!((answer.status, answer.end), (200, Some(End::Whole)), "{answer:?}");
    assert_eq!(scene.refusals("upstream-connect"), 1.0);
}
