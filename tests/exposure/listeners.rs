//! Which side a listener is on, and who may speak to it.

use super::*;

#[test]
fn admin_is_not_on_the_external_listener() {
    let scene = Scene::new(SEAL, |_, _| String::new());
    for path in ["/metrics", "/healthz", "/readyz", "/api/v1/services", "/api/v1/explain?url=http://shop.example/"] {
        assert_eq!(scene.gate.get("shop.example", path).replica(), "web-0", "{path} belongs to the app");
        assert_eq!(scene.gate.get("localhost", path).status, 404, "{path}");
    }
    assert!(scene.web.requests() >= 5);
}

#[test]
fn internal_listeners_accept_internal_peers_alone() {
    let net = Net::take();
    let web = Replica::start(&net, "web-0", Behaviour::Named);
    let inside = net.replica_ip();
    let rule = ingress_of("tidegate-internal", "web", "web.inside", &[path("Prefix", "/", "web", 80)]);
    let gate = Setup::new(&net)
        .manifest("web.yaml", file(&[tcp(&net, "web", 80, &[&web]), rule]))
        .flag("--internal-http", &format!("{inside}:0"))
        .flag("--internal-cidr", &format!("{}/24", net.pod_ip(0)))
        .start();
    let address = gate.listener("internal-http");
    let from = |source: IpAddr| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(source, 0).into()).expect("a loopback address");
        socket.connect(&address.into()).map(|()| std::net::TcpStream::from(socket))
    };
    let ask = |source: IpAddr| -> std::io::Result<Vec<u8>> {
        use std::io::{Read, Write};
        let mut stream = from(source)?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: web.inside\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let friend = ask(inside).expect("an internal peer is answered");
    assert!(friend.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&friend));
    let stranger = ask(IpAddr::from([127, 0, 0, 1]));
    assert!(stranger.as_ref().map_or(true, Vec::is_empty), "a stranger got {stranger:?}");
    assert_eq!(web.requests(), 1);
}

#[test]
fn an_internal_listener_does_not_bind_an_outside_address() {
    let net = Net::take();
    let gate = Setup::new(&net).flag("--internal-http", "0.0.0.0:0").start();
    gate.await_problem(&["error", "internal-http", "0.0.0.0:0"]);
    let rows = gate.rows("listeners");
    assert!(!rows.iter().any(|row| row["name"] == "internal-http" && row["error"].is_null()), "{rows:#?}");
}
