//! Whoever asks by whichever HTTP gets to a replica in TLS, by the HTTP that the replica chooses.

use std::io::Read;

use tidegate_tests::await_until;
use tidegate_tests::tls_replica::certificates;

use super::*;

#[test]
fn each_http_of_a_client_goes_with_each_of_a_replica() {
    for (speaks, chosen) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("http/1.1")),
        (&["h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        for by in BOTH {
            let scene = Scene::new(Behaviour::Echo, |inner| good(inner).speaking(speaks));
            let (status, body) = post(scene.gate.http(), by, b"hello");
            let said = String::from_utf8_lossy(&body).into_owned();
            assert_eq!(status, 200, "{by:?} to {speaks:?}: {said}");
            let handshake = scene.replica.handshake();
            assert_eq!(handshake.protocol.as_deref(), chosen, "{by:?} to {speaks:?}");
            assert_eq!(handshake.offered, ["h2", "http/1.1"]);
            assert!(said.contains("hello"), "{by:?} to {speaks:?}: {said}");
            let line = match chosen {
                Some("h2") => "POST https://shop.example/cart?item=1 HTTP/2\r\n",
                _ => "POST /cart?item=1 HTTP/1.1\r\n",
            };
            let received = scene.replica.last();
            assert!(received.head.starts_with(line), "{by:?} to {speaks:?}: {}", received.head);
            assert_eq!(received.field("x-forwarded-proto").as_deref(), Some("http"), "what the client spoke");
            assert_eq!(received.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
        }
    }
}

#[test]
fn a_connection_in_tls_is_used_again() {
    for speaks in [&["h2"][..], &["http/1.1"]] {
        let scene = Scene::new(Behaviour::Named, |inner| good(inner).speaking(speaks));
        let (mut one, mut two) = (Client::connect(scene.gate.http()), Frames::connect(scene.gate.http()));
        for turn in 0..5 {
            assert_eq!(one.get("shop.example", "/").status, 200, "{speaks:?}, turn {turn}");
            assert_eq!(two.fetch("shop.example", "/").status, 200, "{speaks:?}, turn {turn}");
        }
        assert_eq!(scene.replica.handshakes().len(), 1, "{speaks:?}");
    }
}

#[test]
fn large_bodies_arrive_whole_both_ways() {
    let body: Vec<u8> = (0..1_500_000u32).map(|n| b'a' + (n * 7 % 23) as u8).collect();
    for speaks in [&["h2"][..], &["http/1.1"]] {
        let scene = Scene::new(Behaviour::Echo, |inner| good(inner).speaking(speaks));
        let (status, said) = post(scene.gate.http(), By::Http1, &body);
        assert_eq!(status, 200, "{speaks:?}");
        assert!(said.ends_with(&body), "{speaks:?}: {} bytes came back, or others", said.len());
    }
}

#[test]
fn a_replica_is_called_by_its_name_and_by_another_where_that_is_said() {
    for (annotation, named, called) in [
        ("", NAME, Some(NAME)),
        (", tidegate.dev/upstream-name: web.inside.example", "web.inside.example", Some("web.inside.example")),
        (", tidegate.dev/upstream-name: WEB.Inside.Example", "web.inside.example", Some("web.inside.example")),
        (", tidegate.dev/upstream-name: web.inside.example", "*.inside.example", Some("web.inside.example")),
        // An address is no name that may be called (RFC 6066 section 3).
        (", tidegate.dev/upstream-name: 192.0.2.7", "192.0.2.7", None),
    ] {
        let annotations = format!("{BY_INNER}{annotation}");
        let scene = Scene::with(Behaviour::Named, &annotations, |inner| Shows::new(inner.ecdsa(&[named])), |setup| setup);
        assert_eq!(get(scene.gate.http(), By::Http1), 200, "{annotations}");
        assert_eq!(scene.replica.handshake().name.as_deref(), called, "{annotations}");
        let host = scene.replica.last().head;
        assert!(host.starts_with("GET https://shop.example/ HTTP/2\r\n"), "the request is for the client's host: {host}");
    }
}

#[test]
fn a_replica_that_asks_for_our_certificate_is_shown_it() {
    let staff = Authority::new();
    let ours = staff.person("the gate");
    for speaks in [&["h2"][..], &["http/1.1"]] {
        let scene = Scene::with(
            Behaviour::Named,
            &format!("{BY_INNER}, tidegate.dev/upstream-certificate: ours"),
            |inner| good(inner).to(&staff.pem).speaking(speaks),
            |setup| setup.manifest("ours.yaml", ours.secret("ours")),
        );
        for by in BOTH {
            assert_eq!(get(scene.gate.http(), by), 200, "{by:?} to {speaks:?}");
        }
        let shown = scene.replica.handshake().certificate;
        assert_eq!(shown.as_deref(), Some(certificates(&ours.chain)[0].as_ref()), "{speaks:?}");
    }
}

