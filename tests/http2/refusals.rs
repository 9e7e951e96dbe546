//! What is refused, with which status and reason; and that the reasons, the metrics and the access log are those of HTTP/1.

use serde_json::Value;
use tidegate_tests::await_until;
use tidegate_tests::frames::{Answer, End, Frames, request};

use super::*;

fn ask(client: &mut Frames, fields: &[(&str, &str)]) -> Answer {
    let stream = client.ask(fields, true);
    client.answer(stream)
}

#[test]
fn what_is_not_one_request_to_one_host_is_a_400() {
    let scene = Scene::new(Behaviour::Named);
    let get = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    let with = |more: &[(&'static str, &'static str)]| [&get[..], more].concat();
    let whole = request("GET", "shop.example", "/");
    for (what, fields) in [
        ("no host", with(&[])),
        ("two hosts", with(&[("host", "shop.example"), ("host", "shop.example")])),
        ("another Host", [&whole[..], &[("host", "inner.example")]].concat()),
        ("another port", [&whole[..], &[("host", "shop.example:81")]].concat()),
        ("two Hosts beside it", [&whole[..], &[("host", "shop.example"), ("host", "shop.example")]].concat()),
        ("an empty Host", with(&[("host", "")])),
        ("two words in Host", with(&[("host", "shop.example inner.example")])),
        ("user information", request("GET", "x@shop.example", "/").to_vec()),
        ("a bad port", with(&[("host", "shop.example:x")])),
        ("an asterisk", request("OPTIONS", "shop.example", "*").to_vec()),
        ("CONNECT", vec![(":method", "CONNECT"), (":authority", "shop.example:80")]),
        ("two lengths", [&whole[..], &[("content-length", "0"), ("content-length", "0")]].concat()),
        ("a list of lengths", [&whole[..], &[("content-length", "0, 0")]].concat()),
        ("a signed length", [&whole[..], &[("content-length", "+0")]].concat()),
        ("a path of other bytes", request("GET", "shop.example", "/\u{e9}").to_vec()),
    ] {
        let mut client = scene.frames();
        let answer = ask(&mut client, &fields);
        // Where the reader of frames refuses first, the stream is reset.
        assert!(answer.status == 400 || matches!(answer.end, Some(End::Reset(1))), "{what}: {answer:?}");
        assert_eq!(client.fetch("shop.example", "/well").status, 200, "{what}: the connection goes on");
    }
    assert!(scene.replica.received().iter().all(|request| request.head.starts_with("GET /well ")), "{:?}", scene.replica.received());
}

#[test]
fn one_host_said_twice_is_one() {
    let scene = Scene::new(Behaviour::Named);
    let get = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    for hosts in [
        &[(":authority", "shop.example"), ("host", "shop.example")][..],
        &[(":authority", "shop.example"), ("host", "SHOP.example")],
        &[("host", "shop.example")],
    ] {
        let pseudo = |(name, _): &&(&str, &str)| name.starts_with(':');
        let fields: Vec<_> = hosts.iter().filter(pseudo).chain(&get).chain(hosts.iter().filter(|field| !pseudo(field))).copied().collect();
        assert_eq!(ask(&mut scene.frames(), &fields).status, 200, "{hosts:?}");
        assert_eq!(scene.replica.last().all("host"), ["shop.example"], "{hosts:?}");
    }
}

#[test]
fn a_head_above_the_limits_is_a_431() {
    let scene = Scene::new(Behaviour::Named);
    let get = request("GET", "shop.example", "/");
    let names: Vec<String> = (0..200).map(|at| format!("x-{at}")).collect();
    let fields = |count: usize| [&get[..], &names[..count].iter().map(|name| (name.as_str(), "1")).collect::<Vec<_>>()].concat();
    assert_eq!(ask(&mut scene.frames(), &fields(100)).status, 200);
    for (what, fields) in [("101 fields", fields(101)), ("200 fields", fields(200))] {
        let mut client = scene.frames();
        assert_eq!(ask(&mut client, &fields).status, 431, "{what}");
        assert_eq!(client.fetch("shop.example", "/").status, 200, "{what}: the connection goes on");
    }
    assert_eq!(scene.refusals("head-too-large"), 2.0);
    let before = scene.replica.requests();
    let large = "x".repeat(16_000);
    let mut client = scene.frames();
    let stream = client.next_stream();
    let lines = [&get[..], &[("x-1", &large), ("x-2", &large), ("x-3", &large), ("x-4", &large), ("x-5", large.as_str())]].concat();
    send_in_pieces(&mut client, stream, &tidegate_tests::frames::block(&lines));
    let answer = client.answer(stream);
    assert!(answer.status == 431 || answer.end != Some(End::Whole), "80,000 bytes: {answer:?}");
    assert_eq!(scene.replica.requests(), before);
    assert_eq!(scene.frames().fetch("shop.example", "/").status, 200);
}

