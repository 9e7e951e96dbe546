//! Which fields reach the replica, and which the client.

use tidegate_tests::frames::{Answer, Frames, request};
use tidegate_tests::replica::Received;

use super::*;

/// What the replica gets of a request with these fields more, and what the client is answered.
fn send(scene: &Scene, more: &[(&str, &str)]) -> Answer {
    let mut client = scene.frames();
    let stream = client.ask(&[&request("GET", "Shop.Example:8080", "/cart?item=1")[..], more].concat(), true);
    client.answer(stream)
}

fn sent(scene: &Scene, more: &[(&str, &str)]) -> Received {
    let answer = send(scene, more);
    assert_eq!(answer.status, 200, "{more:?}: {answer:?}");
    scene.replica.last()
}

#[test]
fn request_line_host_and_fields_arrive_as_sent() {
    let scene = Scene::new(Behaviour::Named);
    let received =
        sent(&scene, &[("user-agent", "test"), ("accept", "text/html, */*;q=0.1"), ("x-twice", "1"), ("x-twice", "2"), ("x-empty", "")]);
    assert!(received.head.starts_with("GET /cart?item=1 HTTP/1.1\r\n"), "{}", received.head);
    assert_eq!(received.all("host"), ["Shop.Example:8080"]);
    assert_eq!(received.field("user-agent").as_deref(), Some("test"));
    assert_eq!(received.field("accept").as_deref(), Some("text/html, */*;q=0.1"));
    assert_eq!(received.all("x-twice"), ["1", "2"], "several fields of one name stay, in order");
    assert_eq!(received.field("x-empty").as_deref(), Some(""));
    assert!(!received.head.contains("\r\n:"), "no pseudo field goes on: {}", received.head);
}

#[test]
fn crumbs_become_one_cookie() {
    let scene = Scene::new(Behaviour::Named);
    let received = sent(&scene, &[("cookie", "a=1"), ("x-between", "1"), ("cookie", "b=2; c=3"), ("cookie", "d=4")]);
    assert_eq!(received.all("cookie"), ["a=1; b=2; c=3; d=4"]);
}