#[test]
fn nobody_else_is_shown_our_certificate() {
    let ours = Authority::new().person("the gate");
    let annotations = format!("{BY_INNER}, tidegate.dev/upstream-certificate: ours");
    let scene = Scene::with(Behaviour::Named, &annotations, good, |setup| setup.manifest("ours.yaml", ours.secret("ours")));
    assert_eq!(get(scene.gate.http(), By::Http1), 200);
    assert_eq!(scene.replica.handshake().certificate, None, "it did not ask");
}

#[test]
fn the_names_of_websocket_mean_the_same() {
    let (net, inner) = (Net::take(), Authority::new());
    let replica = TlsReplica::start(&net, "one", Behaviour::Named, &good(&inner));
    let setup = Setup::new(&net).manifest("shop.yaml", shop(&net, "kubernetes.io/wss", BY_INNER, &[replica.ip()]));
    let gate = setup.manifest("inner.yaml", inner.secret("inner")).start();
    for by in BOTH {
        assert_eq!(get(gate.http(), by), 200, "{by:?}");
    }
    assert_eq!(replica.handshake().name.as_deref(), Some(NAME));
}

/// An HTTP/1 client's request is read as HTTP/1 and goes on by the way of HTTP/2: it is one hop.
#[test]
fn hops_are_counted_once() {
    for speaks in [&["h2"][..], &["http/1.1"]] {
        let scene = Scene::new(Behaviour::Named, |inner| good(inner).speaking(speaks));
        let mut client = Client::connect(scene.gate.http());
        let mut ask = |count: &str| {
            client.send(format!("OPTIONS / HTTP/1.1\r\nHost: shop.example\r\nMax-Forwards: {count}\r\n\r\n"));
            client.response().status
        };
        assert_eq!(ask("5"), 200, "{speaks:?}");
        assert_eq!(scene.replica.last().field("max-forwards").as_deref(), Some("4"), "{speaks:?}");
        assert_eq!(ask("0"), 204, "{speaks:?}");
    }
}

#[test]
fn an_answer_that_is_cut_looks_cut() {
    for said in ["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "HTTP/1.1 200 OK\r\n\r\nhalf"] {
        let scene = Scene::new(Behaviour::RawThenReset(said.into()), |inner| good(inner).speaking(&["http/1.1"]));
        let answer = Frames::connect(scene.gate.http()).fetch("shop.example", "/");
        assert!(cut(&answer), "{said:?}: {answer:?}");
        let mut client = Client::connect(scene.gate.http());
        client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        let answer = client.try_response(false);
        assert!(answer.as_ref().is_err() || answer.as_ref().is_ok_and(|answer| answer.status == 502), "{said:?}: {answer:?}");
        tidegate_tests::await_until("both to be counted", || scene.refusals("upstream-reset") == 2.0);
    }
}

/// It is reset, or never began.
fn cut(answer: &Answer) -> bool {
    matches!(answer.end, Some(tidegate_tests::frames::End::Reset(_))) || answer.status == 502
}

/// One that ends each connection at its first bytes, in good order, to the end of the process.
fn ends_at_once(net: &Net) -> SocketAddr {
    let (address, lease) = (SocketAddr::new(net.replica_ip(), net.port()), net.lease());
    let socket = std::net::TcpListener::bind(address).expect("the address is this test's");
    std::thread::spawn(move || {
        let _lease = lease;
        for stream in socket.incoming().flatten() {
            let _ = (&stream).read(&mut [0; 65_536]);
        }
    });
    address
}

#[test]
fn one_that_ends_in_the_handshake_is_waited_for_where_somebody_was_reached_before() {
    for by in BOTH {
        let scene = Scene::new(Behaviour::Named, good);
        assert_eq!(get(scene.gate.http(), by), 200);
        let starting = ends_at_once(&scene.net);
        scene.gate.write("shop.yaml", &shop(&scene.net, "https", BY_INNER, &[starting.ip()]));
        let at = scene.gate.http();
        let request = std::thread::spawn(move || post(at, by, b"order").0);
        await_until("it to wait", || scene.gate.sum("tidegate_waiting_requests", &[]) == 1.0);
        scene.gate.write("shop.yaml", &shop(&scene.net, "https", BY_INNER, &[scene.replica.ip()]));
        assert_eq!(request.join().expect("the client panicked"), 200, "{by:?}");
    }
}