/// A head that does not fit one frame.
fn send_in_pieces(client: &mut Frames, stream: u32, block: &[u8]) {
    use tidegate_tests::frames::{END_HEADERS, END_STREAM, kind};
    let mut pieces = block.chunks(16_384).peekable();
    let mut first = true;
    while let Some(piece) = pieces.next() {
        let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
        match first {
            true => client.say(kind::HEADERS, END_STREAM | last, stream, piece),
            false => client.say(kind::CONTINUATION, last, stream, piece),
        }
        first = false;
    }
}

#[test]
fn a_head_of_60_kilobytes_goes_through() {
    let scene = Scene::new(Behaviour::Named);
    let large = "x".repeat(15_000);
    let lines = [&request("GET", "shop.example", "/")[..], &[("x-1", &large), ("x-2", &large), ("x-3", &large), ("x-4", large.as_str())]];
    let mut client = scene.frames();
    let stream = client.next_stream();
    send_in_pieces(&mut client, stream, &tidegate_tests::frames::block(&lines.concat()));
    assert_eq!(client.answer(stream).status, 200);
    assert_eq!(scene.replica.last().field("x-4").map(|value| value.len()), Some(15_000));
}

/// HTTP/2 lets a client use one connection for all hosts of its certificate (RFC 9113 section 9.1.1), and for no other.
#[test]
fn a_connection_carries_the_hosts_of_its_certificate_and_no_other() {
    let scene = Scene::with(Behaviour::Named, |setup| setup);
    let both = scene.authority.ecdsa(&["a.wild.example", "b.wild.example"]);
    let other = scene.authority.ecdsa(&["other.example"]);
    let tls = "spec: {tls: [{hosts: [a.wild.example, b.wild.example], secretName: both}], ";
    let rules = ingress("both", "*.wild.example", &[path("Prefix", "/", "shop", 80)]).replace("spec: {", tls);
    scene.gate.write("more.yaml", &file(&[rules, both.secret("both"), safe_site("other", "other.example"), other.secret("other")]));
    let at = scene.gate.listener("https");
    for (opened, asked, status) in [
        ("a.wild.example", "b.wild.example", "200"),
        ("b.wild.example", "A.wild.example:443", "200"),
        ("a.wild.example", "other.example", "421"),
        ("other.example", "a.wild.example", "421"),
        ("safe.example", "shop.example", "421"),
        ("safe.example", "nowhere.example", "421"),
    ] {
        let url = format!("https://{opened}:{}/again", at.port());
        let host = format!("Host: {asked}");
        let say = ["--output", "/dev/null", "--write-out", "%{http_code} %{http_version} %{num_connects};"];
        let trust = scene.gate.home().join("authority.pem").display().to_string();
        // Two transfers: the second one asks for another host, on the connection of the first.
        let second = ["--next", "-q", "--silent", "--noproxy", "*", "--max-time", "20", "--cacert", &trust, "--http2", "--header", &host];
        let flags = [&["--http2"], &say[..], &[&url], &second, &say].concat();
        let said = scene.curl_in_tls(opened, &flags);
        assert_eq!(said.exited(0), format!("200 2 1;{status} 2 0;"), "{asked} on a connection for {opened}: {}", said.stderr);
    }
    assert_eq!(scene.refusals("misdirected"), 4.0);
}