#[test]
fn forwarding_fields_say_who_asked() {
    let scene = Scene::new(Behaviour::Named);
    let received = sent(&scene, &[]);
    assert_eq!(received.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(received.field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(received.field("x-forwarded-host").as_deref(), Some("Shop.Example:8080"));
    assert_eq!(received.field("forwarded").as_deref(), Some("for=127.0.0.1;host=\"Shop.Example:8080\";proto=http"));
}

/// As for HTTP/1: `what_a_stranger_claims_about_itself_is_dropped`.
const SPOOFED: [(&str, &str); 8] = [
    ("x-forwarded-for", "10.1.1.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "admin.internal"),
    ("x-forwarded-port", "443-forged"),
    ("x-real-ip", "10.1.1.1"),
    ("forwarded", "for=10.1.1.1;host=admin.internal"),
    ("x_forwarded_for", "10.2.2.2"),
    ("x-forwarded-client-cert", "forged"),
];

#[test]
fn what_a_stranger_claims_about_itself_is_dropped() {
    let scene = Scene::new(Behaviour::Named);
    let received = sent(&scene, &SPOOFED);
    for lie in ["10.1.1.1", "10.2.2.2", "https", "admin.internal", "forged"] {
        assert!(!received.head.contains(lie), "{lie} got through:\n{}", received.head);
    }
    assert_eq!(received.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    let scene = Scene::with(Behaviour::Named, |setup| setup.config("trustedProxies: [127.0.0.1/32]\n"));
    let received = sent(
        &scene,
        &[
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "203.0.113.10"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "www.shop.example"),
            ("forwarded", "for=203.0.113.9"),
        ],
    );
    assert_eq!(received.all("x-forwarded-for"), ["203.0.113.9, 203.0.113.10, 127.0.0.1"]);
    assert_eq!(received.all("x-forwarded-proto"), ["https"]);
    assert_eq!(received.all("x-forwarded-host"), ["www.shop.example"]);
    assert_eq!(received.all("forwarded"), ["for=203.0.113.9, for=127.0.0.1;host=\"Shop.Example:8080\";proto=http"]);
}

#[test]
fn a_request_id_is_kept_when_it_is_one_and_made_otherwise() {
    let scene = Scene::new(Behaviour::Named);
    let id = |more: &[(&str, &str)]| sent(&scene, more).field("x-request-id").expect("there is always one");
    assert_eq!(id(&[("x-request-id", "chosen-by-client")]), "chosen-by-client");
    let (first, second) = (id(&[]), id(&[]));
    assert!(first.len() >= 16 && first != second, "{first:?} and {second:?}");
    for bad in [&[("x-request-id", "a b")][..], &[("x-request-id", "a"), ("x-request-id", "b")], &[("x-request-id", "")]] {
        assert_eq!(id(bad).len(), 32, "{bad:?}");
    }
}

#[test]
fn what_belongs_to_a_connection_goes_no_further() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\nX-Private: secret\r\n\
                  Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nX-Public: yes\r\nContent-Length: 0\r\n\r\n";
    let scene = Scene::new(Behaviour::Raw(answer.into()));
    let received = sent(&scene, &[("proxy-authorization", "Basic eA=="), ("te", "trailers"), ("x-kept", "1")]);
    assert_eq!(received.field("proxy-authorization"), None, "{}", received.head);
    assert_eq!(received.field("te").as_deref(), Some("trailers"));
    assert_eq!(received.field("x-kept").as_deref(), Some("1"));
    assert_eq!(sent(&scene, &[]).field("te"), None);
    let said = scene.curl(&["--include"], b"");
    let head = said.exited(0).to_ascii_lowercase();
    for name in ["connection", "keep-alive", "x-private", "proxy-authenticate", "upgrade"] {
        assert!(!head.contains(name), "{name} came back:\n{head}");
    }
    assert!(head.contains("x-public: yes"), "{head}");
}

/// RFC 9113 section 8.2: what HTTP/1 would read as something else must not even be a request.
#[test]
fn fields_that_http_2_does_not_have_are_refused() {
    let scene = Scene::new(Behaviour::Named);
    for wrong in [
        ("connection", "close"),
        ("connection", "x-hop"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("X-Upper", "1"),
        ("x y", "1"),
        ("x:y", "1"),
        ("x\r\ny", "1"),
        ("", "1"),
        ("x-a", "a\r\nhost: inner.example"),
        ("x-a", "a\nb"),
        ("x-a", "a\rb"),
        ("x-a", "a\0b"),
        (":status", "200"),
        (":unknown", "1"),
        (":path", "/again"),
    ] {
        let mut client = scene.frames();
        let stream = client.ask(&[&request("GET", "shop.example", "/")[..], &[wrong]].concat(), true);
        let answer = client.answer(stream);
        assert!(answer.status == 0 || answer.status == 400, "{wrong:?}: {answer:?}");
        expect_well(&mut client, wrong);
    }
    assert!(scene.replica.received().iter().all(|request| request.head.starts_with("GET /well ")), "{:?}", scene.replica.received());
}

/// The connection goes on, or was told that it does not.
fn expect_well(client: &mut Frames, after: (&str, &str)) {
    let answer = client.fetch("shop.example", "/well");
    assert!(answer.status == 200 || client.left().is_some(), "{after:?}: {answer:?}");
}

/// As for HTTP/1: the cases `max-forwards` of its corpus.
#[test]
fn hops_are_counted_down_and_end_here() {
    let scene = Scene::new(Behaviour::Named);
    let ask = |method: &'static str, more: &[(&str, &str)]| {
        let mut client = scene.frames();
        let stream = client.ask(&[&request(method, "shop.example", "/")[..], more].concat(), true);
        client.answer(stream)
    };
    for (method, sent, told) in [
        ("OPTIONS", "5", "4"),
        ("TRACE", "1", "0"),
        ("OPTIONS", "99999999999999999999", "4294967294"),
        ("GET", "0", "0"),
        ("POST", "x", "x"),
    ] {
        assert_eq!(ask(method, &[("max-forwards", sent)]).status, 200, "{method} {sent}");
        assert_eq!(scene.replica.last().field("max-forwards").as_deref(), Some(told), "{method} {sent}");
    }
    let before = scene.replica.requests();
    for (method, status) in [("OPTIONS", 204), ("TRACE", 501)] {
        let answer = ask(method, &[("max-forwards", "0"), ("cookie", "secret")]);
        assert_eq!(answer.status, status, "{method}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"), "{method}: {answer:?}");
    }
    assert_eq!(scene.refusals("max-forwards"), 2.0);
    for bad in [&[("max-forwards", "-1")][..], &[("max-forwards", "1"), ("max-forwards", "1")], &[("max-forwards", "")]] {
        assert_eq!(ask("OPTIONS", bad).status, 400, "{bad:?}");
    }
    assert_eq!(scene.replica.requests(), before);
    assert_eq!(ask("OPTIONS", &[]).status, 200, "without a count it is like any other");
}
