//! Which HTTP is spoken, and that one connection carries many requests at once.

use super::*;

#[test]
fn a_client_that_knows_speaks_it_without_a_question() {
    let scene = Scene::new(Behaviour::Named);
    assert_eq!(scene.curl(&SAY, b"").exited(0), "one 200 2 1");
    let request = scene.replica.last();
    assert!(request.head.starts_with("GET /from/curl HTTP/1.1\r\n"), "{}", request.head);
    assert_eq!(request.field("host"), Some(format!("shop.example:{}", scene.gate.http().port())));
}

#[test]
fn in_tls_the_client_chooses() {
    let scene = Scene::new(Behaviour::Named);
    for (flags, version) in
        [(&["--http2"][..], "2"), (&["--http2", "--tls-max", "1.2"], "2"), (&["--http1.1"], "1.1"), (&["--no-alpn"], "1.1")]
    {
        let said = scene.curl_in_tls("safe.example", &[&SAY[..], flags].concat());
        assert_eq!(said.exited(0), format!("one 200 {version} 1"), "{flags:?}");
        assert_eq!(scene.replica.last().field("x-forwarded-proto").as_deref(), Some("https"), "{flags:?}");
    }
}

#[test]
fn who_asks_http_1_whether_it_may_gets_http_1() {
    let scene = Scene::new(Behaviour::Named);
    let at = scene.gate.http();
    let said = curl(at, &format!("http://shop.example:{}/", at.port()), &[&["--http2"], &SAY[..]].concat(), b"");
    assert_eq!(said.exited(0), "one 200 1.1 1", "an upgrade to h2c goes past nobody");
    assert_eq!((scene.replica.last().field("upgrade"), scene.replica.last().field("http2-settings")), (None, None));
}

#[test]
fn a_connection_is_used_again() {
    let scene = Scene::new(Behaviour::Named);
    // In TLS: curl before 8.0 says its first words again on a connection that it uses again.
    let second = format!("https://safe.example:{}/second", scene.gate.listener("https").port());
    let said = scene.curl_in_tls("safe.example", &[&["--http2"], &SAY[..], &[&second]].concat());
    assert_eq!(said.exited(0), "one 200 2 1one 200 2 0");
    assert_eq!(scene.replica.connections(), 1, "and so is the replica's");
}

#[test]
fn the_first_words_may_come_byte_by_byte() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = tidegate_tests::Client::connect(scene.gate.http());
    for byte in tidegate_tests::frames::PREFACE {
        client.send([*byte]);
    }
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(client.exactly(4).expect("its settings")[3], 4);
}

#[test]
fn first_words_that_are_almost_right_are_refused() {
    let scene = Scene::new(Behaviour::Named);
    for wrong in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "PRI * HTTP/2.0\r\n\r\nGET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"] {
        let mut client = tidegate_tests::Client::connect(scene.gate.http());
        client.send(wrong);
        client.finish();
        let said = client.rest().unwrap_or_default();
        assert!(!String::from_utf8_lossy(&said).contains("HTTP/1.1 200"), "{said:?}");
    }
    assert_eq!(scene.replica.requests(), 0);
    assert_eq!(scene.gate.get("shop.example", "/").replica(), "one");
}

#[test]
fn the_first_words_after_a_request_are_no_request() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = tidegate_tests::Client::connect(scene.gate.http());
    assert_eq!(client.get("shop.example", "/").replica(), "one");
    client.send(tidegate_tests::frames::PREFACE);
    assert_eq!(client.response().status, 400);
}

#[test]
fn nghttp_asks_for_many_at_once() {
    let scene = Scene::new(Behaviour::Named);
    let url = format!("http://{}/", scene.gate.http());
    let many: Vec<String> = (0..20).map(|turn| format!("{url}{turn}")).collect();
    let said = finish(Command::new("timeout").args(["20", "nghttp", "--no-dep", "-H", ":authority: shop.example"]).args(many), b"");
    assert_eq!(said.exited(0), "one".repeat(20), "{}", said.stderr);
    assert_eq!(scene.gate.sum("tidegate_connections_total", &["external"]), 1.0);
    assert_eq!(scene.replica.requests(), 20);
}

#[test]
fn h2load_gets_all_that_it_asks_for() {
    let scene = Scene::new(Behaviour::Named);
    let url = format!("http://{}/", scene.gate.http());
    let flags = ["20", "h2load", "-n", "2000", "-c", "4", "-m", "50", "-H", ":authority: shop.example", &url];
    let said = finish(Command::new("timeout").args(flags), b"");
    assert!(said.exited(0).contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{}", said.stdout);
    assert!(said.stdout.contains("status codes: 2000 2xx"), "{}", said.stdout);
    assert_eq!(scene.replica.requests(), 2000);
    assert!(scene.replica.connections() <= 200, "{} connections for 200 requests at a time", scene.replica.connections());
}
