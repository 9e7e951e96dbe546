//! Which fields reach the replica, and which the client.

use tidegate_tests::{Behaviour, Response};

use super::Scene;

fn send(scene: &Scene, fields: &str) -> Response {
    let mut client = scene.client();
    client.send(format!("GET /cart?item=1 HTTP/1.1\r\nHost: Shop.Example:8080\r\n{fields}\r\n"));
    let response = client.response();
    assert_eq!(response.status, 200, "{}", response.text());
    response
}

#[test]
fn request_line_and_host_arrive_as_sent() {
    let scene = Scene::new(Behaviour::Echo);
    send(&scene, "User-Agent: test\r\nAccept: text/html, */*;q=0.1\r\nCookie: a=1\r\nCookie: b=2\r\n");
    let received = scene.replica.last();
    assert!(received.head.starts_with("GET /cart?item=1 HTTP/1.1\r\n"), "{}", received.head);
    assert_eq!(received.field("host").as_deref(), Some("Shop.Example:8080"));
    assert_eq!(received.field("user-agent").as_deref(), Some("test"));
    assert_eq!(received.field("accept").as_deref(), Some("text/html, */*;q=0.1"));
    assert_eq!(received.all("cookie"), ["a=1", "b=2"], "several fields of one name stay, in order");
}

#[test]
fn forwarding_fields_say_who_asked() {
    let scene = Scene::new(Behaviour::Named);
    send(&scene, "");
    let received = scene.replica.last();
    assert_eq!(received.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(received.field("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(received.field("x-forwarded-host").as_deref().map(str::to_ascii_lowercase).as_deref(), Some("shop.example:8080"));
    let forwarded = received.field("forwarded").expect("Forwarded is set").to_ascii_lowercase();
    for part in ["for=127.0.0.1", "proto=http", "host="] {
        assert!(forwarded.contains(part), "{part} in {forwarded}");
    }
}

const SPOOFED: &str = "X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: admin.internal\r\n\
                       X-Forwarded-Port: 443-forged\r\nX-Real-IP: 10.1.1.1\r\nForwarded: for=10.1.1.1;host=admin.internal\r\n\
                       x-FORWARDED-for: 10.2.2.2\r\n";

#[test]
fn what_a_stranger_claims_about_itself_is_dropped() {
    let scene = Scene::new(Behaviour::Named);
    send(&scene, SPOOFED);
    let received = scene.replica.last();
    for lie in ["10.1.1.1", "10.2.2.2", "https", "admin.internal", "443-forged"] {
        assert!(!received.head.contains(lie), "{lie} got through:\n{}", received.head);
    }
    assert_eq!(received.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
}

#[test]
fn a_trusted_proxy_is_believed_and_added_to() {
    let scene = Scene::with(Behaviour::Named, |setup| setup.config("trustedProxies: [127.0.0.1/32]\n"));
    send(&scene, "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: www.shop.example\r\n");
    let received = scene.replica.last();
    let chain = received.all("x-forwarded-for").join(", ");
    assert_eq!(chain.replace(' ', ""), "203.0.113.9,127.0.0.1");
    assert_eq!(received.field("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(received.field("x-forwarded-host").as_deref(), Some("www.shop.example"));
}

#[test]
fn a_request_id_is_kept_or_made() {
    let scene = Scene::new(Behaviour::Named);
    send(&scene, "X-Request-Id: chosen-by-client\r\n");
    assert_eq!(scene.replica.last().field("x-request-id").as_deref(), Some("chosen-by-client"));
    send(&scene, "");
    let first = scene.replica.last().field("x-request-id").expect("one is made");
    send(&scene, "");
    let second = scene.replica.last().field("x-request-id").expect("one is made");
    assert!(first.len() >= 16 && first != second, "{first:?} and {second:?}");
}

#[test]
fn hop_by_hop_fields_stay_on_their_hop() {
    let scene = Scene::new(Behaviour::Raw(
        b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Private\r\nKeep-Alive: timeout=5\r\nX-Private: secret\r\n\
          Proxy-Authenticate: Basic\r\nX-Public: yes\r\nContent-Length: 0\r\n\r\n"
            .to_vec(),
    ));
    let response = send(
        &scene,
        "Connection: keep-alive, x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nTE: trailers, gzip\r\n\
         Upgrade: websocket\r\nProxy-Authorization: Basic eA==\r\nX-Kept: 1\r\n",
    );
    let received = scene.replica.last();
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade", "proxy-authorization"] {
        assert_eq!(received.field(name), None, "{name} went on:\n{}", received.head);
    }
    assert_eq!(received.field("x-kept").as_deref(), Some("1"));
    assert!(!received.head.contains("gzip"), "TE is not forwarded:\n{}", received.head);
    for name in ["x-private", "keep-alive"] {
        assert_eq!(response.field(name), None, "{name} came back");
    }
    assert_eq!(response.field("x-public"), Some("yes"));
}

#[test]
fn connection_cannot_remove_what_protects() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close, Host, X-Forwarded-For, X-Request-Id\r\n\r\n");
    let response = client.response();
    if response.status == 200 {
        let received = scene.replica.last();
        assert_eq!(received.field("host").as_deref(), Some("shop.example"));
        assert_eq!(received.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert!(received.field("x-request-id").is_some());
    } else {
        assert_eq!(response.status, 400);
    }
}

#[test]
fn an_absolute_target_names_the_host() {
    let scene = Scene::new(Behaviour::Named);
    let mut client = scene.client();
    client.send("GET http://shop.example/page HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!(client.response().replica(), "one");
    let received = scene.replica.last();
    assert_eq!(received.field("host").as_deref(), Some("shop.example"), "the Host field is replaced");
    assert!(received.head.starts_with("GET /page HTTP/1.1\r\n"), "{}", received.head);
}