#[test]
fn reasons_are_those_of_http_1() {
    let scene = Scene::new(Behaviour::Named);
    let mut dead = Replica::start(&scene.net, "dead", Behaviour::Named);
    dead.die();
    scene.gate.write(
        "more.yaml",
        &file(&[
            objects::app(&scene.net, "dead", "dead.example", &[&dead]),
            objects::app(&scene.net, "empty", "empty.example", &[]),
            ingress("nobody", "nobody.example", &[path("Prefix", "/", "nobody", 80)]),
        ]),
    );
    let mut client = scene.frames();
    for (host, status, reason) in [
        ("unknown.example", 404, "no-route"),
        ("empty.example", 503, "no-endpoint"),
        ("nobody.example", 503, "no-endpoint"),
        ("dead.example", 502, "upstream-connect"),
    ] {
        let before = scene.refusals(reason);
        let answer = client.fetch(host, "/");
        let plain = scene.gate.get(host, "/");
        assert_eq!((answer.status, &answer.body), (status, &plain.body), "{host}");
        assert_eq!(plain.status, status, "{host}");
        assert_eq!(scene.refusals(reason), before + 2.0, "{host}: one for each HTTP");
    }
    scene.replica.now(Behaviour::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()));
    assert_eq!(client.fetch("shop.example", "/").status, 502);
    assert_eq!(scene.refusals("upstream-reset"), 1.0);
}

#[test]
fn a_head_asks_for_no_body_of_a_refusal_either() {
    let scene = Scene::new(Behaviour::Named);
    let answer = ask(&mut scene.frames(), &request("HEAD", "unknown.example", "/"));
    assert_eq!((answer.status, answer.body.len(), answer.end), (404, 0, Some(End::Whole)));
}

#[test]
fn the_reason_is_told_inside_and_not_outside() {
    let scene = Scene::with(Behaviour::Named, |setup| setup.flag("--internal-http", "127.0.0.1:0"));
    let said = |at: SocketAddr| {
        let url = format!("http://unknown.example:{}/", at.port());
        let said = curl(at, &url, &["--http2-prior-knowledge", "--include"], b"");
        said.exited(0).to_ascii_lowercase()
    };
    let outside = said(scene.gate.http());
    assert!(outside.starts_with("http/2 404") && !outside.contains("x-tidegate"), "{outside}");
    assert!(outside.contains("content-length: 14\r\n") && outside.contains("\r\ndate: "), "{outside}");
    let inside = said(scene.gate.listener("internal-http"));
    assert!(inside.starts_with("http/2 404") && inside.contains("x-tidegate-reason: no-route\r\n"), "{inside}");
}

#[test]
fn each_request_is_logged_once_with_its_reason() {
    let mut scene = Scene::with(Behaviour::Named, |setup| setup.flag("--access-log", "access.log").flag("--log", "json"));
    let mut client = scene.frames();
    let stream = client.ask(&[&request("GET", "Shop.Example:80", "/cart?secret=1")[..], &[("x-request-id", "id-of-one")]].concat(), true);
    assert_eq!(client.answer(stream).status, 200);
    assert_eq!(client.fetch("nobody.example", "/none").status, 404);
    assert_eq!(ask(&mut client, &request("OPTIONS", "shop.example", "/\u{e9}")).status, 400);
    scene.replica.now(Behaviour::RawThenReset(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()));
    assert!(matches!(client.fetch("shop.example", "/half").end, Some(End::Reset(_))));
    scene.replica.now(Behaviour::Held);
    let asked = scene.replica.requests();
    let held = client.get("shop.example", "/left");
    await_until("the request to reach the replica", || scene.replica.requests() > asked);
    client.reset(held);
    await_until("its replica to be left alone", || scene.replica.open() == 0);
    let path = scene.gate.home().join("access.log");
    assert_eq!(scene.gate.stop().code(), Some(0));
    let text = std::fs::read_to_string(path).expect("the access log is written");
    assert!(!text.contains("secret=1"), "the query is not logged");
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    let said: Vec<_> =
        rows.iter().map(|row| (row["path"].as_str().unwrap_or(""), row["status"].as_u64(), row["reason"].as_str())).collect();
    let expected = [
        ("/cart", Some(200), None),
        ("/none", Some(404), Some("no-route")),
        ("/%C3%A9", Some(400), Some("bad-request")),
        ("/half", Some(502), Some("upstream-reset")),
        ("/left", Some(499), None),
    ];
    assert_eq!(said.len(), expected.len(), "{text}");
    for (said, expected) in said.iter().zip(expected) {
        assert_eq!((said.1, said.2), (expected.1, expected.2), "{text}");
    }
    let served = &rows[0];
    assert_eq!((&served["host"], &served["method"]), (&Value::from("shop.example"), &Value::from("GET")), "{served}");
    assert_eq!((&served["request_id"], &served["bytes"]), (&Value::from("id-of-one"), &Value::from(3)), "{served}");
    assert_eq!(served["endpoint"], scene.replica.address().to_string(), "{served}");
}
